/* SPDX-License-Identifier: Apache-2.0 */
/* Two clocks that have nothing to do with each other, and one lease. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/kube/lease_rules.h"

#define S NSEC_PER_SEC
#define ME SLICE("me")

static void see(struct lease_seen *s, const char *version, const char *holder,
                int64_t now)
{
    struct lease_record r = {slice_str(version), slice_str(holder), 15 * S, 3};

    lease_see(s, &r, now);
}

static void steps(void **state)
{
    struct lease_seen s;

    (void)state;
    lease_seen_init(&s);
    assert_int_equal(lease_next(&s, ME, 0), LEASE_READ);
    lease_see(&s, NULL, 1 * S);
    assert_int_equal(lease_next(&s, ME, 1 * S), LEASE_CREATE);
    see(&s, "1", "", 2 * S);
    assert_int_equal(lease_next(&s, ME, 2 * S), LEASE_TAKE);
    see(&s, "2", "me", 3 * S);
    assert_int_equal(lease_next(&s, ME, 3 * S), LEASE_RENEW);
    assert_int_equal(lease_next(&s, ME, 300 * S), LEASE_RENEW);
    see(&s, "3", "you", 400 * S);
    assert_int_equal(lease_next(&s, ME, 400 * S), LEASE_WAIT);
    lease_doubt(&s);
    assert_int_equal(lease_next(&s, ME, 401 * S), LEASE_READ);
    lease_seen_fini(&s);
}

static void only_what_stands_still_may_be_taken(void **state)
{
    struct lease_seen s;

    (void)state;
    lease_seen_init(&s);
    see(&s, "1", "you", 1000 * S);
    /* Seen again as it was: time runs from the first look. */
    for (int64_t t = 1001; t <= 1015; t++) {
        see(&s, "1", "you", t * S);
        assert_int_equal(lease_next(&s, ME, t * S), LEASE_WAIT);
    }
    assert_int_equal(lease_next(&s, ME, 1016 * S), LEASE_TAKE);
    /* At the last moment it was renewed after all. */
    see(&s, "2", "you", 1016 * S);
    assert_int_equal(lease_next(&s, ME, 1031 * S), LEASE_WAIT);
    /* Not knowing for a while does not make it younger. */
    lease_doubt(&s);
    see(&s, "2", "you", 1032 * S);
    assert_int_equal(lease_next(&s, ME, 1032 * S), LEASE_TAKE);
    lease_seen_fini(&s);
}

/* Whenever the renewal arrives, and whenever others look: they may not take it
 * while we believe that we lead. */
static void never_two(void **state)
{
    (void)state;
    for (int64_t travel = 0; travel < 10; travel++) {
        struct lease_seen other;
        int64_t sent = 100 * S, arrived = sent + travel * S;

        lease_seen_init(&other);
        see(&other, "1", "me", arrived); /* at once: the worst case */
        for (int64_t now = arrived; now < 140 * S; now += S / 10)
            if (lease_next(&other, SLICE("you"), now) == LEASE_TAKE)
                assert_true(now >= lease_good_until(sent, 15 * S) + 5 * S);
        lease_seen_fini(&other);
    }
}

static void reading(void **state)
{
    static const struct json_limits limits = {10000, 100};
    static const struct {
        const char *text;
        enum status rc;
        const char *holder;
        int64_t duration;
    } rows[] = {
        {"{\"metadata\":{\"resourceVersion\":\"1\"}}", OK, "", 0},
        {"{\"metadata\":{\"resourceVersion\":\"1\"},\"spec\":{"
         "\"holderIdentity\":\"x\",\"leaseDurationSeconds\":15}}",
         OK, "x", 15 * S},
        {"{\"metadata\":{}}", ERR_INVALID, "", 0},
        {"{\"metadata\":{\"resourceVersion\":\"\"}}", ERR_INVALID, "", 0},
        {"{\"metadata\":{\"resourceVersion\":\"1\"},\"spec\":{"
         "\"leaseDurationSeconds\":-1}}",
         ERR_INVALID, "", 0},
        {"{\"metadata\":{\"resourceVersion\":\"1\"},\"spec\":{"
         "\"leaseTransitions\":\"x\"}}",
         ERR_INVALID, "", 0},
        {"7", ERR_INVALID, "", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json_doc *doc = NULL;
        struct lease_record r;
        struct error e = {""};

        assert_int_equal(json_parse(slice_str(rows[i].text), &limits, &doc, &e),
                         OK);
        assert_int_equal(lease_read(json_root(doc), &r, &e), rows[i].rc);
        if (!rows[i].rc) {
            assert_true(slice_eq(r.holder, slice_str(rows[i].holder)));
            assert_int_equal(r.duration, rows[i].duration);
        }
        json_free(doc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps),
        cmocka_unit_test(only_what_stands_still_may_be_taken),
        cmocka_unit_test(never_two),
        cmocka_unit_test(reading),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
