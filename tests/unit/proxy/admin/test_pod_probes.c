/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/text.h"
#include "proxy/admin/probes.h"

static void parse(struct probes *p, const char *json)
{
    struct error e = {{0}};
    if (probes_parse(slice_str(json), p, &e))
        fail_msg("%s", e.text);
}

#define ASSERT_SLICE(s, want) assert_true(slice_eq((s), SLICE(want)))

static void test_none(void **state)
{
    struct probes p;
    (void)state;
    parse(&p, "");
    assert_int_equal(p.len, 0);
    assert_null(probes_find(&p, SLICE("/probe/app/liveness")));
    probes_fini(&p);
    parse(&p, " {} ");
    assert_int_equal(p.len, 0);
    probes_fini(&p);
}

static void test_all(void **state)
{
    struct probes p;
    const struct probe *q;
    (void)state;
    parse(&p,
          "{\"/probe/app/readiness\":"
          "{\"kind\":\"tcp\",\"port\":8080,\"timeout\":\"2s\"},"
          "\"/probe/app/liveness\":{\"kind\":\"https\",\"port\":8443,"
          "\"host\":\"\",\"path\":\"/healthz?a=b\","
          "\"headers\":[[\"X\",\"y\"],[\"Host\",\"me\"],[\"X\",\"\"]]},"
          "\"/hook/app/preStop\":{\"kind\":\"http\",\"port\":80,"
          "\"host\":\"example.org\",\"path\":\"a b\",\"timeout\":\"90000s\"}}");
    assert_int_equal(p.len, 3);
    q = probes_find(&p, SLICE("/probe/app/readiness"));
    assert_non_null(q);
    assert_int_equal(q->kind, PROBE_TCP);
    assert_int_equal(q->port, 8080);
    assert_int_equal(q->timeout, 2 * NSEC_PER_SEC);
    assert_false(q->hook);
    ASSERT_SLICE(q->target, "/");
    q = probes_find(&p, SLICE("/probe/app/liveness"));
    assert_non_null(q);
    assert_int_equal(q->kind, PROBE_HTTPS);
    assert_int_equal(q->timeout, NSEC_PER_SEC);
    ASSERT_SLICE(q->target, "/healthz?a=b");
    ASSERT_SLICE(q->authority, "me"); /* of the header */
    assert_int_equal(q->headers_len, 2);
    ASSERT_SLICE(q->headers[0].name, "X");
    ASSERT_SLICE(q->headers[0].value, "y");
    q = probes_find(&p, SLICE("/hook/app/preStop"));
    assert_non_null(q);
    assert_true(q->hook);
    assert_int_equal(q->timeout, 24 * 3600 * NSEC_PER_SEC);
    ASSERT_SLICE(q->host, "example.org");
    ASSERT_SLICE(q->target, "/a%20b");
    assert_null(probes_find(&p, SLICE("/hook/app/postStart")));
    probes_fini(&p);
}

/* What is about the connection cannot be said by a manifest. */
static void test_headers_left_out(void **state)
{
    struct probes p;
    (void)state;
    parse(&p, "{\"/probe/a/b\":{\"kind\":\"http\",\"port\":1,\"headers\":["
              "[\"Connection\",\"x\"],[\"Content-Length\",\"7\"],"
              "[\"transfer-encoding\",\"chunked\"],[\"Upgrade\",\"h2c\"],"
              "[\"Expect\",\"100-continue\"],[\"ok\",\"1\"]]}}");
    assert_int_equal(p.at[0].headers_len, 1);
    ASSERT_SLICE(p.at[0].headers[0].name, "ok");
    probes_fini(&p);
}

static void bad(const char *json, const char *want)
{
    struct probes p;
    struct error e = {{0}};
    assert_int_not_equal(probes_parse(slice_str(json), &p, &e), OK);
    if (!strstr(e.text, want))
        fail_msg("'%s' does not say '%s'", e.text, want);
    assert_true(slice_starts(slice_str(e.text), SLICE("probes: ")));
    probes_fini(&p);
}

#define P "/probe/a/b"
#define ONE(members) "{\"" P "\":{" members "}}"

static void test_bad(void **state)
{
    (void)state;
    bad("[]", "expected an object");
    bad("{", "line 1");
    bad("{\"/ready\":{\"kind\":\"tcp\",\"port\":1}}",
        "/ready: a path begins with /probe/ or /hook/");
    bad("{\"/probe/a b\":{\"kind\":\"tcp\",\"port\":1}}", "not a path");
    bad("{\"/probe/a?b\":{\"kind\":\"tcp\",\"port\":1}}", "not a path");
    bad(ONE("\"port\":1"), P ": ");
    bad(ONE("\"kind\":\"udp\",\"port\":1"), "expected tcp, http or https");
    bad(ONE("\"kind\":\"tcp\""), "port");
    bad(ONE("\"kind\":\"tcp\",\"port\":0"), "port");
    bad(ONE("\"kind\":\"tcp\",\"port\":\"http\""), "port");
    bad(ONE("\"kind\":\"tcp\",\"port\":1,\"timeout\":\"soon\""), "timeout");
    bad(ONE("\"kind\":\"tcp\",\"port\":1,\"timeout\":\"0s\""), "timeout");
    bad(ONE("\"kind\":\"http\",\"port\":1,\"host\":\"a b\""), "host");
    bad(ONE("\"kind\":\"http\",\"port\":1,\"headers\":[\"x\"]"), "headers");
    bad(ONE("\"kind\":\"http\",\"port\":1,\"headers\":[[\"x\"]]"), "headers");
    bad(ONE("\"kind\":\"http\",\"port\":1,\"headers\":[[\"x\",\"a\\nb\"]]"),
        "headers");
    bad(ONE("\"kind\":\"http\",\"port\":1,\"headers\":[[\"x y\",\"a\"]]"),
        "headers");
    bad(ONE("\"kind\":\"http\",\"port\":1,\"headers\":[[\"Host\",\"a b\"]]"),
        "headers");
}

static void test_too_many(void **state)
{
    struct text t;
    (void)state;
    text_init(&t, 1 << 20);
    text_add(&t, SLICE("{"));
    for (int i = 0; i <= PROBES_MAX; i++)
        text_printf(&t, "%s\"/probe/%d/x\":{\"kind\":\"tcp\",\"port\":1}",
                    i ? "," : "", i);
    text_add(&t, SLICE("}"));
    bad(text_cstr(&t), "more than 256");
    text_clear(&t);
    text_add(&t, SLICE("{\"" P "\":{\"kind\":\"http\",\"port\":1,"
                       "\"headers\":["));
    for (int i = 0; i <= PROBE_HEADERS_MAX; i++)
        text_printf(&t, "%s[\"x\",\"y\"]", i ? "," : "");
    text_add(&t, SLICE("]}}"));
    bad(text_cstr(&t), "more than 64");
    text_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_headers_left_out),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
