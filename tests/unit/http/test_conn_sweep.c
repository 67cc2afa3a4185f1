/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that can end a connection, at every byte and in every event: each
 * exchange is told exactly once, and nothing is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/http/joined.h"

enum action {
    CLOSE_CLIENT,
    CLOSE_SERVER,
    CLOSE_BOTH,
    RESET_EXCHANGE,
    FAIL_CLIENT,
    FAIL_SERVER,
    DRAIN_CLIENT,
    DRAIN_SERVER,
    ACTIONS,
};

enum { CALLS = 4 };

struct sweep {
    struct joined j;
    enum version v;
    struct call calls[CALLS];
    bool started[CALLS], left[CALLS]; /* left: reset by its owner */
    unsigned next;
    int at, seen; /* act in the event number `at` */
    enum action action;
    bool acted;
};

static struct sweep *now;

static void leave(struct exchange *x)
{
    if (x->over)
        return;
    if (x->server) {
        struct answer *a = x->owner;
        a->all->resets++;
        mem_free(a);
    } else {
        struct call *c = x->owner;
        now->left[c - now->calls] = true;
        c->x = NULL;
    }
    exchange_reset(x, RESET_CANCELED);
}

static void act(struct sweep *s, struct exchange *x)
{
    s->acted = true;
    switch (s->action) {
    case CLOSE_CLIENT:
    case CLOSE_SERVER:
    case CLOSE_BOTH:
        if (s->action != CLOSE_SERVER && s->j.client)
            http_conn_close(s->j.client, ERR_CANCELED);
        if (s->action != CLOSE_CLIENT && s->j.server)
            http_conn_close(s->j.server, OK);
        break;
    case RESET_EXCHANGE:
        if (x)
            leave(x);
        break;
    case FAIL_CLIENT:
        if (s->j.client)
            memory_stream_fail_after(s->j.client_end, 0, ERR_RESET);
        break;
    case FAIL_SERVER:
        if (s->j.server)
            memory_stream_fail_after(s->j.server_end, 0, ERR_TIMEOUT);
        break;
    case DRAIN_CLIENT:
        if (s->j.client)
            http_conn_drain(s->j.client);
        break;
    default:
        if (s->j.server)
            http_conn_drain(s->j.server);
        break;
    }
}

static void event(struct exchange *x)
{
    if (now->seen++ == now->at)
        act(now, x);
}

static const struct exchange_events *plain(const struct exchange *x)
{
    return x->server ? &answer_events : &call_events;
}

/* The plain handler first; it may have ended the exchange. */
static void on_head(struct exchange *x, const struct head *h, bool end)
{
    plain(x)->on_head(x, h, end);
    if (!x->server && x->tunnel && !x->over)
        call_push(x->owner);
    event(x->over ? NULL : x);
}
static void on_body(struct exchange *x, slice data, bool end)
{
    plain(x)->on_body(x, data, end);
    event(x->over ? NULL : x);
}
static void on_trailers(struct exchange *x, const struct headers *t)
{
    plain(x)->on_trailers(x, t);
    event(x->over ? NULL : x);
}
static void on_sent(struct exchange *x, size_t n)
{
    plain(x)->on_sent(x, n);
    event(x->over ? NULL : x);
}
static void on_reset(struct exchange *x, enum reset_why why)
{
    plain(x)->on_reset(x, why);
    event(NULL);
}
static void on_done(struct exchange *x)
{
    plain(x)->on_done(x);
    event(NULL);
}
static const struct exchange_events events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = on_sent,
    .on_reset = on_reset,
    .on_done = on_done,
};

static void take(void *arg, struct exchange *x, const struct tls_peer *peer)
{
    answers_take(arg, x, peer);
    x->events = &events;
    event(x); /* may end it before its head */
}

static void start(struct sweep *s, unsigned i)
{
    struct call *c = &s->calls[i];
    struct header fields[2];
    struct head h;
    struct exchange *x = http_conn_open(s->j.client);
    if (!x)
        return;
    s->next = i + 1;
    s->started[i] = true;
    *c = (struct call){.x = x, .at_once = i != 2};
    c->to_send = i == 1 || i == 2 ? 3000 : 0;
    c->trailers_out = i == 1;
    exchange_own(x, &events, c);
    head_init_request(&h, c->to_send ? SLICE("POST") : SLICE("GET"),
                      SLICE("test"), i == 0 ? SLICE("/hints") : SLICE("/echo"),
                      fields, 2);
    if (i == 3) { /* a tunnel */
        c->to_send = 2000;
        h.upgrade = true;
        h.protocol = SLICE("websocket");
        h.path = SLICE("/tunnel");
    }
    exchange_send_head(x, &h, i == 0 || i == 3);
    if (i > 0 && c->x)
        call_push(c);
}

static bool settled(const struct sweep *s)
{
    bool all = s->next == CALLS || !s->j.client || s->j.client->draining;
    for (unsigned i = 0; i < CALLS; i++)
        all = all && !s->calls[i].x;
    return all && s->j.answers.begun == s->j.answers.done + s->j.answers.resets;
}

static void run(struct sweep *s)
{
    for (int i = 0; i < 60 && !settled(s); i++) {
        while (s->j.client && !s->j.client->draining && s->next < CALLS) {
            unsigned before = s->next;
            start(s, s->next);
            if (s->next == before)
                break;
        }
        joined_turn(&s->j);
        call_consume(&s->calls[2], 1500);
    }
}

static void finish(struct sweep *s)
{
    if (s->j.client)
        http_conn_close(s->j.client, OK);
    if (s->j.server)
        http_conn_close(s->j.server, OK);
    joined_turns(&s->j, 3);
    for (unsigned i = 0; i < CALLS; i++) {
        const struct call *c = &s->calls[i];
        assert_int_equal(s->started[i], c->done + c->reset + s->left[i]);
        assert_false(c->bad);
        if (c->done)
            assert_int_equal(c->ends, 1);
    }
    joined_fini(&s->j);
}

static void begin(struct sweep *s, enum version v, size_t piece)
{
    *s = (struct sweep){.v = v, .at = -1};
    now = s;
    joined_streams(&s->j, 700, piece); /* a small window: more events */
    s->j.handler = take;
    joined_serve(&s->j, v);
    joined_connect(&s->j, v);
}

/* The undisturbed run: everything is done. */
static void check_plain(enum version v)
{
    struct sweep s;
    begin(&s, v, 0);
    run(&s);
    for (unsigned i = 0; i < CALLS; i++) {
        assert_true(s.calls[i].done);
        assert_int_equal(s.calls[i].received, s.calls[i].to_send);
    }
    assert_int_equal(s.j.answers.done, CALLS);
    finish(&s);
}

static void test_plain(void **state)
{
    (void)state;
    check_plain(H1);
    check_plain(H2);
}

static int sweep_events(enum version v, enum action action, size_t piece)
{
    int at = 0;
    for (;; at++) {
        struct sweep s;
        begin(&s, v, piece);
        s.at = at;
        s.action = action;
        run(&s);
        bool acted = s.acted;
        finish(&s);
        if (!acted)
            return at;
    }
}

static void test_events(void **state)
{
    (void)state;
    for (int action = 0; action < ACTIONS; action++) {
        assert_true(sweep_events(H1, (enum action)action, 0) > 20);
        assert_true(sweep_events(H2, (enum action)action, 0) > 20);
        assert_true(sweep_events(H1, (enum action)action, 300) > 20);
        assert_true(sweep_events(H2, (enum action)action, 300) > 20);
    }
}

static size_t sweep_bytes(enum version v, bool at_client)
{
    for (size_t n = 0;; n += n < 2000 ? 1 : 7) {
        struct sweep s;
        begin(&s, v, 0);
        memory_stream_fail_after(at_client ? s.j.client_end : s.j.server_end, n,
                                 n & 1 ? ERR_RESET : ERR_TIMEOUT);
        run(&s);
        unsigned done = 0;
        for (unsigned i = 0; i < CALLS; i++)
            done += s.calls[i].done;
        finish(&s);
        if (done == CALLS) /* came too late */
            return n;
    }
}

static void test_bytes(void **state)
{
    (void)state;
    for (int v = H1; v < VERSIONS; v++) {
        assert_true(sweep_bytes((enum version)v, true) > 8000);
        assert_true(sweep_bytes((enum version)v, false) > 8000);
    }
}

/* The peer ends its side after so many bytes. */
static size_t sweep_cut(enum version v)
{
    static char all[20000];
    struct raw w;
    struct joined j;
    size_t len;
    /* What a client says. */
    joined_streams(&j, 65536, 0);
    joined_connect(&j, v);
    raw_init(&w, j.server_end);
    struct call c = {.at_once = 1, .to_send = 500};
    assert_true(call_start(&c, j.client, SLICE("/echo")));
    joined_turns(&j, 5);
    len = w.got.len;
    assert_true(len < sizeof all);
    memcpy(all, w.got.ptr, len);
    http_conn_close(j.client, OK);
    joined_turns(&j, 2);
    raw_fini(&w);
    joined_fini(&j);
    for (size_t n = 0; n <= len; n++) {
        joined_streams(&j, 65536, 0);
        joined_serve(&j, v);
        raw_init(&w, j.client_end);
        stream_write(w.s, all, n);
        stream_end(w.s);
        JOINED_UNTIL(&j, !j.server);
        raw_fini(&w);
        joined_fini(&j);
    }
    return len;
}

static void test_cut(void **state)
{
    (void)state;
    assert_true(sweep_cut(H1) > 500);
    assert_true(sweep_cut(H2) > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
