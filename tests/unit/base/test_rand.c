/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/rand.h"

static void repeats_a_seed(void **state)
{
    struct rand a, b, c;

    (void)state;
    rand_seed(&a, 42);
    rand_seed(&b, 42);
    rand_seed(&c, 43);
    for (int i = 0; i < 100; i++) {
        uint64_t n = rand_u64(&a);
        assert_true(n == rand_u64(&b));
        assert_true(n != rand_u64(&c));
    }
    rand_seed_random(&a);
    rand_seed_random(&b);
    assert_true(rand_u64(&a) != rand_u64(&b));
}

/* The first numbers of the published generator for the state 1, 2, 3, 4. */
static void is_xoshiro(void **state)
{
    struct rand r = {{1, 2, 3, 4}};

    (void)state;
    assert_true(rand_u64(&r) == 11520);
    assert_true(rand_u64(&r) == 0);
    assert_true(rand_u64(&r) == 1509978240);
    assert_true(rand_u64(&r) == UINT64_C(1215971899390074240));
}

static void stays_in_range(void **state)
{
    int counts[3] = {0};
    struct rand r;

    (void)state;
    rand_seed(&r, 1);
    for (int i = 0; i < 30000; i++) {
        double unit = rand_unit(&r);
        int64_t spread = rand_jitter(&r, 1000, 0.2);

        counts[rand_below(&r, 3)]++;
        assert_true(unit >= 0 && unit < 1);
        assert_true(spread >= 800 && spread <= 1200);
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(counts[i], 9500, 10500);
    assert_int_equal(rand_below(&r, 1), 0);
    assert_int_equal(rand_jitter(&r, 500, 0), 500);
    assert_true(rand_below(&r, UINT64_MAX) < UINT64_MAX);
    for (int i = 0; i < 100; i++)
        assert_true(rand_jitter(&r, INT64_MAX, 1) >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repeats_a_seed),
        cmocka_unit_test(is_xoshiro),
        cmocka_unit_test(stays_in_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
