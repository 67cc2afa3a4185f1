/* SPDX-License-Identifier: Apache-2.0 */
/* With names that every machine knows without asking anybody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/net/dns.h"

struct world {
    struct loop loop;
    struct timer limit;
    unsigned calls;
    enum status rc;
    struct address at[DNS_ADDRESSES_MAX];
    size_t n;
    char why[128];
};

static void on_answer(void *arg, enum status rc, const struct address *at,
                      size_t n, const char *why)
{
    struct world *w = arg;
    w->calls++;
    w->rc = rc;
    w->n = n;
    for (size_t i = 0; i < n; i++)
        w->at[i] = at[i];
    snprintf(w->why, sizeof w->why, "%s", why);
    loop_stop(&w->loop);
}

static void on_limit(struct timer *t)
{
    loop_stop(&CONTAINER_OF(t, struct world, limit)->loop);
}

static void setup(struct world *w, int64_t limit)
{
    struct error e;
    *w = (struct world){0};
    assert_int_equal(loop_init(&w->loop, 4, &e), OK);
    timer_init(&w->limit, on_limit);
    timer_set(&w->loop.timers, &w->limit, loop_now(&w->loop) + limit);
}

static void teardown(struct world *w)
{
    timer_stop(&w->loop.timers, &w->limit);
    loop_fini(&w->loop);
}

static void query(struct world *w, slice name)
{
    struct dns_query *q;
    assert_int_equal(dns_query(&q, &w->loop, name, 8443, on_answer, w), OK);
    loop_run(&w->loop);
    assert_int_equal(w->calls, 1);
}

static void test_name(void **state)
{
    struct world w;

    (void)state;
    setup(&w, 20 * NSEC_PER_SEC);
    query(&w, SLICE("localhost"));
    assert_int_equal(w.rc, OK);
    assert_true(w.n >= 1);
    for (size_t i = 0; i < w.n; i++) {
        assert_true(address_is_loopback(&w.at[i]));
        assert_int_equal(address_port(&w.at[i]), 8443);
    }
    assert_string_equal(w.why, "");
    teardown(&w);
}

static void test_literal(void **state)
{
    struct world w;
    char text[ADDRESS_TEXT];

    (void)state;
    setup(&w, 20 * NSEC_PER_SEC);
    query(&w, SLICE("192.0.2.7"));
    assert_int_equal(w.n, 1);
    assert_true(
        slice_eq(address_format(&w.at[0], text), SLICE("192.0.2.7:8443")));
    teardown(&w);
}

/* Refused by the resolver itself: no server is asked. */
static void test_no_name(void **state)
{
    struct world w;

    (void)state;
    setup(&w, 20 * NSEC_PER_SEC);
    query(&w, SLICE("bad..name"));
    assert_int_not_equal(w.rc, OK);
    assert_int_equal(w.n, 0);
    assert_true(w.why[0] != 0);
    teardown(&w);
}

static void test_bad(void **state)
{
    struct world w;
    struct dns_query *q;
    char name[DNS_NAME_MAX + 2];

    (void)state;
    setup(&w, NSEC_PER_SEC);
    memset(name, 'a', sizeof name);
    assert_int_equal(dns_query(&q, &w.loop, SLICE(""), 1, on_answer, &w),
                     ERR_INVALID);
    assert_int_not_equal(
        dns_query(&q, &w.loop, slice_of(name, sizeof name), 1, on_answer, &w),
        OK);
    assert_int_not_equal(
        dns_query(&q, &w.loop, slice_of("a\0b", 3), 1, on_answer, &w), OK);
    teardown(&w);
}

/* At every moment: at once, while the thread runs, with the post on its way.
 * The loop may go away directly afterwards. */
static void test_cancel(void **state)
{
    struct dns_query *q;

    (void)state;
    for (int i = 0; i < 200; i++) {
        struct world w;
        volatile int spin = 0;
        setup(&w, 1);
        assert_int_equal(
            dns_query(&q, &w.loop, SLICE("localhost"), 1, on_answer, &w), OK);
        while (spin < i * 2000)
            spin++;
        dns_cancel(q);
        if (i % 2)
            loop_run(&w.loop);
        teardown(&w);
        assert_int_equal(w.calls, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name),    cmocka_unit_test(test_literal),
        cmocka_unit_test(test_no_name), cmocka_unit_test(test_bad),
        cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
