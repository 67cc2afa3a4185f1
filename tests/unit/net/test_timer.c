/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/rand.h"
#include "lib/net/timer.h"

enum { MANY = 500 };

struct rig {
    uv_loop_t uv;
    struct timers timers;
    uv_idle_t idle; /* keeps turns from waiting */
    unsigned turns;
};

struct probe {
    struct timer timer;
    struct rig *rig;
    int64_t set, fired;
    unsigned count, last_turn;
};

static void on_idle(uv_idle_t *h)
{
    (void)h;
}

static void rig_init(struct rig *r)
{
    *r = (struct rig){0};
    uv_loop_init(&r->uv);
    timers_init(&r->timers, &r->uv);
    uv_idle_init(&r->uv, &r->idle);
    uv_idle_start(&r->idle, on_idle);
}

static void turn(struct rig *r)
{
    r->turns++;
    uv_run(&r->uv, UV_RUN_NOWAIT);
}

static void rig_fini(struct rig *r)
{
    timers_close(&r->timers);
    uv_close((uv_handle_t *)&r->idle, NULL);
    turn(r);
    assert_int_equal(uv_loop_close(&r->uv), 0);
}

static void on_fire(struct timer *t)
{
    struct probe *p = CONTAINER_OF(t, struct probe, timer);
    p->fired = clock_mono_ns();
    p->count++;
    assert_false(timer_is_set(t));
}

static void probe_init(struct probe *p, struct rig *r, timer_fn *fn)
{
    *p = (struct probe){.rig = r};
    timer_init(&p->timer, fn);
}

static void probe_set(struct probe *p, int64_t in)
{
    p->set = clock_mono_ns() + in;
    timer_set(&p->rig->timers, &p->timer, p->set);
}

/* Each fires once, never early, in about its order. */
static void test_many(void **state)
{
    static struct probe probes[MANY];
    struct rand rnd;
    struct rig r;
    unsigned fired = 0;
    (void)state;
    rig_init(&r);
    rand_seed(&rnd, 1);
    for (int i = 0; i < MANY; i++) {
        probe_init(&probes[i], &r, on_fire);
        probe_set(&probes[i],
                  (int64_t)(rand_u64(&rnd) % 30) * NSEC_PER_MSEC + 1);
    }
    for (int i = 0; i < MANY; i += 3) /* later, earlier, gone */
        probe_set(&probes[i], 40 * NSEC_PER_MSEC);
    for (int i = 1; i < MANY; i += 3)
        probe_set(&probes[i], NSEC_PER_MSEC);
    for (int i = 2; i < MANY; i += 6)
        timer_stop(&r.timers, &probes[i].timer);
    int64_t end = clock_mono_ns() + 5 * NSEC_PER_SEC;
    while (r.timers.len && clock_mono_ns() < end)
        turn(&r);
    for (int i = 0; i < MANY; i++) {
        bool gone = i % 6 == 2;
        assert_int_equal(probes[i].count, gone ? 0 : 1);
        if (!gone)
            assert_true(probes[i].fired >= probes[i].set);
        fired += probes[i].count;
    }
    assert_int_equal(fired, MANY - (MANY - 2 + 5) / 6);
    rig_fini(&r);
}

/* Moving a timer later again and again does not grow anything. */
static void test_moved(void **state)
{
    struct rig r;
    struct probe p;
    (void)state;
    rig_init(&r);
    probe_init(&p, &r, on_fire);
    for (int i = 0; i < 100000; i++)
        probe_set(&p, 2 * NSEC_PER_MSEC);
    assert_int_equal(r.timers.len, 1);
    while (!p.count)
        turn(&r);
    assert_true(p.fired >= p.set);
    rig_fini(&r);
}

/* One that sets itself to a time that has passed: fires once a turn, and lets
 * the loop go on. */
static void on_again(struct timer *t)
{
    struct probe *p = CONTAINER_OF(t, struct probe, timer);
    assert_int_not_equal(p->last_turn, p->rig->turns);
    p->last_turn = p->rig->turns;
    if (++p->count < 5)
        timer_set(&p->rig->timers, t, 1);
}

static void test_past_again(void **state)
{
    struct rig r;
    struct probe p[2];
    (void)state;
    rig_init(&r);
    for (int i = 0; i < 2; i++) {
        probe_init(&p[i], &r, on_again);
        timer_set(&r.timers, &p[i].timer, 1);
    }
    while (p[0].count < 5 || p[1].count < 5)
        turn(&r);
    rig_fini(&r);
}

/* A timer that stops, moves or sets others while it fires. */
static struct probe others[3];
static void on_meddle(struct timer *t)
{
    struct probe *p = CONTAINER_OF(t, struct probe, timer);
    p->count++;
    timer_stop(&p->rig->timers, &others[0].timer);
    timer_set(&p->rig->timers, &others[1].timer,
              clock_mono_ns() + 3 * NSEC_PER_MSEC);
    timer_set(&p->rig->timers, &others[2].timer, clock_mono_ns());
}

static void test_meddling(void **state)
{
    struct rig r;
    struct probe p;
    (void)state;
    rig_init(&r);
    probe_init(&p, &r, on_meddle);
    for (int i = 0; i < 3; i++)
        probe_init(&others[i], &r, on_fire);
    timer_set(&r.timers, &p.timer, 1);
    timer_set(&r.timers, &others[0].timer, 2);
    timer_set(&r.timers, &others[1].timer, 3);
    while (r.timers.len)
        turn(&r);
    assert_int_equal(p.count, 1);
    assert_int_equal(others[0].count, 0);
    assert_int_equal(others[1].count, 1);
    assert_int_equal(others[2].count, 1);
    rig_fini(&r);
}

/* Closed with timers set: they never fire, and may be stopped and set. */
static void test_closed(void **state)
{
    struct rig r;
    struct probe p;
    (void)state;
    rig_init(&r);
    probe_init(&p, &r, on_fire);
    probe_set(&p, 1);
    rig_fini(&r);
    timer_stop(&r.timers, &p.timer);
    assert_int_equal(p.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many),       cmocka_unit_test(test_moved),
        cmocka_unit_test(test_past_again), cmocka_unit_test(test_meddling),
        cmocka_unit_test(test_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
