/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/list.h"

struct item {
    int n;
    struct list link;
};

static void sums_to(struct list *l, int want)
{
    int got = 0;

    LIST_EACH(node, l)
        got = got * 10 + CONTAINER_OF(node, struct item, link)->n;
    assert_int_equal(got, want);
}

static void links(void **state)
{
    struct item a = {.n = 1}, b = {.n = 2}, c = {.n = 3};
    struct list l = LIST_INIT(l), other;

    (void)state;
    assert_null(list_pop_front(&l));
    list_push_back(&l, &b.link);
    list_push_back(&l, &c.link);
    list_push_front(&l, &a.link);
    sums_to(&l, 123);
    list_remove(&b.link);
    list_remove(&b.link);
    sums_to(&l, 13);
    list_take(&other, &l);
    assert_true(list_empty(&l));
    sums_to(&other, 13);
    list_take(&other, &l);
    assert_true(list_empty(&other));
    list_push_back(&l, &b.link);
    LIST_EACH(node, &l)
        list_remove(node);
    assert_true(list_empty(&l));
    list_push_back(&l, &b.link);
    assert_ptr_equal(list_pop_front(&l), &b.link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
