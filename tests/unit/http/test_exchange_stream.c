/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/http/exchange_stream.h"

/* A carrier whose exchanges do what a test says. */
struct world {
    struct loop loop;
    struct exchange x;
    bool break_head; /* send_head breaks the exchange */
    size_t consumed, sent;
    unsigned resets;
    struct stream *s;
    unsigned told;
    enum status rc;
    enum reset_why why;
    size_t data;
    bool ended, failed;
};

static struct world *world_of(struct exchange *x)
{
    return CONTAINER_OF(x, struct world, x);
}

static void send_head(struct exchange *x, const struct head *h, bool end)
{
    (void)h, (void)end;
    if (world_of(x)->break_head)
        exchange_broke(x, RESET_REFUSED);
}

static void send_body(struct exchange *x, slice data, bool end)
{
    (void)end;
    world_of(x)->sent += data.len;
}

static void send_trailers(struct exchange *x, const struct headers *t)
{
    (void)x, (void)t;
}

static void consumed(struct exchange *x, size_t n)
{
    world_of(x)->consumed += n;
}

static void reset(struct exchange *x, enum reset_why why)
{
    (void)why;
    world_of(x)->resets++;
}

static const struct carrier carrier = {
    .name = "test",
    .send_head = send_head,
    .send_body = send_body,
    .send_trailers = send_trailers,
    .consumed = consumed,
    .reset = reset,
};

static void on_connected(void *arg, enum status rc, const struct head *answer,
                         enum reset_why why)
{
    struct world *w = arg;
    (void)answer;
    w->told++;
    w->rc = rc;
    w->why = why;
}

static void on_data(struct stream *s, const char *ptr, size_t len)
{
    struct world *w = s->owner;
    (void)ptr;
    w->data += len;
}

static void on_end(struct stream *s)
{
    ((struct world *)s->owner)->ended = true;
}

static void on_fail(struct stream *s, enum status why)
{
    (void)why;
    ((struct world *)s->owner)->failed = true;
}

static const struct stream_events events = {
    .on_data = on_data,
    .on_end = on_end,
    .on_fail = on_fail,
};

static void world_init(struct world *w, bool server)
{
    struct error e;
    memset(w, 0, sizeof *w);
    assert_int_equal(loop_init(&w->loop, 8, &e), OK);
    exchange_init(&w->x, &carrier, &w->loop, server, 4096);
}

static void turns(struct world *w)
{
    for (int i = 0; i < 5; i++)
        uv_run(&w->loop.uv, UV_RUN_NOWAIT);
}

static void world_fini(struct world *w)
{
    turns(w);
    exchange_fini(&w->x);
    loop_fini(&w->loop);
}

static void connect_stream(struct world *w)
{
    w->s = exchange_stream_connect(&w->x, SLICE("a:1"), on_connected, w);
    assert_non_null(w->s);
}

static void answer(struct world *w, unsigned status, bool end)
{
    struct head h;
    head_init_response(&h, status, NULL, 0);
    exchange_got_head(&w->x, &h, end);
}

/* A link that is used up refuses while the head is being sent: the caller has no
 * stream yet, so it hears of it later. */
static void broken_at_once_is_told_later(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, false);
    w.break_head = true;
    connect_stream(&w);
    assert_int_equal(w.told, 0);
    stream_write(w.s, "x", 1);
    turns(&w);
    assert_int_equal(w.told, 1);
    assert_int_equal(w.rc, ERR_REFUSED);
    assert_int_equal(w.why, RESET_REFUSED);
    stream_close(w.s, STREAM_NOW);
    world_fini(&w);
}

static void closed_before_it_is_told(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, false);
    w.break_head = true;
    connect_stream(&w);
    stream_close(w.s, STREAM_RESET);
    turns(&w);
    assert_int_equal(w.told, 0);
    assert_int_equal(w.resets, 0);
    world_fini(&w);
}

static void refused_by_an_answer(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, false);
    connect_stream(&w);
    answer(&w, 503, true);
    assert_int_equal(w.told, 1);
    assert_int_equal(w.rc, ERR_REFUSED);
    assert_int_equal(w.resets, 1);
    stream_close(w.s, STREAM_NOW);
    world_fini(&w);
}

/* Bytes that nobody reads are kept and owed; then they are credited, and the end
 * comes after them. */
static void kept_until_read(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, false);
    connect_stream(&w);
    answer(&w, 200, false);
    assert_int_equal(w.rc, OK);
    stream_own(w.s, &events, &w);
    exchange_got_body(&w.x, SLICE("hello"), false);
    exchange_got_body(&w.x, SLICE_NONE, true);
    turns(&w);
    assert_int_equal(w.data, 0);
    assert_int_equal(w.consumed, 0);
    stream_read(w.s, true);
    turns(&w);
    assert_int_equal(w.data, 5);
    assert_int_equal(w.consumed, 5);
    assert_true(w.ended);
    stream_close(w.s, STREAM_RESET);
    assert_int_equal(w.resets, 1);
    world_fini(&w);
}

static void peer_breaks_it(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, false);
    connect_stream(&w);
    answer(&w, 200, false);
    stream_own(w.s, &events, &w);
    stream_read(w.s, true);
    exchange_broke(&w.x, RESET_CONNECTION);
    assert_true(w.failed);
    assert_int_equal(w.told, 1);
    stream_close(w.s, STREAM_NOW);
    assert_int_equal(w.resets, 0);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_at_once_is_told_later),
        cmocka_unit_test(closed_before_it_is_told),
        cmocka_unit_test(refused_by_an_answer),
        cmocka_unit_test(kept_until_read),
        cmocka_unit_test(peer_breaks_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
