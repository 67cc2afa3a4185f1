/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP/2 session over a stream, either side; nghttp2 does frames, HPACK,
 * windows and the order of DATA.
 *
 * Input: bytes -> nghttp2 -> callbacks: a field block is gathered and becomes a
 * head, data chunks are lent to the exchange, the end of a stream ends it.
 * Output: see h2_send.c; it leaves in on_fill, while less than H2_BACKLOG bytes
 * wait below, so that what is urgent never stands behind what is large.
 *
 * Windows: the receive window opens as owners consume; what a finished stream
 * still owed is given back to the session, or its window would leak away. A
 * stream that moves much gets a larger window.
 *
 * Floods: resets (the peer's, and those its frames make us send) and control
 * frames are counted by the second; over the limit the session ends with
 * ENHANCE_YOUR_CALM. nghttp2 itself bounds queued acknowledgements,
 * CONTINUATION frames and HPACK. */
#include "lib/http/h2_conn.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"

static const int64_t LOOK_EVERY = 5 * NSEC_PER_SEC;
static const int64_t GOODBYE_AFTER = 300 * NSEC_PER_MSEC;
enum { ARENA_MAX = 256 * 1024, SESSION_WINDOW_MIN = 65535 };

static struct h2_conn *self(struct http_conn *c)
{
    return CONTAINER_OF(c, struct h2_conn, c);
}

/* ---- streams ---- */

static struct h2_stream *stream_new(struct h2_conn *h)
{
    struct h2_stream *s = mem_zalloc(sizeof *s);
    exchange_init(&s->x, &h2_carrier, h->c.loop, h->c.server, ARENA_MAX);
    s->h = h;
    s->progress = loop_now(h->c.loop);
    bufq_init(&s->out, &h->c.loop->chunks);
    list_push_back(&h->streams, &s->node);
    h->c.running++;
    return s;
}

static void reap_stream(struct reap *r)
{
    struct h2_stream *s = CONTAINER_OF(r, struct h2_stream, reap);
    bufq_fini(&s->out);
    exchange_fini(&s->x);
    mem_free(s);
}

void h2_stream_free(struct h2_stream *s)
{
    list_remove(&s->node);
    s->h->c.running--;
    s->h->held -= s->owed;
    loop_reap(s->h->c.loop, &s->reap, reap_stream);
}

static void close_conn(struct h2_conn *h, enum stream_close how, enum status rc);

static void maybe_goodbye(struct h2_conn *h)
{
    if (!h->c.draining || !h->goodbye_said || h->c.running)
        return;
    if (!h->c.server)
        nghttp2_session_terminate_session(h->ng, NGHTTP2_NO_ERROR);
    close_conn(h, STREAM_FLUSH, OK);
}

/* ---- life ---- */

static void free_conn(struct reap *r)
{
    struct h2_conn *h = CONTAINER_OF(r, struct h2_conn, reap);
    nghttp2_session_del(h->ng);
    if (h->block)
        mem_free(h->block->bytes);
    mem_free(h->block);
    mem_free(h->first);
    mem_free(h);
}

static enum reset_why why_lost(const struct h2_stream *s, enum status rc)
{
    if (!s->h->c.server && !s->head_sent)
        return RESET_REFUSED;
    return rc == ERR_TIMEOUT ? RESET_TIMEOUT : RESET_CONNECTION;
}

static void close_conn(struct h2_conn *h, enum stream_close how, enum status rc)
{
    if (h->c.closed)
        return;
    if (how == STREAM_FLUSH && !h->inside) { /* the GOAWAY, if it waits */
        h->inside = true;
        nghttp2_session_send(h->ng);
        h->inside = false;
        if (h->c.closed) /* by an owner that was told of something */
            return;
    }
    h->c.closed = true;
    timer_stop(&h->c.loop->timers, &h->timer);
    timer_stop(&h->c.loop->timers, &h->goodbye);
    stream_close(h->c.stream, how);
    loop_reap(h->c.loop, &h->reap, free_conn);
    while (!list_empty(&h->streams)) { /* owners may take others with them */
        struct h2_stream *s =
            CONTAINER_OF(h->streams.next, struct h2_stream, node);
        h2_stream_free(s);
        exchange_broke(&s->x, why_lost(s, rc));
    }
    h->c.events->on_closed(&h->c, rc);
}

/* Tells the peer why, then closes: after the library has returned. */
static void doom(struct h2_conn *h, uint32_t code)
{
    if (h->failing)
        return;
    h->failing = true;
    nghttp2_session_terminate_session(h->ng, code);
    h2_wake(h);
}

static void count(struct h2_conn *h, uint32_t *counter, uint32_t limit)
{
    int64_t second = loop_now(h->c.loop) / NSEC_PER_SEC;
    if (second != h->second) {
        h->second = second;
        h->resets = h->controls = 0;
    }
    if (++*counter > limit)
        doom(h, NGHTTP2_ENHANCE_YOUR_CALM);
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
    b->over = false;
    h->block_started = loop_now(h->c.loop);
}

static void block_end(struct h2_conn *h)
{
    h->block_started = 0;
}

static void block_add(struct h2_conn *h, slice name, slice value)
{
    struct h2_block *b = block_of(h);
    size_t need = b->len + name.len + value.len;
    uint32_t max = h->c.limits->max_headers + 6; /* and pseudo fields */
    if (b->count >= max || b->count >= HTTP_HEADERS_MAX ||
        need > h->c.limits->head_bytes) {
        b->over = true;
        return;
    }
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

/* ---- nghttp2's callbacks, in the order of a stream's life ---- */

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *f,
                            void *arg)
{
    struct h2_conn *h = arg;
    block_begin(h);
    if (!h->c.server || f->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct h2_stream *s = stream_new(h);
    s->id = f->hd.stream_id;
    nghttp2_session_set_stream_user_data(ng, s->id, s);
    h->c.events->on_exchange(&h->c, &s->x);
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
    count(h, &h->resets, h->c.limits->max_resets);
    if (s->x.events)
        exchange_broke(&s->x, why);
    s->x.over = true;
}

/* A request head over our limits: say so, as HTTP/1 does. */
static void answer_too_large(struct h2_conn *h, struct h2_stream *s)
{
    const struct headers *fields = NULL;
    if (h->c.events->on_refused)
        fields = h->c.events->on_refused(&h->c, 431, "fields too large");
    struct header storage[8];
    struct head head;
    head_init_response(&head, 431, storage, 8);
    head.content_length = 0;
    for (uint32_t i = 0; fields && i < fields->len; i++)
        if (headers_add(&head.headers, fields->at[i].name, fields->at[i].value))
            break;
    nghttp2_nv nv[H2_NV_MAX];
    struct h2_scratch scratch;
    size_t n = h2_nv_response(&head, nv, &scratch);
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
    if (h2_head_request(h->block, &head)) {
        refuse_stream(h, s, RESET_PROTOCOL);
        return;
    }
    exchange_got_head(&s->x, &head, end);
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
    if (s->upgrade.len && !h2_head_upgrade_ignored(&head) &&
        head.status >= 200 && head.status < 300) {
        head.status = 101;
        head.upgrade = true;
        head.protocol = s->upgrade;
    }
    if (s->x.connect && head.status >= 200 &&
        !exchange_grants_tunnel(&s->x, &head))
        end_request(s);
    exchange_got_head(&s->x, &head, end);
}

static void got_trailers(struct h2_conn *h, struct h2_stream *s)
{
    struct header fields[HTTP_HEADERS_MAX];
    struct headers list = {.at = fields, .cap = HTTP_HEADERS_MAX};
    if (h->block->over) {
        refuse_stream(h, s, RESET_LIMIT);
        return;
    }
    h2_head_trailers(h->block, &list);
    exchange_got_trailers(&s->x, &list);
}

static void got_headers(struct h2_conn *h, struct h2_stream *s,
                        const nghttp2_frame *f)
{
    bool end = f->hd.flags & NGHTTP2_FLAG_END_STREAM;
    block_end(h);
    if (s->x.over)
        return;
    if (f->headers.cat == NGHTTP2_HCAT_REQUEST)
        got_request(h, s, end);
    else if (!h->c.server && !s->x.head_in)
        got_response(h, s, end);
    else
        got_trailers(h, s);
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

static void got_goaway(struct h2_conn *h)
{
    if (h->c.draining)
        return;
    h->c.draining = true;
    h->goodbye_said = true;
    if (h->c.events->on_draining)
        h->c.events->on_draining(&h->c);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
    struct h2_conn *h = arg;
    struct h2_stream *s =
        nghttp2_session_get_stream_user_data(ng, f->hd.stream_id);
    if (h->c.closed)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (is_control(f))
        count(h, &h->controls, h->c.limits->max_controls);
    if (f->hd.type == NGHTTP2_RST_STREAM)
        count(h, &h->resets, h->c.limits->max_resets);
    if (f->hd.type == NGHTTP2_GOAWAY)
        got_goaway(h);
    if (!s)
        return 0;
    if (f->hd.type == NGHTTP2_HEADERS)
        got_headers(h, s, f);
    else if (f->hd.type == NGHTTP2_DATA &&
             (f->hd.flags & NGHTTP2_FLAG_END_STREAM) && !s->x.over)
        exchange_got_body(&s->x, SLICE_NONE, true);
    return h->c.closed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* A stream that moves much deserves a window that fills the path. */
static void grow_window(struct h2_conn *h, struct h2_stream *s)
{
    if (s->grown || s->x.bytes_in < 2 * (uint64_t)h->c.limits->stream_window)
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
    h->held += len;
    h2_count_bulk(s, len);
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
    if (s->owed)
        nghttp2_session_consume_connection(ng, s->owed);
    h2_stream_free(s);
    bool clean = code == NGHTTP2_NO_ERROR && s->end_sent &&
                 (s->x.end_in || (s->x.server && !s->x.tunnel));
    if (clean)
        exchange_finish(&s->x);
    else if (!h->c.server && !s->head_sent)
        exchange_broke(&s->x, RESET_REFUSED);
    else if (s->x.events)
        exchange_broke(&s->x, why_closed(code));
    if (!h->c.server && !h->c.draining && !h->c.closed && h->c.events->on_ready)
        h->c.events->on_ready(&h->c);
    return 0;
}

/* A response that has gone out before the request was read to its end resets the
 * rest of the request. */
static int on_frame_sent(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
    struct h2_conn *h = arg;
    if (h->c.closed ||
        (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA))
        return 0;
    struct h2_stream *s =
        nghttp2_session_get_stream_user_data(ng, f->hd.stream_id);
    if (!s)
        return 0;
    s->head_sent = true;
    if (!(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    s->end_sent = true;
    if (h->c.server && !s->x.end_in && !s->x.tunnel)
        nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, s->id,
                                  NGHTTP2_NO_ERROR);
    return 0;
}

/* A frame of the peer's that makes nghttp2 reset a stream counts as a reset. */
static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *f,
                            int code, void *arg)
{
    struct h2_conn *h = arg;
    (void)ng, (void)f, (void)code;
    count(h, &h->resets, h->c.limits->max_resets);
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

/* ---- the stream below ---- */

static void receive(struct h2_conn *h, const char *ptr, size_t len)
{
    h->inside = true;
    ssize_t n = nghttp2_session_mem_recv(h->ng, (const uint8_t *)ptr, len);
    h->inside = false;
    if (h->c.closed)
        return;
    if (n < 0) {
        nghttp2_session_terminate_session(h->ng,
                                          n == NGHTTP2_ERR_FLOODED
                                              ? NGHTTP2_ENHANCE_YOUR_CALM
                                              : NGHTTP2_PROTOCOL_ERROR);
        close_conn(h, STREAM_FLUSH, ERR_PROTOCOL);
        return;
    }
    h2_wake(h);
    maybe_goodbye(h);
}

/* What was read before we came. */
static void take_first(struct h2_conn *h)
{
    if (!h->first)
        return;
    char *first = h->first;
    h->first = NULL;
    receive(h, first, h->first_len);
    mem_free(first);
}

static void on_data(struct stream *s, const char *ptr, size_t len)
{
    struct h2_conn *h = s->owner;
    h->heard = loop_now(h->c.loop);
    take_first(h);
    if (h->c.closed || h->failing)
        return;
    receive(h, ptr, len);
}

static void on_end(struct stream *s)
{
    struct h2_conn *h = s->owner;
    close_conn(h, STREAM_FLUSH, h->c.running ? ERR_EOF : OK);
}

static void on_fail(struct stream *s, enum status why)
{
    close_conn(s->owner, STREAM_NOW, why);
}

static void on_drained(struct stream *s)
{
    struct h2_conn *h = s->owner;
    h->moved = loop_now(h->c.loop);
    if (nghttp2_session_want_write(h->ng))
        stream_wake(s);
}

static void on_fill(struct stream *s)
{
    struct h2_conn *h = s->owner;
    take_first(h);
    if (h->c.closed)
        return;
    if (stream_queued(s) >= H2_BACKLOG) {
        if (h->failing) /* a peer that does not read hears no reason */
            close_conn(h, STREAM_NOW, ERR_PROTOCOL);
        return;
    }
    if (stream_queued(s) == 0)
        h->moved = loop_now(h->c.loop);
    h->inside = true;
    int rc = nghttp2_session_send(h->ng);
    h->inside = false;
    if (h->c.closed)
        return;
    if (rc)
        close_conn(h, STREAM_NOW, ERR_PROTOCOL);
    else if (h->failing)
        close_conn(h, STREAM_FLUSH, ERR_PROTOCOL);
    else if (!nghttp2_session_want_read(h->ng) &&
             !nghttp2_session_want_write(h->ng))
        close_conn(h, STREAM_FLUSH, OK);
    else
        maybe_goodbye(h);
}

static const struct stream_events stream_events = {
    .on_data = on_data,
    .on_end = on_end,
    .on_fail = on_fail,
    .on_drained = on_drained,
    .on_fill = on_fill,
};

/* ---- time ---- */

static void look_for_stuck(struct h2_conn *h, int64_t now)
{
    LIST_EACH(node, &h->streams) {
        struct h2_stream *s = CONTAINER_OF(node, struct h2_stream, node);
        if (s->out.len == 0 || s->x.over || !h->c.limits->body_timeout ||
            now - s->progress < h->c.limits->body_timeout)
            continue;
        nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, s->id,
                                  NGHTTP2_CANCEL);
        exchange_broke(&s->x, RESET_TIMEOUT);
        if (h->c.closed)
            return;
        h2_wake(h);
    }
}

static void on_timer(struct timer *t)
{
    struct h2_conn *h = CONTAINER_OF(t, struct h2_conn, timer);
    const struct http_limits *lim = h->c.limits;
    int64_t now = loop_now(h->c.loop);

    timer_set(&h->c.loop->timers, t, now + LOOK_EVERY);
    if (h->block_started && now - h->block_started > lim->head_timeout) {
        close_conn(h, STREAM_NOW, ERR_TIMEOUT);
        return;
    }
    if (lim->body_timeout && stream_queued(h->c.stream) &&
        now - h->moved > lim->body_timeout) {
        close_conn(h, STREAM_RESET, ERR_TIMEOUT);
        return;
    }
    if (h->c.running == 0 && now - h->heard > lim->idle_timeout) {
        http_conn_drain(&h->c);
        return;
    }
    look_for_stuck(h, now);
}

/* Streams that were opened before the peer read our notice have come by now. */
static void on_goodbye(struct timer *t)
{
    struct h2_conn *h = CONTAINER_OF(t, struct h2_conn, goodbye);
    h->goodbye_said = true;
    nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(h->ng),
                          NGHTTP2_NO_ERROR, NULL, 0);
    h2_wake(h);
}

/* ---- the connection ---- */

static struct exchange *h2_open(struct http_conn *c)
{
    struct h2_conn *h = self(c);
    uint32_t max = nghttp2_session_get_remote_settings(
        h->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    if (c->closed || c->draining || h->failing || c->running >= max ||
        c->running >= c->limits->max_streams)
        return NULL;
    return &stream_new(h)->x;
}

static void h2_drain(struct http_conn *c)
{
    struct h2_conn *h = self(c);
    if (c->closed || c->draining)
        return;
    c->draining = true;
    if (c->server) {
        nghttp2_submit_shutdown_notice(h->ng);
        timer_set(&c->loop->timers, &h->goodbye,
                  loop_now(c->loop) + GOODBYE_AFTER);
    } else {
        h->goodbye_said = true; /* said with the last exchange: what was opened
                                   may not have left yet */
    }
    h2_wake(h);
}

static void h2_close(struct http_conn *c, enum status why)
{
    struct h2_conn *h = self(c);
    if (!c->closed && why == OK)
        nghttp2_session_terminate_session(h->ng, NGHTTP2_NO_ERROR);
    close_conn(h, why == OK ? STREAM_FLUSH : STREAM_NOW, why);
}

static const struct http_conn_type h2_type = {
    .name = "h2",
    .open = h2_open,
    .drain = h2_drain,
    .close = h2_close,
};

/* ---- start ---- */

static nghttp2_session_callbacks *new_callbacks(void)
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

static void *lib_malloc(size_t size, void *arg)
{
    (void)arg;
    return mem_lib_malloc(size);
}
static void lib_free(void *ptr, void *arg)
{
    (void)arg;
    mem_lib_free(ptr);
}
static void *lib_calloc(size_t n, size_t size, void *arg)
{
    (void)arg;
    return mem_lib_calloc(n, size);
}
static void *lib_realloc(void *ptr, size_t size, void *arg)
{
    (void)arg;
    return mem_lib_realloc(ptr, size);
}

static nghttp2_session *new_session(struct h2_conn *h)
{
    nghttp2_mem mem = {NULL, lib_malloc, lib_free, lib_calloc, lib_realloc};
    nghttp2_session_callbacks *cb = new_callbacks();
    nghttp2_option *opt = NULL;
    nghttp2_session *ng = NULL;
    if (!cb || nghttp2_option_new(&opt))
        goto out;
    nghttp2_option_set_no_auto_window_update(opt, 1);
    nghttp2_option_set_no_closed_streams(opt, 1);
    nghttp2_option_set_peer_max_concurrent_streams(opt,
                                                   h->c.limits->max_streams);
    int rc = h->c.server ? nghttp2_session_server_new3(&ng, cb, h, opt, &mem)
                         : nghttp2_session_client_new3(&ng, cb, h, opt, &mem);
    if (rc)
        ng = NULL;
out:
    nghttp2_session_callbacks_del(cb);
    nghttp2_option_del(opt);
    return ng;
}

static void send_settings(struct h2_conn *h)
{
    const struct http_limits *lim = h->c.limits;
    nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, lim->stream_window},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, lim->max_streams},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, lim->head_bytes},
        h->c.server
            ? (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL,
                                       1}
            : (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
    };
    nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, entries, 4);
    if (lim->session_window > SESSION_WINDOW_MIN)
        nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0,
                                              (int32_t)lim->session_window);
}

static struct http_conn *h2_new(struct loop *l, struct stream *s,
                                const struct http_limits *lim, bool server,
                                slice first, const struct http_conn_events *ev,
                                void *owner)
{
    struct h2_conn *h = MEM_NEW(struct h2_conn);
    h->c.type = &h2_type;
    h->c.events = ev;
    h->c.owner = owner;
    h->c.loop = l;
    h->c.stream = s;
    h->c.limits = lim;
    h->c.server = server;
    h->heard = h->moved = loop_now(l);
    list_init(&h->streams);
    timer_init(&h->timer, on_timer);
    timer_init(&h->goodbye, on_goodbye);
    h->ng = new_session(h);
    if (!h->ng)
        abort(); /* our allocator gave out: as mem_alloc does */
    stream_own(s, &stream_events, h);
    send_settings(h);
    timer_set(&l->timers, &h->timer, loop_now(l) + LOOK_EVERY);
    if (first.len) {
        h->first = mem_str(first);
        h->first_len = first.len;
    }
    stream_read(s, true);
    stream_wake(s);
    return &h->c;
}

struct http_conn *h2_server_new(struct loop *l, struct stream *s,
                                const struct http_limits *lim, slice first,
                                const struct http_conn_events *ev, void *owner)
{
    return h2_new(l, s, lim, true, first, ev, owner);
}

struct http_conn *h2_client_new(struct loop *l, struct stream *s,
                                const struct http_limits *lim,
                                const struct http_conn_events *ev, void *owner)
{
    return h2_new(l, s, lim, false, SLICE_NONE, ev, owner);
}

void h2_conn_ping(struct http_conn *c)
{
    struct h2_conn *h = self(c);
    if (c->closed)
        return;
    nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, NULL);
    h2_wake(h);
}

int64_t h2_conn_last_heard(const struct http_conn *c)
{
    return self((struct http_conn *)(uintptr_t)c)->heard;
}

size_t h2_conn_held(const struct http_conn *c)
{
    return self((struct http_conn *)(uintptr_t)c)->held;
}

bool h2_conn_bulky(const struct http_conn *c)
{
    return loop_now(c->loop) < self((struct http_conn *)(uintptr_t)c)->bulk_until;
}
