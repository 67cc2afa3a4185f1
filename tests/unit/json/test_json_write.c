/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "lib/json/json_build.h"
#include "lib/json/json_write.h"

static const struct json_limits limits = {1 << 20, 1000};

static void test_writes_commas_and_escapes(void **state UNUSED)
{
    struct json_write w;
    struct text t;

    text_init(&t, 1000);
    json_write_init(&w, &t);
    json_write_object(&w);
    json_member_string(&w, "s", SLICE("a\"\\\n\x01\xc3\xa9\xff"));
    json_member_text(&w, "left out", SLICE_NONE);
    json_member_int(&w, "i", -5);
    json_member_bool(&w, "b", false);
    json_write_name(&w, "list");
    json_write_array(&w);
    json_write_object(&w);
    json_write_object_end(&w);
    json_write_array(&w);
    json_write_array_end(&w);
    json_write_null(&w);
    json_write_raw(&w, SLICE("[1]"));
    json_write_array_end(&w);
    json_write_name_slice(&w, SLICE("q\""));
    json_write_double(&w, 0.1);
    json_write_object_end(&w);
    assert_string_equal(text_cstr(&t),
                        "{\"s\":\"a\\\"\\\\\\n\\u0001\xc3\xa9\xef\xbf\xbd\","
                        "\"i\":-5,\"b\":false,\"list\":[{},[],null,[1]],"
                        "\"q\\\"\":0.1}");
    text_fini(&t);
}

static void test_counters_survive(void **state UNUSED)
{
    static const uint64_t values[] = {0,
                                      1,
                                      UINT64_C(9007199254740991),
                                      UINT64_C(9007199254740992),
                                      UINT64_C(9007199254740993),
                                      UINT64_MAX};

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct json_doc *doc;
        struct json_write w;
        struct text t;
        uint64_t n;
        text_init(&t, 100);
        json_write_init(&w, &t);
        json_write_u64(&w, values[i]);
        assert_int_equal(json_parse(text_slice(&t), &limits, &doc, NULL), OK);
        assert_int_equal(json_as_u64(json_root(doc), &n, NULL), OK);
        assert_true(n == values[i]);
        assert_int_equal(t.ptr[0] == '"', values[i] > UINT64_C(1) << 53);
        json_free(doc);
        text_fini(&t);
    }
}

static void test_doubles_survive(void **state UNUSED)
{
    struct json_write w;
    struct text t;

    text_init(&t, 1000);
    json_write_init(&w, &t);
    json_write_array(&w);
    json_write_double(&w, 1.0 / 3);
    json_write_double(&w, 1e21);
    json_write_double(&w, INFINITY);
    json_write_double(&w, NAN);
    json_write_array_end(&w);
    assert_string_equal(text_cstr(&t), "[0.33333333333333331,1e+21,null,null]");
    text_fini(&t);
}

static void test_a_document_writes_itself(void **state UNUSED)
{
    static const char text[] =
        "{\"a\":[1,2.5,-3,\"x\\n\",true,false,null],\"b\":{\"c\":{}},\"d\":[]}";
    struct json_doc *doc;
    struct json_write w;
    struct text t;

    assert_int_equal(json_parse(slice_str(text), &limits, &doc, NULL), OK);
    text_init(&t, 1000);
    json_write_init(&w, &t);
    json_write_value(&w, json_root(doc));
    assert_string_equal(text_cstr(&t), text);
    text_fini(&t);
    json_free(doc);
}

static void test_a_full_text_says_so(void **state UNUSED)
{
    struct json_write w;
    struct text t;

    text_init(&t, 10);
    json_write_init(&w, &t);
    json_write_string(&w, SLICE("0123456789"));
    assert_true(t.failed);
    text_fini(&t);
}

static void test_builds_with_lines(void **state UNUSED)
{
    struct json_build *b = json_build_new(SLICE("f.yaml"), &limits);
    struct json_doc *doc;
    struct error e;
    int64_t n;

    assert_int_equal(json_build_object(b, 1, &e), OK);
    assert_int_equal(json_build_name(b, SLICE("spec"), 2, &e), OK);
    assert_int_equal(json_build_array(b, 3, &e), OK);
    assert_int_equal(json_build_bool(b, true, 3, &e), OK);
    assert_int_equal(json_build_number(b, 7, 4, &e), OK);
    json_build_end(b);
    json_build_end(b);
    assert_int_equal(json_build_finish(b, &doc, &e), OK);
    json_build_free(b);
    assert_int_equal(json_line(json_get(json_root(doc), "spec")), 2);
    assert_int_equal(json_int(json_root(doc), "spec", 0, 1, &n, &e),
                     ERR_INVALID);
    assert_string_equal(
        e.text, "f.yaml:2: spec: expected a number from 0 to 1, not a list");
    assert_int_equal(
        json_as_int(json_first(json_get(json_root(doc), "spec")), 0, 1, &n, &e),
        ERR_INVALID);
    assert_string_equal(
        e.text, "f.yaml:3: spec[0]: expected a number from 0 to 1, not true");
    assert_int_equal(json_int(json_root(doc), "gone", 0, 1, &n, &e),
                     ERR_INVALID);
    assert_string_equal(e.text, "f.yaml:1: gone: missing");
    json_free(doc);
}

static void test_the_builder_has_limits(void **state UNUSED)
{
    const struct json_limits small = {4, 2};
    struct json_build *b = json_build_new(SLICE("f"), &small);
    struct error e;

    assert_int_equal(json_build_array(b, 1, &e), OK);
    assert_int_equal(json_build_string(b, SLICE("a\0b"), 1, &e), ERR_INVALID);
    assert_string_equal(e.text, "f:1: text that holds NUL");
    assert_int_equal(json_build_string(b, SLICE("abcde"), 2, &e), ERR_TOO_BIG);
    assert_string_equal(e.text, "f:2: too much text");
    assert_int_equal(json_build_string(b, SLICE("abcd"), 2, &e), OK);
    assert_int_equal(json_build_null(b, 3, &e), ERR_TOO_BIG);
    assert_string_equal(e.text, "f:3: too many values");
    json_build_free(b); /* unfinished */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_commas_and_escapes),
        cmocka_unit_test(test_counters_survive),
        cmocka_unit_test(test_doubles_survive),
        cmocka_unit_test(test_a_document_writes_itself),
        cmocka_unit_test(test_a_full_text_says_so),
        cmocka_unit_test(test_builds_with_lines),
        cmocka_unit_test(test_the_builder_has_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
