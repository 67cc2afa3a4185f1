/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of every kind to an application, with everything that can end them
 * at every turn, at every operation and at every byte: the client hears of its
 * end once, every count is right again, and nothing is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/log.h"
#include "lib/net/memory_stream.h"
#include "proxy/accept/conduit.h"
#include "tests/unit/http/talk.h"
#include "tests/unit/net/cut.h"

/* What a client does: its first bytes, and what it says once these are answered
 * or nothing comes any more. */
struct client {
    const char *name, *first;
    size_t first_len;
    const char *then;
    bool ends; /* after the first bytes */
    bool http; /* it gets all its answers */
};

#define SAYS(text) .first = (text), .first_len = sizeof(text) - 1
#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define LAST "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
#define POST "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"

static const struct client clients[] = {
    {.name = "http", SAYS(GET POST LAST), .http = true},
    {.name = "bytes", SAYS("\0abc"), .ends = true},
    {.name = "silent, then http", SAYS(""), .then = GET},
    {.name = "silent, then bytes", SAYS(""), .then = "\1abc"},
    {.name = "nothing", SAYS(""), .ends = true},
    {.name = "half a method", SAYS("GE"), .ends = true},
    {.name = "bad", SAYS("GET / HTTP/1.1\r\nHost a\r\n\r\n")},
};
enum { CLIENTS = sizeof clients / sizeof *clients };

struct world {
    struct worker w; /* everything is on its loop */
    struct timer tick;
    struct config config;
    struct http_server *app;
    struct answers answers;
    struct cut cut;
    const struct client *client;
    struct stream *theirs, *ours; /* NULL once the client has left */
    struct target *target;
    size_t got;
    unsigned ends, fails;
    int turns;
};

static void on_data(struct stream *s, const char *ptr, size_t len)
{
    struct world *w = s->owner;
    (void)ptr;
    w->got += len;
}
static void on_end(struct stream *s)
{
    struct world *w = s->owner;
    w->ends++;
}
static void on_fail(struct stream *s, enum status why)
{
    struct world *w = s->owner;
    (void)why;
    w->fails++;
}
static const struct stream_events client_events = {
    .on_data = on_data, .on_end = on_end, .on_fail = on_fail};

static void start_app(struct world *t)
{
    struct http_server_options opt = {.limits = http_limits_default};
    struct error e;
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), &opt.at), OK);
    assert_int_equal(http_server_start(&t->app, &t->w.loop, &opt, answers_take,
                                       &t->answers, &e),
                     OK);
}

static void init_worker(struct world *t)
{
    struct worker *w = &t->w;
    t->config.attempts = 1;
    t->config.connect_timeout = 10 * NSEC_PER_SEC;
    t->config.tcp_idle_timeout = t->config.http_idle_timeout = 60 *
                                                               NSEC_PER_SEC;
    t->config.replay_bytes = 1000;
    w->config = &t->config;
    w->http[0] = w->http[1] = http_limits_default;
    w->max_requests = 10;
    list_init(&w->connections);
    list_init(&w->holders);
    w->telemetry = telemetry_new(&w->loop, false);
    upstream_init(&w->up, &w->loop);
    w->up.connect_timeout = w->up.pending_timeout = t->config.connect_timeout;
    w->up.app_limits = w->up.plain_limits = w->http[1];
    w->up.max_pending = w->up.max_pool = 4;
}

static void on_tick(struct timer *timer)
{
    struct world *t = CONTAINER_OF(timer, struct world, tick);
    timer_set(&t->w.loop.timers, timer, loop_now(&t->w.loop) + NSEC_PER_MSEC);
}

static void world_init(struct world *t, const struct client *c,
                       enum cut_how how, size_t bytes)
{
    struct address client;
    struct error e;
    *t = (struct world){.client = c};
    assert_int_equal(loop_init(&t->w.loop, 8, &e), OK);
    timer_init(&t->tick, on_tick);
    on_tick(&t->tick);
    start_app(t);
    init_worker(t);
    cut_open(&t->cut, &t->w.loop, http_server_address(t->app), how, bytes);
    assert_int_equal(address_parse(SLICE("10.0.0.9:1"), &client), OK);
    t->target = target_inbound(&t->w, cut_address(&t->cut), 80, SLICE_NONE,
                               false, &client);
    struct conduit_options opt = {.target = t->target,
                                  .silence = NSEC_PER_MSEC};
    memory_stream_pair(&t->w.loop, 65536, &t->ours, &t->theirs);
    stream_own(t->theirs, &client_events, t);
    stream_read(t->theirs, true);
    conduit_start(t->ours, &opt);
    stream_write(t->theirs, c->first, c->first_len);
    if (c->ends)
        stream_end(t->theirs);
}

static void step(struct world *t)
{
    uv_run(&t->w.loop.uv, UV_RUN_ONCE);
    bool quiet = t->target->fixed->load.inflight > 0; /* being dialled */
    if (t->client->then && t->turns++ > 3 && (quiet || t->turns > 8) &&
        t->theirs && !t->theirs->ended_out) {
        stream_write(t->theirs, t->client->then, strlen(t->client->then));
        stream_end(t->theirs);
    }
}

#define STEP_UNTIL(t, cond)                                 \
    do {                                                    \
        int64_t end_ = clock_mono_ns() + 20 * NSEC_PER_SEC; \
        while (!(cond) && clock_mono_ns() < end_)           \
            step(t);                                        \
        assert_true(cond);                                  \
    } while (0)

/* The whole conversation has been had, or it broke. */
static bool over(const struct world *t)
{
    return t->ends || t->fails || !t->theirs;
}

static void close_all(struct world *t)
{
    while (!list_empty(&t->w.connections)) {
        struct connection *c = CONTAINER_OF(t->w.connections.next,
                                            struct connection, node);
        c->close(c);
    }
}

static void world_fini(struct world *t)
{
    struct worker *w = &t->w;
    close_all(t);
    if (t->theirs)
        STEP_UNTIL(t, t->ends || t->fails);
    assert_true(t->ends <= 1 && t->fails <= 1);
    if (t->theirs)
        stream_close(t->theirs, STREAM_NOW);
    upstream_close(&w->up);
    assert_int_equal(w->open_inbound + w->open_outbound, 0);
    assert_int_equal(w->requests_inbound + w->requests_outbound, 0);
    assert_int_equal(t->target->fixed->load.inflight, 0);
    cut_close(&t->cut);
    http_server_close(t->app);
    timer_stop(&w->loop.timers, &t->tick);
    for (int i = 0; i < 4; i++)
        uv_run(&w->loop.uv, UV_RUN_NOWAIT);
    assert_int_equal(t->target->refs, 1);
    target_unref(t->target);
    assert_int_equal(w->up.endpoints.len, 0);
    upstream_fini(&w->up);
    telemetry_free(w->telemetry);
    loop_fini(&w->loop);
    assert_int_equal(t->answers.begun, t->answers.done + t->answers.resets);
}

/* ---- undisturbed ---- */

static void each_gets_its_end(void **state)
{
    (void)state;
    for (int i = 0; i < CLIENTS; i++) {
        struct world t;
        world_init(&t, &clients[i], CUT_RESET, SIZE_MAX);
        STEP_UNTIL(&t, over(&t));
        if (clients[i].http)
            assert_int_equal(t.answers.done, 3);
        assert_int_equal(t.fails, 0);
        world_fini(&t);
    }
}

/* ---- at every turn ---- */

enum action {
    CLOSE,
    DRAIN,
    LEAVE,
    APP_GONE,
    UPSTREAM_CLOSE,
    ACTIONS,
};

static void act(struct world *t, enum action a)
{
    if (a == CLOSE)
        close_all(t);
    if (a == DRAIN)
        LIST_EACH(node, &t->w.connections) {
            struct connection *c = CONTAINER_OF(node, struct connection, node);
            c->drain(c);
        }
    if (a == LEAVE) {
        stream_close(t->theirs, STREAM_RESET);
        t->theirs = NULL;
    }
    if (a == APP_GONE) {
        cut_now(&t->cut);
        t->cut.to = *cut_address(&t->cut); /* and whoever comes */
    }
    if (a == UPSTREAM_CLOSE)
        upstream_close(&t->w.up);
}

static bool act_at(const struct client *c, enum action a, int at)
{
    struct world t;
    int i;
    world_init(&t, c, CUT_RESET, SIZE_MAX);
    for (i = 0; i < at && !over(&t); i++)
        step(&t);
    bool was = over(&t);
    act(&t, a);
    int64_t end = clock_mono_ns() + NSEC_PER_MSEC;
    while (!over(&t) && clock_mono_ns() < end)
        step(&t); /* an end may come, or what hangs is closed */
    if (a == LEAVE)
        STEP_UNTIL(&t, list_empty(&t.w.connections));
    world_fini(&t);
    return !was;
}

static void act_at_every_turn(void **state)
{
    (void)state;
    for (int i = 0; i < CLIENTS; i++)
        for (int a = 0; a < ACTIONS; a++) {
            int at = 0;
            while (act_at(&clients[i], (enum action)a, at))
                at++;
            assert_true(at > 0);
        }
}

/* ---- at every operation and at every byte ---- */

static void fail_at(const struct client *c, unsigned n)
{
    struct world t;
    world_init(&t, c, CUT_RESET, SIZE_MAX);
    memory_stream_fail_at(t.ours, n, ERR_RESET);
    STEP_UNTIL(&t, over(&t) && list_empty(&t.w.connections));
    world_fini(&t);
}

static void fail_at_every_operation(void **state)
{
    enum { MOST = 12 };
    (void)state;
    for (int i = 0; i < CLIENTS; i++)
        for (unsigned n = 1; n <= MOST; n++)
            fail_at(&clients[i], n);
}

static bool cut_at(const struct client *c, enum cut_how how, size_t bytes)
{
    struct world t;
    world_init(&t, c, how, bytes);
    if (how == CUT_STALL)
        t.config.tcp_idle_timeout = 10 * NSEC_PER_MSEC;
    STEP_UNTIL(&t, over(&t));
    bool whole = !t.cut.done;
    if (whole && c->http)
        assert_int_equal(t.answers.done, 3);
    world_fini(&t);
    return !whole;
}

static void cut_at_every_byte(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        for (int how = 0; how < CUT_HOWS; how++) {
            size_t n = 0;
            if (clients[i].http && how == CUT_STALL)
                continue; /* an application may take its time */
            while (cut_at(&clients[i], (enum cut_how)how, n))
                n += how == CUT_STALL ? 41 : 5;
            assert_true(n > 40);
        }
}

static int set_up(void **state)
{
    struct error e;
    (void)state;
    return log_set_levels(SLICE("error"), &e) != OK;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_gets_its_end),
        cmocka_unit_test(act_at_every_turn),
        cmocka_unit_test(fail_at_every_operation),
        cmocka_unit_test(cut_at_every_byte),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
