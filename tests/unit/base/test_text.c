/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"

static void grows(void **state)
{
    struct text t;
    size_t len;
    char *out;

    (void)state;
    text_init(&t, 1000);
    assert_string_equal(text_cstr(&t), "");
    text_add(&t, SLICE_NONE);
    assert_null(t.ptr);
    text_add(&t, SLICE("ab"));
    text_add_char(&t, 'c');
    text_printf(&t, "-%d", 42);
    text_printf(&t, "%s", "");
    assert_string_equal(text_cstr(&t), "abc-42");
    for (int i = 0; i < 99; i++)
        text_printf(&t, "%04d ", i);
    assert_int_equal(t.len, 6 + 99 * 5);
    assert_false(t.failed);
    out = text_take(&t, &len);
    assert_int_equal(len, 6 + 99 * 5);
    assert_int_equal(out[len], 0);
    assert_memory_equal(out + len - 5, "0098 ", 5);
    mem_free(out);
    assert_null(t.ptr);
    mem_free(text_take(&t, &len));
    assert_int_equal(len, 0);
}

static void stops_at_the_limit(void **state)
{
    struct text t;

    (void)state;
    text_init(&t, 5);
    text_add(&t, SLICE("abcde"));
    assert_false(t.failed);
    text_add_char(&t, 'f');
    assert_true(t.failed);
    assert_string_equal(text_cstr(&t), "abcde");
    text_clear(&t);
    assert_false(t.failed);
    text_printf(&t, "%s", "abc");
    text_printf(&t, "%s", "defg");
    assert_true(t.failed);
    assert_string_equal(text_cstr(&t), "abcde");
    text_printf(&t, "%s", "x");
    assert_string_equal(text_cstr(&t), "abcde");
    text_fini(&t);
    text_init(&t, 0);
    text_printf(&t, "x");
    text_add_json(&t, SLICE("\n"));
    assert_true(t.failed);
    assert_int_equal(t.len, 0);
    text_fini(&t);
}

static void json_is(slice in, const char *want)
{
    struct text t;

    text_init(&t, 1000);
    text_add_json(&t, in);
    assert_string_equal(text_cstr(&t), want);
    text_fini(&t);
}

#define BAD "\xef\xbf\xbd"

static void escapes_json(void **state)
{
    (void)state;
    json_is(SLICE("a\"b\\c/\n\r\t\b\f\x01\x7f"),
            "a\\\"b\\\\c/\\n\\r\\t\\b\\f\\u0001\\u007f");
    json_is(SLICE("\0x"), "\\u0000x");
    json_is(SLICE("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"),
            "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
    json_is(SLICE("\xff"), BAD);
    json_is(SLICE("\xc3"), BAD);         /* cut */
    json_is(SLICE("\xc0\xaf"), BAD BAD); /* overlong */
    json_is(SLICE("\xe0\x80\xaf"), BAD BAD BAD);
    json_is(SLICE("\xed\xa0\x80"), BAD BAD BAD); /* surrogate */
    json_is(SLICE("\xf4\x90\x80\x80"), BAD BAD BAD BAD);
    json_is(SLICE("\xc3(\""), BAD "(\\\"");
}

/* What a key was in is wiped: when it grows, too, it is another block. */
static void a_secret_grows(void **state)
{
    struct text t;

    (void)state;
    text_init_secret(&t, 1000);
    text_fini(&t);
    for (int i = 0; i < 100; i++)
        text_printf(&t, "%04d ", i);
    assert_true(t.secret);
    assert_int_equal(t.len, 500);
    assert_memory_equal(t.ptr, "0000 0001 ", 10);
    assert_memory_equal(t.ptr + 495, "0099 ", 5);
    text_fini(&t);
    assert_true(t.secret);
    assert_null(t.ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_grows),
        cmocka_unit_test(grows),
        cmocka_unit_test(stops_at_the_limit),
        cmocka_unit_test(escapes_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
