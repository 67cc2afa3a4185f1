/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/slice.h"

#define assert_slice(s, text) assert_true(slice_eq((s), slice_str(text)))

static void compares(void **state)
{
    (void)state;
    assert_true(slice_eq(SLICE_NONE, SLICE("")));
    assert_true(slice_eq_nocase(SLICE("Host@[`{"), SLICE("hOST@[`{")));
    assert_false(slice_eq_nocase(SLICE("@"), SLICE("`")));
    assert_false(slice_eq_nocase(SLICE("\xc0"), SLICE("\xe0")));
    assert_true(slice_cmp(SLICE("a"), SLICE("ab")) < 0);
    assert_true(slice_cmp(SLICE("\xff"), SLICE("a")) > 0);
    assert_int_equal(slice_cmp(SLICE_NONE, SLICE_NONE), 0);
    assert_true(slice_starts(SLICE("abc"), SLICE("ab")));
    assert_false(slice_starts(SLICE("a"), SLICE("ab")));
    assert_true(slice_starts(SLICE_NONE, SLICE_NONE));
    assert_true(slice_ends(SLICE("abc"), SLICE("bc")));
    assert_false(slice_ends(SLICE("c"), SLICE("bc")));
    assert_true(slice_ends(SLICE_NONE, SLICE_NONE));
}

static void searches_and_cuts(void **state)
{
    slice a = SLICE("x"), b = SLICE("y");

    (void)state;
    assert_int_equal(slice_find(SLICE("a.b.c"), '.'), 1);
    assert_int_equal(slice_rfind(SLICE("a.b.c"), '.'), 3);
    assert_int_equal(slice_find(SLICE_NONE, '.'), -1);
    assert_slice(slice_sub(SLICE("hello"), 1, 3), "el");
    assert_slice(slice_sub(SLICE("hello"), 3, 99), "lo");
    assert_slice(slice_sub(SLICE("hello"), 9, 2), "");
    assert_slice(slice_trim(SLICE(" \t a b\t ")), "a b");
    assert_slice(slice_trim(SLICE(" \t ")), "");
    assert_false(slice_cut(SLICE("abc"), ':', &a, &b));
    assert_slice(a, "x");
    assert_slice(b, "y");
    assert_true(slice_cut(SLICE("a:b:c"), ':', &a, &b));
    assert_slice(a, "a");
    assert_slice(b, "b:c");
    assert_true(slice_rcut(SLICE("a:b:"), ':', &a, &b));
    assert_slice(a, "a:b");
    assert_slice(b, "");
}

static void walks_parts(void **state)
{
    slice rest = SLICE("a,,b"), part;

    (void)state;
    assert_true(slice_next(&rest, ',', &part));
    assert_slice(part, "a");
    assert_true(slice_next(&rest, ',', &part));
    assert_slice(part, "");
    assert_true(slice_next(&rest, ',', &part));
    assert_slice(part, "b");
    assert_false(slice_next(&rest, ',', &part));
    rest = SLICE("");
    assert_true(slice_next(&rest, ',', &part));
    assert_false(slice_next(&rest, ',', &part));
    rest = SLICE("a,");
    assert_true(slice_next(&rest, ',', &part));
    assert_true(slice_next(&rest, ',', &part));
    assert_slice(part, "");
    assert_false(slice_next(&rest, ',', &part));
}

static void copies_to_c_strings(void **state)
{
    char dst[4];

    (void)state;
    assert_int_equal(slice_to_cstr(SLICE("abc"), dst, sizeof dst), OK);
    assert_string_equal(dst, "abc");
    assert_int_equal(slice_to_cstr(SLICE("abcd"), dst, sizeof dst),
                     ERR_TOO_BIG);
    assert_int_equal(slice_to_cstr(SLICE("a\0c"), dst, sizeof dst),
                     ERR_INVALID);
    assert_int_equal(slice_to_cstr(SLICE_NONE, dst, sizeof dst), OK);
    assert_string_equal(dst, "");
    assert_int_equal(slice_to_cstr(SLICE_NONE, dst, 0), ERR_TOO_BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares),
        cmocka_unit_test(searches_and_cuts),
        cmocka_unit_test(walks_parts),
        cmocka_unit_test(copies_to_c_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
