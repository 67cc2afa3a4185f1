/* SPDX-License-Identifier: Apache-2.0 */
/* The issuer as a Secret and back; and Secrets that hold none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "controller/identity/ca_secret.h"
#include "lib/base/base64.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define DOMAIN SLICE("cluster.local")

static const struct json_limits limits = {4 << 20, 1000};

static struct ca *new_ca(void)
{
    struct ca *ca;
    struct error e;

    assert_int_equal(
        ca_new(&ca, DOMAIN, clock_real_ns() / NSEC_PER_SEC, 86400, &e), OK);
    return ca;
}

static void add_data(struct text *t, const char *name, slice value)
{
    text_printf(t, "%s\"%s\":\"", t->ptr[t->len - 1] == '{' ? "" : ",", name);
    base64_encode(value, t);
    text_add_char(t, '"');
}

static enum status decode(const struct text *t, slice domain,
                          struct authority **a, struct error *e)
{
    struct json_doc *doc;
    enum status rc;

    assert_int_equal(json_parse(text_slice(t), &limits, &doc, e), OK);
    rc = ca_secret_decode(json_root(doc), domain, a, e);
    json_free(doc);
    return rc;
}

/* As the API server turns what we write into what it tells. */
static void what_is_written_is_read(void **state)
{
    static const char *const parts[] = {"tls.crt", "tls.key"};
    struct ca *ca = new_ca();
    struct json_doc *doc;
    struct authority *a = NULL;
    struct text body, told;
    struct error e;
    slice said;

    (void)state;
    text_init(&body, 1 << 20);
    text_init(&told, 1 << 20);
    assert_int_equal(ca_secret_encode(ca, SLICE("tulle-system"),
                                      SLICE("tulle-ca"), &body, &e),
                     OK);
    assert_false(body.failed);
    assert_int_equal(json_parse(text_slice(&body), &limits, &doc, &e), OK);
    assert_int_equal(json_string(json_root(doc), "type", &said, &e), OK);
    assert_true(slice_eq(said, SLICE("kubernetes.io/tls")));
    text_add(&told, SLICE("{\"data\":{"));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(json_string(json_get(json_root(doc), "stringData"),
                                     parts[i], &said, &e),
                         OK);
        add_data(&told, parts[i], said);
    }
    text_add(&told, SLICE("}}"));
    if (decode(&told, DOMAIN, &a, &e))
        fail_msg("%s", e.text);
    assert_true(slice_eq(authority_bundle(a), ca_cert_pem(ca)));
    authority_free(a);
    json_free(doc);
    text_fini(&body);
    text_fini(&told);
    ca_free(ca);
}

static void more_roots_are_trusted_beside(void **state)
{
    struct ca *ca = new_ca(), *old = new_ca();
    struct authority *a = NULL;
    struct text t, want;
    struct error e;

    (void)state;
    text_init(&t, 1 << 20);
    text_init(&want, 1 << 20);
    text_add(&want, ca_cert_pem(ca));
    text_add(&want, ca_cert_pem(old));
    text_add(&t, SLICE("{\"data\":{"));
    add_data(&t, "tls.crt", ca_cert_pem(ca));
    add_data(&t, "tls.key", ca_key_pem(ca));
    add_data(&t, "ca.crt", text_slice(&want)); /* its own, once more */
    text_add(&t, SLICE("}}"));
    assert_int_equal(decode(&t, DOMAIN, &a, &e), OK);
    assert_true(slice_eq(authority_bundle(a), text_slice(&want)));
    authority_free(a);
    text_fini(&t);
    text_fini(&want);
    ca_free(ca);
    ca_free(old);
}

static void expect_bad(const struct text *t, const char *says)
{
    struct authority *a = NULL;
    struct error e = {""};

    assert_int_not_equal(decode(t, DOMAIN, &a, &e), OK);
    assert_null(a);
    if (!strstr(e.text, says))
        fail_msg("'%s' does not say '%s'", e.text, says);
    assert_null(strstr(e.text, "PRIVATE"));
}

static void bad(slice cert, slice key, slice roots, const char *says)
{
    struct text t;

    text_init(&t, 4 << 20);
    text_add(&t, SLICE("{\"data\":{"));
    if (!slice_empty(cert))
        add_data(&t, "tls.crt", cert);
    if (!slice_empty(key))
        add_data(&t, "tls.key", key);
    if (!slice_empty(roots))
        add_data(&t, "ca.crt", roots);
    text_add(&t, SLICE("}}"));
    expect_bad(&t, says);
    text_fini(&t);
}

static void secrets_that_are_none(void **state)
{
    struct ca *ca = new_ca(), *other = new_ca();
    slice cert = ca_cert_pem(ca), key = ca_key_pem(ca);
    char *big = mem_alloc(300 << 10);
    struct authority *a = NULL;
    struct text t;
    struct error e;

    (void)state;
    memset(big, 'x', 300 << 10);
    bad(SLICE_NONE, key, SLICE_NONE, "tls.crt");
    bad(cert, SLICE_NONE, SLICE_NONE, "tls.key");
    bad(cert, ca_key_pem(other), SLICE_NONE, "");
    bad(cert, cert, SLICE_NONE, "");
    bad(key, key, SLICE_NONE, "");
    bad(cert, key, SLICE("nonsense"), "");
    bad(slice_of(big, 300 << 10), key, SLICE_NONE, "too long");
    text_init(&t, 4 << 20);
    text_add(&t, SLICE("{\"data\":{"));
    add_data(&t, "tls.crt", cert);
    add_data(&t, "tls.key", key);
    text_add(&t, SLICE("}}"));
    assert_int_not_equal(decode(&t, SLICE("other.example"), &a, &e), OK);
    assert_non_null(strstr(e.text, "other.example"));
    text_clear(&t);
    text_add(&t, SLICE("{\"data\":{\"tls.crt\":\"%\",\"tls.key\":\"QQ==\"}}"));
    expect_bad(&t, "data.tls.crt: is not base64");
    text_clear(&t);
    text_add(&t, SLICE("{\"data\":[]}"));
    expect_bad(&t, "data");
    text_clear(&t);
    text_add(&t, SLICE("{\"data\":{\"tls.crt\":7}}"));
    expect_bad(&t, "tls.crt");
    text_fini(&t);
    mem_free(big);
    ca_free(ca);
    ca_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(more_roots_are_trusted_beside),
        cmocka_unit_test(secrets_that_are_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
