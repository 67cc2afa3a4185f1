/* SPDX-License-Identifier: Apache-2.0 */
/* What `kubectl get mesh` shows of a proxy and of the mesh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controller/status/mesh_state.h"

enum { NOW = 1800000000 };

static struct record *pod_new(bool ready, const char *problem)
{
    struct record *r = record_new(RECORD_POD, SLICE("shop"), SLICE("cart-1"));

    r->pod.uid = SLICE("u-1");
    r->pod.node = SLICE("n1");
    r->pod.meshed = true;
    r->pod.proxy_ready = ready;
    r->pod.init_problem = slice_str(problem);
    return r;
}

static const struct proxy_state synced = {
    .ns = SLICE_INIT("shop"),
    .pod = SLICE_INIT("cart-1"),
    .identity = SLICE_INIT("spiffe://cluster.local/ns/shop/sa/cart"),
    .version = SLICE_INIT("0.1.0"),
    .config = SLICE_INIT("0123456789abcdef0123456789abcdef"),
    .in_sync = true,
    .cert_not_after = NOW + 86400,
};

/* Writes the status, checks that it says what `want` says. */
static void says(const struct mesh_proxy *p, const char *want)
{
    struct json_write w;
    struct text t;

    text_init(&t, 1 << 16);
    json_write_init(&w, &t);
    mesh_proxy_write(p, NULL, NOW, &w);
    assert_false(t.failed);
    if (!strstr(text_cstr(&t), want))
        fail_msg("%s\nis not in\n%s", want, text_cstr(&t));
    text_fini(&t);
}

static void a_proxy_that_is_well(void **state)
{
    struct record *pod = pod_new(true, "");
    struct mesh_proxy p;

    (void)state;
    mesh_proxy_compute(pod, MTLS_STRICT, &synced, true, NOW, &p);
    says(&p, "{\"ready\":\"True\",\"sync\":\"yes\",\"mtls\":\"strict\","
             "\"certExpires\":\"2027-01-16T08:00:00Z\","
             "\"identity\":\"spiffe://cluster.local/ns/shop/sa/cart\","
             "\"version\":\"0.1.0\",\"config\":\"0123456789\","
             "\"node\":\"n1\",\"podIP\":\"\",\"message\":\"\",");
    says(&p, "{\"type\":\"Synced\",\"status\":\"True\","
             "\"reason\":\"Acknowledged\"");
    record_unref(pod);
}

static void before_the_first_session(void **state)
{
    struct record *pod = pod_new(false, "");
    struct mesh_proxy p;

    (void)state;
    mesh_proxy_compute(pod, MTLS_PERMISSIVE, NULL, false, NOW, &p);
    says(&p, "{\"ready\":\"False\",\"sync\":\"never\",\"mtls\":\"permissive\","
             "\"certExpires\":\"\"");
    says(&p, "\"message\":\"the proxy has not started yet\"");
    mesh_proxy_compute(pod, MTLS_PERMISSIVE, NULL, true, NOW, &p);
    says(&p, "\"sync\":\"unknown\"");
    says(&p, "\"reason\":\"Disconnected\"");
    record_unref(pod);
}

static void the_last_words_of_the_init_container(void **state)
{
    struct record *pod = pod_new(false, "redirection does not work: ...");
    struct mesh_proxy p;

    (void)state;
    mesh_proxy_compute(pod, MTLS_PERMISSIVE, NULL, false, NOW, &p);
    says(&p, "\"message\":\"redirection does not work: ...\"");
    says(&p, "{\"type\":\"Ready\",\"status\":\"False\","
             "\"reason\":\"ProxyFailed\"");
    record_unref(pod);
}

static void a_refusal_is_told(void **state)
{
    struct record *pod = pod_new(true, "");
    struct proxy_state s = synced;
    struct mesh_proxy p;

    (void)state;
    s.in_sync = false;
    mesh_proxy_compute(pod, MTLS_PERMISSIVE, &s, true, NOW, &p);
    says(&p, "\"sync\":\"no\"");
    says(&p, "\"reason\":\"Behind\"");
    s.problem = SLICE("too many keys are known here");
    mesh_proxy_compute(pod, MTLS_PERMISSIVE, &s, true, NOW, &p);
    says(&p, "\"reason\":\"Refused\"");
    says(&p, "\"message\":\"too many keys are known here\"");
    record_unref(pod);
}

static void a_certificate_near_its_end(void **state)
{
    struct record *pod = pod_new(true, "");
    struct proxy_state s = synced;
    struct mesh_proxy p;

    (void)state;
    s.cert_not_after = NOW + 60;
    mesh_proxy_compute(pod, MTLS_PERMISSIVE, &s, true, NOW, &p);
    says(&p, "{\"type\":\"CertificateValid\",\"status\":\"True\","
             "\"reason\":\"NotRenewed\"");
    s.cert_not_after = NOW;
    mesh_proxy_compute(pod, MTLS_PERMISSIVE, &s, true, NOW, &p);
    says(&p, "{\"type\":\"CertificateValid\",\"status\":\"False\","
             "\"reason\":\"Expired\"");
    record_unref(pod);
}

/* One of an hour is in its last hour all its life. */
static void a_short_certificate(void **state)
{
    struct record *pod = pod_new(true, "");
    struct proxy_state s = synced;
    struct mesh_proxy p;

    (void)state;
    s.cert_issued = NOW - 2600;
    s.cert_not_after = NOW + 1000;
    mesh_proxy_compute(pod, MTLS_PERMISSIVE, &s, true, NOW, &p);
    says(&p, "{\"type\":\"CertificateValid\",\"status\":\"True\","
             "\"reason\":\"Valid\"");
    mesh_proxy_compute(pod, MTLS_PERMISSIVE, &s, true, NOW + 100, &p);
    says(&p, "\"reason\":\"NotRenewed\"");
    record_unref(pod);
}

static uint64_t hash_of(const char *status)
{
    static const struct json_limits limits = {1 << 16, 1000};
    struct json_doc *doc;
    struct error e;
    uint64_t hash;

    if (json_parse(slice_str(status), &limits, &doc, &e))
        fail_msg("%s", e.text);
    hash = state_hash(json_root(doc));
    json_free(doc);
    return hash;
}

static void equal_whatever_the_order_and_the_times(void **state)
{
    uint64_t one = hash_of(
        "{\"ready\":\"True\",\"proxies\":3,\"conditions\":["
        "{\"type\":\"A\",\"status\":\"True\",\"lastTransitionTime\":\"x\"},"
        "{\"type\":\"B\",\"status\":\"False\",\"lastTransitionTime\":\"y\"}]}");

    (void)state;
    assert_true(one ==
                hash_of("{\"conditions\":["
                        "{\"lastTransitionTime\":\"z\",\"status\":\"False\","
                        "\"type\":\"B\"},{\"type\":\"A\",\"status\":\"True\"}],"
                        "\"proxies\":3,\"ready\":\"True\"}"));
    assert_false(one ==
                 hash_of("{\"ready\":\"True\",\"proxies\":3,\"conditions\":["
                         "{\"type\":\"A\",\"status\":\"False\"},"
                         "{\"type\":\"B\",\"status\":\"True\"}]}"));
    assert_false(one == hash_of("{\"ready\":\"True\",\"proxies\":4}"));
    assert_false(hash_of("{\"a\":\"b\",\"c\":\"d\"}") ==
                 hash_of("{\"a\":\"d\",\"c\":\"b\"}"));
}

static void a_condition_that_stays_keeps_its_time(void **state)
{
    static const char old[] =
        "{\"conditions\":[{\"type\":\"Synced\",\"status\":\"True\","
        "\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"},"
        "{\"type\":\"Ready\",\"status\":\"False\","
        "\"lastTransitionTime\":\"2026-01-02T00:00:00Z\"}]}";
    static const struct json_limits limits = {1 << 16, 1000};
    struct record *pod = pod_new(true, "");
    struct condition_times times;
    struct json_doc *doc;
    struct json_write w;
    struct mesh_proxy p;
    struct error e;
    struct text t;

    (void)state;
    assert_int_equal(json_parse(slice_str(old), &limits, &doc, &e), OK);
    condition_times_read(json_root(doc), mesh_proxy_conditions, 3, &times);
    json_free(doc);
    mesh_proxy_compute(pod, MTLS_STRICT, &synced, true, NOW, &p);
    text_init(&t, 1 << 16);
    json_write_init(&w, &t);
    mesh_proxy_write(&p, &times, NOW, &w);
    assert_non_null(strstr(text_cstr(&t),
                           "\"reason\":\"Acknowledged\",\"message\":\"\","
                           "\"lastTransitionTime\":\"2026-01-01T00:00:00Z\""));
    assert_non_null(strstr(text_cstr(&t),
                           "\"reason\":\"ProxyReady\",\"message\":\"\","
                           "\"lastTransitionTime\":\"2027-01-15T08:00:00Z\""));
    text_fini(&t);
    record_unref(pod);
}

static void the_mesh(void **state)
{
    struct mesh_config_facts f = {
        .proxies = 3,
        .synced = 2,
        .mtls = MTLS_PERMISSIVE,
        .trust_domain = SLICE("cluster.local"),
        .ca_not_after = NOW + 1000,
        .version = "0.1.0",
    };
    struct mesh_config c;
    struct json_write w;
    struct text t;

    (void)state;
    text_init(&t, 1 << 16);
    json_write_init(&w, &t);
    mesh_config_compute(&f, NOW, &c);
    mesh_config_write(&c, NULL, NOW, &w);
    assert_non_null(
        strstr(text_cstr(&t),
               "{\"ready\":\"True\",\"proxies\":3,\"synced\":2,"
               "\"mtls\":\"permissive\",\"trustDomain\":\"cluster.local\","
               "\"caExpires\":\"2027-01-15T08:16:40Z\",\"version\":\"0.1.0\""));
    text_clear(&t);
    f.ca_not_after = 0;
    f.problem = SLICE("the issuer Secret a/b is not there");
    json_write_init(&w, &t);
    mesh_config_compute(&f, NOW, &c);
    mesh_config_write(&c, NULL, NOW, &w);
    assert_non_null(strstr(text_cstr(&t), "{\"ready\":\"False\""));
    assert_non_null(
        strstr(text_cstr(&t), "the issuer Secret a/b is not there"));
    text_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_proxy_that_is_well),
        cmocka_unit_test(before_the_first_session),
        cmocka_unit_test(the_last_words_of_the_init_container),
        cmocka_unit_test(a_refusal_is_told),
        cmocka_unit_test(a_certificate_near_its_end),
        cmocka_unit_test(a_short_certificate),
        cmocka_unit_test(equal_whatever_the_order_and_the_times),
        cmocka_unit_test(a_condition_that_stays_keeps_its_time),
        cmocka_unit_test(the_mesh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
