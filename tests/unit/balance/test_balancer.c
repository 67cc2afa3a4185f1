/* SPDX-License-Identifier: Apache-2.0 */
/* Shares are tested with chi squared and fixed seeds: they pass or fail the
 * same way every time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/clock.h"
#include "proxy/balance/balancer.h"

#define MS NSEC_PER_MSEC
enum { MAX = 64 };

static const slice names[] = {SLICE_INIT("peak-ewma"),
                              SLICE_INIT("round-robin"),
                              SLICE_INIT("weighted-random")};
enum { ALGORITHMS = sizeof names / sizeof names[0] };

struct list {
    struct endpoint_load loads[MAX], *at[MAX];
    size_t n, hits[MAX];
    struct balancer_state st;
    struct rand rand;
};

static void setup(struct list *l, size_t n)
{
    memset(l, 0, sizeof *l);
    rand_seed(&l->rand, 7);
    l->n = n;
    for (size_t i = 0; i < n; i++) {
        endpoint_load_init(&l->loads[i], 1);
        l->at[i] = &l->loads[i];
    }
    balancer_state_init(&l->st, &l->rand);
    balancer_state_update(&l->st, l->at, n);
}

static ptrdiff_t pick(struct list *l, slice name, const bool *tried,
                      int64_t now)
{
    ptrdiff_t at = balancer_pick(balancer_find(name), &l->st, l->at, l->n,
                                 tried, &l->rand, now);

    assert_true(at >= -1 && at < (ptrdiff_t)l->n);
    if (at >= 0)
        l->hits[at]++;
    return at;
}

/* Against shares in proportion to the weights of those available. */
static double chi_squared(const struct list *l, double total)
{
    double sum = 0, x = 0;

    for (size_t i = 0; i < l->n; i++)
        sum += l->loads[i].unavailable ? 0 : l->loads[i].weight;
    for (size_t i = 0; i < l->n; i++) {
        double want = total * l->loads[i].weight / sum;
        double off = (double)l->hits[i] - want;

        if (l->loads[i].unavailable || !l->loads[i].weight)
            assert_int_equal(l->hits[i], 0);
        else
            x += off * off / want;
    }
    return x;
}

static void names_are_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALGORITHMS; i++)
        assert_true(slice_eq(balancer_name(balancer_find(names[i])), names[i]));
    assert_null(balancer_find(SLICE("Peak-EWMA")));
    assert_null(balancer_find(SLICE("")));
    assert_ptr_equal(balancer_default(), balancer_find(SLICE("peak-ewma")));
}

static void none_is_none(void **state)
{
    struct list l;

    (void)state;
    for (size_t a = 0; a < ALGORITHMS; a++) {
        bool tried[3] = {true, true, true};

        setup(&l, 0);
        assert_int_equal(pick(&l, names[a], NULL, 0), -1);
        setup(&l, 3);
        l.loads[0].unavailable = l.loads[1].unavailable = true;
        l.loads[2].weight = 0;
        assert_int_equal(pick(&l, names[a], NULL, 0), -1);
        assert_int_equal(pick(&l, names[a], tried, 0), -1);
    }
}

static void others_are_preferred_to_those_tried(void **state)
{
    struct list l;

    (void)state;
    for (size_t a = 0; a < ALGORITHMS; a++) {
        bool tried[MAX] = {false};

        /* One after the other, each endpoint once. */
        setup(&l, MAX);
        for (size_t i = 0; i < MAX; i++) {
            ptrdiff_t at = pick(&l, names[a], tried, 0);

            assert_true(at >= 0 && !tried[at]);
            tried[at] = true;
        }
        assert_true(pick(&l, names[a], tried, 0) >= 0);
        /* A tried one only if there is no other. */
        setup(&l, 2);
        l.loads[1].unavailable = true;
        for (int i = 0; i < 50; i++)
            assert_int_equal(pick(&l, names[a], tried, 0), 0);
    }
}

static void unavailable_is_never_picked(void **state)
{
    struct list l;

    (void)state;
    for (size_t a = 0; a < ALGORITHMS; a++) {
        setup(&l, MAX);
        for (size_t i = 0; i < MAX; i++) {
            l.loads[i].unavailable = i % 4 != 1;
            l.loads[i].weight = i % 8 ? 1 : 0;
        }
        for (int i = 0; i < 16000; i++)
            pick(&l, names[a], NULL, 0);
        /* 15 degrees of freedom, p = 0.001; of round robin, near 0. Each
         * neighbour of a gap has the same share as others. */
        assert_true(chi_squared(&l, 16000) < 37.7);
    }
}

static void one_of_many_is_found(void **state)
{
    struct list l;

    (void)state;
    for (size_t a = 0; a < ALGORITHMS; a++) {
        setup(&l, MAX);
        for (size_t i = 0; i < MAX; i++)
            l.loads[i].unavailable = i != 41;
        for (int i = 0; i < 100; i++)
            assert_int_equal(pick(&l, names[a], NULL, 0), 41);
    }
}

static void round_robin_is_exact(void **state)
{
    struct list l;
    ptrdiff_t first;

    (void)state;
    setup(&l, 5);
    first = pick(&l, SLICE("round-robin"), NULL, 0);
    for (int i = 1; i < 23; i++)
        assert_int_equal(pick(&l, SLICE("round-robin"), NULL, 0),
                         (first + i) % 5);
    l.n = 2; /* the list got shorter */
    for (int i = 0; i < 4; i++)
        assert_true(pick(&l, SLICE("round-robin"), NULL, 0) < 2);
}

static void round_robin_starts_anywhere(void **state)
{
    struct list l;
    struct rand r;

    (void)state;
    setup(&l, 8);
    rand_seed(&r, 3);
    for (int i = 0; i < 8000; i++) {
        balancer_state_init(&l.st, &r);
        pick(&l, SLICE("round-robin"), NULL, 0);
    }
    assert_true(chi_squared(&l, 8000) < 24.3); /* 7 degrees, p = 0.001 */
}

static void weighted_random_keeps_the_shares(void **state)
{
    static const uint32_t weights[][6] = {
        {1, 1, 1, 1, 1, 1},
        {1, 2, 3, 4, 5, 6},
        {90, 0, 9, 0, 1, 1},
        {100000, 1000, 1000, 1000, 1000, 1000},
    };
    struct list l;

    (void)state;
    for (size_t w = 0; w < sizeof weights / sizeof weights[0]; w++) {
        for (int known = 0; known < 2; known++) {
            setup(&l, 6);
            for (size_t i = 0; i < 6; i++)
                l.loads[i].weight = weights[w][i];
            balancer_state_update(&l.st, l.at, known ? 6 : 0);
            for (int i = 0; i < 60000; i++)
                pick(&l, SLICE("weighted-random"), NULL, 0);
            assert_true(chi_squared(&l, 60000) < 20.5); /* 5, p = 0.001 */
        }
    }
}

static void equal_costs_get_equal_shares(void **state)
{
    struct list l;

    (void)state;
    setup(&l, 10);
    for (int i = 0; i < 50000; i++)
        pick(&l, SLICE("peak-ewma"), NULL, 0);
    assert_true(chi_squared(&l, 50000) < 27.9); /* 9 degrees, p = 0.001 */
}

static void two_choices_take_the_cheaper(void **state)
{
    struct list l;

    (void)state;
    setup(&l, 2);
    for (int i = 0; i < 4; i++) { /* so often that it says something */
        balancer_begin(&l.loads[0]);
        balancer_end(&l.loads[0], 0, 5 * MS, false);
        balancer_begin(&l.loads[1]);
        balancer_end(&l.loads[1], 0, 1 * MS, false);
    }
    /* Idle, the dearer one has its chance: 1 of 26. */
    for (int i = 0; i < 2600; i++)
        pick(&l, SLICE("peak-ewma"), NULL, 0);
    assert_in_range(l.hits[0], 70, 130);
    /* More under way there is no reason to take it. */
    balancer_begin(&l.loads[0]);
    for (int i = 0; i < 100; i++)
        assert_int_equal(pick(&l, SLICE("peak-ewma"), NULL, 0), 1);
    balancer_cancel(&l.loads[0], 0, 1);
    /* Five requests in flight on the fast one cost more than the slow one. */
    for (int i = 0; i < 5; i++)
        balancer_begin(&l.loads[1]);
    for (int i = 0; i < 100; i++)
        assert_int_equal(pick(&l, SLICE("peak-ewma"), NULL, 0), 0);
    /* A heavier endpoint stands more. */
    l.loads[1].weight = 2; /* 3 to 5: the dearer has 9 of 34 */
    l.hits[0] = 0;
    for (int i = 0; i < 3400; i++)
        pick(&l, SLICE("peak-ewma"), NULL, 0);
    assert_in_range(l.hits[0], 800, 1000);
    balancer_cancel(&l.loads[1], 0, 1);
    assert_int_equal(l.loads[1].inflight, 4);
}

/* A closed loop: `clients` requests run at any time; endpoint i answers after
 * latency[i], or fails when fails[i]. */
static void simulate(struct list *l, const int64_t *latency, const bool *fails,
                     int clients, int requests)
{
    struct {
        int64_t ends;
        ptrdiff_t at;
    } running[MAX] = {{0, 0}};
    int64_t now = 0;

    for (int c = 0; c < clients; c++)
        running[c].at = -1;
    for (int i = 0; i < requests; i++) {
        int next = 0;

        for (int c = 1; c < clients; c++) {
            if (running[c].ends < running[next].ends)
                next = c;
        }
        now = running[next].ends;
        ptrdiff_t was = running[next].at;
        if (was >= 0)
            balancer_end(&l->loads[was], now, latency[was],
                         fails && fails[was]);
        running[next].at = pick(l, SLICE("peak-ewma"), NULL, now);
        balancer_begin(&l->loads[running[next].at]);
        running[next].ends = now + latency[running[next].at];
    }
}

static void the_slow_one_gets_little(void **state)
{
    const int64_t latency[] = {1 * MS, 1 * MS, 1 * MS, 50 * MS};
    struct list l;

    (void)state;
    setup(&l, 4);
    simulate(&l, latency, NULL, 8, 40000);
    assert_in_range(l.hits[3], 1, 400);
    for (int i = 0; i < 3; i++)
        assert_in_range(l.hits[i], 12000, 14500);
}

/* It was slow when it was asked for the first times, and is not: it gets its share,
 * though the others are never idle. */
static void a_slow_start_is_forgotten(void **state)
{
    const int64_t cold[] = {2 * MS, 80 * MS};
    const int64_t warm[] = {2 * MS, 2 * MS};
    struct list l;

    (void)state;
    for (int clients = 1; clients <= 8; clients *= 2) {
        setup(&l, 2);
        simulate(&l, cold, NULL, clients, 10);
        for (int i = 0; i < 2; i++) {
            l.hits[i] = 0;
            l.loads[i].inflight = 0;
        }
        simulate(&l, warm, NULL, clients, 5000);
        assert_in_range(l.hits[1], 500, 4500);
    }
}

static void failing_fast_attracts_nothing(void **state)
{
    const int64_t latency[] = {5 * MS, 5 * MS, 5 * MS, MS / 50};
    const bool fails[] = {false, false, false, true};
    struct list l;

    (void)state;
    setup(&l, 4);
    simulate(&l, latency, fails, 8, 40000);
    assert_in_range(l.hits[3], 1, 100);
}

/* While it is unknown, a new endpoint gets one request, not all of them. */
static void a_new_one_is_probed_once(void **state)
{
    struct list l;

    (void)state;
    setup(&l, 2);
    balancer_begin(&l.loads[0]);
    balancer_end(&l.loads[0], 0, 1 * MS, false);
    for (int i = 0; i < 20; i++) {
        ptrdiff_t at = pick(&l, SLICE("peak-ewma"), NULL, 0);

        balancer_begin(&l.loads[at]);
    }
    assert_int_equal(l.hits[1], 1);
}

/* Requests one after the other. An answer takes `latency` and some noise, the
 * first of each endpoint up to five times as long, now and then one much longer.
 */
static void one_by_one(struct list *l, const int64_t *latency, int requests)
{
    int64_t now = 0;

    memset(l->hits, 0, sizeof l->hits);
    for (int i = 0; i < requests; i++) {
        ptrdiff_t at = pick(l, SLICE("peak-ewma"), NULL, now);
        int64_t took = rand_jitter(&l->rand, latency[at], 0.5);

        if (l->hits[at] == 1)
            took += (int64_t)rand_below(&l->rand, 4 * (uint64_t)latency[at]);
        if (rand_below(&l->rand, 200) == 0)
            took *= 20;
        balancer_begin(&l->loads[at]);
        now += took;
        balancer_end(&l->loads[at], now, took, false);
    }
}

static void equals_share_what_comes_one_by_one(void **state)
{
    static const int64_t all[] = {200000, 1 * MS, 20 * MS};
    static const int requests[] = {200, 2000, 20000};
    struct list l;

    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        for (size_t a = 0; a < 3; a++) {
            const int64_t latency[] = {all[a], all[a], all[a]};
            int n = requests[seed % 3];

            setup(&l, 3);
            rand_seed(&l.rand, seed);
            one_by_one(&l, latency, n);
            for (int i = 0; i < 3; i++)
                assert_in_range(l.hits[i], n / 10, n * 6 / 10);
        }
    }
}

static void the_slow_one_gets_little_one_by_one(void **state)
{
    const int64_t twice[] = {2 * MS, 1 * MS, 1 * MS};
    const int64_t ten_times[] = {10 * MS, 1 * MS, 1 * MS};
    const int64_t dead_slow[] = {500 * MS, 1 * MS, 1 * MS};
    struct list l;

    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        setup(&l, 3);
        rand_seed(&l.rand, seed);
        one_by_one(&l, twice, 5000);
        assert_in_range(l.hits[0], 250, 1250);
        setup(&l, 3);
        one_by_one(&l, ten_times, 5000);
        assert_in_range(l.hits[0], 1, 150);
        setup(&l, 3);
        one_by_one(&l, dead_slow, 5000);
        assert_in_range(l.hits[0], 1, 10);
    }
}

/* It was slow for a while: when it is as fast as the others it gets its share
 * again, though these could answer everything. */
static void who_recovers_is_used_again(void **state)
{
    const int64_t before[] = {50 * MS, 1 * MS, 1 * MS};
    const int64_t after[] = {1 * MS, 1 * MS, 1 * MS};
    struct list l;

    (void)state;
    setup(&l, 3);
    one_by_one(&l, before, 2000);
    one_by_one(&l, after, 20000); /* 20 s */
    assert_in_range(l.hits[0], 2000, 8000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found),
        cmocka_unit_test(none_is_none),
        cmocka_unit_test(others_are_preferred_to_those_tried),
        cmocka_unit_test(unavailable_is_never_picked),
        cmocka_unit_test(one_of_many_is_found),
        cmocka_unit_test(round_robin_is_exact),
        cmocka_unit_test(round_robin_starts_anywhere),
        cmocka_unit_test(weighted_random_keeps_the_shares),
        cmocka_unit_test(equal_costs_get_equal_shares),
        cmocka_unit_test(two_choices_take_the_cheaper),
        cmocka_unit_test(the_slow_one_gets_little),
        cmocka_unit_test(equals_share_what_comes_one_by_one),
        cmocka_unit_test(the_slow_one_gets_little_one_by_one),
        cmocka_unit_test(who_recovers_is_used_again),
        cmocka_unit_test(a_slow_start_is_forgotten),
        cmocka_unit_test(failing_fast_attracts_nothing),
        cmocka_unit_test(a_new_one_is_probed_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
