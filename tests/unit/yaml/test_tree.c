/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/json/json_write.h"
#include "lib/yaml/tree.h"

static void json_is(const char *text, const char *want)
{
    const struct yaml_part part = {slice_str(text), 1};
    struct yaml_tree *t = NULL;
    struct json_doc *doc = NULL;
    struct json_write w;
    struct error e = {""};
    struct text out;

    if (yaml_tree_read(&part, SLICE("f"), &t, &e) ||
        yaml_tree_json(t, &doc, &e))
        fail_msg("%s", e.text);
    text_init(&out, 1 << 20);
    json_write_init(&w, &out);
    json_write_value(&w, json_root(doc));
    assert_string_equal(text_cstr(&out), want);
    text_fini(&out);
    json_free(doc);
    yaml_tree_free(t);
}

static void refused(const char *text, const char *sentence)
{
    const struct yaml_part part = {slice_str(text), 10};
    struct yaml_tree *t = NULL;
    struct json_doc *doc = NULL;
    struct error e = {""};

    if (!yaml_tree_read(&part, SLICE("f"), &t, &e) &&
        !yaml_tree_json(t, &doc, &e))
        fail_msg("'%s' taken", text);
    if (!strstr(e.text, sentence))
        fail_msg("%s", e.text);
    yaml_tree_free(t);
}

static void test_aliases(void **state)
{
    (void)state;
    json_is("a: &x 1\nb: *x\n", "{\"a\":1,\"b\":1}");
    json_is("a: &x {c: [1, 2]}\nb: [*x, *x]\n",
            "{\"a\":{\"c\":[1,2]},\"b\":[{\"c\":[1,2]},{\"c\":[1,2]}]}");
    json_is("a: &x 1\nb: *x\nc: &x 2\nd: *x\n",
            "{\"a\":1,\"b\":1,\"c\":2,\"d\":2}");
}

static void test_merge_keys(void **state)
{
    (void)state;
    json_is("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\n",
            "{\"a\":{\"p\":1,\"q\":2},\"b\":{\"q\":3,\"p\":1}}");
    json_is("a: &x {p: 1}\nb: &y {p: 2, q: 2}\nc: {<<: [*x, *y]}\n",
            "{\"a\":{\"p\":1},\"b\":{\"p\":2,\"q\":2},"
            "\"c\":{\"p\":1,\"q\":2}}");
    json_is("a: &x {p: 1}\nb: &y {<<: *x, q: 2}\nc: {<<: *y}\n",
            "{\"a\":{\"p\":1},\"b\":{\"q\":2,\"p\":1},"
            "\"c\":{\"q\":2,\"p\":1}}");
    json_is("a: {\"<<\": 1}\n", "{\"a\":{\"<<\":1}}");
}

static void test_refused(void **state)
{
    (void)state;
    refused("a: *x\n", "f:10:4: an alias of what is not there");
    refused("a: &x [*x]\n", "f:10:8: an alias inside of what it stands for");
    refused("\n{a: b}: c\n", "f:11:1: a key that is not a scalar");
    refused("a: &x 1\nb: {<<: *x}\n", "f:11: << of what is no mapping");
    refused("a: !x b\n", "f:10: tags other than !!str");
    refused("a: b\na: c\n", "given twice");
}

/* A part of a text knows its lines in the whole. */
static void test_parts(void **state)
{
    const slice text = SLICE("# one\na: 1\n---\nb: 2\n--- # three\n\nc: [\n");
    const slice good = SLICE("# one\na: 1\n---\nb: 2\n...\n--- # three\n");
    struct yaml_parts parts;
    struct error e;

    (void)state;
    assert_int_equal(yaml_split(text, SLICE("f"), &parts, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "f:8:1: "));
    yaml_parts_fini(&parts);
    assert_int_equal(yaml_split(good, SLICE("f"), &parts, &e), OK);
    assert_int_equal(parts.len, 3);
    assert_true(slice_eq(parts.at[0].text, SLICE("# one\na: 1\n")));
    assert_true(slice_eq(parts.at[1].text, SLICE("---\nb: 2\n...\n")));
    assert_int_equal(parts.at[1].line, 3);
    assert_true(slice_eq(parts.at[2].text, SLICE("--- # three\n")));
    assert_int_equal(parts.at[2].line, 6);
    yaml_parts_fini(&parts);
}

static void test_places(void **state)
{
    const struct yaml_part part = {
        SLICE("\xef\xbb\xbf"
              "\xc3\xa9: x\nl:\n- {k: \xe6\x97\xa5}\n-   m: n\n"),
        1};
    struct yaml_tree *t = NULL;
    const struct yaml_node *n;
    struct error e;
    uint32_t list;

    (void)state;
    assert_int_equal(yaml_tree_read(&part, SLICE("f"), &t, &e), OK);
    n = yaml_node(t, yaml_member(t, t->root, SLICE("\xc3\xa9")));
    assert_int_equal(n->key_start, 3);
    assert_true(slice_eq(slice_sub(t->text, n->start, n->end), SLICE("x")));
    list = yaml_member(t, t->root, SLICE("l"));
    n = yaml_node(t, yaml_node(t, list)->first);
    assert_true(n->flow);
    assert_true(slice_eq(slice_sub(t->text, n->start, n->end),
                         SLICE("{k: \xe6\x97\xa5}")));
    assert_int_equal(t->text.ptr[n->dash], '-');
    n = yaml_node(t, n->next);
    assert_int_equal(t->text.ptr[n->dash], '-');
    assert_true(slice_eq(slice_sub(t->text, n->start, n->end), SLICE("m: n")));
    assert_int_equal(n->line, 4);
    yaml_tree_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aliases), cmocka_unit_test(test_merge_keys),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_parts),
        cmocka_unit_test(test_places),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
