/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/clock.h"
#include "proxy/balance/ewma.h"

#define MS NSEC_PER_MSEC

static void one_probe_for_the_unknown(void **state)
{
    struct ewma unknown = {0}, fast = {0};

    (void)state;
    ewma_observe(&fast, 0, 2 * MS);
    assert_true(ewma_cost(&unknown, 0, 0) < ewma_cost(&fast, 0, 0));
    assert_true(ewma_cost(&unknown, 0, 1) > ewma_cost(&fast, 0, 100));
}

static void jumps_up_and_comes_down_slowly(void **state)
{
    struct ewma e = {0};
    double peak;

    (void)state;
    ewma_observe(&e, 0, 1 * MS);
    for (int i = 0; i < 3; i++)
        ewma_observe(&e, 0, 2 * MS);
    assert_true(ewma_cost(&e, 0, 0) == 1.0 * MS);
    for (int i = 0; i < 3; i++) {
        assert_true(ewma_cost(&e, 0, 0) < 65.0 * MS);
        ewma_observe(&e, 0, 100 * MS);
    }
    ewma_observe(&e, 0, 100 * MS);
    peak = ewma_cost(&e, 0, 0);
    assert_true(peak == 100.0 * MS);
    ewma_observe(&e, 0, 1 * MS);
    assert_true(ewma_cost(&e, 0, 0) > 85.0 * MS);
    for (int i = 0; i < 40; i++)
        ewma_observe(&e, 0, 1 * MS);
    assert_true(ewma_cost(&e, 0, 0) < 2.0 * MS);
}

/* The first answers carry connections being made. */
static void the_fastest_of_the_first_counts(void **state)
{
    struct ewma e = {0};

    (void)state;
    ewma_observe(&e, 0, 80 * MS);
    assert_true(ewma_cost(&e, 0, 0) == 80.0 * MS);
    ewma_observe(&e, 0, 2 * MS);
    ewma_observe(&e, 0, 9 * MS);
    assert_true(ewma_cost(&e, 0, 0) == 2.0 * MS);
    ewma_observe(&e, 0, 3 * MS);
    ewma_observe(&e, 0, 3 * MS); /* the fifth */
    assert_true(ewma_cost(&e, 0, 0) == 3.0 * MS);
}

static void one_hiccup_is_not_the_end(void **state)
{
    struct ewma e = {0};

    (void)state;
    for (int i = 0; i < 5; i++)
        ewma_observe(&e, 0, 1 * MS);
    ewma_observe(&e, 0, 500 * MS);
    assert_true(ewma_cost(&e, 0, 0) == 4.0 * MS);
}

/* Idle for TAU: a third is left. */
static void fades_in_ten_seconds(void **state)
{
    struct ewma e = {0};
    double left;

    (void)state;
    ewma_observe(&e, 0, 90 * MS);
    left = ewma_cost(&e, 10 * NSEC_PER_SEC, 0);
    assert_true(left > 30.0 * MS && left < 36.0 * MS);
}

static void fades_while_idle_but_not_to_nothing(void **state)
{
    struct ewma slow = {0}, fast = {0};
    int64_t later = 3600 * NSEC_PER_SEC;

    (void)state;
    ewma_observe(&slow, 0, 50 * MS);
    ewma_observe(&fast, 0, 50000);
    assert_true(ewma_cost(&slow, 0, 0) > 100 * ewma_cost(&fast, 0, 0));
    assert_true(ewma_cost(&slow, later, 0) == ewma_cost(&fast, later, 0));
    assert_true(ewma_cost(&slow, later, 1) > ewma_cost(&fast, later, 0));
    /* Time that steps back changes nothing. */
    assert_true(ewma_cost(&slow, -later, 0) == 50.0 * MS);
}

static void inflight_costs(void **state)
{
    struct ewma e = {0};

    (void)state;
    ewma_observe(&e, 0, 5 * MS);
    assert_true(ewma_cost(&e, 0, 3) == 20.0 * MS);
    assert_true(ewma_cost(&e, 0, UINT32_MAX) > 0);
}

static void failures_are_slow(void **state)
{
    struct ewma e = {0}, unknown = {0};
    double last = 0;

    (void)state;
    ewma_observe(&e, 0, 1 * MS);
    for (int i = 1; i < 20; i++) {
        double cost;

        ewma_fail(&e, i * MS, 10000);
        cost = ewma_cost(&e, i * MS, 0);
        assert_true(cost > 10.0 * MS && cost <= 10.0 * NSEC_PER_SEC);
        assert_true(cost > last || cost > 9.9 * NSEC_PER_SEC);
        last = cost;
    }
    assert_true(last > 9.9 * NSEC_PER_SEC);
    ewma_fail(&unknown, 0, 10000);
    assert_true(ewma_cost(&unknown, 0, 0) > 10.0 * MS);
    /* Slower than the penalty: the time it took. Bounded all the same. */
    ewma_fail(&unknown, 0, 30 * NSEC_PER_SEC);
    assert_true(ewma_cost(&unknown, 0, 0) == 30.0 * NSEC_PER_SEC);
    ewma_fail(&unknown, 0, INT64_MAX);
    assert_true(ewma_cost(&unknown, 0, 0) == 60.0 * NSEC_PER_SEC);
    ewma_observe(&e, 0, -5);
    assert_true(ewma_cost(&e, 0, 0) >= 0);
}

static void waiting_only_raises(void **state)
{
    struct ewma e = {0};

    (void)state;
    ewma_waited(&e, 0, 7 * MS);
    assert_int_equal(e.answers, 0);
    ewma_observe(&e, 0, 5 * MS);
    ewma_waited(&e, 0, 1 * MS);
    assert_true(ewma_cost(&e, 0, 0) == 5.0 * MS);
    ewma_waited(&e, 0, 9 * MS);
    assert_true(ewma_cost(&e, 0, 0) == 9.0 * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_probe_for_the_unknown),
        cmocka_unit_test(jumps_up_and_comes_down_slowly),
        cmocka_unit_test(the_fastest_of_the_first_counts),
        cmocka_unit_test(one_hiccup_is_not_the_end),
        cmocka_unit_test(fades_in_ten_seconds),
        cmocka_unit_test(fades_while_idle_but_not_to_nothing),
        cmocka_unit_test(inflight_costs),
        cmocka_unit_test(failures_are_slow),
        cmocka_unit_test(waiting_only_raises),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
