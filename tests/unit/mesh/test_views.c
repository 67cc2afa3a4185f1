/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/mesh/hash.h"
#include "lib/mesh/wire.h"

static void test_names(void **state UNUSED)
{
    enum protocol p;
    enum view_kind k;

    for (int i = 0; i < PROTOCOLS; i++) {
        assert_int_equal(
            protocol_parse(slice_str(protocol_name((enum protocol)i)), &p), OK);
        assert_int_equal(p, i);
    }
    assert_int_equal(protocol_parse(SLICE("http/3"), &p), ERR_INVALID);
    assert_int_equal(protocol_parse(SLICE_NONE, &p), ERR_INVALID);
    for (int i = 0; i < VIEW_KINDS; i++) {
        assert_int_equal(
            view_kind_parse(slice_str(view_kind_name((enum view_kind)i)), &k),
            OK);
        assert_int_equal(k, i);
    }
    assert_int_equal(view_kind_parse(SLICE("tap"), &k), ERR_INVALID);
    assert_string_equal(resolution_name(RESOLUTION_EXTERNAL), "external");
}

static void test_the_last_reference_frees(void **state UNUSED)
{
    size_t before = mem_used();
    struct view *v = view_new(VIEW_BACKEND, SLICE("shop/cart:80"));

    assert_true(slice_eq(v->key, SLICE("shop/cart:80")));
    assert_ptr_equal(view_ref(v), v);
    view_unref(v);
    assert_true(mem_used() > before);
    view_unref(v);
    view_unref(NULL);
    assert_int_equal(mem_used(), before);
}

/* The reference values of FNV-1a 128. */
static void test_hash(void **state UNUSED)
{
    char h[VIEW_HASH + 1];

    content_hash(SLICE_NONE, h);
    assert_string_equal(h, "6c62272e07bb014262b821756295c58d");
    content_hash(SLICE("a"), h);
    assert_string_equal(h, "d228cb696f1a8caf78912b704e4a8964");
    content_hash(SLICE("foobar"), h);
    assert_string_equal(h, "343e1662793c64bf6f0d3597ba446f18");
}

static void round_trip(enum view_kind kind, const char *json)
{
    struct view *v = NULL;
    struct error e = {""};
    char hash[VIEW_HASH + 1];
    struct text t;

    if (view_decode(kind, SLICE("k"), slice_str(json), &v, &e))
        fail_msg("%s: %s", json, e.text);
    text_init(&t, VIEW_BYTES_MAX);
    view_encode(v, &t);
    assert_string_equal(text_cstr(&t), json);
    content_hash(slice_str(json), hash);
    assert_string_equal(v->hash, hash);
    text_fini(&t);
    view_unref(v);
}

static void test_too_many_node_addresses(void **state UNUSED)
{
    struct view *v = NULL;
    struct error e = {""};
    struct text t;

    text_init(&t, 4096);
    text_add(&t, SLICE("{\"mtls\":\"strict\",\"nodeIPs\":["));
    for (int i = 0; i <= VIEW_NODE_IPS_MAX; i++)
        text_printf(&t, "%s\"10.0.0.%d\"", i ? "," : "", i);
    text_add(&t, SLICE("]}"));
    assert_int_equal(
        view_decode(VIEW_WORKLOAD, SLICE(""), text_slice(&t), &v, &e),
        ERR_TOO_BIG);
    assert_non_null(strstr(e.text, "nodeIPs: more than 16"));
    text_fini(&t);
}

static void test_canonical_texts(void **state UNUSED)
{
    round_trip(VIEW_WORKLOAD,
               "{\"namespace\":\"shop\",\"pod\":\"cart-1\","
               "\"serviceAccount\":\"cart\",\"mtls\":\"strict\","
               "\"terminating\":true,\"bundle\":\"-----BEGIN\\n\",\"ports\":["
               "{\"port\":8080,\"protocol\":\"http/1\",\"skip\":false},"
               "{\"port\":65535,\"protocol\":\"detect\",\"skip\":true}]}");
    round_trip(VIEW_WORKLOAD,
               "{\"mtls\":\"permissive\",\"terminating\":false,\"ports\":[]}");
    round_trip(VIEW_WORKLOAD,
               "{\"mtls\":\"strict\",\"terminating\":false,\"ports\":[],"
               "\"probes\":[{\"port\":80,\"kind\":\"http\","
               "\"path\":\"/healthz?a\"},{\"port\":81,\"kind\":\"grpc\"}],"
               "\"nodeIPs\":[\"192.0.2.1\",\"fd00::1\"]}");
    round_trip(VIEW_DESTINATION,
               "{\"resolution\":\"known\",\"service\":\"shop/cart:80\","
               "\"protocol\":\"grpc\",\"direct\":false,\"backends\":["
               "{\"key\":\"shop/cart:80\",\"weight\":9},"
               "{\"key\":\"shop/cart-v2:80\",\"weight\":0}]}");
    round_trip(VIEW_DESTINATION,
               "{\"resolution\":\"unknown\",\"protocol\":\"opaque\","
               "\"direct\":true,\"backends\":[]}");
    round_trip(
        VIEW_BACKEND,
        "{\"service\":\"shop/cart:80\",\"endpoints\":["
        "{\"address\":\"10.0.0.1:80\","
        "\"identity\":\"spiffe://td/ns/shop/sa/cart\",\"zone\":\"a\","
        "\"pod\":\"shop/cart-1\",\"weight\":1,\"protocol\":\"tls\","
        "\"state\":\"ready\"},"
        "{\"address\":\"[fd00::1]:80\",\"weight\":5,\"protocol\":\"http/2\","
        "\"state\":\"draining\"}]}");
}

static void same_hash(enum view_kind kind, const char *a, const char *b)
{
    struct view *x, *y;

    assert_int_equal(view_decode(kind, SLICE("k"), slice_str(a), &x, NULL), OK);
    assert_int_equal(view_decode(kind, SLICE("k"), slice_str(b), &y, NULL), OK);
    assert_string_equal(x->hash, y->hash);
    view_unref(x);
    view_unref(y);
}

static void test_the_hash_is_of_the_meaning(void **state UNUSED)
{
    same_hash(VIEW_DESTINATION,
              "{\"resolution\":\"known\",\"protocol\":\"tls\"}",
              " { \"protocol\" : \"tls\" , \"later\" : [1] , \"direct\":false,"
              " \"backends\":null, \"service\":\"\","
              "\"resolution\":\"\\u006bnown\"}");
}

#define P "\"weight\":1,\"protocol\":\"tls\",\"state\":\"ready\"}"

static const struct {
    enum view_kind kind;
    const char *json, *sentence;
} refused[] = {
    {VIEW_WORKLOAD, "[]", "expected an object"},
    {VIEW_WORKLOAD, "{", "line 1, column 2: expected a name in quotes or '}'"},
    {VIEW_WORKLOAD, "{}", "mtls: missing"},
    {VIEW_WORKLOAD, "{\"mtls\":\"off\"}",
     "mtls: expected one of permissive, strict, not \"off\""},
    {VIEW_WORKLOAD, "{\"mtls\":\"strict\",\"terminating\":1}",
     "terminating: expected true or false, not 1"},
    {VIEW_WORKLOAD, "{\"mtls\":\"strict\",\"ports\":{}}",
     "ports: expected a list, not an object"},
    {VIEW_WORKLOAD, "{\"mtls\":\"strict\",\"ports\":[{\"port\":0}]}",
     "ports[0].port: expected a number from 1 to 65535, not 0"},
    {VIEW_WORKLOAD, "{\"mtls\":\"strict\",\"ports\":[{\"port\":1}]}",
     "ports[0].protocol: missing"},
    {VIEW_WORKLOAD, "{\"mtls\":\"strict\",\"pod\":7}",
     "pod: expected a string, not 7"},
    {VIEW_WORKLOAD, "{\"mtls\":\"strict\",\"probes\":[{\"port\":0}]}",
     "probes[0].port: expected a number from 1 to 65535, not 0"},
    {VIEW_WORKLOAD,
     "{\"mtls\":\"strict\",\"probes\":[{\"port\":1,\"kind\":\"tcp\"}]}",
     "probes[0].kind: expected one of http, grpc, not \"tcp\""},
    {VIEW_WORKLOAD,
     "{\"mtls\":\"strict\",\"probes\":[{\"port\":1,\"kind\":\"http\"}]}",
     "probes[0].path: missing"},
    {VIEW_WORKLOAD, "{\"mtls\":\"strict\",\"nodeIPs\":\"10.0.0.1\"}",
     "nodeIPs: expected a list, not \"10.0.0.1\""},
    {VIEW_DESTINATION, "{\"resolution\":\"maybe\"}",
     "resolution: expected one of known, external, unknown, not \"maybe\""},
    {VIEW_DESTINATION, "{\"resolution\":\"known\",\"protocol\":\"udp\"}",
     "protocol: expected one of detect, http, http/1, http/2, grpc, tls, opaque, not \"udp\""},
    {VIEW_DESTINATION,
     "{\"resolution\":\"known\",\"protocol\":\"tls\",\"backends\":[{}]}",
     "backends[0].key: missing"},
    {VIEW_DESTINATION,
     "{\"resolution\":\"known\",\"protocol\":\"tls\",\"backends\":[{\"key\":\"\"}]}",
     "backends[0].key: empty"},
    {VIEW_DESTINATION,
     "{\"resolution\":\"known\",\"protocol\":\"tls\",\"backends\":[{\"key\":\"k\",\"weight\":-1}]}",
     "backends[0].weight: expected a number from 0 to 1000000, not -1"},
    {VIEW_BACKEND, "{\"endpoints\":[{\"address\":\"10.0.0.1\"," P "]}",
     "endpoints[0].address: expected an address like 10.1.2.3:8080"},
    {VIEW_BACKEND, "{\"endpoints\":[{\"address\":\"10.0.0.1:0\"," P "]}",
     "endpoints[0].address: expected an address like 10.1.2.3:8080"},
    {VIEW_BACKEND, "{\"endpoints\":[{\"address\":\":80\"," P "]}",
     "endpoints[0].address: expected an address like 10.1.2.3:8080"},
    {VIEW_BACKEND,
     "{\"endpoints\":[{\"address\":\"b:1\"," P ",{\"address\":\"a:1\"," P "]}",
     "endpoints[1].address: not after the address before it"},
    {VIEW_BACKEND,
     "{\"endpoints\":[{\"address\":\"b:1\"," P ",{\"address\":\"b:1\"," P "]}",
     "endpoints[1].address: not after the address before it"},
    {VIEW_BACKEND,
     "{\"endpoints\":[{\"address\":\"b:1\",\"identity\":\"cart\"," P "]}",
     "endpoints[0].identity: expected a workload name"},
    {VIEW_BACKEND,
     "{\"endpoints\":[{\"address\":\"b:1\",\"identity\":\"spiffe://td/tulle/controller\"," P
     "]}",
     "endpoints[0].identity: expected a workload name"},
    {VIEW_BACKEND, "{\"endpoints\":[{\"address\":\"b:1\",\"weight\":0}]}",
     "endpoints[0].weight: expected a number from 1 to 1000000, not 0"},
    {VIEW_BACKEND,
     "{\"endpoints\":[{\"address\":\"b:1\",\"weight\":1,\"protocol\":\"tls\"}]}",
     "endpoints[0].state: missing"},
    {VIEW_BACKEND, "{\"endpoints\":[5]}",
     "endpoints[0]: expected an object, not 5"},
};

static void test_refuses(void **state UNUSED)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct view *v = NULL;
        struct error e = {""};
        assert_int_equal(view_decode(refused[i].kind, SLICE("k"),
                                     slice_str(refused[i].json), &v, &e),
                         ERR_INVALID);
        assert_null(v);
        assert_string_equal(e.text, refused[i].sentence);
    }
}

static void test_decode_has_limits(void **state UNUSED)
{
    static char key[WIRE_KEY_MAX + 1];
    struct view *v = NULL;
    struct error e;
    struct text t;

    text_init(&t, VIEW_BYTES_MAX);
    text_add(&t, SLICE("{\"mtls\":\"strict\",\"ports\":["));
    for (int i = 0; i <= VIEW_PORTS_MAX; i++)
        text_printf(&t, "%s0", i ? "," : "");
    text_add(&t, SLICE("]}"));
    assert_int_equal(
        view_decode(VIEW_WORKLOAD, SLICE_NONE, text_slice(&t), &v, &e),
        ERR_TOO_BIG);
    assert_string_equal(e.text, "ports: 1001 items, of at most 1000");
    text_clear(&t);
    text_add(&t, SLICE("{\"mtls\":\"strict\",\"pod\":\""));
    for (int i = 0; i < 254; i++)
        text_add_char(&t, 'x');
    text_add(&t, SLICE("\"}"));
    assert_int_equal(
        view_decode(VIEW_WORKLOAD, SLICE_NONE, text_slice(&t), &v, &e),
        ERR_TOO_BIG);
    assert_string_equal(e.text, "pod: 254 bytes, of at most 253");
    text_fini(&t);
    assert_int_equal(view_decode(VIEW_WORKLOAD, slice_of(key, sizeof key),
                                 SLICE("{}"), &v, &e),
                     ERR_TOO_BIG);
    assert_string_equal(e.text, "a key of 513 bytes");
}

static void test_encode_sorts_and_has_limits(void **state UNUSED)
{
    struct backend_endpoint p[2] = {
        {.address = SLICE("b:1"), .weight = 1},
        {.address = SLICE("a:1"), .weight = 1},
    };
    struct view *v = view_new(VIEW_BACKEND, SLICE("k"));
    struct text t;

    text_init(&t, VIEW_BYTES_MAX);
    v->backend.endpoints = p;
    v->backend.endpoints_len = 2;
    view_encode(v, &t);
    assert_true(slice_eq(p[0].address, SLICE("a:1")));
    assert_int_equal(strlen(v->hash), VIEW_HASH);
    text_clear(&t);
    v->backend.endpoints_len = VIEW_ENDPOINTS_MAX + 1;
    view_encode(v, &t);
    assert_true(t.failed);
    assert_string_equal(v->hash, "");
    text_fini(&t);
    view_unref(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_the_last_reference_frees),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_canonical_texts),
        cmocka_unit_test(test_too_many_node_addresses),
        cmocka_unit_test(test_the_hash_is_of_the_meaning),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_decode_has_limits),
        cmocka_unit_test(test_encode_sorts_and_has_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
