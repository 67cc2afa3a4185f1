/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/shared.h"

static void last_reference_frees(void **state)
{
    struct shared s;

    (void)state;
    shared_init(&s);
    shared_ref(&s);
    assert_false(shared_unref(&s));
    assert_true(shared_unref(&s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(last_reference_frees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
