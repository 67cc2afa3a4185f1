/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/net/memory_stream.h"
#include "proxy/tcp/relay.h"

enum { WINDOW = 1024, MUCH = 100 * 1024 };

/* One far end: what it has heard. */
struct far {
    struct stream *s;
    size_t bytes;
    bool ended, failed;
    unsigned told; /* of its end */
};

struct world {
    struct loop loop;
    struct telemetry *t;
    struct traffic *row;
    struct far client, server;
    struct stream *down, *up; /* the relay's */
    struct relay *relay;
    unsigned done;
    enum fault fault;
};

static void on_data(struct stream *s, const char *ptr, size_t len)
{
    struct far *f = s->owner;
    (void)ptr;
    f->bytes += len;
}

static void on_end(struct stream *s)
{
    struct far *f = s->owner;
    f->ended = true;
    f->told++;
}

static void on_fail(struct stream *s, enum status why)
{
    struct far *f = s->owner;
    (void)why;
    f->failed = true;
    f->told++;
}

static const struct stream_events far_events = {
    .on_data = on_data,
    .on_end = on_end,
    .on_fail = on_fail,
};

static void on_done(void *arg, enum fault f)
{
    struct world *w = arg;
    w->done++;
    w->fault = f;
    w->relay = NULL;
}

static void far_init(struct world *w, struct far *f, struct stream **near)
{
    memory_stream_pair(&w->loop, WINDOW, &f->s, near);
    stream_own(f->s, &far_events, f);
}

static void world_init(struct world *w)
{
    struct error e;
    memset(w, 0, sizeof *w);
    assert_int_equal(loop_init(&w->loop, 8, &e), OK);
    w->t = telemetry_new(&w->loop, false);
    w->row = traffic_get(w->t, false, SLICE("shop/cart:80"), SLICE_NONE, false);
    far_init(w, &w->client, &w->down);
    far_init(w, &w->server, &w->up);
    w->relay = relay_start(&w->loop, w->down, w->up, NSEC_PER_SEC * 3600, false,
                           w->row, on_done, w);
}

static void turns(struct world *w, int n)
{
    while (n--)
        uv_run(&w->loop.uv, UV_RUN_NOWAIT);
}

static void world_fini(struct world *w)
{
    if (w->relay)
        relay_close(w->relay);
    if (w->client.s)
        stream_close(w->client.s, STREAM_NOW);
    stream_close(w->server.s, STREAM_NOW);
    turns(w, 3);
    traffic_unref(w->row);
    telemetry_free(w->t);
    loop_fini(&w->loop);
}

static void send_much(struct stream *s)
{
    static const char data[MUCH];
    stream_write(s, data, MUCH);
}

static void ends_go_through_and_end_it(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    stream_read(w.client.s, true);
    stream_read(w.server.s, true);
    stream_write(w.client.s, "ask", 3);
    stream_end(w.client.s);
    turns(&w, 10);
    assert_int_equal(w.server.bytes, 3);
    assert_true(w.server.ended);
    assert_int_equal(w.done, 0);
    stream_write(w.server.s, "answer", 6);
    stream_end(w.server.s);
    turns(&w, 10);
    assert_int_equal(w.client.bytes, 6);
    assert_true(w.client.ended);
    assert_int_equal(w.done, 1);
    assert_int_equal(w.fault, FAULT_NONE);
    world_fini(&w);
}

/* Both have ended, but one has not read yet: it may take its time. */
static void slow_reader_is_waited_for(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    stream_read(w.server.s, true);
    stream_end(w.client.s);
    send_much(w.server.s);
    stream_end(w.server.s);
    turns(&w, 50);
    assert_true(w.server.ended);
    assert_int_equal(w.done, 0);
    stream_read(w.client.s, true);
    turns(&w, 50);
    assert_int_equal(w.client.bytes, MUCH);
    assert_true(w.client.ended);
    assert_false(w.client.failed);
    assert_int_equal(w.done, 1);
    world_fini(&w);
}

/* What had come before the relay began goes first. */
static void what_came_before(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    stream_read(w.client.s, true);
    stream_read(w.server.s, true);
    relay_up_data(w.relay, "220", 3);
    relay_up_ended(w.relay);
    turns(&w, 10);
    assert_int_equal(w.client.bytes, 3);
    assert_true(w.client.ended);
    assert_int_equal(w.done, 0);
    stream_write(w.client.s, "go on", 5);
    relay_down_ended(w.relay);
    turns(&w, 10);
    assert_true(w.server.ended);
    assert_int_equal(w.done, 1);
    world_fini(&w);
}

static void reset_goes_through(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    stream_read(w.server.s, true);
    stream_close(w.client.s, STREAM_RESET);
    w.client.s = NULL;
    turns(&w, 10);
    assert_true(w.server.failed);
    assert_int_equal(w.done, 1);
    assert_int_equal(w.fault, FAULT_CLIENT_GONE);
    world_fini(&w);
}

/* Cut while bytes wait for a reader: it must not take them for all there was. */
static void closing_with_bytes_queued_is_no_clean_end(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    stream_read(w.client.s, true);
    send_much(w.client.s);
    turns(&w, 10);
    assert_true(stream_queued(w.up) > 0);
    relay_close(w.relay);
    w.relay = NULL;
    stream_read(w.server.s, true);
    turns(&w, 20);
    assert_true(w.server.failed);
    assert_false(w.server.ended);
    assert_true(w.client.ended); /* for it nothing was queued */
    world_fini(&w);
}

/* ---- sweeps ---- */

/* A conversation: more than the windows hold each way, then both ends. */
static void converse(struct world *w, int turn)
{
    static const char data[MUCH];
    if (turn == 0) {
        stream_read(w->client.s, true);
        stream_read(w->server.s, true);
        stream_write(w->client.s, data, MUCH);
        stream_write(w->server.s, data, MUCH / 2);
    }
    if (turn == 3)
        stream_end(w->client.s);
    if (turn == 20)
        stream_end(w->server.s);
    turns(w, 1);
}

/* Told of the end, at most of a failure after it; never more than was sent. */
static void check_far(const struct far *f, size_t sent)
{
    assert_true(f->ended || f->failed);
    assert_int_equal(f->told, (unsigned)f->ended + f->failed);
    assert_true(f->bytes <= sent);
}

static void check(struct world *w)
{
    turns(w, 20);
    check_far(&w->client, MUCH / 2);
    check_far(&w->server, MUCH);
}

static bool close_at(int n)
{
    struct world w;
    world_init(&w);
    for (int i = 0; i <= n && w.relay; i++)
        converse(&w, i);
    bool over = !w.relay;
    assert_int_equal(w.done, over);
    if (w.relay)
        relay_close(w.relay);
    w.relay = NULL;
    check(&w);
    assert_int_equal(w.done, over);
    if (over)
        assert_int_equal(w.client.bytes + w.server.bytes, MUCH / 2 + MUCH);
    world_fini(&w);
    return !over;
}

static void close_at_every_turn(void **state)
{
    int n = 0;
    (void)state;
    while (close_at(n))
        n++;
    assert_true(n > 10);
}

static bool fail_at(bool down, unsigned n)
{
    struct world w;
    world_init(&w);
    memory_stream_slice(w.down, 3000);
    memory_stream_slice(w.up, 3000);
    memory_stream_fail_at(down ? w.down : w.up, n, ERR_TIMEOUT);
    for (int i = 0; i < 400 && w.relay; i++)
        converse(&w, i);
    assert_null(w.relay);
    check(&w);
    assert_int_equal(w.done, 1);
    if (w.fault)
        assert_int_equal(w.fault,
                         down ? FAULT_CLIENT_GONE : FAULT_UPSTREAM_TIMEOUT);
    bool failed = w.fault != FAULT_NONE;
    world_fini(&w);
    return failed;
}

static void fail_at_every_operation(void **state)
{
    (void)state;
    for (int down = 0; down < 2; down++) {
        unsigned n = 1;
        while (fail_at(down, n))
            n++;
        assert_true(n > 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_go_through_and_end_it),
        cmocka_unit_test(slow_reader_is_waited_for),
        cmocka_unit_test(what_came_before),
        cmocka_unit_test(reset_goes_through),
        cmocka_unit_test(closing_with_bytes_queued_is_no_clean_end),
        cmocka_unit_test(close_at_every_turn),
        cmocka_unit_test(fail_at_every_operation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
