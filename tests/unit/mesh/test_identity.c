/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/mesh/identity.h"

static void test_builds_what_it_parses(void **state UNUSED)
{
    static const slice name = SLICE_INIT("spiffe://mesh.local/ns/shop/sa/cart");
    struct workload_name n;
    struct text t;

    assert_int_equal(workload_name_parse(name, &n, NULL), OK);
    assert_true(slice_eq(n.trust_domain, SLICE("mesh.local")));
    assert_true(slice_eq(n.ns, SLICE("shop")));
    assert_true(slice_eq(n.service_account, SLICE("cart")));
    text_init(&t, WORKLOAD_NAME_MAX);
    assert_int_equal(workload_name_build(&n, &t, NULL), OK);
    assert_true(slice_eq(text_slice(&t), name));
    text_fini(&t);
}

static void test_the_longest_name_fits(void **state UNUSED)
{
    char c[253] = {0};
    struct workload_name n = {slice_of(c, 253), slice_of(c, 63),
                              slice_of(c, 253)};
    struct workload_name back;
    struct text t;

    memset(c, 'a', sizeof c);
    text_init(&t, WORKLOAD_NAME_MAX);
    assert_int_equal(workload_name_build(&n, &t, NULL), OK);
    assert_false(t.failed);
    assert_int_equal(t.len, 586);
    assert_int_equal(workload_name_parse(text_slice(&t), &back, NULL), OK);
    text_fini(&t);
}

static void test_refuses_other_spellings(void **state UNUSED)
{
    static const char *const names[] = {
        "",
        "spiffe://",
        "spiffe://td",
        "spiffe://td/ns/shop",
        "spiffe://td/ns/shop/sa/",
        "spiffe://td/ns//sa/cart",
        "spiffe:///ns/shop/sa/cart",
        "spiffe://td/ns/shop/sa/cart/",
        "spiffe://td/ns/shop/sa/cart/x",
        "spiffe://td//ns/shop/sa/cart",
        "spiffe://td/sa/cart/ns/shop",
        "SPIFFE://td/ns/shop/sa/cart",
        "spiffe://TD/ns/shop/sa/cart",
        "spiffe://td/ns/Shop/sa/cart",
        "spiffe://td/ns/shop/sa/c%61rt",
        "spiffe://td:443/ns/shop/sa/cart",
        "spiffe://u@td/ns/shop/sa/cart",
        "spiffe://td/ns/shop/sa/cart?x",
        "spiffe://td/ns/shop/sa/cart#x",
        "spiffe://td/ns/-shop/sa/cart",
        "spiffe://td/ns/shop-/sa/cart",
        "spiffe://td/ns/a.b/sa/cart",
        "spiffe://td./ns/shop/sa/cart",
        "spiffe://td/ns/../sa/cart",
        "spiffe://td/ns/shop/sa/a..b",
        "spiffe://td/ns/shop/sa/cart ",
        "https://td/ns/shop/sa/cart",
        "spiffe://td/tulle/controller",
    };
    struct workload_name n;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct error e = {""};
        assert_int_equal(workload_name_parse(slice_str(names[i]), &n, &e),
                         ERR_INVALID);
        assert_true(slice_ends(
            slice_str(e.text),
            SLICE("' is not a workload name like spiffe://trust-domain/ns/"
                  "namespace/sa/service-account")));
    }
    /* A NUL does not end a name. */
    assert_int_equal(
        workload_name_parse(SLICE("spiffe://td/ns/a/sa/b\0c"), &n, NULL),
        ERR_INVALID);
}

static void build_refused(slice td, slice ns, slice sa, const char *sentence)
{
    const struct workload_name n = {td, ns, sa};
    struct error e = {""};
    struct text t;

    text_init(&t, WORKLOAD_NAME_MAX);
    assert_int_equal(workload_name_build(&n, &t, &e), ERR_INVALID);
    assert_string_equal(e.text, sentence);
    assert_int_equal(t.len, 0);
    text_fini(&t);
}

static void test_builds_nothing_invalid(void **state UNUSED)
{
    build_refused(SLICE("a/b"), SLICE("n"), SLICE("s"),
                  "'a/b' is not a trust domain");
    build_refused(SLICE("td"), SLICE("n/sa/x"), SLICE("s"),
                  "'n/sa/x' is not a namespace");
    build_refused(SLICE("td"), SLICE("n"), SLICE_NONE,
                  "'' is not a service account");
}

static void test_the_controller_has_its_own_name(void **state UNUSED)
{
    struct error e = {""};
    struct text t;

    text_init(&t, WORKLOAD_NAME_MAX);
    assert_int_equal(controller_name_build(SLICE("td"), &t, NULL), OK);
    assert_string_equal(text_cstr(&t), "spiffe://td/tulle/controller");
    assert_true(controller_name_is(text_slice(&t), SLICE("td")));
    assert_false(controller_name_is(text_slice(&t), SLICE("t")));
    assert_false(controller_name_is(text_slice(&t), SLICE("td2")));
    assert_false(controller_name_is(SLICE("spiffe://td/tulle/controllerx"),
                                    SLICE("td")));
    assert_false(
        controller_name_is(SLICE("spiffe://td/ns/a/sa/b"), SLICE("td")));
    assert_int_equal(controller_name_build(SLICE("T"), &t, &e), ERR_INVALID);
    assert_string_equal(e.text, "'T' is not a trust domain");
    text_fini(&t);
}

static void test_dns_names(void **state UNUSED)
{
    char c[254] = {0};

    memset(c, 'a', sizeof c);
    assert_true(dns_label_valid(slice_of(c, 63)));
    assert_false(dns_label_valid(slice_of(c, 64)));
    assert_false(dns_label_valid(SLICE_NONE));
    assert_false(dns_label_valid(SLICE("a.b")));
    assert_false(dns_label_valid(SLICE("a_b")));
    assert_true(dns_label_valid(SLICE("0-1")));
    assert_true(dns_subdomain_valid(slice_of(c, 253)));
    assert_false(dns_subdomain_valid(slice_of(c, 254)));
    assert_true(dns_subdomain_valid(SLICE("a.b-c.d")));
    assert_false(dns_subdomain_valid(SLICE("a.")));
    assert_false(dns_subdomain_valid(SLICE(".a")));
    assert_false(dns_subdomain_valid(SLICE_NONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_builds_what_it_parses),
        cmocka_unit_test(test_the_longest_name_fits),
        cmocka_unit_test(test_refuses_other_spellings),
        cmocka_unit_test(test_builds_nothing_invalid),
        cmocka_unit_test(test_the_controller_has_its_own_name),
        cmocka_unit_test(test_dns_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
