/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/base64.h"

static void both_ways(void **state)
{
    /* RFC 4648, section 10 */
    static const char *const rows[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct text t;

        text_init(&t, 100);
        base64_encode(slice_str(rows[i][0]), &t);
        assert_string_equal(text_cstr(&t), rows[i][1]);
        text_clear(&t);
        assert_int_equal(base64_decode(slice_str(rows[i][1]), &t), OK);
        assert_string_equal(text_cstr(&t), rows[i][0]);
        text_fini(&t);
    }
}

static void every_byte(void **state)
{
    char all[256];
    struct text there, back;

    (void)state;
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    text_init(&there, 1000);
    text_init(&back, 1000);
    base64_encode(slice_of(all, 256), &there);
    assert_int_equal(base64_decode(text_slice(&there), &back), OK);
    assert_true(slice_eq(text_slice(&back), slice_of(all, 256)));
    text_fini(&there);
    text_fini(&back);
}

static void refused(void **state)
{
    static const char *const bad[] = {
        "Z",    "Zg",    "Zg=",  "Zg===",    "Zh==",     "Zm9=",  "Z===",
        "====", "Zm9v=", "Z g=", "Zg==Zg==", "Zm9v-_==", "Zm8=Zg"};
    struct text t;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        text_init(&t, 100);
        if (base64_decode(slice_str(bad[i]), &t) != ERR_INVALID)
            fail_msg("'%s' was taken", bad[i]);
        text_fini(&t);
    }
    text_init(&t, 2);
    assert_int_equal(base64_decode(SLICE("Zm9v"), &t), ERR_TOO_BIG);
    text_fini(&t);
    text_init(&t, 100);
    assert_int_equal(base64_decode(SLICE("Zm\r\n9v\n"), &t), OK);
    text_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways),
        cmocka_unit_test(every_byte),
        cmocka_unit_test(refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
