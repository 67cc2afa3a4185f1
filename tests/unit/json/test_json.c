/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/json/json.h"

static const struct json_limits limits = {1 << 20, 100000};

static struct json_doc *parsed(const char *text)
{
    struct json_doc *doc = NULL;
    struct error e = {""};

    if (json_parse(slice_str(text), &limits, &doc, &e))
        fail_msg("%s: %s", text, e.text);
    return doc;
}

static void refused(slice text, enum status rc, const char *sentence)
{
    struct json_doc *doc = NULL;
    struct error e = {""};

    assert_int_equal(json_parse(text, &limits, &doc, &e), rc);
    assert_null(doc);
    assert_string_equal(e.text, sentence);
}

static void test_accepts_every_kind_of_value(void **state UNUSED)
{
    static const char *const texts[] = {
        "null",
        " true ",
        "\tfalse\n",
        "0",
        "-0",
        "1.5e+10",
        "2E-3",
        "\"\"",
        "[]",
        "{}",
        "[ ]",
        "{ }",
        "[1,[2,[3]],{\"a\":[]}]",
        "{\"a\":1,\"b\":{\"a\":1}}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"",
        "\"\\ud83d\\ude00\"",
        "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        json_free(parsed(texts[i]));
}

static void test_refuses_what_is_not_json(void **state UNUSED)
{
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        {"", "line 1, column 1: expected a value"},
        {"{}x", "line 1, column 3: expected nothing more"},
        {"{} {}", "line 1, column 4: expected nothing more"},
        {"[1,]", "line 1, column 4: expected a value"},
        {"[,1]", "line 1, column 2: expected a value or ']'"},
        {"[1 2]", "line 1, column 4: expected ',' or the closing bracket"},
        {"[1}", "line 1, column 3: expected ',' or the closing bracket"},
        {"{\"a\":1]", "line 1, column 7: expected ',' or the closing bracket"},
        {"[", "line 1, column 2: expected a value or ']'"},
        {"{\"a\":1,}", "line 1, column 8: expected a name in quotes"},
        {"{a:1}", "line 1, column 2: expected a name in quotes or '}'"},
        {"{\"a\" 1}", "line 1, column 6: expected ':'"},
        {"{\"a\":}", "line 1, column 6: expected a value"},
        {"\n\n  tru", "line 3, column 3: expected a value"},
        {"01", "line 1, column 2: a number may not start with 0"},
        {"-", "line 1, column 2: expected a digit"},
        {"1.", "line 1, column 3: expected a digit"},
        {".5", "line 1, column 1: expected a value"},
        {"+1", "line 1, column 1: expected a value"},
        {"1e", "line 1, column 3: expected a digit"},
        {"NaN", "line 1, column 1: expected a value"},
        {"\"a", "line 1, column 3: a string without its closing quote"},
        {"\"\\x\"", "line 1, column 3: an escape that JSON does not know"},
        {"\"\\u12g4\"", "line 1, column 4: expected four hexadecimal digits"},
        {"\"a\tb\"", "line 1, column 3: a control character in a string"},
        {"\"\\u0000\"", "line 1, column 8: a string may not hold NUL"},
        {"\"\\ud800\"", "line 1, column 8: half of a surrogate pair"},
        {"\"\\ude00\\ud83d\"", "line 1, column 8: half of a surrogate pair"},
        {"\"\\ud83d\\u0041\"", "line 1, column 14: half of a surrogate pair"},
        {"\"\xff\"", "line 1, column 2: a string that is not UTF-8"},
        {"\"\xc0\x80\"", "line 1, column 2: a string that is not UTF-8"},
        {"\"\xed\xa0\x80\"", "line 1, column 2: a string that is not UTF-8"},
        {"\xef\xbb\xbf{}", "line 1, column 1: expected a value"},
        {"// x\n1", "line 1, column 1: expected a value"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(slice_str(cases[i].text), ERR_INVALID, cases[i].sentence);
    refused(SLICE("\"a\0b\""), ERR_INVALID,
            "line 1, column 3: a control character in a string");
    refused(SLICE("{}\0"), ERR_INVALID,
            "line 1, column 3: expected nothing more");
    refused(SLICE_NONE, ERR_INVALID, "line 1, column 1: expected a value");
}

static void test_refuses_a_name_given_twice(void **state UNUSED)
{
    struct text many;

    refused(SLICE("{\"a\":1,\"b\":2,\"a\":3}"), ERR_INVALID, "a: given twice");
    refused(SLICE("[0,{\"x\":{\"a.b\":1,\"a\\u002eb\":2}}]"), ERR_INVALID,
            "[1].x[\"a.b\"]: given twice");
    text_init(&many, 1 << 20);
    text_add(&many, SLICE("{"));
    for (int i = 0; i < 40; i++)
        text_printf(&many, "\"n%d\":%d,", i, i);
    text_add(&many, SLICE("\"n7\":0}"));
    refused(text_slice(&many), ERR_INVALID, "n7: given twice");
    text_fini(&many);
}

static void add_many(struct text *t, const char *what, int n)
{
    for (int i = 0; i < n; i++)
        text_add(t, slice_str(what));
}

static void test_limits(void **state UNUSED)
{
    const struct json_limits small = {100, 3};
    struct json_doc *doc = NULL;
    struct text t;
    struct error e;

    text_init(&t, 1 << 20);
    add_many(&t, "[", JSON_DEPTH_MAX);
    add_many(&t, "]", JSON_DEPTH_MAX);
    json_free(parsed(text_cstr(&t)));
    text_clear(&t);
    add_many(&t, "[", JSON_DEPTH_MAX + 1);
    refused(text_slice(&t), ERR_TOO_BIG,
            "line 1, column 65: more than 64 levels deep");
    text_clear(&t);
    add_many(&t, "9", 61);
    refused(text_slice(&t), ERR_TOO_BIG,
            "line 1, column 62: a number of more than 60 characters");
    add_many(&t, " ", 40);
    assert_int_equal(json_parse(text_slice(&t), &small, &doc, &e), ERR_TOO_BIG);
    assert_string_equal(e.text, "101 bytes, of at most 100");
    assert_int_equal(json_parse(SLICE("[1,2,3]"), &small, &doc, &e),
                     ERR_TOO_BIG);
    assert_string_equal(e.text, "line 1, column 6: too many values");
    assert_int_equal(json_parse(SLICE("[1,2]"), &small, &doc, &e), OK);
    json_free(doc);
    text_fini(&t);
}

static void test_walks(void **state UNUSED)
{
    struct json_doc *doc = parsed("{\"a\":[1,2,3],\"b\":null,\"c\":{}}");
    struct json root = json_root(doc), i;
    int64_t sum = 0, n;
    struct text names;

    text_init(&names, 100);
    for (i = json_first(root); json_present(i); i = json_next(i))
        text_add(&names, json_name(i));
    assert_string_equal(text_cstr(&names), "abc");
    text_fini(&names);
    for (i = json_first(json_get(root, "a")); json_present(i);
         i = json_next(i)) {
        assert_int_equal(json_as_int(i, 0, 9, &n, NULL), OK);
        assert_true(slice_empty(json_name(i)));
        sum += n;
    }
    assert_int_equal(sum, 6);
    assert_int_equal(json_count(json_get(root, "a")), 3);
    assert_int_equal(json_count(json_get(root, "c")), 0);
    assert_int_equal(json_type(json_get(root, "b")), JSON_NULL);
    assert_int_equal(json_type(json_get(root, "d")), JSON_ABSENT);
    /* Absent values are walked like present ones. */
    i = json_get(json_get(json_get(root, "x"), "y"), "z");
    assert_false(json_present(json_next(json_first(i))));
    assert_int_equal(json_count(i), 0);
    assert_int_equal(json_line(root), 0);
    json_free(doc);
}

static const char spec[] =
    "{\"spec\":{\"host\":\"h\",\"on\":true,\"none\":null,\"list\":[1],"
    "\"ports\":[{\"port\":80},{\"port\":443},{\"port\":\"http\"}],"
    "\"labels\":{\"a.b/c\":7},\"big\":1e300,\"half\":0.5,"
    "\"count\":\"18446744073709551615\",\"exact\":9007199254740992}}";

static void test_getters(void **state UNUSED)
{
    struct json_doc *doc = parsed(spec);
    struct json s = json_get(json_root(doc), "spec"), v;
    uint64_t u = 0;
    int64_t n = 0;
    double d = 0;
    bool b = false;
    slice t;

    assert_int_equal(json_string(s, "host", &t, NULL), OK);
    assert_true(slice_eq(t, SLICE("h")));
    assert_int_equal(json_bool(s, "on", &b, NULL), OK);
    assert_true(b);
    assert_int_equal(json_array(s, "list", &v, NULL), OK);
    assert_int_equal(json_object(s, "labels", &v, NULL), OK);
    assert_int_equal(json_int(v, "a.b/c", 7, 7, &n, NULL), OK);
    assert_int_equal(n, 7);
    assert_int_equal(json_as_double(json_get(s, "half"), &d, NULL), OK);
    assert_true(d == 0.5);
    assert_int_equal(json_u64(s, "count", &u, NULL), OK);
    assert_true(u == UINT64_MAX);
    assert_int_equal(json_u64(s, "exact", &u, NULL), OK);
    assert_true(u == UINT64_C(9007199254740992));
    json_free(doc);
}

#define SENTENCE(call, sentence)                 \
    do {                                         \
        struct error e = {""};                   \
        assert_int_equal((call), ERR_INVALID);   \
        assert_string_equal(e.text, (sentence)); \
    } while (0)

static void test_sentences_name_the_path(void **state UNUSED)
{
    struct json_doc *doc = parsed(spec);
    struct json s = json_get(json_root(doc), "spec"), v;
    struct json port = json_next(json_next(json_first(json_get(s, "ports"))));
    uint64_t u;
    int64_t n;
    double d;
    bool b;
    slice t;

    SENTENCE(json_int(port, "port", 1, 65535, &n, &e),
             "spec.ports[2].port: expected a number from 1 to 65535, not "
             "\"http\"");
    SENTENCE(json_int(s, "big", 1, 9, &n, &e),
             "spec.big: expected a number from 1 to 9, not 1e+300");
    SENTENCE(json_int(s, "half", 0, 9, &n, &e),
             "spec.half: expected a number from 0 to 9, not 0.5");
    SENTENCE(
        json_int(s, "exact", 0, 9, &n, &e),
        "spec.exact: expected a number from 0 to 9, not 9.00719925474099e+15");
    SENTENCE(json_string(s, "gone", &t, &e), "spec.gone: missing");
    SENTENCE(json_string(s, "none", &t, &e), "spec.none: missing");
    SENTENCE(json_string(s, "on", &t, &e),
             "spec.on: expected a string, not true");
    SENTENCE(json_bool(s, "host", &b, &e),
             "spec.host: expected true or false, not \"h\"");
    SENTENCE(json_array(s, "labels", &v, &e),
             "spec.labels: expected a list, not an object");
    SENTENCE(json_object(s, "list", &v, &e),
             "spec.list: expected an object, not a list");
    SENTENCE(json_string(json_get(s, "labels"), "a.b/c", &t, &e),
             "spec.labels[\"a.b/c\"]: expected a string, not 7");
    SENTENCE(json_u64(s, "half", &u, &e),
             "spec.half: expected a count, not 0.5");
    SENTENCE(json_u64(s, "host", &u, &e),
             "spec.host: expected a count, not \"h\"");
    SENTENCE(json_as_double(s, &d, &e),
             "spec: expected a number, not an object");
    SENTENCE(json_as_string(json_root(doc), &t, &e),
             "expected a string, not an object");
    SENTENCE(json_string(json_get(s, "host"), "x", &t, &e),
             "spec.host: expected an object, not \"h\"");
    SENTENCE(json_opt_string(json_get(s, "host"), "x", &t, &e),
             "spec.host: expected an object, not \"h\"");
    SENTENCE(json_string(json_get(s, "gone"), "x", &t, &e), "x: missing");
    SENTENCE(json_error(port, ERR_INVALID, &e, "no %s", "luck"),
             "spec.ports[2]: no luck");
    json_free(doc);
}

static void test_optional_members_keep_the_default(void **state UNUSED)
{
    struct json_doc *doc = parsed(spec);
    struct json s = json_get(json_root(doc), "spec"), v;
    slice t = SLICE("default");
    uint64_t u = 6;
    int64_t n = 5;
    bool b = true;

    assert_int_equal(json_opt_string(s, "none", &t, NULL), OK);
    assert_true(slice_eq(t, SLICE("default")));
    assert_int_equal(json_opt_int(s, "gone", 0, 1, &n, NULL), OK);
    assert_int_equal(n, 5);
    assert_int_equal(json_opt_u64(s, "gone", &u, NULL), OK);
    assert_int_equal(u, 6);
    assert_int_equal(json_opt_bool(s, "gone", &b, NULL), OK);
    assert_true(b);
    assert_int_equal(json_opt_array(s, "gone", &v, NULL), OK);
    assert_false(json_present(v));
    assert_int_equal(json_opt_object(s, "labels", &v, NULL), OK);
    assert_true(json_present(v));
    assert_int_equal(json_opt_bool(json_get(s, "gone"), "x", &b, NULL), OK);
    SENTENCE(json_opt_bool(s, "host", &b, &e),
             "spec.host: expected true or false, not \"h\"");
    json_free(doc);
}

static void test_long_values_are_cut_in_sentences(void **state UNUSED)
{
    char text[600] = "{\"k\":\"";
    struct json_doc *doc;
    struct error e = {""};
    bool b;

    memset(text + 6, 'x', 500);
    memcpy(text + 506, "\"}", 3);
    doc = parsed(text);
    assert_int_equal(json_bool(json_root(doc), "k", &b, &e), ERR_INVALID);
    assert_true(strlen(e.text) < 120);
    assert_true(slice_ends(slice_str(e.text), SLICE("xxx...")));
    json_free(doc);
}

static void test_memory_is_counted(void **state UNUSED)
{
    size_t before = mem_used();
    struct json_doc *doc = parsed("[1,2,3,4,5,6,7,8]");

    assert_true(mem_used() >= before + 9 * 64);
    json_free(doc);
    assert_int_equal(mem_used(), before);
}

static void test_defused(void **state)
{
    static const struct {
        const char *text, *want;
    } t[] = {
        {"[\"plain\"]", "plain"},
        {"[\"\\u0000\"]", "\xef\xbf\xbd"},
        {"[\"a\\u0000\\u0000b\"]", "a\xef\xbf\xbd\xef\xbf\xbd"
                                   "b"},
        {"[\"\\\\u0000\"]", "\\u0000"},
        {"[\"\\\\\\u0000\"]", "\\\xef\xbf\xbd"},
    };
    struct json_doc *doc = NULL;
    struct error e;
    slice got;

    (void)state;
    for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
        assert_int_equal(
            json_parse_defused(slice_str(t[i].text), &limits, &doc, &e), OK);
        assert_int_equal(json_as_string(json_first(json_root(doc)), &got, &e),
                         OK);
        assert_int_equal(got.len, strlen(t[i].want));
        assert_memory_equal(got.ptr, t[i].want, got.len);
        json_free(doc);
    }
    assert_int_equal(json_parse_defused(SLICE("[\"\\u0000"), &limits, &doc, &e),
                     ERR_INVALID);
    assert_int_equal(json_parse_defused(SLICE("\\"), &limits, &doc, &e),
                     ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts_every_kind_of_value),
        cmocka_unit_test(test_refuses_what_is_not_json),
        cmocka_unit_test(test_refuses_a_name_given_twice),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_walks),
        cmocka_unit_test(test_getters),
        cmocka_unit_test(test_sentences_name_the_path),
        cmocka_unit_test(test_optional_members_keep_the_default),
        cmocka_unit_test(test_long_values_are_cut_in_sentences),
        cmocka_unit_test(test_memory_is_counted),
        cmocka_unit_test(test_defused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
