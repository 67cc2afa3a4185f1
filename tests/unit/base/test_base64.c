/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/base64.h"

/* RFC 4648 section 10, and bytes above 127. */
static const struct {
    const char *bytes, *text;
} pairs[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
    {"\xff\xfe\xfd", "//79"},
    {"\xfb\xef\xbe", "++++"},
};

static void both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct text t;

        text_init(&t, 100);
        text_add(&t, SLICE("x"));
        base64_encode(slice_str(pairs[i].bytes), &t);
        assert_string_equal(text_cstr(&t) + 1, pairs[i].text);
        text_clear(&t);
        assert_int_equal(base64_decode(slice_str(pairs[i].text), &t), OK);
        assert_true(slice_eq(text_slice(&t), slice_str(pairs[i].bytes)));
        text_fini(&t);
    }
}

static void one_spelling_only(void **state)
{
    static const char *const bad[] = {
        "Z",        "Zg",   "Zg=",    "Zg===",    "Zh==", "Zm9=",
        "Zm8=Zm8=", "=m9v", "Zm9v\n", "Zm 9v===", "Zm-_", "Zg=a",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct text t;

        text_init(&t, 100);
        text_add(&t, SLICE("kept"));
        assert_int_equal(base64_decode(slice_str(bad[i]), &t), ERR_INVALID);
        assert_string_equal(text_cstr(&t), "kept");
        text_fini(&t);
    }
}

static void the_limit_of_the_text_holds(void **state)
{
    struct text t;

    (void)state;
    text_init(&t, 5);
    base64_encode(SLICE("foobar"), &t);
    assert_true(t.failed);
    text_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways),
        cmocka_unit_test(one_spelling_only),
        cmocka_unit_test(the_limit_of_the_text_holds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
