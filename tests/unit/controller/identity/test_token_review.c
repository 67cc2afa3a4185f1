/* SPDX-License-Identifier: Apache-2.0 */
/* What the API server says about a token, and what follows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "controller/identity/token_review.h"
#include "lib/base/mem.h"

#define DOMAIN SLICE("cluster.local")

#define EXTRA                                                            \
    "\"extra\":{\"authentication.kubernetes.io/pod-name\":[\"cart-1\"]," \
    "\"authentication.kubernetes.io/pod-uid\":[\"u-1\"],"                \
    "\"authentication.kubernetes.io/node-name\":[\"n1\"]}"
#define USER                                                      \
    "\"user\":{\"username\":\"system:serviceaccount:shop:cart\"," \
    "\"uid\":\"x\",\"groups\":[\"a\"]," EXTRA "}"

static const struct json_limits limits = {1 << 16, 1000};

static enum status read_review(const char *text, struct token_review *out,
                               struct error *e)
{
    struct json_doc *doc;
    enum status rc;

    assert_int_equal(json_parse(slice_str(text), &limits, &doc, e), OK);
    rc = token_review_read(json_root(doc), DOMAIN, out, e);
    json_free(doc);
    return rc;
}

static void asks_for_our_audience(void **state)
{
    struct text out;

    (void)state;
    text_init(&out, 4096);
    token_review_request(SLICE("ey\"J"), &out);
    assert_string_equal(
        text_cstr(&out),
        "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenReview\","
        "\"spec\":{\"token\":\"ey\\\"J\",\"audiences\":[\"tulle\"]}}");
    text_fini(&out);
}

static void a_good_token_names_account_and_pod(void **state)
{
    struct token_review r;
    struct error e;

    (void)state;
    assert_int_equal(read_review("{\"status\":{\"authenticated\":true," USER
                                 ",\"audiences\":[\"x\",\"tulle\"]}}",
                                 &r, &e),
                     OK);
    assert_string_equal(r.name, "spiffe://cluster.local/ns/shop/sa/cart");
    assert_string_equal(r.pod, "shop/cart-1/u-1");
}

static void everything_else_is_refused_with_a_reason(void **state)
{
    static const struct {
        const char *body, *why;
        enum status rc;
    } cases[] = {
        {"{}", "status: missing", ERR_INVALID},
        {"{\"status\":{}}", "the token is not valid", ERR_DENIED},
        {"{\"status\":{\"authenticated\":false,\"error\":\"expired\"}}",
         "the token is not valid", ERR_DENIED},
        /* a server that knows no audiences must not be taken for consent */
        {"{\"status\":{\"authenticated\":true," USER "}}",
         "the token is not for the audience 'tulle'", ERR_DENIED},
        {"{\"status\":{\"authenticated\":true," USER
         ",\"audiences\":[\"https://api.example\"]}}",
         "the token is not for the audience 'tulle'", ERR_DENIED},
        {"{\"status\":{\"authenticated\":true,\"audiences\":[\"tulle\"],"
         "\"user\":{\"username\":\"admin\"," EXTRA "}}}",
         "the token is not a service account's", ERR_DENIED},
        {"{\"status\":{\"authenticated\":true,\"audiences\":[\"tulle\"],"
         "\"user\":{\"username\":\"system:serviceaccount:shop:cart\"}}}",
         "the token is not bound to a pod", ERR_DENIED},
        {"{\"status\":{\"authenticated\":true,\"audiences\":[\"tulle\"],"
         "\"user\":{\"username\":\"system:serviceaccount:shop:cart\","
         "\"extra\":{\"authentication.kubernetes.io/pod-name\":[\"a\",\"b\"],"
         "\"authentication.kubernetes.io/pod-uid\":[\"u\"]}}}}",
         "the token is not bound to a pod", ERR_DENIED},
        {"{\"status\":{\"authenticated\":\"yes\"}}",
         "status.authenticated: expected true or false, not \"yes\"",
         ERR_INVALID},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct token_review r;
        struct error e;

        assert_int_equal(read_review(cases[i].body, &r, &e), cases[i].rc);
        assert_string_equal(e.text, cases[i].why);
    }
}

static void a_name_that_no_account_can_have(void **state)
{
    struct token_review r;
    struct error e;

    (void)state;
    assert_int_not_equal(
        read_review("{\"status\":{\"authenticated\":true,\"audiences\":"
                    "[\"tulle\"],\"user\":{\"username\":"
                    "\"system:serviceaccount:sh/op:ca:rt\"," EXTRA "}}}",
                    &r, &e),
        OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_for_our_audience),
        cmocka_unit_test(a_good_token_names_account_and_pod),
        cmocka_unit_test(everything_else_is_refused_with_a_reason),
        cmocka_unit_test(a_name_that_no_account_can_have),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
