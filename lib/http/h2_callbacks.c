/* SPDX-License-Identifier: Apache-2.0 */
/* What nghttp2 tells of an HTTP/2 connection, in the order of a stream's life: a
 * field block is gathered and becomes a head, data chunks are lent to the
 * exchange, the end of a stream ends it.
 *
 * Windows: the receive window opens as owners consume; what a finished stream
 * still owed is given back to the session, or its window would leak away. A
 * stream that moves much gets a larger window.
 *
 * Floods: hasty resets (a client's, and those that a peer's frames make us send)
 * and control frames are counted by the second; over the limit the session ends
 * with ENHANCE_YOUR_CALM. nghttp2 itself bounds queued acknowledgements,
 * CONTINUATION frames and HPACK. */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/http/h2_conn.h"

enum { BLOCK_KEEP = 4096 }; /* bytes of a field block's buffer */
static const int64_t HASTY = 10 * NSEC_PER_MSEC;

/* ---- floods ---- */

void h2_doom(struct h2_conn *h, uint32_t code)
{
    if (h->failing)
        return;
    h->failing = true;
    nghttp2_session_terminate_session(h->ng, code);
    h2_wake(h);
}

static void count(struct h2_conn *h, uint32_t *counter, uint32_t limit,
                  enum http_limit which)
{
    int64_t second = loop_now(h->c.loop) / NSEC_PER_SEC;
    if (second != h->second) {
        h->second = second;
        h->resets = h->controls = 0;
    }
    if (++*counter <= limit || h->failing)
        return;
    http_limits_hit(h->c.limits, which);
    h2_doom(h, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void count_reset(struct h2_conn *h)
{
    count(h, &h->resets, h->c.limits->max_resets, HTTP_LIMIT_RESETS);
}

/* ---- field blocks ---- */

static struct h2_block *block_of(struct h2_conn *h)
{
    if (!h->block)
        h->block = MEM_NEW(struct h2_block);
    return h->block;
}

static void block_begin(struct h2_conn *h)
{
    struct h2_block *b = block_of(h);
    b->len = b->count = 0;
    b->over = HTTP_LIMIT_NONE;
    h->block_started = loop_now(h->c.loop);
}

/* Read to its end, or refused. */
static void block_end(struct h2_conn *h)
{
    h->block_started = 0;
}

/* Its head was handed on: what a large one needed is not kept for the next. */
static void block_trim(struct h2_conn *h)
{
    if (h->block->cap <= BLOCK_KEEP)
        return;
    mem_free(h->block->bytes);
    h->block->bytes = NULL;
    h->block->cap = 0;
}

static void block_add(struct h2_conn *h, slice name, slice value)
{
    struct h2_block *b = block_of(h);
    size_t need = b->len + name.len + value.len;
    uint32_t max = h->c.limits->max_headers + 6; /* and pseudo fields */
    if (need > h->c.limits->head_bytes)
        b->over = HTTP_LIMIT_HEAD_BYTES;
    else if (b->count >= max || b->count >= HTTP_HEADERS_MAX)
        b->over = HTTP_LIMIT_HEADERS;
    if (b->over)
        return;
    if (need > b->cap) {
        b->cap = need < 2048 ? 2048 : need * 2;
        b->bytes = mem_resize(b->bytes, b->cap);
    }
    struct h2_field *f = &b->fields[b->count++];
    f->name = (uint32_t)b->len;
    f->name_len = (uint32_t)name.len;
    memcpy(b->bytes + b->len, name.ptr, name.len);
    f->value = (uint32_t)(b->len + name.len);
    f->value_len = (uint32_t)value.len;
    memcpy(b->bytes + f->value, value.ptr, value.len);
    b->len = need;
}

/* ---- the callbacks ---- */

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *f,
                            void *arg)
{
    struct h2_conn *h = arg;
    block_begin(h);
    if (!h->c.server || f->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct h2_stream *s = h2_stream_new(h);
    s->id = f->hd.stream_id;
    nghttp2_session_set_stream_user_data(ng, s->id, s);
    h->c.events->on_exchange(&h->c, &s->x);
    if (h->c.draining && !h->notice_said)
        h2_say_notice(h);
    return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *f,
                     const uint8_t *name, size_t name_len, const uint8_t *value,
                     size_t value_len, uint8_t flags, void *arg)
{
    (void)ng, (void)f, (void)flags;
    block_add(arg, slice_of(name, name_len), slice_of(value, value_len));
    return 0;
}

static void refuse_stream(struct h2_conn *h, struct h2_stream *s,
                          enum reset_why why)
{
    nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, s->id,
                              h2_error_code(why));
    count_reset(h);
    if (s->x.events)
        exchange_broke(&s->x, why);
    s->x.over = true;
}

/* A request head over our limits: say so, as HTTP/1 does. */
static void answer_too_large(struct h2_conn *h, struct h2_stream *s)
{
    struct header partial[HTTP_HEADERS_MAX];
    struct head asked = {.headers = {.at = partial, .cap = HTTP_HEADERS_MAX}};
    const struct headers *fields = NULL;
    bool known = h2_head_request(h->block, h->link, &asked) == OK;
    if (h->c.events->on_refused)
        fields = h->c.events->on_refused(&h->c, known ? &asked : NULL, 431,
                                         "fields too large");
    struct header storage[8];
    struct head head;
    head_init_response(&head, 431, storage, 8);
    head.content_length = 0;
    for (uint32_t i = 0; fields && i < fields->len; i++)
        if (headers_add(&head.headers, fields->at[i].name, fields->at[i].value))
            break;
    nghttp2_nv nv[H2_NV_MAX];
    struct h2_scratch scratch;
    size_t n = h2_nv_response(&head, h->link, nv, &scratch);
    nghttp2_submit_response(h->ng, s->id, nv, n, NULL);
    if (s->x.events)
        exchange_broke(&s->x, RESET_LIMIT);
    s->x.over = true;
}

static void got_request(struct h2_conn *h, struct h2_stream *s, bool end)
{
    struct header fields[HTTP_HEADERS_MAX];
    struct head head = {.headers = {.at = fields, .cap = HTTP_HEADERS_MAX}};
    if (h->block->over) {
        answer_too_large(h, s);
        return;
    }
    h2_join_cookies(h->block);
    if (h2_head_request(h->block, h->link, &head)) {
        refuse_stream(h, s, RESET_PROTOCOL);
        return;
    }
    if (head.upgrade && !h->link && h2_websocket_ask(s, &head)) {
        refuse_stream(h, s, RESET_LIMIT);
        return;
    }
    if (!head.upgrade) {
        exchange_got_head(&s->x, &head, end);
        return;
    }
    s->pieces = head.chunked || head.content_length >= 0;
    head.chunked = false; /* HTTP/1's: this was our mark's */
    exchange_got_head(&s->x, &head, !s->pieces);
    if (end)
        h2_upgrade_got_end(s);
}

/* No tunnel came of it: the request was its head alone. */
static void end_request(struct h2_stream *s)
{
    size_t n = s->out.len;
    s->x.end_out = true;
    bufq_drop(&s->out, n);
    exchange_got_sent(&s->x, n);
    h2_resume_data(s);
}

static void got_response(struct h2_conn *h, struct h2_stream *s, bool end)
{
    struct header fields[HTTP_HEADERS_MAX];
    struct head head = {.headers = {.at = fields, .cap = HTTP_HEADERS_MAX}};
    if (h->block->over) {
        refuse_stream(h, s, RESET_LIMIT);
        return;
    }
    if (h2_head_response(h->block, &head)) {
        refuse_stream(h, s, RESET_PROTOCOL);
        return;
    }
    bool asked = h->link && (s->upgrade.len || head.status == 426);
    if (asked && !h2_head_upgrade_ignored(&head) && s->upgrade.len &&
        head.status >= 200 && head.status < 300) {
        head.status = 101;
        head.upgrade = true;
        if (slice_empty(head.protocol))
            head.protocol = s->upgrade;
    }
    if (s->x.connect && !s->x.upgrade && head.status >= 200 &&
        !exchange_grants_tunnel(&s->x, &head))
        end_request(s);
    exchange_got_head(&s->x, &head, end);
    if (s->x.upgrade && !s->x.over)
        h2_resume_data(s); /* its end has waited for this */
}

static void got_trailers(struct h2_conn *h, struct h2_stream *s)
{
    struct header fields[HTTP_HEADERS_MAX];
    struct headers list = {.at = fields, .cap = HTTP_HEADERS_MAX};
    if (h->block->over) {
        refuse_stream(h, s, RESET_LIMIT);
        return;
    }
    if (s->x.server && s->x.upgrade) { /* they end a tunnel, or nothing */
        h2_upgrade_got_end(s);
        return;
    }
    h2_head_trailers(h->block, &list);
    exchange_got_trailers(&s->x, &list);
}

static void got_headers(struct h2_conn *h, struct h2_stream *s,
                        const nghttp2_frame *f)
{
    bool end = f->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (s->x.over)
        return;
    http_limits_hit(h->c.limits, h->block->over);
    if (f->headers.cat == NGHTTP2_HCAT_REQUEST)
        got_request(h, s, end);
    else if (!h->c.server && !s->x.head_in)
        got_response(h, s, end);
    else
        got_trailers(h, s);
    block_trim(h);
}

static bool is_control(const nghttp2_frame *f)
{
    switch (f->hd.type) {
    case NGHTTP2_PING:
    case NGHTTP2_SETTINGS:
        return !(f->hd.flags & NGHTTP2_FLAG_ACK);
    case NGHTTP2_PRIORITY:
        return true;
    case NGHTTP2_DATA:
        return f->hd.length == 0 && !(f->hd.flags & NGHTTP2_FLAG_END_STREAM);
    default:
        return false;
    }
}

/* Rapid resets get round the bound on concurrent streams. A stream that has lived
 * took its place under it. So all calls of a channel may be given up at once. */
static bool is_hasty(const struct h2_stream *s)
{
    return loop_now(s->h->c.loop) - s->x.started < HASTY;
}

static void got_goaway(struct h2_conn *h)
{
    if (h->c.draining)
        return;
    h->c.draining = true;
    h->goodbye_said = true;
    if (h->c.events->on_draining)
        h->c.events->on_draining(&h->c);
}

/* There may be room, for the first time or again. */
static void got_settings(struct h2_conn *h)
{
    uint32_t max = nghttp2_session_get_remote_settings(
        h->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    h->settings_got = true;
    if (!h->c.server && !h->link && !h->c.draining && h->c.running < max &&
        h->c.events->on_ready)
        h->c.events->on_ready(&h->c);
}

static void got_end(struct h2_stream *s)
{
    if (s->x.server && s->x.upgrade)
        h2_upgrade_got_end(s);
    else
        exchange_got_body(&s->x, SLICE_NONE, true);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
    struct h2_conn *h = arg;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(ng,
                                                               f->hd.stream_id);
    if (h->c.closed)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (f->hd.type == NGHTTP2_HEADERS)
        block_end(h);
    if (is_control(f))
        count(h, &h->controls, h->c.limits->max_controls, HTTP_LIMIT_CONTROLS);
    if (f->hd.type == NGHTTP2_RST_STREAM && h->c.server && (!s || is_hasty(s)))
        count_reset(h);
    if (f->hd.type == NGHTTP2_GOAWAY)
        got_goaway(h);
    if (f->hd.type == NGHTTP2_SETTINGS && !(f->hd.flags & NGHTTP2_FLAG_ACK))
        got_settings(h);
    if (!s)
        return 0;
    s->reset_got |= f->hd.type == NGHTTP2_RST_STREAM;
    if (f->hd.flags & NGHTTP2_FLAG_END_STREAM &&
        (f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA))
        s->end_got = true;
    if (f->hd.type == NGHTTP2_HEADERS)
        got_headers(h, s, f);
    else if (f->hd.type == NGHTTP2_DATA && s->end_got && !s->x.over)
        got_end(s);
    return h->c.closed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* A stream that moves much deserves a window that fills the path, when there is
 * memory for it. */
static void grow_window(struct h2_conn *h, struct h2_stream *s)
{
    if (s->grown || mem_over_budget() ||
        s->x.bytes_in < 2 * (uint64_t)h->c.limits->stream_window)
        return;
    s->grown = true;
    nghttp2_session_set_local_window_size(
        h->ng, NGHTTP2_FLAG_NONE, s->id,
        (int32_t)h->c.limits->stream_window_max);
}

static int on_chunk(nghttp2_session *ng, uint8_t flags, int32_t id,
                    const uint8_t *ptr, size_t len, void *arg)
{
    struct h2_conn *h = arg;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(ng, id);
    (void)flags;
    if (!s || s->x.over) {
        nghttp2_session_consume(ng, id, len);
        return 0;
    }
    s->owed += (uint32_t)len;
    s->heard = loop_now(h->c.loop);
    h->held += len;
    h2_count_bulk(s, len);
    if (s->x.server && s->x.upgrade)
        h2_upgrade_got(s, slice_of(ptr, len));
    else
        exchange_got_body(&s->x, slice_of(ptr, len), false);
    grow_window(h, s);
    return h->c.closed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static enum reset_why why_closed(uint32_t code)
{
    switch (code) {
    case NGHTTP2_REFUSED_STREAM:
        return RESET_REFUSED;
    case NGHTTP2_INTERNAL_ERROR:
        return RESET_CONNECTION;
    case NGHTTP2_PROTOCOL_ERROR:
    case NGHTTP2_FLOW_CONTROL_ERROR:
    case NGHTTP2_FRAME_SIZE_ERROR:
    case NGHTTP2_COMPRESSION_ERROR:
        return RESET_PROTOCOL;
    case NGHTTP2_ENHANCE_YOUR_CALM:
        return RESET_LIMIT;
    default:
        return RESET_CANCELED;
    }
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code,
                           void *arg)
{
    struct h2_conn *h = arg;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(ng, id);
    if (!s || h->c.closed)
        return 0;
    nghttp2_session_set_stream_user_data(ng, id, NULL);
    if (s->end_got || s->reset_got)
        h2_order_gone(&h->order, id);
    if (s->owed)
        nghttp2_session_consume_connection(ng, s->owed);
    h2_stream_free(s);
    if (code == NGHTTP2_NO_ERROR && s->end_sent && s->x.end_in)
        exchange_finish(&s->x);
    else if (!h->c.server && !s->head_sent)
        exchange_broke(&s->x, RESET_REFUSED);
    else if (s->x.events)
        h2_stream_cut(s, why_closed(code));
    if (!h->c.server && !h->c.draining && !h->c.closed && h->c.events->on_ready)
        h->c.events->on_ready(&h->c);
    return 0;
}

/* A response that has gone out before the request was read to its end resets the
 * rest of the request, unless that is wanted. */
static int on_frame_sent(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
    struct h2_conn *h = arg;
    if (h->c.closed ||
        (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA))
        return 0;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(ng,
                                                               f->hd.stream_id);
    if (!s)
        return 0;
    s->head_sent = true;
    if (f->hd.type == NGHTTP2_HEADERS && s->hints)
        s->hints--;
    if (!(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    s->end_sent = true;
    if (h->c.server && h2_unwanted(s))
        nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, s->id,
                                  NGHTTP2_NO_ERROR);
    return 0;
}

/* One stream more than a client may have, who knows the limit. */
static bool is_beyond(const struct h2_conn *h, const nghttp2_frame *f)
{
    return h->c.server && f->headers.cat == NGHTTP2_HCAT_REQUEST &&
           h->c.running >= h->c.limits->max_streams;
}

/* A frame of the peer's that makes nghttp2 reset a stream counts as a reset. */
static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *f,
                            int code, void *arg)
{
    struct h2_conn *h = arg;
    (void)ng;
    if (f->hd.type == NGHTTP2_HEADERS) {
        block_end(h);
        if (code == NGHTTP2_ERR_REFUSED_STREAM || is_beyond(h, f))
            http_limits_hit(h->c.limits, HTTP_LIMIT_STREAMS);
    }
    count_reset(h);
    return 0;
}

static ssize_t on_send(nghttp2_session *ng, const uint8_t *ptr, size_t len,
                       int flags, void *arg)
{
    struct h2_conn *h = arg;
    (void)ng, (void)flags;
    if (h->c.closed)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (stream_queued(h->c.stream) >= H2_BACKLOG)
        return NGHTTP2_ERR_WOULDBLOCK;
    stream_write(h->c.stream, ptr, len);
    return (ssize_t)len;
}

nghttp2_session_callbacks *h2_callbacks(void)
{
    nghttp2_session_callbacks *cb;
    if (nghttp2_session_callbacks_new(&cb))
        return NULL;
    nghttp2_session_callbacks_set_send_callback(cb, on_send);
    nghttp2_session_callbacks_set_send_data_callback(cb, h2_send_data);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb,
                                                            on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(
        cb, on_invalid_frame);
    return cb;
}
