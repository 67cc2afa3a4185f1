/* SPDX-License-Identifier: Apache-2.0 */
/* Output of an HTTP/2 connection. Heads are given to nghttp2 at once, body bytes
 * wait in the stream's queue until nghttp2, in the flush of the pass, asks for
 * them in turns, one frame of at most 16 KiB a stream. */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/http/h2_conn.h"

uint32_t h2_error_code(enum reset_why why)
{
    switch (why) {
    case RESET_REFUSED:
        return NGHTTP2_REFUSED_STREAM;
    case RESET_PROTOCOL:
        return NGHTTP2_PROTOCOL_ERROR;
    case RESET_LIMIT:
        return NGHTTP2_ENHANCE_YOUR_CALM;
    case RESET_CONNECTION:
        return NGHTTP2_INTERNAL_ERROR; /* the other hop broke */
    default:
        return NGHTTP2_CANCEL;
    }
}

void h2_wake(struct h2_conn *h)
{
    if (!h->c.closed)
        stream_wake(h->c.stream);
}

void h2_count_bulk(struct h2_stream *s, size_t n)
{
    int64_t now = loop_now(s->x.loop);
    if (now - s->burst_start > NSEC_PER_SEC) {
        s->burst_start = now;
        s->burst = 0;
    }
    s->burst += n < H2_BULK ? (uint32_t)n : H2_BULK;
    if (s->burst < H2_BULK)
        return;
    s->burst = H2_BULK; /* no overflow */
    s->h->bulk_until = now + 2 * NSEC_PER_SEC;
}

void h2_resume_data(struct h2_stream *s)
{
    if (s->deferred) {
        s->deferred = false;
        nghttp2_session_resume_data(s->h->ng, s->id);
    }
    h2_wake(s->h);
}

static void broken(struct h2_stream *s)
{
    nghttp2_submit_rst_stream(s->h->ng, NGHTTP2_FLAG_NONE, s->id,
                              NGHTTP2_INTERNAL_ERROR);
    h2_wake(s->h);
}

/* Over what the peer takes (RFC 9113 section 6.5.2): it might end the connection,
 * which others use, too. */
static bool too_large(const struct h2_conn *h, const nghttp2_nv *nv, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += nv[i].namelen + nv[i].valuelen + 32;
    return sum > nghttp2_session_get_remote_settings(
                     h->ng, NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE);
}

/* A library like ours ends the connection over one field of more than 64 KiB,
 * whatever its settings say. */
static bool unsendable(const nghttp2_nv *nv, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (nv[i].namelen > UINT16_MAX || nv[i].valuelen > UINT16_MAX)
            return true;
    return false;
}

static void send_request(struct h2_stream *s, const struct head *head, bool end)
{
    struct h2_conn *h = s->h;
    nghttp2_nv nv[H2_NV_MAX];
    struct h2_scratch scratch;
    nghttp2_data_provider body = {.source = {.ptr = s},
                                  .read_callback = h2_read_data};
    size_t n = h2_nv_request(head, h->link, nv, &scratch);

    if (head->upgrade && arena_copy(&s->x.arena, head->protocol, &s->upgrade)) {
        exchange_broke(&s->x, RESET_LIMIT);
        h2_stream_free(s);
        return;
    }
    if (head->upgrade && !end)
        n = h2_nv_upgrade_body(nv, n, head, &scratch);
    if (unsendable(nv, n) || (!h->link && too_large(h, nv, n))) {
        exchange_broke(&s->x, RESET_TOO_LARGE);
        h2_stream_free(s);
        return;
    }
    s->pieces = head->upgrade && !end;
    bool alone = end && !head->upgrade; /* else the stream stays open */
    int32_t id = nghttp2_submit_request(h->ng, NULL, nv, n,
                                        alone ? NULL : &body, s);
    if (id < 0) { /* out of stream ids: this connection is used up */
        exchange_broke(&s->x, RESET_REFUSED);
        h2_stream_free(s);
        http_conn_drain(&h->c);
        return;
    }
    s->id = id;
    h2_wake(h);
}

/* What a client of plain HTTP/2 must be told otherwise: of a WebSocket without its
 * proof, which must be right; and that it did not get one, where any 2xx would mean
 * that it did. False when there is nothing true to tell. */
static bool say_truth(const struct h2_stream *s, const struct head *head,
                      struct head *to, struct header fields[HTTP_HEADERS_MAX])
{
    *to = *head;
    to->headers = headers_copy(&head->headers, fields);
    if (head->status == 101)
        return h2_websocket_granted(s, &to->headers);
    if (head->status >= 200 && head->status < 300)
        to->status = 502;
    return true;
}

static int submit_response(struct h2_stream *s, const struct head *head,
                           bool end)
{
    nghttp2_nv nv[H2_NV_MAX];
    struct h2_scratch scratch;
    nghttp2_data_provider body = {.source = {.ptr = s},
                                  .read_callback = h2_read_data};
    size_t n = h2_nv_response(head, s->h->link, nv, &scratch);

    if (s->h->link && s->x.head_out && s->x.upgrade && !s->x.tunnel)
        n = h2_nv_upgrade_ignored(nv, n);
    if (unsendable(nv, n))
        return NGHTTP2_ERR_HEADER_COMP;
    if (s->x.head_out)
        return nghttp2_submit_response(s->h->ng, s->id, nv, n,
                                       end ? NULL : &body);
    return nghttp2_submit_headers(s->h->ng, NGHTTP2_FLAG_NONE, s->id, NULL, nv,
                                  n, NULL);
}

static void send_response(struct h2_stream *s, const struct head *head,
                          bool end)
{
    struct header fields[HTTP_HEADERS_MAX];
    struct head truth;
    bool ok = true;

    if (!s->x.head_out && s->hints == H2_HINTS)
        return; /* no credit is asked for them: this is the bound */
    s->hints += !s->x.head_out;
    if (s->x.upgrade && !s->h->link) {
        ok = say_truth(s, head, &truth, fields);
        head = &truth;
    }
    ok = ok && submit_response(s, head, end) == 0;
    if (!ok)
        broken(s);
    h2_wake(s->h);
    if (ok && s->x.upgrade && s->x.tunnel)
        h2_upgrade_granted(s);
}

static void send_head(struct exchange *x, const struct head *head, bool end)
{
    struct h2_stream *s = h2_stream_of(x);
    s->progress = loop_now(x->loop);
    if (x->server)
        send_response(s, head, end);
    else
        send_request(s, head, end);
}

static void send_body(struct exchange *x, slice data, bool end)
{
    struct h2_stream *s = h2_stream_of(x);
    if (s->out.len == 0)
        s->progress = loop_now(x->loop);
    if (s->pieces && !x->server)
        h2_upgrade_send(s, data, end);
    else if (data.len)
        bufq_add(&s->out, data.ptr, data.len);
    h2_resume_data(s);
}

static void send_trailers(struct exchange *x, const struct headers *trailers)
{
    struct h2_stream *s = h2_stream_of(x);
    struct head h = {.headers = *trailers}, *copy;
    if (s->pieces && !x->server) { /* they have no place there */
        h2_upgrade_send(s, SLICE_NONE, true);
        h2_resume_data(s);
        return;
    }
    if (trailers->len && head_copy(&x->arena, &h, 0, &copy) == OK) {
        s->trailers = copy->headers;
        s->has_trailers = true;
    }
    h2_resume_data(s);
}

static void consumed(struct exchange *x, size_t n)
{
    struct h2_stream *s = h2_stream_of(x);
    if (n > s->owed)
        n = s->owed;
    s->owed -= (uint32_t)n;
    s->heard = loop_now(x->loop);
    s->h->held -= n;
    nghttp2_session_consume(s->h->ng, s->id, n);
    h2_wake(s->h);
}

bool h2_unwanted(const struct h2_stream *s)
{
    if (s->x.tunnel || s->end_got)
        return false;
    return s->x.end_in || !s->x.rest_wanted; /* at its end: of an upgrade */
}

void h2_drop(struct h2_stream *s, size_t n)
{
    consumed(&s->x, n);
}

static void drop_rest(struct exchange *x)
{
    struct h2_stream *s = h2_stream_of(x);
    if (!s->end_sent || !h2_unwanted(s))
        return; /* on_frame_sent will look */
    nghttp2_submit_rst_stream(s->h->ng, NGHTTP2_FLAG_NONE, s->id,
                              NGHTTP2_NO_ERROR);
    h2_wake(s->h);
}

static void reset(struct exchange *x, enum reset_why why)
{
    struct h2_stream *s = h2_stream_of(x);
    if (s->id == 0) { /* nothing was sent: nobody has to know */
        h2_stream_free(s);
        h2_wake(s->h); /* it may have been the last of a drain */
        return;
    }
    nghttp2_submit_rst_stream(s->h->ng, NGHTTP2_FLAG_NONE, s->id,
                              h2_error_code(why));
    h2_wake(s->h);
}

const struct carrier h2_carrier = {
    .name = "h2",
    .send_head = send_head,
    .send_body = send_body,
    .send_trailers = send_trailers,
    .consumed = consumed,
    .drop_rest = drop_rest,
    .reset = reset,
};

/* ---- what nghttp2 asks for ---- */

static void add_trailers(struct h2_stream *s, uint32_t *flags)
{
    nghttp2_nv nv[H2_NV_MAX];
    size_t n = h2_nv_trailers(&s->trailers, nv);
    if (n && nghttp2_submit_trailer(s->h->ng, s->id, nv, n) == 0)
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
}

ssize_t h2_read_data(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t len,
                     uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct h2_stream *s = source->ptr;
    (void)ng, (void)id, (void)buf, (void)arg;
    /* The end of a request that asks for an upgrade waits for the answer. */
    bool asking = s->x.upgrade && !s->x.server && !s->x.head_in;
    bool ending = s->x.end_out && !asking;
    if (s->out.len == 0 && !ending) {
        s->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t n = s->out.len < len ? s->out.len : len;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n == s->out.len && ending) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->has_trailers)
            add_trailers(s, flags);
    }
    return (ssize_t)n;
}

int h2_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head,
                 size_t len, nghttp2_data_source *source, void *arg)
{
    struct h2_conn *h = arg;
    struct h2_stream *s = source->ptr;
    (void)ng, (void)frame;
    if (h->c.closed)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (stream_queued(h->c.stream) >= H2_BACKLOG)
        return NGHTTP2_ERR_WOULDBLOCK;
    stream_write(h->c.stream, head, 9);
    size_t left = len;
    while (left) {
        slice front = bufq_front(&s->out);
        size_t n = front.len < left ? front.len : left;
        stream_write(h->c.stream, front.ptr, n);
        bufq_drop(&s->out, n);
        left -= n;
    }
    s->progress = loop_now(h->c.loop);
    h2_count_bulk(s, len);
    uint32_t ours = s->overhead < len ? s->overhead : (uint32_t)len;
    s->overhead -= ours;
    exchange_got_sent(&s->x, len - ours);
    return h->c.closed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}
