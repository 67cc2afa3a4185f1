/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP/2 session over a stream, either side; nghttp2 does frames, HPACK,
 * windows and the order of DATA.
 *
 * Here: start and end of the connection, the stream below it, time; h2_drain.c
 * says goodbye. What nghttp2 makes of the input is in h2_callbacks.c, fields are
 * in h2_head.c.
 * Output: see h2_send.c; it leaves in on_fill, while less than H2_BACKLOG bytes
 * wait below, so that what is urgent never stands behind what is large. */
#include "lib/http/h2_conn.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"

static const int64_t LOOK_EVERY = 5 * NSEC_PER_SEC;
enum { ARENA_MAX = 256 * 1024, SESSION_WINDOW_MIN = 65535 };

static struct h2_conn *self(struct http_conn *c)
{
    return CONTAINER_OF(c, struct h2_conn, c);
}

/* ---- streams ---- */

struct h2_stream *h2_stream_new(struct h2_conn *h)
{
    struct h2_stream *s = mem_zalloc(sizeof *s);
    exchange_init(&s->x, &h2_carrier, h->c.loop, h->c.server, ARENA_MAX);
    s->h = h;
    s->progress = s->heard = loop_now(h->c.loop);
    bufq_init(&s->out, &h->c.loop->chunks);
    bufq_init(&s->early, &h->c.loop->chunks);
    list_push_back(&h->streams, &s->node);
    h->c.running++;
    return s;
}

static void reap_stream(struct reap *r)
{
    struct h2_stream *s = CONTAINER_OF(r, struct h2_stream, reap);
    bufq_fini(&s->out);
    bufq_fini(&s->early);
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

void h2_stream_cut(struct h2_stream *s, enum reset_why why)
{
    bool whole = s->x.server ? s->end_sent : s->x.end_in;
    if (whole && !s->x.tunnel)
        exchange_finish(&s->x);
    else
        exchange_broke(&s->x, why);
}

static void close_conn(struct h2_conn *h, enum stream_close how,
                       enum status rc);

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
        struct h2_stream *s = CONTAINER_OF(h->streams.next, struct h2_stream,
                                           node);
        h2_stream_free(s);
        h2_stream_cut(s, why_lost(s, rc));
    }
    h->c.events->on_closed(&h->c, rc);
}

/* ---- the stream below ---- */

static ssize_t feed(struct h2_conn *h, slice data)
{
    return nghttp2_session_mem_recv(h->ng, (const uint8_t *)data.ptr, data.len);
}

/* Frame by frame: whether one may come depends on those before. */
static ssize_t feed_in_order(struct h2_conn *h, slice data)
{
    ssize_t n = 0;
    while (data.len && n >= 0 && !h->c.closed && !h->failing) {
        uint32_t code;
        size_t used = h2_order_next(&h->order, data, &code);
        if (code)
            h2_doom(h, code);
        else
            n = feed(h, slice_sub(data, 0, used));
        data = slice_sub(data, used, data.len);
    }
    return n;
}

/* nghttp2's own bounds: a few CONTINUATION frames a head, so many answers that
 * wait for a peer who does not read. */
static void note_flood(struct h2_conn *h, ssize_t rc)
{
    if (rc == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS)
        http_limits_hit(h->c.limits, HTTP_LIMIT_HEAD_BYTES);
    else if (rc == NGHTTP2_ERR_FLOODED)
        http_limits_hit(h->c.limits, HTTP_LIMIT_CONTROLS);
}

static void receive(struct h2_conn *h, const char *ptr, size_t len)
{
    h->inside = true;
    ssize_t n = h->c.server ? feed_in_order(h, slice_of(ptr, len))
                            : feed(h, slice_of(ptr, len));
    h->inside = false;
    if (h->c.closed)
        return;
    if (n < 0) {
        note_flood(h, n);
        nghttp2_session_terminate_session(h->ng, n == NGHTTP2_ERR_FLOODED
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
        /* It is over; before the peer's SETTINGS because there were none. */
        close_conn(h, STREAM_FLUSH,
                   h->settings_got || h->c.draining ? OK : ERR_PROTOCOL);
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

/* The peer reads nothing of an answer, or leaves us waiting for the rest of a
 * request whose answer has not begun, or has ended. Between, both may rest for as
 * long as they like, as in a conversation. */
static bool stuck(const struct h2_stream *s, int64_t now, int64_t patience)
{
    const struct exchange *x = &s->x;
    bool asking = x->head_in && !x->end_in && (!x->connect || x->upgrade);
    bool waited_for = x->end_out || (!x->head_out && !x->patient);
    bool owes = x->server && asking && waited_for && s->owed == 0;
    return (s->out.len && now - s->progress >= patience) ||
           (owes && now - s->heard >= patience);
}

static void look_for_stuck(struct h2_conn *h, int64_t now)
{
    int64_t patience = h->c.limits->body_timeout;
    LIST_EACH(node, &h->streams) {
        struct h2_stream *s = CONTAINER_OF(node, struct h2_stream, node);
        if (!patience || s->x.over || !stuck(s, now, patience))
            continue;
        http_limits_hit(h->c.limits, HTTP_LIMIT_BODY_TIMEOUT);
        nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, s->id,
                                  NGHTTP2_CANCEL);
        h2_stream_cut(s, RESET_TIMEOUT);
        if (h->c.closed)
            return;
        h2_wake(h);
    }
}

/* Often enough for the shortest time that we keep. */
static void look_later(struct h2_conn *h)
{
    const struct http_limits *lim = h->c.limits;
    int64_t wait = LOOK_EVERY;

    if (lim->head_timeout < wait)
        wait = lim->head_timeout;
    if (lim->body_timeout && lim->body_timeout < wait)
        wait = lim->body_timeout;
    timer_set(&h->c.loop->timers, &h->timer, loop_now(h->c.loop) + wait);
}

static void on_timer(struct timer *t)
{
    struct h2_conn *h = CONTAINER_OF(t, struct h2_conn, timer);
    const struct http_limits *lim = h->c.limits;
    int64_t now = loop_now(h->c.loop);

    look_later(h);
    if (h->block_started && now - h->block_started > lim->head_timeout) {
        http_limits_hit(lim, HTTP_LIMIT_HEAD_TIMEOUT);
        close_conn(h, STREAM_NOW, ERR_TIMEOUT);
        return;
    }
    if (lim->body_timeout && stream_queued(h->c.stream) &&
        now - h->moved > lim->body_timeout) {
        http_limits_hit(lim, HTTP_LIMIT_BODY_TIMEOUT);
        close_conn(h, STREAM_RESET, ERR_TIMEOUT);
        return;
    }
    if (h->c.running == 0 && now - h->heard > lim->idle_timeout) {
        if (h->c.server && !h->link && !h->c.draining)
            http_limits_hit(lim, HTTP_LIMIT_IDLE_TIMEOUT);
        http_conn_drain(&h->c);
        return;
    }
    look_for_stuck(h, now);
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
    return &h2_stream_new(h)->x;
}

static void h2_close(struct http_conn *c, enum status why)
{
    struct h2_conn *h = self(c);
    if (!c->closed && why == OK)
        nghttp2_session_terminate_session(h->ng, NGHTTP2_NO_ERROR);
    close_conn(h, why == OK ? STREAM_FLUSH : STREAM_NOW, why);
}

static size_t h2_held(const struct http_conn *c, int64_t *moved)
{
    const struct h2_conn *h = CONTAINER_OF(c, const struct h2_conn, c);
    *moved = h->moved;
    return stream_queued(c->stream) + (h->block ? h->block->cap : 0);
}

static const struct http_conn_type h2_type = {
    .name = "h2",
    .open = h2_open,
    .drain = h2_drain,
    .close = h2_close,
    .held = h2_held,
};

/* ---- start ---- */

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
    nghttp2_session_callbacks *cb = h2_callbacks();
    nghttp2_option *opt = NULL;
    nghttp2_session *ng = NULL;
    if (!cb || nghttp2_option_new(&opt))
        goto out;
    nghttp2_option_set_no_auto_window_update(opt, 1);
    /* What we send was within our limits, or is by what we add a little beyond. */
    nghttp2_option_set_max_send_header_block_length(
        opt, 2 * (size_t)h->c.limits->head_bytes + 65536);
    nghttp2_option_set_no_closed_streams(opt, 1); /* see h2_order.h */
    if (h->link)                                  /* it is one of ours, too */
        nghttp2_option_set_peer_max_concurrent_streams(
            opt, h->c.limits->max_streams);
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
                                bool link, const struct http_conn_events *ev,
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
    h->link = link;
    h2_order_init(&h->order);
    h->heard = h->moved = loop_now(l);
    list_init(&h->streams);
    timer_init(&h->timer, on_timer);
    timer_init(&h->goodbye, h2_on_goodbye);
    h->ng = new_session(h);
    if (!h->ng)
        abort(); /* our allocator gave out: as mem_alloc does */
    stream_own(s, &stream_events, h);
    send_settings(h);
    look_later(h);
    stream_read(s, true);
    stream_wake(s);
    return &h->c;
}

static struct http_conn *new_server(struct loop *l, struct stream *s,
                                    const struct http_limits *lim, slice first,
                                    bool link,
                                    const struct http_conn_events *ev,
                                    void *owner)
{
    struct http_conn *c = h2_new(l, s, lim, true, link, ev, owner);
    if (first.len) {
        self(c)->first = mem_str(first);
        self(c)->first_len = first.len;
    }
    return c;
}

struct http_conn *h2_server_new(struct loop *l, struct stream *s,
                                const struct http_limits *lim, slice first,
                                const struct http_conn_events *ev, void *owner)
{
    return new_server(l, s, lim, first, false, ev, owner);
}

struct http_conn *h2_client_new(struct loop *l, struct stream *s,
                                const struct http_limits *lim,
                                const struct http_conn_events *ev, void *owner)
{
    return h2_new(l, s, lim, false, false, ev, owner);
}

struct http_conn *h2_link_server_new(struct loop *l, struct stream *s,
                                     const struct http_limits *lim, slice first,
                                     const struct http_conn_events *ev,
                                     void *owner)
{
    return new_server(l, s, lim, first, true, ev, owner);
}

struct http_conn *h2_link_client_new(struct loop *l, struct stream *s,
                                     const struct http_limits *lim,
                                     const struct http_conn_events *ev,
                                     void *owner)
{
    return h2_new(l, s, lim, false, true, ev, owner);
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
    return loop_now(c->loop) <
           self((struct http_conn *)(uintptr_t)c)->bulk_until;
}
