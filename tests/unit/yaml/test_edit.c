/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/yaml/edit.h"

static enum status edit(const char *text, enum yaml_change_kind kind,
                        const char *path, const char *value, struct text *out,
                        struct error *e)
{
    const struct yaml_part part = {slice_str(text), 1};
    const struct yaml_change change = {kind, slice_str(path), slice_str(value)};
    struct yaml_tree *t = NULL;
    enum status rc;

    text_init(out, 1 << 20);
    rc = yaml_tree_read(&part, SLICE("f"), &t, e);
    if (!rc)
        rc = yaml_edit(t, &change, 1, out, e);
    yaml_tree_free(t);
    return rc;
}

struct row {
    enum yaml_change_kind kind;
    const char *path, *value, *text, *want;
};

static const struct row rows[] = {
    /* members of a block */
    {YAML_ADD, "/b", "1", "a: x\n", "a: x\nb: 1\n"},
    {YAML_ADD, "/b", "1", "a: x # c\n# d\n", "a: x # c\nb: 1\n# d\n"},
    {YAML_ADD, "/b", "1", "a: x", "a: x\nb: 1\n"},
    {YAML_ADD, "/a/c", "\"t\"", "a:\n    b: x\nd: y\n",
     "a:\n    b: x\n    c: t\nd: y\n"},
    {YAML_ADD, "/b", "{\"c\":[1,{\"d\":2}],\"e\":{},\"f\":[]}", "a: x\n",
     "a: x\nb:\n  c:\n  - 1\n  - d: 2\n  e: {}\n  f: []\n"},
    {YAML_ADD, "/c", "[1]", "a:\n  - x\n", "a:\n  - x\nc:\n  - 1\n"},
    {YAML_ADD, "/c", "[1]", "a:\n- x\n", "a:\n- x\nc:\n- 1\n"},
    {YAML_ADD, "/0/b", "1", "- a: x\n- c\n", "- a: x\n  b: 1\n- c\n"},
    {YAML_ADD, "/b", "1", "a: |\n  x\n\n", "a: |\n  x\n\nb: 1\n"},
    {YAML_ADD, "/b", "1", "a: x\n---\n", NULL},
    {YAML_ADD, "/b", "1", "a: x\n...\n", "a: x\nb: 1\n...\n"},
    {YAML_ADD, "/b", "1", "a: x\r\n", "a: x\r\nb: 1\r\n"},
    {YAML_ADD, "/a~1b~0", "1", "c: d\n", "c: d\n\"a/b~\": 1\n"},
    /* of a flow */
    {YAML_ADD, "/b", "1", "{a: x}\n", "{a: x, \"b\": 1}\n"},
    {YAML_ADD, "/b", "1", "{}\n", "{\"b\": 1}\n"},
    {YAML_ADD, "/a/b", "1", "a: {}\n", "a:\n  b: 1\n"},
    {YAML_ADD, "/a/b", "1", "a: &x {}\n", "a: &x {\"b\": 1}\n"},
    {YAML_ADD, "/a/b", "1", "{a: {}}\n", "{a: {\"b\": 1}}\n"},
    {YAML_ADD, "/b", "{\"c\":1}", "{\n  \"a\": 1\n}\n",
     "{\n  \"a\": 1,\n  \"b\": {\n    \"c\": 1\n  }\n}\n"},
    /* what is there is replaced */
    {YAML_ADD, "/a", "2", "a: 1 # c\n", "a: 2 # c\n"},
    {YAML_ADD, "/a", "2", "a: # c\nb: 1\n", "a: 2 # c\nb: 1\n"},
    {YAML_ADD, "/a", "{\"b\":1}", "a: ~\nc: 1\n", "a:\n  b: 1\nc: 1\n"},
    {YAML_ADD, "/a", "{\"b\":1}", "a:\nc: 1\n", "a:\n  b: 1\nc: 1\n"},
    {YAML_REPLACE, "/a", "\"x y\"", "a: 'b'   # c\n", "a: \"x y\"   # c\n"},
    {YAML_REPLACE, "/a", "1", "a:\n  b: c\nd: e\n", "a: 1\nd: e\n"},
    {YAML_REPLACE, "/a", "{\"x\":1}", "a: # c\n    b: c\nd: e\n",
     "a: # c\n  x: 1\nd: e\n"},
    {YAML_REPLACE, "/a", "1", "a: |\n  x\n  y\nd: e\n", "a: 1\nd: e\n"},
    {YAML_REPLACE, "/0", "{\"b\":1,\"c\":2}", "- a: 1\n  x: 2\n- d\n",
     "- b: 1\n  c: 2\n- d\n"},
    {YAML_REPLACE, "/1", "{\"b\":1}", "- a\n-\n- c\n", "- a\n- b: 1\n- c\n"},
    {YAML_REPLACE, "/0", "1", "[a, b]\n", "[1, b]\n"},
    {YAML_REPLACE, "/a", "[1,2]", "{a: b, c: d}\n", "{a: [1,2], c: d}\n"},
    /* items */
    {YAML_ADD, "/0", "1", "- a\n- b\n", "- 1\n- a\n- b\n"},
    {YAML_ADD, "/1", "1", "- a\n# of b\n- b\n", "- a\n- 1\n# of b\n- b\n"},
    {YAML_ADD, "/2", "1", "- a\n- b # c\n", "- a\n- b # c\n- 1\n"},
    {YAML_ADD, "/-", "{\"x\":1,\"v\":2}", "- a", "- a\n- x: 1\n  v: 2\n"},
    {YAML_ADD, "/a/0", "{\"x\":1,\"v\":2}", "a:\n    # d\n    - b\nc: d\n",
     "a:\n    - x: 1\n      v: 2\n    # d\n    - b\nc: d\n"},
    {YAML_ADD, "/a/-", "1", "a: []\nb: c\n", "a:\n- 1\nb: c\n"},
    {YAML_ADD, "/a/0", "1", "{a: []}\n", "{a: [1]}\n"},
    {YAML_ADD, "/0", "1", "[a]\n", "[1, a]\n"},
    {YAML_ADD, "/-", "1", "[a,]\n", "[a, 1,]\n"},
    {YAML_ADD, "/0", "1", "[\n  a\n]\n", "[\n  1,\n  a\n]\n"},
    {YAML_ADD, "/0", "1", "-\n  a: b\n", "- 1\n-\n  a: b\n"},
    /* removing */
    {YAML_REMOVE, "/a", "", "a: 1 # x\nb: 2\n", "b: 2\n"},
    {YAML_REMOVE, "/b", "", "a: 1\n# x\nb:\n  c: 2\n  d: 3\n# y\n",
     "a: 1\n# x\n# y\n"},
    {YAML_REMOVE, "/0/a", "", "- a: 1\n  b: 2\n", "- b: 2\n"},
    {YAML_REMOVE, "/a/b", "", "a:\n  b: 1\nc: d\n", "a: {}\nc: d\n"},
    {YAML_REMOVE, "/a/0", "", "a:\n- 1\nc: d\n", "a: []\nc: d\n"},
    {YAML_REMOVE, "/0", "", "- a\n- b\n", "- b\n"},
    {YAML_REMOVE, "/1", "", "- a\n- b:\n    c\n", "- a\n"},
    {YAML_REMOVE, "/a", "", "{a: 1, b: 2}\n", "{b: 2}\n"},
    {YAML_REMOVE, "/b", "", "{a: 1, b: 2}\n", "{a: 1}\n"},
    {YAML_REMOVE, "/1", "", "[1, 2, 3]\n", "[1, 3]\n"},
    /* texts that would be misread */
    {YAML_ADD, "/b",
     "[\"yes\",\"1\",\"\",\"a: b\",\"#x\",\"~\",\"a b\","
     "\"-\",\"x:\",\"\\n\",\"0x1\",\"é\",\"a/b-c_d.e:1\"]",
     "a: x\n",
     "a: x\nb:\n- \"yes\"\n- \"1\"\n- \"\"\n- \"a: b\"\n- \"#x\"\n- \"~\"\n"
     "- \"a b\"\n- \"-\"\n- \"x:\"\n- \"\\n\"\n- \"0x1\"\n- \"é\"\n"
     "- a/b-c_d.e:1\n"},
    /* cannot be done */
    {YAML_ADD, "/b/c", "1", "a: x\n", NULL},
    {YAML_ADD, "/a/c", "1", "a: x\n", NULL},
    {YAML_ADD, "/5", "1", "- a\n", NULL},
    {YAML_REPLACE, "/b", "1", "a: x\n", NULL},
    {YAML_REMOVE, "/b", "", "a: x\n", NULL},
    {YAML_ADD, "/b/c", "1", "a: &x {}\nb: *x\n", NULL},
    {YAML_REPLACE, "/a", "1", "a: &x b\nc: *x\n", NULL},
    {YAML_ADD, "/b", "1", "? a\n: x\n", NULL},
    {YAML_ADD, "/0/0", "1", "- - a\n", NULL},
    {YAML_ADD, "", "1", "a: b\n", NULL},
    {YAML_ADD, "/a", "1", "# nothing\n", NULL},
};

static void test_rows(void **state)
{
    int wrong = 0;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        struct error e = {""};
        struct text out;
        enum status rc = edit(r->text, r->kind, r->path, r->value, &out, &e);

        if (r->want ? rc || strcmp(text_cstr(&out), r->want) != 0
                    : rc == OK || !e.text[0]) {
            print_error("row %zu: %s%s\n", i, e.text, text_cstr(&out));
            wrong++;
        }
        text_fini(&out);
    }
    assert_int_equal(wrong, 0);
}

static void test_several_at_once(void **state)
{
    const struct yaml_part part = {SLICE("a: {}\nb:\n- x\n- y: 1\nc: d\n"), 1};
    const struct yaml_change changes[] = {
        {YAML_REPLACE, SLICE_INIT("/c"), SLICE_INIT("1")},
        {YAML_ADD, SLICE_INIT("/a/k"), SLICE_INIT("2")},
        {YAML_ADD, SLICE_INIT("/b/1/z"), SLICE_INIT("3")},
        {YAML_ADD, SLICE_INIT("/b/0"), SLICE_INIT("4")},
    };
    struct yaml_tree *t = NULL;
    struct error e = {""};
    struct text out;

    (void)state;
    text_init(&out, 1 << 20);
    assert_int_equal(yaml_tree_read(&part, SLICE("f"), &t, &e), OK);
    assert_int_equal(yaml_edit(t, changes, 4, &out, &e), OK);
    assert_string_equal(text_cstr(&out),
                        "a:\n  k: 2\nb:\n- 4\n- x\n- y: 1\n  z: 3\nc: 1\n");
    text_fini(&out);
    yaml_tree_free(t);
}

static void test_overlapping(void **state)
{
    const struct yaml_part part = {SLICE("a:\n  b: c\n  d: e\n"), 1};
    const struct yaml_change changes[] = {
        {YAML_REPLACE, SLICE_INIT("/a"), SLICE_INIT("1")},
        {YAML_REPLACE, SLICE_INIT("/a/d"), SLICE_INIT("2")},
    };
    struct yaml_tree *t = NULL;
    struct error e = {""};
    struct text out;

    (void)state;
    text_init(&out, 1 << 20);
    assert_int_equal(yaml_tree_read(&part, SLICE("f"), &t, &e), OK);
    assert_int_equal(yaml_edit(t, changes, 2, &out, &e), ERR_INVALID);
    text_fini(&out);
    yaml_tree_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_several_at_once),
        cmocka_unit_test(test_overlapping),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
