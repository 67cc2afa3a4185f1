/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/vec.h"

static void pushes(void **state)
{
    size_t before = mem_used();
    VEC(uint64_t) v = {0};

    (void)state;
    for (uint64_t i = 0; i < 1000; i++)
        VEC_PUSH(&v, i * i);
    assert_int_equal(v.len, 1000);
    assert_int_equal(v.cap, 1024);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(v.at[i], i * i);
    v.at = vec_grow(v.at, &v.cap, 3000, sizeof *v.at);
    assert_int_equal(v.cap, 4096);
    assert_int_equal(v.at[999], 999 * 999);
    VEC_FINI(&v);
    assert_null(v.at);
    assert_int_equal(mem_used(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pushes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
