/* SPDX-License-Identifier: Apache-2.0 */
/* For tests over real sockets: a loop that is turned until something holds, a
 * server with a few answers, and requests that check what comes back. */
#ifndef TULLE_TESTS_TALK_H
#define TULLE_TESTS_TALK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/http/client.h"
#include "lib/http/server.h"

/* ---- the loop ---- */

struct turner {
    struct loop loop;
    struct timer tick; /* so that a turn never waits for ever */
};

UNUSED static void turner_tick(struct timer *t)
{
    struct turner *tu = CONTAINER_OF(t, struct turner, tick);
    timer_set(&tu->loop.timers, t, loop_now(&tu->loop) + 10 * NSEC_PER_MSEC);
}

UNUSED static void turner_init(struct turner *t)
{
    struct error e;
    assert_int_equal(loop_init(&t->loop, 64, &e), OK);
    timer_init(&t->tick, turner_tick);
    turner_tick(&t->tick);
}

UNUSED static void turn(struct turner *t)
{
    uv_run(&t->loop.uv, UV_RUN_ONCE);
}

UNUSED static void turner_fini(struct turner *t)
{
    timer_stop(&t->loop.timers, &t->tick);
    for (int i = 0; i < 4; i++)
        uv_run(&t->loop.uv, UV_RUN_NOWAIT);
    loop_fini(&t->loop);
}

/* Turns until `cond`, at most 20 s. */
#define TURN_UNTIL(t, cond)                                 \
    do {                                                    \
        int64_t end_ = clock_mono_ns() + 20 * NSEC_PER_SEC; \
        while (!(cond) && clock_mono_ns() < end_)           \
            turn(t);                                        \
        assert_true(cond);                                  \
    } while (0)

/* Byte i of every body. */
static inline char body_at(uint64_t i)
{
    return (char)('a' + (i * 7 + i / 977) % 26);
}

UNUSED static void body_fill(char *out, uint64_t from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = body_at(from + i);
}

UNUSED static bool body_check(slice data, uint64_t from)
{
    for (size_t i = 0; i < data.len; i++)
        if (data.ptr[i] != body_at(from + i))
            return false;
    return true;
}

/* ---- the server's answers ----
 * /echo    the body again, with its trailers, never more than it may hold
 * /hints   103, then as /echo
 * /early   413 at once, whatever comes
 * /reset   breaks off
 * /204     no content
 * /304     a length and no body; the end comes by itself
 * /blind   a length and a body, whatever the method was
 * /tunnel  grants a tunnel (101 or 200) and echoes
 * /hang    nothing
 * other    "hello" */

struct answers {
    unsigned begun, resets, done;
    size_t most_held; /* of any exchange: received, not yet passed on */
    struct exchange *last;
    slice peer; /* of the last request */
    char peer_text[128];
};

struct answer {
    struct answers *all;
    size_t held;
};

static bool answer_special(struct exchange *x, const struct head *h)
{
    struct header fields[4];
    struct head out;
    if (slice_eq(h->path, SLICE("/204"))) {
        head_init_response(&out, 204, fields, 4);
        exchange_send_head(x, &out, true);
        return true;
    }
    if (slice_eq(h->path, SLICE("/304"))) {
        head_init_response(&out, 304, fields, 4);
        out.content_length = 5;
        exchange_send_head(x, &out, false);
        exchange_send_body(x, SLICE_NONE, true);
        return true;
    }
    if (slice_eq(h->path, SLICE("/blind"))) {
        head_init_response(&out, 200, fields, 4);
        out.content_length = 5;
        exchange_send_head(x, &out, false);
        exchange_send_body(x, SLICE("hello"), false);
        exchange_send_body(x, SLICE_NONE, true);
        return true;
    }
    if (slice_eq(h->path, SLICE("/tunnel")) || h->method_id == HTTP_CONNECT) {
        head_init_response(&out, h->upgrade ? 101 : 200, fields, 4);
        out.upgrade = h->upgrade;
        out.protocol = h->protocol;
        exchange_send_head(x, &out, false);
        return true;
    }
    return false;
}

UNUSED static void answer_head(struct exchange *x, const struct head *h,
                               bool end)
{
    struct header fields[4];
    struct head out;
    if (slice_eq(h->path, SLICE("/reset"))) {
        struct answer *a = x->owner;
        a->all->resets++;
        mem_free(a);
        exchange_reset(x, RESET_REFUSED);
        return;
    }
    if (answer_special(x, h))
        return;
    if (slice_eq(h->path, SLICE("/hang")))
        return;
    if (slice_eq(h->path, SLICE("/early"))) {
        exchange_reply(x, 413, SLICE("text/plain"), SLICE("no"), NULL);
        return;
    }
    if (slice_eq(h->path, SLICE("/hints"))) {
        head_init_response(&out, 103, fields, 4);
        assert_int_equal(
            headers_add(&out.headers, SLICE("link"), SLICE("</a>")), OK);
        exchange_send_head(x, &out, false);
    } else if (!slice_eq(h->path, SLICE("/echo"))) {
        exchange_reply(x, 200, SLICE("text/plain"), SLICE("hello"), NULL);
        return;
    }
    head_init_response(&out, 200, fields, 4);
    assert_int_equal(headers_add(&out.headers, SLICE("x-echo"), h->method), OK);
    exchange_send_head(x, &out, end);
}

UNUSED static void answer_body(struct exchange *x, slice data, bool end)
{
    struct answer *a = x->owner;
    if (!x->head_out || x->end_out) {
        exchange_consumed(x, data.len);
        return;
    }
    a->held += data.len;
    if (a->held > a->all->most_held)
        a->all->most_held = a->held;
    exchange_send_body(x, data, end);
}

UNUSED static void answer_trailers(struct exchange *x, const struct headers *t)
{
    exchange_send_trailers(x, t);
}

UNUSED static void answer_sent(struct exchange *x, size_t n)
{
    struct answer *a = x->owner;
    if (n > a->held)
        n = a->held;
    a->held -= n;
    exchange_consumed(x, n);
}

UNUSED static void answer_reset(struct exchange *x, enum reset_why why)
{
    struct answer *a = x->owner;
    (void)why;
    a->all->resets++;
    mem_free(a);
}

UNUSED static void answer_done(struct exchange *x)
{
    struct answer *a = x->owner;
    a->all->done++;
    mem_free(a);
}

static const struct exchange_events answer_events = {
    .on_head = answer_head,
    .on_body = answer_body,
    .on_trailers = answer_trailers,
    .on_sent = answer_sent,
    .on_reset = answer_reset,
    .on_done = answer_done,
};

UNUSED static void answers_take(void *arg, struct exchange *x,
                                const struct tls_peer *peer)
{
    struct answers *all = arg;
    struct answer *a = MEM_NEW(struct answer);
    a->all = all;
    all->begun++;
    all->last = x;
    if (peer) {
        all->peer = slice_sub(peer->name, 0, sizeof all->peer_text);
        if (all->peer.len)
            memcpy(all->peer_text, all->peer.ptr, all->peer.len);
        all->peer.ptr = all->peer_text;
    }
    exchange_own(x, &answer_events, a);
}

/* ---- a request ---- */

struct call {
    struct exchange *x; /* NULL once over */
    uint64_t to_send, sent, credited, received;
    size_t owed;    /* received and not consumed */
    size_t at_once; /* consumed at once when nonzero: all */
    unsigned status, hints, ends;
    enum reset_why why;
    bool reset, done, bad, trailers_out, trailers_in;
};

UNUSED static void call_push(struct call *c)
{
    static char piece[65536];
    while (c->x && !c->x->end_out && c->sent - c->credited < 131072) {
        uint64_t left = c->to_send - c->sent;
        size_t n = left < sizeof piece ? (size_t)left : sizeof piece;
        body_fill(piece, c->sent, n);
        c->sent += n;
        bool end = c->sent == c->to_send;
        exchange_send_body(c->x, slice_of(piece, n), end && !c->trailers_out);
        if (end && c->trailers_out && c->x) {
            struct header f[1];
            struct headers t = {.at = f, .cap = 1};
            assert_int_equal(headers_add(&t, SLICE("x-sum"), SLICE("yes")), OK);
            exchange_send_trailers(c->x, &t);
        }
    }
}

UNUSED static void call_head(struct exchange *x, const struct head *h, bool end)
{
    struct call *c = x->owner;
    if (h->status < 200 && h->status != 101) {
        c->hints++;
        return;
    }
    c->status = h->status;
    c->ends += end;
}

UNUSED static void call_body(struct exchange *x, slice data, bool end)
{
    struct call *c = x->owner;
    if (c->status == 200 && c->to_send && !body_check(data, c->received))
        c->bad = true;
    c->received += data.len;
    c->ends += end;
    if (c->at_once)
        exchange_consumed(x, data.len);
    else
        c->owed += data.len;
}

UNUSED static void call_trailers(struct exchange *x, const struct headers *t)
{
    struct call *c = x->owner;
    c->trailers_in = headers_find_name(t, SLICE("x-sum")) != NULL;
    c->ends++;
}

UNUSED static void call_sent(struct exchange *x, size_t n)
{
    struct call *c = x->owner;
    c->credited += n;
    call_push(c);
}

UNUSED static void call_reset(struct exchange *x, enum reset_why why)
{
    struct call *c = x->owner;
    assert_false(c->reset || c->done);
    c->reset = true;
    c->why = why;
    c->x = NULL;
}

UNUSED static void call_done(struct exchange *x)
{
    struct call *c = x->owner;
    assert_false(c->reset || c->done);
    c->done = true;
    c->x = NULL;
}

static const struct exchange_events call_events = {
    .on_head = call_head,
    .on_body = call_body,
    .on_trailers = call_trailers,
    .on_sent = call_sent,
    .on_reset = call_reset,
    .on_done = call_done,
};

/* With a head of the caller's. */
UNUSED static bool call_start_head(struct call *c, struct http_conn *conn,
                                   const struct head *h, bool end)
{
    struct exchange *x = http_conn_open(conn);
    if (!x)
        return false;
    c->x = x;
    exchange_own(x, &call_events, c);
    exchange_send_head(x, h, end);
    return true;
}

/* False when the connection takes no exchange now. */
UNUSED static bool call_start(struct call *c, struct http_conn *conn,
                              slice path)
{
    struct header fields[4];
    struct head h;
    struct exchange *x = http_conn_open(conn);
    if (!x)
        return false;
    c->x = x;
    exchange_own(x, &call_events, c);
    bool body = c->to_send || c->trailers_out;
    head_init_request(&h, body ? SLICE("POST") : SLICE("GET"), SLICE("test"),
                      path, fields, 4);
    exchange_send_head(x, &h, !body);
    if (body)
        call_push(c);
    return true;
}

/* Gives back at most `n` owed bytes: a slow reader. */
UNUSED static void call_consume(struct call *c, size_t n)
{
    if (n > c->owed)
        n = c->owed;
    c->owed -= n;
    if (c->x)
        exchange_consumed(c->x, n);
}

#endif
