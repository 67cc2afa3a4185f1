/* SPDX-License-Identifier: Apache-2.0 */
/* Names that others choose: few have a number of their own, none is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "tests/unit/proxy/telemetry/rig.h"

static void count_name(struct rig *r, size_t worker, bool inbound,
                       const char *name)
{
    telemetry_tally(r->t[worker], TALLY_SERVER_NAME, inbound, slice_str(name));
}

static void count_numbered(struct rig *r, const char *word, int from, int to)
{
    for (int i = from; i < to; i++) {
        char name[32];

        snprintf(name, sizeof name, "%s%d", word, i);
        count_name(r, 0, true, name);
    }
}

/* -1: it is not listed. */
static int64_t number_of(struct rig *r, bool inbound, const char *name)
{
    struct tally_sums s;
    int64_t n = -1;

    tally_sums_make(&s, r->t, r->n, TALLY_SERVER_NAME, inbound);
    for (size_t i = 0; i < s.len; i++)
        if (slice_eq(s.at[i]->name, slice_str(name)))
            n = (int64_t)s.at[i]->n;
    tally_sums_fini(&s);
    return n;
}

static uint64_t all_of(struct rig *r, bool inbound, size_t *names)
{
    struct tally_sums s;
    uint64_t n = 0;

    tally_sums_make(&s, r->t, r->n, TALLY_SERVER_NAME, inbound);
    for (size_t i = 0; i < s.len; i++) {
        n += s.at[i]->n;
        if (i)
            assert_true(s.at[i - 1]->n >= s.at[i]->n);
    }
    *names = s.len;
    tally_sums_fini(&s);
    return n;
}

static void workers_are_added_up(void **state)
{
    struct rig r;
    size_t names;
    (void)state;
    rig_init(&r, 2);
    count_name(&r, 0, true, "a");
    count_name(&r, 1, true, "a");
    count_name(&r, 1, true, "b");
    count_name(&r, 1, false, "b");
    assert_int_equal(number_of(&r, true, "a"), 2);
    assert_int_equal(number_of(&r, true, "b"), 1);
    assert_int_equal(number_of(&r, false, "b"), 1);
    assert_int_equal(number_of(&r, false, "a"), -1);
    assert_int_equal(all_of(&r, true, &names), 3);
    assert_int_equal(names, 2);
    rig_fini(&r);
}

static void what_has_no_place_is_other(void **state)
{
    struct rig r;
    size_t names;
    (void)state;
    rig_init(&r, 1);
    count_numbered(&r, "n", 0, TALLY_NAMES + 50);
    assert_int_equal(number_of(&r, true, "n0"), 1);
    assert_int_equal(number_of(&r, true, "n100"), -1);
    assert_int_equal(number_of(&r, true, "other"), 50);
    count_name(&r, 0, true, "n0"); /* goes on */
    assert_int_equal(number_of(&r, true, "n0"), 2);
    count_name(&r, 0, false, "n100"); /* each direction has its own */
    assert_int_equal(number_of(&r, false, "n100"), 1);
    assert_int_equal(all_of(&r, true, &names), TALLY_NAMES + 51);
    assert_int_equal(names, TALLY_NAMES + 1);
    rig_fini(&r);
}

static void age(struct rig *r, const char *name, int64_t by)
{
    struct tally *t = &r->t[0]->tallies[TALLY_SERVER_NAME][true];
    struct tally_name *n = map_get(&t->names, slice_str(name));

    n->last -= by;
}

/* After ten minutes; the sum never goes back. */
static void the_quietest_makes_room(void **state)
{
    struct rig r;
    size_t names;
    (void)state;
    rig_init(&r, 1);
    count_numbered(&r, "n", 0, TALLY_NAMES);
    age(&r, "n0", ROW_IDLE - NSEC_PER_SEC);
    count_name(&r, 0, true, "early");
    assert_int_equal(number_of(&r, true, "early"), -1);
    count_numbered(&r, "n", 1, TALLY_NAMES);
    age(&r, "n1", ROW_IDLE);
    age(&r, "n0", ROW_IDLE);
    count_name(&r, 0, true, "late");
    assert_int_equal(number_of(&r, true, "late"), 1);
    assert_int_equal(number_of(&r, true, "n0"), -1);
    count_name(&r, 0, true, "later");
    assert_int_equal(number_of(&r, true, "later"), 1);
    assert_int_equal(number_of(&r, true, "n1"), -1);
    assert_int_equal(number_of(&r, true, "n2"), 2);
    count_name(&r, 0, true, "latest");
    assert_int_equal(number_of(&r, true, "latest"), -1);
    assert_int_equal(number_of(&r, true, "other"), 1 + 1 + 2 + 1);
    assert_int_equal(all_of(&r, true, &names), 2 * TALLY_NAMES + 3);
    rig_fini(&r);
}

static void names_are_short_and_printable(void **state)
{
    static char longest[1000];
    struct rig r;
    struct tally_sums s;
    (void)state;
    rig_init(&r, 1);
    memset(longest, '\n', sizeof longest - 1);
    count_name(&r, 0, true, longest);
    tally_sums_make(&s, r.t, r.n, TALLY_SERVER_NAME, true);
    assert_int_equal(s.len, 1);
    assert_int_equal(s.at[0]->name.len, TALLY_NAME_MAX);
    assert_true(s.at[0]->name.ptr[0] == '?');
    tally_sums_fini(&s);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_are_added_up),
        cmocka_unit_test(what_has_no_place_is_other),
        cmocka_unit_test(the_quietest_makes_room),
        cmocka_unit_test(names_are_short_and_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
