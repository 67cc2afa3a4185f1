/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "lib/mesh/wire.h"

#define H "0123456789abcdef0123456789abcdef"
#define G "ffffffffffffffffffffffffffffffff"

/* line -> message -> the same line */
static void round_trip(const char *line, struct msg *m)
{
    struct error e = {""};
    struct text t;

    if (msg_decode(slice_str(line), m, &e))
        fail_msg("%s: %s", line, e.text);
    text_init(&t, WIRE_LINE_MAX);
    msg_encode(m, &t);
    assert_false(t.failed);
    assert_int_equal(t.ptr[t.len - 1], '\n');
    t.len--;
    assert_string_equal(text_cstr(&t), line);
    text_fini(&t);
}

static void test_small_messages(void **state UNUSED)
{
    struct msg m;

    round_trip("{\"type\":\"hello\",\"version\":\"0.1.0\",\"name\":\"shop/"
               "cart-1\",\"capabilities\":[\"backend-delta/1\",\"x/2\"]}",
               &m);
    assert_int_equal(m.type, MSG_HELLO);
    assert_true(slice_eq(m.name, SLICE("shop/cart-1")));
    assert_int_equal(m.capabilities_len, 2);
    msg_fini(&m);
    round_trip("{\"type\":\"subscribe\",\"kind\":\"destination\",\"key\":"
               "\"10.0.0.1:80\",\"hash\":\"" H "\"}",
               &m);
    assert_int_equal(m.type, MSG_SUBSCRIBE);
    assert_int_equal(m.kind, VIEW_DESTINATION);
    assert_true(slice_eq(m.key, SLICE("10.0.0.1:80")));
    assert_true(slice_eq(m.hash, SLICE(H)));
    msg_fini(&m);
    round_trip("{\"type\":\"subscribe\",\"kind\":\"workload\"}", &m);
    assert_true(slice_empty(m.key) && slice_empty(m.hash));
    msg_fini(&m);
    round_trip("{\"type\":\"unsubscribe\",\"kind\":\"backend\",\"key\":\"k\"}",
               &m);
    assert_int_equal(m.type, MSG_UNSUBSCRIBE);
    msg_fini(&m);
    round_trip("{\"type\":\"ack\",\"kind\":\"backend\",\"key\":\"k\",\"hash\":"
               "\"" H "\"}",
               &m);
    assert_int_equal(m.type, MSG_ACK);
    msg_fini(&m);
    round_trip("{\"type\":\"nack\",\"kind\":\"backend\",\"key\":\"k\",\"hash\":"
               "\"" H "\",\"reason\":\"why \\\"x\\\"\"}",
               &m);
    assert_int_equal(m.type, MSG_NACK);
    assert_true(slice_eq(m.reason, SLICE("why \"x\"")));
    msg_fini(&m);
    round_trip("{\"type\":\"same\",\"kind\":\"workload\",\"hash\":\"" H "\"}",
               &m);
    assert_int_equal(m.type, MSG_SAME);
    msg_fini(&m);
    round_trip("{\"type\":\"remove\",\"kind\":\"backend\",\"key\":\"k\"}", &m);
    assert_int_equal(m.type, MSG_REMOVE);
    msg_fini(&m);
    round_trip("{\"type\":\"heartbeat\"}", &m);
    assert_int_equal(m.type, MSG_HEARTBEAT);
    msg_fini(&m);
}

static void test_views(void **state UNUSED)
{
    struct msg m;

    round_trip("{\"type\":\"backend\",\"key\":\"shop/cart:80\",\"hash\":\"" H
               "\",\"needs\":[\"x/1\"],\"view\":{\"service\":\"shop/cart:80\","
               "\"endpoints\":[{\"address\":\"10.0.0.1:80\",\"weight\":1,"
               "\"protocol\":\"http/1\",\"state\":\"ready\"}]}}",
               &m);
    assert_int_equal(m.type, MSG_VIEW);
    assert_int_equal(m.kind, VIEW_BACKEND);
    /* The announced hash is the view's name, whatever we would make of it. */
    assert_string_equal(m.view->hash, H);
    assert_int_equal(m.view->needs_len, 1);
    assert_true(slice_eq(m.view->key, SLICE("shop/cart:80")));
    msg_fini(&m);
    round_trip("{\"type\":\"workload\",\"hash\":\"" H "\",\"needs\":[],"
               "\"view\":{\"namespace\":\"shop\",\"mtls\":\"permissive\","
               "\"terminating\":false,\"ports\":[]}}",
               &m);
    msg_fini(&m);
    round_trip("{\"type\":\"destination\",\"key\":\"shop/cart:80\",\"hash\":"
               "\"" H "\",\"needs\":[],\"view\":{\"resolution\":\"external\","
               "\"protocol\":\"detect\",\"direct\":false,\"backends\":[]}}",
               &m);
    msg_fini(&m);
}

static void test_a_view_is_encoded_once_if_it_never_was(void **state UNUSED)
{
    struct view *v = view_new(VIEW_WORKLOAD, SLICE_NONE);
    struct msg m = {.type = MSG_VIEW, .view = v};
    struct text t;

    text_init(&t, WIRE_LINE_MAX);
    msg_encode(&m, &t);
    assert_int_equal(strlen(v->hash), VIEW_HASH);
    assert_string_equal(text_cstr(&t) +
                            strlen("{\"type\":\"workload\",\"hash\":\"" H "\""),
                        ",\"needs\":[],\"view\":{\"mtls\":\"permissive\","
                        "\"terminating\":false,\"ports\":[]}}\n");
    text_fini(&t);
    view_unref(v);
}

static void test_reports(void **state UNUSED)
{
    struct msg m;

    round_trip("{\"type\":\"report\",\"epoch\":\"e\",\"certNotAfter\":"
               "1790000000,\"sequence\":7,\"detectTimeouts\":1,\"rssBytes\":"
               "4194304,\"silent\":{\"inbound\":{\"6000\":3,\"other\":1},"
               "\"outbound\":{\"shop/db:6000\":2}},"
               "\"rows\":[{\"direction\":\"inbound\",\"service\":"
               "\"8080\",\"peer\":\"spiffe://td/ns/a/sa/b\",\"requests\":10,"
               "\"failures\":1,\"connections\":2,\"bytesIn\":3,\"bytesOut\":"
               "\"18446744073709551615\",\"concurrent\":4,\"secured\":9,"
               "\"latencySumUs\":12345,\"latency\":[0,0,10]},"
               "{\"direction\":\"outbound\",\"service\":\"shop/x:80\"}]}",
               &m);
    assert_int_equal(m.type, MSG_REPORT);
    assert_int_equal(m.report.rows_len, 2);
    assert_true(m.report.rows[0].inbound);
    assert_true(m.report.rows[0].bytes_out == UINT64_MAX);
    assert_int_equal(m.report.rows[0].latency[2], 10);
    assert_int_equal(m.report.rows[1].latency[2], 0);
    assert_int_equal(m.report.rows[1].requests, 0);
    assert_int_equal(m.report.silent_len, 3);
    assert_true(m.report.silent[0].inbound);
    assert_true(slice_eq(m.report.silent[0].service, SLICE("6000")));
    assert_int_equal(m.report.silent[0].connections, 3);
    assert_false(m.report.silent[2].inbound);
    assert_int_equal(m.report.silent[2].connections, 2);
    msg_fini(&m);
}

/* A later version may tell more; what is no name of a service is nobody's. */
static void test_silence_is_bounded(void **state UNUSED)
{
    struct msg m;
    struct error e;
    struct text t;

    text_init(&t, 65536);
    text_printf(&t,
                "{\"type\":\"report\",\"epoch\":\"e\",\"silent\":{"
                "\"sideways\":{\"1\":1},\"inbound\":{\"a b\":1,\"\":1,"
                "\"a\\\"\":1,\"%0300d\":1",
                1);
    for (int i = 0; i < 40; i++)
        text_printf(&t, ",\"%d\":1", i);
    text_printf(&t, "}}}");
    assert_int_equal(msg_decode(text_slice(&t), &m, &e), OK);
    assert_int_equal(m.report.silent_len, WIRE_SILENT_MAX);
    assert_true(slice_eq(m.report.silent[0].service, SLICE("0")));
    msg_fini(&m);
    text_fini(&t);
}

static void test_buckets_rise(void **state UNUSED)
{
    for (int i = 1; i < WIRE_BUCKETS - 1; i++)
        assert_true(wire_bucket_us[i] > wire_bucket_us[i - 1]);
    assert_int_equal(wire_bucket_us[WIRE_BUCKETS - 1], 0);
}

static void test_capabilities(void **state UNUSED)
{
    for (size_t i = 0; wire_capabilities[i]; i++)
        assert_true(wire_capable(slice_str(wire_capabilities[i])));
    assert_false(wire_capable(SLICE("tea/1")));
    assert_false(wire_capable(SLICE_NONE));
}

static void test_what_is_unknown_is_ignored(void **state UNUSED)
{
    struct msg m;
    struct text t;

    assert_int_equal(msg_decode(SLICE("{\"type\":\"tap\",\"x\":{}}"), &m, NULL),
                     OK);
    assert_int_equal(m.type, MSG_UNKNOWN);
    text_init(&t, 100);
    msg_encode(&m, &t);
    assert_int_equal(t.len, 0);
    msg_fini(&m);
    assert_int_equal(
        msg_decode(SLICE("{\"x\":[1],\"type\":\"heartbeat\",\"kind\":7}"), &m,
                   NULL),
        OK);
    assert_int_equal(m.type, MSG_HEARTBEAT);
    msg_fini(&m);
    assert_int_equal(msg_decode(SLICE("{\"type\":\"subscribe\",\"kind\":"
                                      "\"tea\",\"key\":[]}"),
                                &m, NULL),
                     OK);
    assert_int_equal(m.type, MSG_UNKNOWN);
    msg_fini(&m);
}

static const struct refusal {
    const char *line, *sentence;
} refusals[] = {
    {"", "line 1, column 1: expected a value"},
    {"{}{}", "line 1, column 3: expected nothing more"},
    {"7", "expected an object"},
    {"{}", "type: missing"},
    {"{\"type\":1}", "type: expected a string, not 1"},
    {"{\"type\":\"hello\"}", "hello: version: missing"},
    {"{\"type\":\"hello\",\"version\":\"\"}", "hello: version: empty"},
    {"{\"type\":\"hello\",\"version\":\"1\",\"capabilities\":[\"a\",2]}",
     "hello: capabilities[1]: expected a string, not 2"},
    {"{\"type\":\"subscribe\"}", "subscribe: kind: missing"},
    {"{\"type\":\"subscribe\",\"kind\":\"backend\"}",
     "subscribe: key: missing"},
    {"{\"type\":\"subscribe\",\"kind\":\"backend\",\"key\":\"k\",\"hash\":"
     "\"xyz\"}",
     "subscribe: hash: expected 32 hexadecimal digits"},
    {"{\"type\":\"ack\",\"kind\":\"backend\",\"key\":\"k\"}",
     "ack: hash: missing"},
    {"{\"type\":\"nack\",\"kind\":\"backend\",\"key\":\"k\"}",
     "nack: reason: missing"},
    {"{\"type\":\"report\"}", "report: epoch: missing"},
    {"{\"type\":\"report\",\"epoch\":\"e\",\"sequence\":-1}",
     "report: sequence: expected a count, not -1"},
    {"{\"type\":\"report\",\"epoch\":\"e\",\"silent\":{\"inbound\":{"
     "\"1\":-1}}}",
     "report: silent.inbound.1: expected a count, not -1"},
    {"{\"type\":\"report\",\"epoch\":\"e\",\"rows\":[{}]}",
     "report: rows[0].direction: missing"},
    {"{\"type\":\"report\",\"epoch\":\"e\",\"rows\":[{\"direction\":"
     "\"inbound\",\"requests\":1.5}]}",
     "report: rows[0].requests: expected a count, not 1.5"},
    {"{\"type\":\"report\",\"epoch\":\"e\",\"rows\":[{\"direction\":"
     "\"inbound\",\"latency\":[0,\"x\"]}]}",
     "report: rows[0].latency[1]: expected a count, not \"x\""},
    {"{\"type\":\"backend\",\"key\":\"k\"}", "backend: hash: missing"},
    {"{\"type\":\"backend\",\"key\":\"k\",\"hash\":\"" H "\"}",
     "backend: view: missing"},
    {"{\"type\":\"backend\",\"key\":\"k\",\"hash\":\"" H
     "\",\"view\":{\"endpoints\":[{}]}}",
     "backend: view.endpoints[0].address: missing"},
    {"{\"type\":\"backend\",\"key\":\"k\",\"hash\":\"" H
     "\",\"needs\":[\"backend-delta/1\",\"tea/1\"],"
     "\"view\":{\"endpoints\":[{}]}}",
     "backend: needs tea/1, which this version does not have"},
    {"{\"type\":\"delta\",\"kind\":\"workload\",\"hash\":\"" H "\"}",
     "delta: kind: only backends have deltas"},
    {"{\"type\":\"delta\",\"kind\":\"backend\",\"key\":\"k\",\"hash\":\"" H
     "\"}",
     "delta: base: missing"},
    {"{\"type\":\"delta\",\"kind\":\"backend\",\"key\":\"k\",\"hash\":\"" H
     "\",\"base\":\"" G "\",\"put\":[{\"address\":\"x\"}]}",
     "delta: put[0].address: expected an address like 10.1.2.3:8080"},
    {"{\"type\":\"delta\",\"kind\":\"backend\",\"key\":\"k\",\"hash\":\"" H
     "\",\"base\":\"" G "\",\"gone\":[\"b:1\",\"a:1\"]}",
     "delta: gone[1]: not after the address before it"},
    {"{\"type\":\"delta\",\"kind\":\"backend\",\"key\":\"k\",\"hash\":\"" H
     "\",\"base\":\"" G "\",\"gone\":[\"b\"]}",
     "delta: gone[0]: expected an address like 10.1.2.3:8080"},
};

static void test_refuses(void **state UNUSED)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct error e = {""};
        struct msg m;
        assert_int_equal(msg_decode(slice_str(refusals[i].line), &m, &e),
                         ERR_INVALID);
        assert_string_equal(e.text, refusals[i].sentence);
        assert_null(m.view);
        msg_fini(&m);
    }
}

static void test_a_refused_view_can_be_nacked(void **state UNUSED)
{
    struct msg m;

    assert_int_equal(
        msg_decode(SLICE("{\"type\":\"backend\",\"key\":\"shop/x:1\",\"hash\":"
                         "\"" H "\",\"view\":{\"endpoints\":7}}"),
                   &m, NULL),
        ERR_INVALID);
    assert_int_equal(m.type, MSG_VIEW);
    assert_int_equal(m.kind, VIEW_BACKEND);
    assert_true(slice_eq(m.key, SLICE("shop/x:1")));
    assert_true(slice_eq(m.hash, SLICE(H)));
    msg_fini(&m);
}

/* `n` times `item` as the array at the end of `head`, then `tail`. */
static void too_big(const char *head, const char *item, int n, const char *tail,
                    const char *sentence)
{
    struct error e = {""};
    struct msg m;
    struct text t;

    text_init(&t, WIRE_LINE_MAX);
    text_add(&t, slice_str(head));
    for (int i = 0; i < n; i++)
        text_printf(&t, "%s%s", i ? "," : "", item);
    text_add(&t, slice_str(tail));
    assert_int_equal(msg_decode(text_slice(&t), &m, &e), ERR_TOO_BIG);
    assert_string_equal(e.text, sentence);
    msg_fini(&m);
    text_fini(&t);
}

static void test_limits(void **state UNUSED)
{
    char key[700];
    struct text t;

    too_big("{\"type\":\"hello\",\"version\":\"1\",\"capabilities\":[", "\"a\"",
            65, "]}", "hello: capabilities: 65 items, of at most 64");
    too_big("{\"type\":\"report\",\"epoch\":\"e\",\"rows\":[", "0", 2001, "]}",
            "report: rows: 2001 items, of at most 2000");
    too_big("{\"type\":\"report\",\"epoch\":\"e\",\"rows\":[{\"direction\":"
            "\"inbound\",\"latency\":[",
            "0", 25, "]}]}",
            "report: rows[0].latency: 25 items, of at most 24");
    too_big("{\"type\":\"backend\",\"key\":\"k\",\"hash\":\"" H
            "\",\"view\":{\"endpoints\":[",
            "0", 20001, "]}}",
            "backend: view.endpoints: 20001 items, of at most 20000");
    too_big("{\"type\":\"delta\",\"kind\":\"backend\",\"key\":\"k\",\"hash\":"
            "\"" H "\",\"base\":\"" H "\",\"gone\":[",
            "0", 20001, "]}", "delta: gone: 20001 items, of at most 20000");
    too_big("[", "0", 400000, "]", "line 1, column 600000: too many values");
    text_init(&t, sizeof key);
    for (int i = 0; i <= WIRE_KEY_MAX; i++)
        text_add_char(&t, 'k');
    snprintf(key, sizeof key, "\"key\":\"%s\"", text_cstr(&t));
    too_big("{\"type\":\"remove\",\"kind\":\"backend\",", key, 1, "}",
            "remove: key: 513 bytes, of at most 512");
    text_fini(&t);
}

static void test_a_long_reason_is_cut_between_characters(void **state UNUSED)
{
    struct msg m = {.type = MSG_NACK,
                    .kind = VIEW_BACKEND,
                    .key = SLICE("k"),
                    .hash = SLICE(H)},
               back;
    struct text reason, line;

    text_init(&reason, 4096);
    text_init(&line, 8192);
    text_add_char(&reason, 'x');
    for (int i = 0; i < 600; i++)
        text_add(&reason, SLICE("\xc3\xa9"));
    m.reason = text_slice(&reason);
    msg_encode(&m, &line);
    assert_int_equal(
        msg_decode(slice_sub(text_slice(&line), 0, line.len - 1), &back, NULL),
        OK);
    assert_int_equal(back.reason.len, 1023);
    assert_true(slice_starts(m.reason, back.reason));
    msg_fini(&back);
    text_fini(&reason);
    text_fini(&line);
}

static void test_certificates(void **state UNUSED)
{
    struct certificate_request q = {SLICE("-----BEGIN\nx"), SLICE("t")}, q2;
    struct certificate_answer r = {SLICE("c\n"), SLICE("b\n"), 1790000000}, r2;
    struct arena a;
    struct text t;

    arena_init(&a, 1 << 20);
    text_init(&t, 1 << 20);
    certificate_request_encode(&q, &t);
    assert_string_equal(text_cstr(&t),
                        "{\"csr\":\"-----BEGIN\\nx\",\"token\":\"t\"}");
    assert_int_equal(certificate_request_decode(text_slice(&t), &a, &q2, NULL),
                     OK);
    assert_true(slice_eq(q.csr, q2.csr) && slice_eq(q.token, q2.token));
    text_clear(&t);
    certificate_answer_encode(&r, &t);
    assert_string_equal(
        text_cstr(&t),
        "{\"chain\":\"c\\n\",\"bundle\":\"b\\n\",\"renewAt\":1790000000}");
    assert_int_equal(certificate_answer_decode(text_slice(&t), &a, &r2, NULL),
                     OK);
    assert_true(slice_eq(r.chain, r2.chain) && slice_eq(r.bundle, r2.bundle));
    assert_int_equal(r2.renew_at, r.renew_at);
    text_fini(&t);
    arena_reset(&a);
}

static void test_bad_certificate_bodies(void **state UNUSED)
{
    struct certificate_request q;
    struct certificate_answer r;
    struct error e;
    struct arena a;

    arena_init(&a, 1 << 20);
    assert_int_equal(certificate_request_decode(SLICE("{}"), &a, &q, &e),
                     ERR_INVALID);
    assert_string_equal(e.text, "csr: missing");
    assert_int_equal(certificate_request_decode(SLICE("[]"), &a, &q, &e),
                     ERR_INVALID);
    assert_string_equal(e.text, "expected an object, not a list");
    assert_int_equal(certificate_request_decode(
                         SLICE("{\"csr\":\"x\",\"token\":[]}"), &a, &q, &e),
                     ERR_INVALID);
    assert_string_equal(e.text, "token: expected a string, not a list");
    assert_int_equal(
        certificate_answer_decode(SLICE("{\"chain\":\"x\"}"), &a, &r, &e),
        ERR_INVALID);
    assert_string_equal(e.text, "bundle: missing");
    assert_int_equal(
        certificate_answer_decode(
            SLICE("{\"chain\":\"x\",\"bundle\":\"y\",\"renewAt\":-1}"), &a, &r,
            &e),
        ERR_INVALID);
    assert_string_equal(
        e.text,
        "renewAt: expected a number from 0 to 9007199254740992, not -1");
    arena_reset(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_messages),
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_a_view_is_encoded_once_if_it_never_was),
        cmocka_unit_test(test_reports),
        cmocka_unit_test(test_silence_is_bounded),
        cmocka_unit_test(test_buckets_rise),
        cmocka_unit_test(test_capabilities),
        cmocka_unit_test(test_what_is_unknown_is_ignored),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_a_refused_view_can_be_nacked),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_a_long_reason_is_cut_between_characters),
        cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_bad_certificate_bodies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
