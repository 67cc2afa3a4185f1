/* SPDX-License-Identifier: Apache-2.0 */
/* The flags of an exchange and the order of its events, the same for every
 * carrier. */
#include "lib/http/exchange.h"

#include <assert.h>

const char *reset_why_name(enum reset_why why)
{
    static const char *const names[RESET_WHYS] = {
        [RESET_CANCELED] = "canceled", [RESET_REFUSED] = "refused",
        [RESET_STALE] = "stale",       [RESET_CONNECTION] = "connection",
        [RESET_TIMEOUT] = "timeout",   [RESET_PROTOCOL] = "protocol",
        [RESET_LIMIT] = "limit",       [RESET_TOO_LARGE] = "too-large",
    };
    return names[why];
}

void exchange_init(struct exchange *x, const struct carrier *c, struct loop *l,
                   bool server, size_t arena_limit)
{
    *x = (struct exchange){
        .carrier = c, .loop = l, .server = server, .started = loop_now(l)};
    arena_init(&x->arena, arena_limit);
}

void exchange_fini(struct exchange *x)
{
    arena_reset(&x->arena);
}

static bool informational(const struct head *h)
{
    return h->status >= 100 && h->status < 200 && h->status != 101;
}

static void note_request(struct exchange *x, const struct head *h)
{
    x->is_head_request = h->method_id == HTTP_HEAD;
    x->upgrade = h->upgrade;
    x->connect = h->upgrade || h->method_id == HTTP_CONNECT;
}

bool exchange_grants_tunnel(const struct exchange *x, const struct head *h)
{
    if (x->upgrade)
        return h->status == 101;
    return x->connect && h->status >= 200 && h->status < 300;
}

/* The end of a request that asks for an upgrade is that of a message: where there
 * is a tunnel already, its bytes follow. */
static void request_ends(struct exchange *x, bool *ended)
{
    *ended = !(x->upgrade && !x->request_over && x->tunnel);
    x->request_over = true;
}

static void ends_out(struct exchange *x)
{
    if (x->server)
        x->end_out = true;
    else
        request_ends(x, &x->end_out);
}

static void ends_in(struct exchange *x)
{
    if (x->server)
        request_ends(x, &x->end_in);
    else
        x->end_in = true;
}

static void open_tunnel(struct exchange *x)
{
    x->tunnel = true;
    if (!x->upgrade || !x->request_over)
        return;
    if (x->server)
        x->end_in = false;
    else
        x->end_out = false;
}

void exchange_send_head(struct exchange *x, const struct head *h, bool end)
{
    if (x->over || x->head_out)
        return;
    if (x->server && informational(h)) {
        x->carrier->send_head(x, h, false);
        return;
    }
    x->head_out = true;
    if (!x->server)
        note_request(x, h);
    else if (exchange_grants_tunnel(x, h))
        open_tunnel(x);
    if (end)
        ends_out(x);
    x->carrier->send_head(x, h, end);
}

void exchange_send_body(struct exchange *x, slice data, bool end)
{
    if (x->over || x->end_out || !x->head_out)
        return;
    if (end)
        ends_out(x);
    x->bytes_out += data.len;
    x->carrier->send_body(x, data, end);
}

void exchange_send_trailers(struct exchange *x, const struct headers *trailers)
{
    if (x->over || x->end_out || !x->head_out)
        return;
    ends_out(x);
    x->carrier->send_trailers(x, trailers);
}

void exchange_consumed(struct exchange *x, size_t n)
{
    if (!x->over && n)
        x->carrier->consumed(x, n);
}

void exchange_drop_rest(struct exchange *x)
{
    if (x->over || !x->rest_wanted)
        return;
    x->rest_wanted = false;
    x->carrier->drop_rest(x);
}

void exchange_reset(struct exchange *x, enum reset_why why)
{
    if (x->over)
        return;
    x->over = true;
    x->carrier->reset(x, why);
}

void exchange_got_head(struct exchange *x, const struct head *h, bool end)
{
    if (x->over)
        return;
    if (x->server)
        note_request(x, h);
    if (x->server || !informational(h)) {
        x->head_in = true;
        if (end)
            ends_in(x);
    }
    if (!x->server && x->head_in && exchange_grants_tunnel(x, h))
        open_tunnel(x);
    x->events->on_head(x, h, end);
}

void exchange_got_body(struct exchange *x, slice data, bool end)
{
    if (x->over || x->end_in)
        return;
    assert(x->head_in);
    if (end)
        ends_in(x);
    x->bytes_in += data.len;
    x->events->on_body(x, data, end);
}

void exchange_got_trailers(struct exchange *x, const struct headers *trailers)
{
    if (x->over || x->end_in)
        return;
    ends_in(x);
    x->events->on_trailers(x, trailers);
}

void exchange_got_sent(struct exchange *x, size_t n)
{
    if (!x->over && n && x->events)
        x->events->on_sent(x, n);
}

void exchange_broke(struct exchange *x, enum reset_why why)
{
    if (x->over)
        return;
    x->over = true;
    if (x->events)
        x->events->on_reset(x, why);
}

void exchange_finish(struct exchange *x)
{
    if (x->over)
        return;
    x->over = true;
    x->events->on_done(x);
}

void exchange_reply(struct exchange *x, unsigned status, slice content_type,
                    slice body, const struct headers *fields)
{
    struct header storage[16];
    struct head h;
    head_init_response(&h, status, storage, 16);
    h.content_length = (int64_t)body.len;
    enum status rc = OK;
    if (body.len && content_type.len)
        rc = headers_add(&h.headers, SLICE("content-type"), content_type);
    for (uint32_t i = 0; !rc && fields && i < fields->len; i++)
        rc = headers_add(&h.headers, fields->at[i].name, fields->at[i].value);
    assert(rc == OK); /* replies of our own have few fields */
    (void)rc;
    bool end = body.len == 0 || x->is_head_request;
    exchange_send_head(x, &h, end);
    if (!end)
        exchange_send_body(x, body, true);
}
