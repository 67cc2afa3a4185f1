/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/slice.h"

static void reads_decimal(void **state)
{
    uint64_t n = 7;

    (void)state;
    assert_int_equal(slice_to_u64(SLICE("0"), 0, &n), OK);
    assert_int_equal(n, 0);
    assert_int_equal(slice_to_u64(SLICE("65535"), 65535, &n), OK);
    assert_int_equal(n, 65535);
    assert_int_equal(slice_to_u64(SLICE("65536"), 65535, &n), ERR_TOO_BIG);
    assert_int_equal(slice_to_u64(SLICE("9"), 5, &n), ERR_TOO_BIG);
    assert_int_equal(
        slice_to_u64(SLICE("18446744073709551615"), UINT64_MAX, &n), OK);
    assert_true(n == UINT64_MAX);
    assert_int_equal(
        slice_to_u64(SLICE("18446744073709551616"), UINT64_MAX, &n),
        ERR_TOO_BIG);
    assert_int_equal(slice_to_u64(SLICE(""), 9, &n), ERR_INVALID);
    assert_int_equal(slice_to_u64(SLICE_NONE, 9, &n), ERR_INVALID);
    assert_int_equal(slice_to_u64(SLICE("+1"), 9, &n), ERR_INVALID);
    assert_int_equal(slice_to_u64(SLICE("99x"), 9, &n), ERR_INVALID);
}

static void reads_hexadecimal(void **state)
{
    uint64_t n;

    (void)state;
    assert_int_equal(slice_to_hex64(SLICE("fFfF0000aAaA9999"), &n), OK);
    assert_true(n == UINT64_C(0xffff0000aaaa9999));
    assert_int_equal(slice_to_hex64(SLICE("00000000000000000"), &n),
                     ERR_TOO_BIG);
    assert_int_equal(slice_to_hex64(SLICE("0x1"), &n), ERR_INVALID);
    assert_int_equal(slice_to_hex64(SLICE(""), &n), ERR_INVALID);
}

static void reads_fractions(void **state)
{
    char many[301];
    double d;

    (void)state;
    assert_int_equal(slice_to_double(SLICE("0.25"), &d), OK);
    assert_true(d == 0.25);
    assert_int_equal(slice_to_double(SLICE("-2"), &d), OK);
    assert_true(d == -2);
    assert_int_equal(slice_to_double(SLICE("0.1"), &d), OK);
    assert_true(d == 0.1);
    assert_int_equal(slice_to_double(SLICE("1e3"), &d), ERR_INVALID);
    assert_int_equal(slice_to_double(SLICE("1.2.3"), &d), ERR_INVALID);
    assert_int_equal(slice_to_double(SLICE("-"), &d), ERR_INVALID);
    assert_int_equal(slice_to_double(SLICE("."), &d), ERR_INVALID);
    assert_int_equal(slice_to_double(SLICE("nan"), &d), ERR_INVALID);
    assert_int_equal(slice_to_double(SLICE(""), &d), ERR_INVALID);
    memset(many, '9', sizeof many);
    assert_int_equal(slice_to_double(slice_of(many, 301), &d), ERR_TOO_BIG);
    assert_int_equal(slice_to_double(slice_of(many, 300), &d), OK);
    assert_true(d > 1e299 && d < 1e301);
}

static void reads_durations(void **state)
{
    int64_t ns;

    (void)state;
    assert_int_equal(slice_to_duration(SLICE("250ms"), &ns), OK);
    assert_int_equal(ns, 250000000);
    assert_int_equal(slice_to_duration(SLICE("1h30m"), &ns), OK);
    assert_true(ns == INT64_C(5400000000000));
    assert_int_equal(slice_to_duration(SLICE("10us"), &ns), OK);
    assert_int_equal(ns, 10000);
    assert_int_equal(slice_to_duration(SLICE("0"), &ns), OK);
    assert_int_equal(ns, 0);
    assert_int_equal(slice_to_duration(SLICE(""), &ns), ERR_INVALID);
    assert_int_equal(slice_to_duration(SLICE("5"), &ns), ERR_INVALID);
    assert_int_equal(slice_to_duration(SLICE("s"), &ns), ERR_INVALID);
    assert_int_equal(slice_to_duration(SLICE("-1s"), &ns), ERR_INVALID);
    assert_int_equal(slice_to_duration(SLICE("5 s"), &ns), ERR_INVALID);
    assert_int_equal(slice_to_duration(SLICE("2562048h"), &ns), ERR_TOO_BIG);
    assert_int_equal(slice_to_duration(SLICE("2562047h2562047h"), &ns),
                     ERR_TOO_BIG);
}

static void reads_sizes(void **state)
{
    uint64_t n;

    (void)state;
    assert_int_equal(slice_to_size(SLICE("64Ki"), &n), OK);
    assert_int_equal(n, 65536);
    assert_int_equal(slice_to_size(SLICE("10k"), &n), OK);
    assert_int_equal(n, 10000);
    assert_int_equal(slice_to_size(SLICE("2Gi"), &n), OK);
    assert_true(n == UINT64_C(2) << 30);
    assert_int_equal(slice_to_size(SLICE("77"), &n), OK);
    assert_int_equal(n, 77);
    assert_int_equal(slice_to_size(SLICE("17179869184Gi"), &n), ERR_TOO_BIG);
    assert_int_equal(slice_to_size(SLICE("Ki"), &n), ERR_INVALID);
    assert_int_equal(slice_to_size(SLICE("1Kib"), &n), ERR_INVALID);
    assert_int_equal(slice_to_size(SLICE(""), &n), ERR_INVALID);
}

static void reads_switches(void **state)
{
    bool b = false;

    (void)state;
    assert_int_equal(slice_to_bool(SLICE("on"), &b), OK);
    assert_true(b);
    assert_int_equal(slice_to_bool(SLICE("False"), &b), OK);
    assert_false(b);
    assert_int_equal(slice_to_bool(SLICE("2"), &b), ERR_INVALID);
    assert_int_equal(slice_to_bool(SLICE(""), &b), ERR_INVALID);
}

/* Every short text over the bytes that matter: either refused or understood,
 * and never beyond the end (the sanitizer watches). */
static void takes_any_bytes(void **state)
{
    static const char bytes[] = "09.-mshuKiG\xff";
    const size_t kinds = sizeof bytes; /* the final 0 as well */
    size_t accepted = 0;

    (void)state;
    for (size_t i = 0; i < kinds * kinds * kinds * kinds; i++) {
        char *s = test_malloc(4);
        size_t code = i;
        int64_t ns;
        uint64_t n;
        double d;

        for (int j = 0; j < 4; j++, code /= kinds)
            s[j] = bytes[code % kinds];
        accepted += slice_to_duration(slice_of(s, 4), &ns) == OK;
        accepted += slice_to_size(slice_of(s, 4), &n) == OK;
        accepted += slice_to_double(slice_of(s, 4), &d) == OK;
        accepted += slice_to_u64(slice_of(s, 4), UINT64_MAX, &n) == OK;
        accepted += slice_to_hex64(slice_of(s, 4), &n) == OK;
        test_free(s);
    }
    assert_true(accepted > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_decimal),   cmocka_unit_test(reads_hexadecimal),
        cmocka_unit_test(reads_fractions), cmocka_unit_test(reads_durations),
        cmocka_unit_test(reads_sizes),     cmocka_unit_test(reads_switches),
        cmocka_unit_test(takes_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
