/* SPDX-License-Identifier: Apache-2.0 */
/* What replicas of the controller tell the leader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controller/live/replica_wire.h"

static const struct proxy_state state = {
    .ns = SLICE_INIT("shop"),
    .pod = SLICE_INIT("cart-1"),
    .uid = SLICE_INIT("u-1"),
    .identity = SLICE_INIT("spiffe://cluster.local/ns/shop/sa/cart"),
    .version = SLICE_INIT("0.1.0"),
    .config = SLICE_INIT("abc"),
    .mtls = SLICE_INIT("strict"),
    .roots = SLICE_INIT("0123456789abcdef,fedcba9876543210"),
    .problem = SLICE_INIT("a \"quoted\"\nword"),
    .in_sync = true,
    .cert_not_after = 1800000000,
    .cert_issued = 1799900000,
    .requests = UINT64_MAX,
    .failures = 1,
    .connections = 2,
    .secured = 3,
    .detect_timeouts = 4,
    .silent = {{true, SLICE_INIT("6000"), 3},
               {false, SLICE_INIT("shop/db:6000"), 1}},
    .silent_len = 2,
};

static void what_is_told_is_heard(void **state_)
{
    struct replica_msg m;
    struct text line;
    struct error e;

    (void)state_;
    text_init(&line, REPLICA_LINE_MAX);
    replica_encode(REPLICA_PROXY, &state, &line);
    assert_int_equal(line.ptr[line.len - 1], '\n');
    assert_int_equal(
        replica_decode(slice_sub(text_slice(&line), 0, line.len - 1), &m, &e),
        OK);
    assert_int_equal(m.type, REPLICA_PROXY);
    assert_true(slice_eq(m.state.ns, state.ns));
    assert_true(slice_eq(m.state.pod, state.pod));
    assert_true(slice_eq(m.state.uid, state.uid));
    assert_true(slice_eq(m.state.identity, state.identity));
    assert_true(slice_eq(m.state.version, state.version));
    assert_true(slice_eq(m.state.config, state.config));
    assert_true(slice_eq(m.state.mtls, state.mtls));
    assert_true(slice_eq(m.state.roots, state.roots));
    assert_true(slice_eq(m.state.problem, state.problem));
    assert_true(m.state.in_sync);
    assert_int_equal(m.state.cert_not_after, state.cert_not_after);
    assert_int_equal(m.state.cert_issued, state.cert_issued);
    assert_true(m.state.requests == UINT64_MAX);
    assert_int_equal(m.state.failures, 1);
    assert_int_equal(m.state.connections, 2);
    assert_int_equal(m.state.secured, 3);
    assert_int_equal(m.state.detect_timeouts, 4);
    assert_int_equal(m.state.silent_len, 2);
    assert_true(m.state.silent[0].inbound);
    assert_true(slice_eq(m.state.silent[0].service, SLICE("6000")));
    assert_int_equal(m.state.silent[0].connections, 3);
    assert_false(m.state.silent[1].inbound);
    assert_true(slice_eq(m.state.silent[1].service, SLICE("shop/db:6000")));
    replica_msg_fini(&m);
    text_fini(&line);
}

/* An older leader takes lines of 64 values. */
static void the_longest_line_fits(void **state_)
{
    static const struct json_limits old = {REPLICA_LINE_MAX, 64};
    static char names[WIRE_SILENT_MAX][SILENT_NAME_MAX];
    struct proxy_state s = state;
    struct json_doc *doc = NULL;
    struct text line;
    struct error e;

    (void)state_;
    for (unsigned i = 0; i < WIRE_SILENT_MAX; i++) {
        memset(names[i], 'x', SILENT_NAME_MAX);
        names[i][0] = (char)('a' + i);
        s.silent[i] = (struct silent){
            i % 2, slice_of(names[i], SILENT_NAME_MAX), UINT64_MAX};
    }
    s.silent_len = WIRE_SILENT_MAX;
    text_init(&line, REPLICA_LINE_MAX);
    replica_encode(REPLICA_PROXY, &s, &line);
    assert_false(line.failed);
    assert_int_equal(json_parse(text_slice(&line), &old, &doc, &e), OK);
    json_free(doc);
    text_fini(&line);
}

static void gone_and_heartbeat(void **state_)
{
    const struct proxy_state self = {.pod = SLICE_INIT("tulle-controller-b"),
                                     .roots = SLICE_INIT("0123456789abcdef")};
    struct replica_msg m;
    struct text line;
    struct error e;

    (void)state_;
    text_init(&line, REPLICA_LINE_MAX);
    replica_encode(REPLICA_GONE, &state, &line);
    assert_string_equal(
        text_cstr(&line),
        "{\"type\":\"gone\",\"namespace\":\"shop\",\"pod\":\"cart-1\"}\n");
    text_clear(&line);
    replica_encode(REPLICA_HEARTBEAT, &self, &line);
    assert_int_equal(replica_decode(text_slice(&line), &m, &e), OK);
    assert_int_equal(m.type, REPLICA_HEARTBEAT);
    assert_true(slice_eq(m.state.pod, self.pod));
    assert_true(slice_eq(m.state.roots, self.roots));
    replica_msg_fini(&m);
    /* The leader's, and those of earlier versions. */
    assert_int_equal(replica_decode(SLICE("{\"type\":\"heartbeat\"}"), &m, &e),
                     OK);
    assert_true(slice_empty(m.state.pod) && slice_empty(m.state.roots));
    replica_msg_fini(&m);
    text_fini(&line);
}

static void later_versions_may_say_more(void **state_)
{
    struct replica_msg m;
    struct error e;

    (void)state_;
    assert_int_equal(
        replica_decode(SLICE("{\"type\":\"news\",\"x\":1}"), &m, &e), OK);
    assert_int_equal(m.type, REPLICA_UNKNOWN);
    replica_msg_fini(&m);
    assert_int_equal(
        replica_decode(SLICE("{\"type\":\"proxy\",\"namespace\":\"a\","
                             "\"pod\":\"b\",\"more\":[1]}"),
                       &m, &e),
        OK);
    assert_false(m.state.in_sync);
    replica_msg_fini(&m);
}

static void nonsense_is_refused_with_a_sentence(void **state_)
{
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"type\":7}",
        "{\"type\":\"proxy\"}",
        "{\"type\":\"proxy\",\"namespace\":\"a\"}",
        "{\"type\":\"proxy\",\"namespace\":\"A/b\",\"pod\":\"c\"}",
        "{\"type\":\"gone\",\"namespace\":\"a\",\"pod\":\"../c\"}",
        "{\"type\":\"proxy\",\"namespace\":\"a\",\"pod\":\"b\",\"inSync\":1}",
        "{\"type\":\"proxy\",\"namespace\":\"a\",\"pod\":\"b\","
        "\"requests\":-1}",
        "{\"type\":\"proxy\",\"namespace\":\"a\",\"pod\":\"b\","
        "\"certExpires\":\"x\"}",
    };

    (void)state_;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct replica_msg m;
        struct error e = {""};

        assert_int_not_equal(replica_decode(slice_str(bad[i]), &m, &e), OK);
        assert_true(e.text[0]);
        replica_msg_fini(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_told_is_heard),
        cmocka_unit_test(the_longest_line_fits),
        cmocka_unit_test(gone_and_heartbeat),
        cmocka_unit_test(later_versions_may_say_more),
        cmocka_unit_test(nonsense_is_refused_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
