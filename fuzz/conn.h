/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes from a peer that says what it likes, into one end of a connection of
 * either version over a stream in memory. As a server it echoes what it is sent
 * and grants tunnels; as a client it sends a get, a post and a tunnel.
 *
 * The first two bytes of an input say which end it is for, whether the peer
 * reads, how it ends, and into what pieces the rest is cut. Beside memory safety:
 *  - every exchange is told once that it is over;
 *  - of what was not consumed never more is held than the windows allow;
 *  - when the connection is closed, all memory is free again. */
#ifndef TULLE_FUZZ_CONN_H
#define TULLE_FUZZ_CONN_H

#include <assert.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/http/conn.h"
#include "lib/http/exchange_stream.h"
#include "lib/http/websocket.h"
#include "lib/net/memory_stream.h"

enum {
    FUZZ_CLIENT = 1,
    FUZZ_DEAF = 2,
    FUZZ_END = 4,
    FUZZ_RESET = 8,
    FUZZ_FIRST = 16, /* times the call that a client begins with */
};
enum { FUZZ_BODY = 3000, FUZZ_CALLS = 3, FUZZ_TURNS = 6, FUZZ_PIECES = 400 };

typedef struct http_conn *fuzz_new_fn(struct loop *l, struct stream *s,
                                      const struct http_limits *lim,
                                      const struct http_conn_events *ev,
                                      void *owner);

struct fuzz_conn {
    struct http_conn *conn; /* NULL once closed */
    struct stream *peer;
    unsigned begun, told, streams;
};

/* An exchange under way; as a server's it echoes. */
struct fuzz_call {
    struct fuzz_conn *f;
    size_t held;
};

/* What a target asks of each request's head; or NULL. */
static void (*fuzz_check_request)(const struct head *h) UNUSED;

static struct loop fuzz_loop; /* kept from one input to the next */
static struct http_limits fuzz_limits;

/* ---- exchanges ---- */

static void fuzz_over(struct exchange *x)
{
    struct fuzz_call *c = x->owner;
    c->f->told++;
    assert(c->f->told <= c->f->begun);
    mem_free(c);
}

static void fuzz_on_reset(struct exchange *x, enum reset_why why)
{
    (void)why;
    fuzz_over(x);
}

/* A WebSocket is granted with its proof. */
static void fuzz_prove(struct headers *to, const struct head *h,
                       char proof[WEBSOCKET_ACCEPT_LEN])
{
    const struct header *key = headers_find_name(&h->headers, WEBSOCKET_KEY);
    if (!h->upgrade || !key)
        return;
    websocket_accept(key->value, proof);
    if (headers_add(to, WEBSOCKET_ACCEPT,
                    slice_of(proof, WEBSOCKET_ACCEPT_LEN)))
        abort();
}

static void fuzz_answer(struct exchange *x, const struct head *h, bool end)
{
    char proof[WEBSOCKET_ACCEPT_LEN];
    struct header fields[2];
    struct head out;
    if (slice_eq(h->path, SLICE("/reset"))) {
        fuzz_over(x);
        exchange_reset(x, RESET_REFUSED);
        return;
    }
    if (slice_eq(h->path, SLICE("/hang")))
        return;
    head_init_response(&out, h->upgrade ? 101 : 200, fields, 2);
    out.upgrade = h->upgrade;
    out.protocol = h->protocol;
    fuzz_prove(&out.headers, h, proof);
    exchange_send_head(x, &out, end);
}

static void fuzz_on_head(struct exchange *x, const struct head *h, bool end)
{
    for (uint32_t i = 0; i < h->headers.len; i++) {
        assert(header_name_valid(h->headers.at[i].name));
        assert(header_value_valid(h->headers.at[i].value));
    }
    if (x->server && fuzz_check_request)
        fuzz_check_request(h);
    if (x->server)
        fuzz_answer(x, h, end);
    else
        assert(h->status >= 100 && h->status < 600);
}

static void fuzz_on_body(struct exchange *x, slice data, bool end)
{
    struct fuzz_call *c = x->owner;
    c->held += data.len;
    /* One record beyond the window may be under way. */
    assert(c->held <= fuzz_limits.stream_window_max + (64u << 10));
    if (!x->server || !x->head_out || x->end_out) {
        c->held -= data.len;
        exchange_consumed(x, data.len);
    } else {
        exchange_send_body(x, data, end);
    }
}

static void fuzz_on_trailers(struct exchange *x, const struct headers *t)
{
    if (x->server)
        exchange_send_trailers(x, t);
}

static void fuzz_on_sent(struct exchange *x, size_t n)
{
    struct fuzz_call *c = x->owner;
    if (n > c->held)
        n = c->held;
    c->held -= n;
    exchange_consumed(x, n);
}

static const struct exchange_events fuzz_exchange_events = {
    .on_head = fuzz_on_head,
    .on_body = fuzz_on_body,
    .on_trailers = fuzz_on_trailers,
    .on_sent = fuzz_on_sent,
    .on_reset = fuzz_on_reset,
    .on_done = fuzz_over,
};

static void fuzz_own(struct fuzz_conn *f, struct exchange *x)
{
    struct fuzz_call *c = MEM_NEW(struct fuzz_call);
    c->f = f;
    f->begun++;
    exchange_own(x, &fuzz_exchange_events, c);
}

/* ---- opaque streams: echo, too ---- */

static void fuzz_stream_data(struct stream *s, const char *ptr, size_t len)
{
    if (stream_queued(s) < 65536)
        stream_write(s, ptr, len);
}
static void fuzz_stream_close(struct stream *s)
{
    struct fuzz_conn *f = s->owner;
    f->streams--;
    stream_close(s, STREAM_FLUSH);
}
static void fuzz_stream_fail(struct stream *s, enum status why)
{
    (void)why;
    fuzz_stream_close(s);
}
static const struct stream_events fuzz_stream_events = {
    .on_data = fuzz_stream_data,
    .on_end = fuzz_stream_close,
    .on_fail = fuzz_stream_fail,
};

static void fuzz_take_stream(struct fuzz_conn *f, struct stream *s)
{
    f->streams++;
    stream_own(s, &fuzz_stream_events, f);
    stream_read(s, true);
}

/* A CONNECT shows only in its head: until then it is an exchange. */
static void fuzz_first_head(struct exchange *x, const struct head *h, bool end)
{
    struct fuzz_call *c = x->owner;
    if (h->method_id != HTTP_CONNECT || end) {
        fuzz_on_head(x, h, end);
        return;
    }
    struct stream *s = exchange_stream_accept(x);
    fuzz_take_stream(c->f, s);
    exchange_stream_confirm(s);
    c->f->told++;
    mem_free(c);
}

static void fuzz_on_exchange(struct http_conn *conn, struct exchange *x)
{
    static struct exchange_events events;
    events = fuzz_exchange_events;
    events.on_head = fuzz_first_head;
    fuzz_own(conn->owner, x);
    x->events = &events;
}

/* ---- as a client ---- */

static void fuzz_connected(void *arg, enum status rc, const struct head *answer,
                           enum reset_why why)
{
    struct stream **s = arg;
    struct fuzz_conn *f = (*s)->owner;
    (void)answer, (void)why;
    if (rc) {
        stream_close(*s, STREAM_NOW);
        f->streams--;
    } else {
        stream_read(*s, true);
    }
}

static void fuzz_call(struct fuzz_conn *f, int i)
{
    static char body[FUZZ_BODY];
    static struct stream *tunnel;
    struct header fields[2];
    struct head h;
    struct exchange *x = f->conn ? http_conn_open(f->conn) : NULL;
    if (!x)
        return;
    if (i == 2) {
        tunnel = exchange_stream_connect(x, SLICE("tulle.link:1"),
                                         fuzz_connected, &tunnel);
        f->streams++;
        stream_own(tunnel, &fuzz_stream_events, f);
        stream_write(tunnel, body, sizeof body);
        return;
    }
    fuzz_own(f, x);
    head_init_request(&h, i ? SLICE("POST") : SLICE("GET"), SLICE("test"),
                      SLICE("/"), fields, 2);
    exchange_send_head(x, &h, i == 0);
    if (i)
        exchange_send_body(x, slice_of(body, sizeof body), true);
}

/* ---- the connection ---- */

static void fuzz_on_closed(struct http_conn *c, enum status why)
{
    struct fuzz_conn *f = c->owner;
    (void)why;
    f->conn = NULL;
}

static const struct http_conn_events fuzz_conn_events = {
    .on_exchange = fuzz_on_exchange,
    .on_closed = fuzz_on_closed,
};

static void fuzz_peer_data(struct stream *s, const char *ptr, size_t len)
{
    (void)s, (void)ptr, (void)len;
}
static void fuzz_peer_end(struct stream *s)
{
    (void)s;
}
static void fuzz_peer_fail(struct stream *s, enum status why)
{
    (void)s, (void)why;
}
static const struct stream_events fuzz_peer_events = {
    .on_data = fuzz_peer_data,
    .on_end = fuzz_peer_end,
    .on_fail = fuzz_peer_fail,
};

static void fuzz_turns(int n)
{
    while (n-- > 0)
        uv_run(&fuzz_loop.uv, UV_RUN_NOWAIT);
}

static void fuzz_no_time(struct timer *t)
{
    (void)t;
}

static void fuzz_setup(void)
{
    struct error e;
    struct timer first;
    if (fuzz_loop.lent_wire)
        return;
    if (loop_init(&fuzz_loop, 0, &e))
        abort();
    /* The heap of timers is made with the first, and stays. */
    timer_init(&first, fuzz_no_time);
    timer_set(&fuzz_loop.timers, &first, loop_now(&fuzz_loop) + (1LL << 40));
    timer_stop(&fuzz_loop.timers, &first);
    fuzz_limits = http_limits_default;
    fuzz_limits.head_bytes = 4096;
    fuzz_limits.max_streams = 10;
}

static void fuzz_say(struct fuzz_conn *f, slice what, size_t piece)
{
    if (piece == 0 || what.len / piece > FUZZ_PIECES)
        piece = what.len;
    while (what.len && f->conn) {
        size_t n = piece < what.len ? piece : what.len;
        stream_write(f->peer, what.ptr, n);
        what = slice_sub(what, n, what.len);
        fuzz_turns(1);
    }
}

static void fuzz_close(struct fuzz_conn *f)
{
    if (f->conn)
        http_conn_close(f->conn, ERR_CANCELED);
    assert(!f->conn);
    stream_close(f->peer, STREAM_NOW);
    fuzz_turns(3);
    assert(f->begun == f->told);
    assert(f->streams == 0);
}

/* `greeting`: what a polite peer says first. */
static void fuzz_conn_run(slice input, fuzz_new_fn *server, fuzz_new_fn *client,
                          slice server_greeting, slice client_greeting)
{
    struct fuzz_conn f = {0};
    struct stream *ours;
    int flags, piece;

    fuzz_setup();
    if (input.len < 2)
        return;
    size_t before = mem_used();
    flags = (unsigned char)input.ptr[0];
    piece = (unsigned char)input.ptr[1];
    memory_stream_pair(&fuzz_loop, 65536, &ours, &f.peer);
    stream_own(f.peer, &fuzz_peer_events, &f);
    stream_read(f.peer, !(flags & FUZZ_DEAF));
    f.conn = (flags & FUZZ_CLIENT ? client : server)(
        &fuzz_loop, ours, &fuzz_limits, &fuzz_conn_events, &f);
    for (int i = 0; i < FUZZ_CALLS && (flags & FUZZ_CLIENT); i++)
        fuzz_call(&f, (i + flags / FUZZ_FIRST) % FUZZ_CALLS);
    fuzz_turns(1);
    fuzz_say(&f, flags & FUZZ_CLIENT ? server_greeting : client_greeting, 0);
    fuzz_say(&f, slice_sub(input, 2, input.len), (size_t)piece);
    if (flags & FUZZ_END)
        stream_end(f.peer);
    if (flags & FUZZ_RESET)
        memory_stream_fail_after(ours, 0, ERR_RESET);
    fuzz_turns(FUZZ_TURNS);
    fuzz_close(&f);
    assert(mem_used() == before);
}

#endif
