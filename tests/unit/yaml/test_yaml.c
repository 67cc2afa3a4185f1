/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/json/json_write.h"
#include "lib/yaml/yaml.h"

/* The documents as JSON, a line each. */
static void reads_as(const char *yaml, const char *json)
{
    struct yaml_documents docs;
    struct json_write w;
    struct error e = {""};
    struct text t;

    if (yaml_read(slice_str(yaml), SLICE("f.yaml"), &docs, &e))
        fail_msg("%s: %s", yaml, e.text);
    text_init(&t, 1 << 16);
    for (size_t i = 0; i < docs.len; i++) {
        json_write_init(&w, &t);
        json_write_value(&w, json_root(docs.at[i]));
        text_add_char(&t, '\n');
    }
    assert_string_equal(text_cstr(&t), json);
    text_fini(&t);
    yaml_documents_fini(&docs);
}

static void refused(slice yaml, enum status rc, const char *sentence)
{
    struct yaml_documents docs;
    struct error e = {""};

    assert_int_equal(yaml_read(yaml, SLICE("mesh/f.yaml"), &docs, &e), rc);
    assert_int_equal(docs.len, 0);
    assert_string_equal(e.text, sentence);
    yaml_documents_fini(&docs);
}

static void test_scalars_mean_what_kubectl_takes_them_for(void **state UNUSED)
{
    reads_as("[true, True, TRUE, false, False, FALSE]",
             "[true,true,true,false,false,false]\n");
    reads_as("[yes, no, on, off, y, n, tRue]",
             "[\"yes\",\"no\",\"on\",\"off\",\"y\",\"n\",\"tRue\"]\n");
    reads_as("[null, Null, ~, nUll]", "[null,null,null,\"nUll\"]\n");
    reads_as("a:\nb: ''", "{\"a\":null,\"b\":\"\"}\n");
    reads_as("[0, 12, -3, +4, 0644, 0x1F, 0o17, 08, 00]",
             "[0,12,-3,4,420,31,15,8,0]\n");
    reads_as("[1.5, -.5, 2., 1e3, 1E-2, .e1, 1e, 1.2.3, 0x, 1_000, 10:30]",
             "[1.5,-0.5,2,1000,0.01,\".e1\",\"1e\",\"1.2.3\",\"0x\","
             "\"1_000\",\"10:30\"]\n");
    reads_as("['1', \"true\", !!str 5, ! null]",
             "[\"1\",\"true\",\"5\",\"null\"]\n");
    reads_as("[9007199254740992, 2026-01-01, -, +, 1.0]",
             "[9007199254740992,\"2026-01-01\",\"-\",\"+\",1]\n");
    reads_as("a: |\n  x\n  y\nb: >-\n  p\n  q\n",
             "{\"a\":\"x\\ny\\n\",\"b\":\"p q\"}\n");
    reads_as("8080: a\ntrue: b\n~: c\n",
             "{\"8080\":\"a\",\"true\":\"b\",\"~\":\"c\"}\n");
}

static void test_structure(void **state UNUSED)
{
    reads_as("a:\n- b: 1\n  c: [x, {d: e}]\n- []\nf: {}\n",
             "{\"a\":[{\"b\":1,\"c\":[\"x\",{\"d\":\"e\"}]},[]],\"f\":{}}\n");
    reads_as("{a: {b: [1, {c: 2}], d: 3}, e: 4}",
             "{\"a\":{\"b\":[1,{\"c\":2}],\"d\":3},\"e\":4}\n");
    /* An anchor that nobody refers to is harmless. */
    reads_as("a: &x 1", "{\"a\":1}\n");
    reads_as("!!map {a: !!seq [1]}", "{\"a\":[1]}\n");
}

static void test_documents(void **state UNUSED)
{
    reads_as("", "");
    reads_as("# nothing\n", "");
    reads_as("a: 1\n---\nb: 2\n", "{\"a\":1}\n{\"b\":2}\n");
    reads_as("---\n# empty\n---\na: 1\n---\n---\nb: 2\n...\n",
             "{\"a\":1}\n{\"b\":2}\n");
    reads_as("--- ''\n", "\"\"\n");
    reads_as("%YAML 1.1\n---\na: 1\n", "{\"a\":1}\n");
}

static void test_refuses(void **state UNUSED)
{
    static const struct {
        const char *yaml, *sentence;
    } cases[] = {
        {"a: &x 1\nb: *x\n",
         "mesh/f.yaml:2:4: aliases (*name) are not supported"},
        {"a:\n  <<: {b: 1}\n",
         "mesh/f.yaml:2:3: merge keys (<<) are not supported"},
        {"a: !!int 5",
         "mesh/f.yaml:1:4: tags other than !!str are not supported"},
        {"a: !x {}",
         "mesh/f.yaml:1:4: tags other than !!str are not supported"},
        {"!!str a: 1", "mesh/f.yaml:1:1: a key with a tag"},
        {"{[a]: 1}", "mesh/f.yaml:1:2: a key that is not a scalar"},
        {"? {a: 1}\n: 2\n", "mesh/f.yaml:1:3: a key that is not a scalar"},
        {"spec:\n  port: 1\n  host: x\n  port: 2\n",
         "mesh/f.yaml:4: spec.port: given twice"},
        {"a: .inf",
         "mesh/f.yaml:1:4: infinity and not-a-number cannot be said in JSON; put it in quotes"},
        {"a: -.Inf",
         "mesh/f.yaml:1:4: infinity and not-a-number cannot be said in JSON; put it in quotes"},
        {"a: 1e999", "mesh/f.yaml:1:4: a number that is too large"},
        {"a: 9007199254740993000",
         "mesh/f.yaml:1:4: a whole number beyond 2^53; put it in quotes"},
        {"a: 0xffffffffffffffff",
         "mesh/f.yaml:1:4: a whole number beyond 2^53; put it in quotes"},
        {"a: \"x\\0y\"", "mesh/f.yaml:1: text that holds NUL"},
        {"a: b: c\n",
         "mesh/f.yaml:1:5: mapping values are not allowed in this context"},
        {"a: [1\nb: 2\n",
         "mesh/f.yaml:2:2: did not find expected ',' or ']', while parsing a flow sequence"},
        {"a:\n\tb: 1\n",
         "mesh/f.yaml:2:1: found character that cannot start any token, while scanning for the next token"},
        {"a: \xff\n", "mesh/f.yaml: invalid leading UTF-8 octet at byte 3"},
        {"a: 1\n---\nb: [\n",
         "mesh/f.yaml:4:1: did not find expected node content, while parsing a flow node"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(slice_str(cases[i].yaml), ERR_INVALID, cases[i].sentence);
}

static void test_limits(void **state UNUSED)
{
    struct text t;

    text_init(&t, YAML_BYTES_MAX + 2);
    for (int i = 0; i <= JSON_DEPTH_MAX; i++)
        text_add_char(&t, '[');
    refused(text_slice(&t), ERR_TOO_BIG,
            "mesh/f.yaml:1:65: more than 64 levels deep");
    text_clear(&t);
    text_add_char(&t, '[');
    for (int i = 0; i < YAML_VALUES_MAX; i++)
        text_add(&t, SLICE("1,\n"));
    text_add_char(&t, ']');
    refused(text_slice(&t), ERR_TOO_BIG, "mesh/f.yaml:200000: too many values");
    text_clear(&t);
    for (int i = 0; i <= YAML_DOCUMENTS_MAX; i++)
        text_add(&t, SLICE("--- 1\n"));
    refused(text_slice(&t), ERR_TOO_BIG,
            "mesh/f.yaml:5002:1: too many documents");
    text_clear(&t);
    for (int i = 0; i < 33; i++)
        text_printf(&t, "%%TAG !t%d! x\n", i);
    refused(text_slice(&t), ERR_TOO_BIG,
            "mesh/f.yaml: too many %TAG directives");
    text_clear(&t);
    for (int i = 0; i <= YAML_BYTES_MAX; i++)
        text_add_char(&t, ' ');
    refused(text_slice(&t), ERR_TOO_BIG,
            "mesh/f.yaml: 4194305 bytes, of at most 4194304");
    text_fini(&t);
}

static void test_values_know_their_line(void **state UNUSED)
{
    static const char text[] = "apiVersion: v1\n" /* 1 */
                               "---\n"
                               "kind: Service\n" /* 3 */
                               "spec:\n"
                               "  ports:\n"
                               "  - name: http\n"
                               "    port: http\n" /* 7 */
                               "  - port: 80\n";
    struct yaml_documents docs;
    struct json root, port;
    struct error e;
    int64_t n;
    slice s;

    assert_int_equal(
        yaml_read(slice_str(text), SLICE("mesh/cart.yaml"), &docs, &e), OK);
    assert_int_equal(docs.len, 2);
    root = json_root(docs.at[1]);
    port = json_first(json_get(json_get(root, "spec"), "ports"));
    assert_int_equal(json_int(port, "port", 1, 65535, &n, &e), ERR_INVALID);
    assert_string_equal(e.text,
                        "mesh/cart.yaml:7: spec.ports[0].port: expected a "
                        "number from 1 to 65535, not \"http\"");
    assert_int_equal(json_string(json_next(port), "name", &s, &e), ERR_INVALID);
    assert_string_equal(e.text,
                        "mesh/cart.yaml:8: spec.ports[1].name: missing");
    assert_int_equal(json_line(json_get(root, "spec")), 4);
    assert_int_equal(json_line(root), 3);
    yaml_documents_fini(&docs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars_mean_what_kubectl_takes_them_for),
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_values_know_their_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
