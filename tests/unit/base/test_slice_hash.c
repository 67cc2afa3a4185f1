/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/slice.h"

static void depends_on_every_byte_and_the_length(void **state)
{
    char a[40] = {0};

    (void)state;
    for (size_t len = 1; len <= sizeof a; len++) {
        uint64_t plain = slice_hash(slice_of(a, len));

        assert_true(plain == slice_hash(slice_of(a, len)));
        assert_true(plain != slice_hash(slice_of(a, len - 1)));
        for (size_t i = 0; i < len; i++) {
            a[i] = 1;
            assert_true(plain != slice_hash(slice_of(a, len)));
            a[i] = 0;
        }
    }
    assert_true(slice_hash(SLICE_NONE) == slice_hash(SLICE("")));
}

/* All bytes at all places in a word: equal hash exactly when equal without
 * case. */
static void ignores_ascii_case_only(void **state)
{
    (void)state;
    for (size_t at = 0; at < 11; at++) {
        for (int c = 0; c < 256; c++) {
            char a[11], b[11];

            memset(a, 'x', sizeof a);
            memset(b, 'X', sizeof b);
            a[at] = (char)c;
            b[at] = (char)(c ^ 0x20);
            assert_int_equal(slice_eq_nocase(slice_of(a, 11), slice_of(b, 11)),
                             slice_hash_nocase(slice_of(a, 11)) ==
                                 slice_hash_nocase(slice_of(b, 11)));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(depends_on_every_byte_and_the_length),
        cmocka_unit_test(ignores_ascii_case_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
