/* SPDX-License-Identifier: Apache-2.0 */
/* Timers on a real loop: nothing here waits longer than some milliseconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/net/loop.h"

enum { MANY = 100 };

struct shot {
    struct timer timer;
    struct loop *loop;
    int64_t due;
    unsigned fired;
    int64_t again; /* set anew by so much when it fires, so often: */
    unsigned times;
    bool stops;
};

static unsigned in_order;
static int64_t last_due;

static void fire(struct timer *t)
{
    struct shot *s = CONTAINER_OF(t, struct shot, timer);

    s->fired++;
    assert_true(loop_now(s->loop) >= s->due); /* who is called is due */
    assert_false(timer_is_set(t));
    in_order += s->due >= last_due;
    last_due = s->due;
    if (s->fired <= s->times) {
        s->due = loop_now(s->loop) + s->again;
        timer_set(&s->loop->timers, t, s->due);
    } else if (s->stops) {
        loop_stop(s->loop);
    }
}

static void shot_set(struct shot *s, struct loop *l, int64_t in)
{
    timer_init(&s->timer, fire);
    s->loop = l;
    s->due = clock_mono_ns() + in;
    timer_set(&l->timers, &s->timer, s->due);
}

static void start(struct loop *l)
{
    struct error e;

    in_order = 0;
    last_due = 0;
    assert_int_equal(loop_init(l, 4, &e), OK);
}

static void fires_in_order_and_when_due(void **state)
{
    struct shot shots[MANY] = {0};
    struct loop l;

    (void)state;
    start(&l);
    for (int i = 0; i < MANY; i++)
        shot_set(&shots[i], &l, (int64_t)(i * 37 % MANY) * NSEC_PER_MSEC / 7);
    struct shot end = {.stops = true};
    shot_set(&end, &l, 30 * NSEC_PER_MSEC);
    loop_run(&l);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(shots[i].fired, 1);
    assert_int_equal(in_order, MANY + 1);
    loop_fini(&l);
}

/* Set for a time that has passed, from its own callback: the next turn, not for
 * ever in this one. */
static void set_again_for_the_past(void **state)
{
    struct shot s = {.again = -NSEC_PER_MSEC, .times = 3, .stops = true};
    struct shot other = {0};
    struct loop l;

    (void)state;
    start(&l);
    shot_set(&s, &l, NSEC_PER_MSEC);
    shot_set(&other, &l, NSEC_PER_MSEC);
    loop_run(&l);
    assert_int_equal(s.fired, 4);
    assert_int_equal(other.fired, 1);
    loop_fini(&l);
}

static void later_sooner_and_never(void **state)
{
    struct shot later = {0}, sooner = {0}, never = {0}, end = {.stops = true};
    struct loop l;

    (void)state;
    start(&l);
    shot_set(&later, &l, NSEC_PER_MSEC);
    later.due += 5 * NSEC_PER_MSEC;
    timer_set(&l.timers, &later.timer, later.due);
    shot_set(&sooner, &l, NSEC_PER_SEC * 3600);
    sooner.due = clock_mono_ns() + NSEC_PER_MSEC;
    timer_set(&l.timers, &sooner.timer, sooner.due);
    shot_set(&never, &l, NSEC_PER_MSEC);
    timer_stop(&l.timers, &never.timer);
    timer_stop(&l.timers, &never.timer);
    shot_set(&end, &l, 20 * NSEC_PER_MSEC);
    loop_run(&l);
    assert_int_equal(later.fired, 1);
    assert_int_equal(sooner.fired, 1);
    assert_int_equal(never.fired, 0);
    assert_int_equal(in_order, 3);
    loop_fini(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fires_in_order_and_when_due),
        cmocka_unit_test(set_again_for_the_past),
        cmocka_unit_test(later_sooner_and_never),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
