/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controller/registry/dirty.h"

static void due_when_quiet_and_at_the_latest(void **state)
{
    struct dirty d;
    size_t i = 0, n = 0;
    slice key;

    (void)state;
    dirty_init(&d, 10, 100);
    assert_int_equal(dirty_due(&d), 0);
    dirty_add(&d, SLICE("a"), 1000);
    assert_int_equal(dirty_due(&d), 1010);
    dirty_add(&d, SLICE("a"), 1005);
    assert_int_equal(dirty_due(&d), 1015);
    dirty_add(&d, SLICE("b"), 1095);
    assert_int_equal(dirty_due(&d), 1100);
    while (dirty_next(&d, &i, &key))
        n++;
    assert_int_equal(n, 2);
    dirty_clear(&d);
    assert_int_equal(dirty_due(&d), 0);
    dirty_add(&d, SLICE("c"), 2000);
    assert_int_equal(dirty_due(&d), 2010);
    dirty_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(due_when_quiet_and_at_the_latest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
