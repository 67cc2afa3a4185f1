/* SPDX-License-Identifier: Apache-2.0 */
/* Input of an HTTP/1 connection: bytes become heads, body, trailers or the bytes
 * of a tunnel, and the state that h1_conn.c draws moves on. What is refused is
 * answered there. */
#include <assert.h>

#include "lib/http/h1_conn.h"

/* Counted first: an answer may be the last that happens here. */
static void refuse(struct h1_conn *h, unsigned status,
                   const struct h1_error *err)
{
    http_limits_hit(h->c.limits, err->limit);
    h1_refuse_peer(h, status, err->why);
}

static size_t take_request_head(struct h1_conn *h, slice in)
{
    struct header fields[HTTP_HEADERS_MAX];
    struct head head = {.headers = {.at = fields, .cap = HTTP_HEADERS_MAX}};
    struct h1_error err = {0};
    size_t used = 0;

    enum status rc = h1_parse_request(in, h->c.limits, &h->scanned, &head,
                                      &used, &err);
    if (rc == ERR_AGAIN)
        return 0;
    if (rc) {
        refuse(h, err.status ? err.status : 400, &err);
        return 0;
    }
    h->scanned = 0;
    h->peer_minor = head.minor;
    h->method = head.method_id;
    h->keep_alive = head.keep_alive && head.minor >= 1;
    enum h1_framing framing = h1_request_framing(&head);
    h1_body_init(&h->body, framing,
                 head.content_length > 0 ? (uint64_t)head.content_length : 0);
    bool end = h->body.done || framing == H1_NO_BODY;
    /* The bytes of the tunnel follow, if there is one. */
    bool open = end && head.method_id == HTTP_CONNECT;
    h->read_state = end ? H1_READ_WAIT : H1_READ_BODY;
    h->expecting = head.expect_continue && !end;
    struct exchange *x = h1_exchange_new(h);
    h1_arm(h);
    h->c.events->on_exchange(&h->c, x);
    exchange_got_head(x, &head, end && !open);
    return used;
}

/* Bytes after the end of a response answer no request: never let the connection
 * carry another (threat: response-queue poisoning). */
static void note_surplus(struct h1_conn *h, bool ended, size_t used, slice in)
{
    if (!h->c.server && ended && used < in.len)
        h->keep_alive = false;
}

static size_t take_response_head(struct h1_conn *h, slice in)
{
    struct header fields[HTTP_HEADERS_MAX];
    struct head head = {.headers = {.at = fields, .cap = HTTP_HEADERS_MAX}};
    struct h1_error err = {0};
    size_t used = 0;
    struct exchange *x = &h->x->x;

    assert(h->x); /* h1_may_take() saw to it */
    enum status rc = h1_parse_response(in, h->c.limits, h->method, &h->scanned,
                                       &head, &used, &err);
    if (rc == ERR_AGAIN)
        return 0;
    if (rc || (head.status == 101 && !x->upgrade)) {
        refuse(h, rc == ERR_TOO_BIG ? 431 : 400, &err);
        return 0;
    }
    h->scanned = 0;
    if (head.status < 200 && head.status != 101) {
        exchange_got_head(x, &head, false);
        return used;
    }
    bool tunnel = exchange_grants_tunnel(x, &head);
    if (x->connect) {
        h1_tunnel_answered(h, tunnel);
        if (h->c.closed)
            return used;
    }
    h->keep_alive = head.keep_alive && head.minor >= 1;
    enum h1_framing framing = h1_response_framing(&head, h->method);
    h1_body_init(&h->body, framing,
                 head.content_length > 0 ? (uint64_t)head.content_length : 0);
    bool end = !tunnel && (framing == H1_NO_BODY || h->body.done);
    if (framing == H1_UNTIL_CLOSE)
        h->keep_alive = false;
    note_surplus(h, end, used, in);
    h->read_state = tunnel ? H1_READ_TUNNEL
                           : (end ? H1_READ_WAIT : H1_READ_BODY);
    exchange_got_head(x, &head, end);
    return used;
}

/* The message was read to its end, and what follows is another, or a tunnel that
 * was granted before. */
static void message_read(struct h1_conn *h)
{
    bool tunnel = h->c.server && h->x->x.tunnel;
    h->read_state = tunnel ? H1_READ_TUNNEL : H1_READ_WAIT;
}

static void give_trailers(struct h1_conn *h, slice section)
{
    struct header fields[HTTP_HEADERS_MAX];
    struct headers trailers = {.at = fields, .cap = HTTP_HEADERS_MAX};
    struct h1_error err = {0};
    message_read(h);
    if (section.len &&
        h1_parse_trailers(section, h->c.limits, &trailers, &err)) {
        refuse(h, err.status ? err.status : 400, &err);
        return;
    }
    if (trailers.len)
        exchange_got_trailers(&h->x->x, &trailers);
    else
        exchange_got_body(&h->x->x, SLICE_NONE, true);
}

/* One step of a body; *more false when the decoder wants more bytes. */
static size_t take_body(struct h1_conn *h, slice in, bool *more)
{
    struct h1_error err = {0};
    struct exchange *x = &h->x->x;
    slice data = SLICE_NONE;
    size_t used = 0;

    enum h1_body_event ev = h1_body_next(&h->body, in, h->c.limits, &used,
                                         &data, &err);
    note_surplus(h, h->body.done, used, in);
    switch (ev) {
    case H1_BODY_MORE:
        *more = false;
        break;
    case H1_BODY_DATA:
        h->owed += (uint32_t)data.len;
        h->expecting = false;
        if (h->body.done)
            message_read(h);
        exchange_got_body(x, data, h->body.done);
        break;
    case H1_BODY_TRAILERS:
        give_trailers(h, data);
        break;
    case H1_BODY_END:
        message_read(h);
        exchange_got_body(x, SLICE_NONE, true);
        break;
    case H1_BODY_BAD:
        refuse(h, err.status ? err.status : 400, &err);
        break;
    }
    return used;
}

static size_t take_tunnel(struct h1_conn *h, slice in)
{
    h->owed += (uint32_t)in.len;
    exchange_got_body(&h->x->x, in, false);
    return in.len;
}

/* True while input may be parsed. */
bool h1_may_take(const struct h1_conn *h)
{
    if (h->c.closed || h->owed > h->c.limits->body_window)
        return false;
    switch (h->read_state) {
    case H1_READ_HEAD:
        return h->c.server ? !h1_backlogged(h) && !h->x : h->x != NULL;
    case H1_READ_BODY:
    case H1_READ_TUNNEL:
        return h->x != NULL;
    default:
        return false;
    }
}

/* Parses from `in`; returns how much was used. */
size_t h1_take(struct h1_conn *h, slice in)
{
    size_t used = 0;
    bool more = true;
    while (more && used < in.len && h1_may_take(h)) {
        slice rest = slice_sub(in, used, in.len);
        size_t n = 0;
        uint8_t state = h->read_state;
        if (state == H1_READ_HEAD) {
            n = h->c.server ? take_request_head(h, rest)
                            : take_response_head(h, rest);
            more = n > 0;
        } else if (state == H1_READ_BODY) {
            n = take_body(h, rest, &more);
        } else {
            n = take_tunnel(h, rest);
        }
        used += n;
        if (!h->c.closed && h->x && h->x->x.over)
            break;
        if (!h->c.closed)
            h1_settle(h);
    }
    return used;
}
