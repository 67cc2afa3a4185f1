/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/controller/objects.h"

#include "controller/identity/issue.h"
#include "lib/base/clock.h"

#define CART "spiffe://cluster.local/ns/shop/sa/cart"
#define WEB "spiffe://cluster.local/ns/shop/sa/web"

/* Each row is a proof at time 1000; `pod` NULL in `grants`: refused. */
static void who_may_have_which_name(void **state)
{
    static const struct {
        enum proof_kind kind;
        const char *name, *pod;
        int64_t not_after;
        const char *asked;
        const char *grants;
    } rows[] = {
        {PROOF_TOKEN, CART, "", 2000, "", ""},
        {PROOF_TOKEN, CART, "", 2000, CART, ""},
        {PROOF_CERTIFICATE, CART, "shop/cart-1/u1", 2000, "", "shop/cart-1/u1"},
        {PROOF_TOKEN, CART, "shop/cart-1/", 2000, "", "shop/cart-1/u1"},
        {PROOF_TOKEN, CART, "shop/later/", 2000, "", "shop/later/"},
        /* over */
        {PROOF_TOKEN, CART, "", 1000, "", NULL},
        {PROOF_CERTIFICATE, CART, "", 999, "", NULL},
        /* another name than the proven one */
        {PROOF_TOKEN, CART, "", 2000, WEB, NULL},
        {PROOF_TOKEN, CART, "", 2000, CART "2", NULL},
        /* not a workload of ours */
        {PROOF_TOKEN, "spiffe://cluster.local/tulle/controller", "", 2000, "",
         NULL},
        {PROOF_CERTIFICATE, "spiffe://cluster.local/tulle/controller", "", 2000,
         "", NULL},
        {PROOF_CERTIFICATE, "spiffe://other/ns/shop/sa/cart", "", 2000, "",
         NULL},
        {PROOF_CERTIFICATE, "spiffe://cluster.local.evil/ns/shop/sa/cart", "",
         2000, "", NULL},
        {PROOF_TOKEN, "spiffe://cluster.local/ns/shop/sa/cart/x", "", 2000, "",
         NULL},
        {PROOF_TOKEN, "spiffe://cluster.local/ns/shop/sa/../x", "", 2000, "",
         NULL},
        {PROOF_TOKEN, "cart", "", 2000, "", NULL},
        {PROOF_TOKEN, "", "", 2000, "", NULL},
        /* a pod that is not its own */
        {PROOF_TOKEN, WEB, "shop/cart-1/", 2000, "", NULL},
        {PROOF_TOKEN, CART, "shop/cart-1/u2", 2000, "", NULL},
        {PROOF_TOKEN, CART, "other/cart-1/", 2000, "", NULL},
        {PROOF_TOKEN, CART, "shop/", 2000, "", NULL},
        {PROOF_TOKEN, CART, "shop", 2000, "", NULL},
        {PROOF_TOKEN, CART, "shop/a/b/c", 2000, "", NULL},
        {PROOF_TOKEN, CART, "shop/A/", 2000, "", NULL},
    };
    struct registry *r = registry_new();
    struct issue_rules rules = {SLICE("cluster.local"), 100, true, r};

    (void)state;
    object_put(r, "{'apiVersion':'v1','kind':'Pod','metadata':{'name':"
                  "'cart-1','namespace':'shop','uid':'u1'},'spec':{"
                  "'serviceAccountName':'cart'}}");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct proof p = {rows[i].kind, slice_str(rows[i].name),
                          slice_str(rows[i].pod), rows[i].not_after};
        struct error e = {""};
        struct grant g;
        enum status rc = issue_grant(&rules, &p, slice_str(rows[i].asked), 1000,
                                     &g, &e);

        if (!rows[i].grants) {
            if (rc != ERR_DENIED)
                fail_msg("row %zu: granted", i);
            assert_true(e.text[0] != 0);
            continue;
        }
        if (rc)
            fail_msg("row %zu: %s", i, e.text);
        assert_true(slice_eq(g.name, p.name));
        assert_true(slice_eq(g.pod, slice_str(rows[i].grants)));
        assert_true(g.not_before <= 1000);
        assert_int_equal(g.not_after, 1100);
        assert_int_equal(g.renew_at, 1050);
    }
    registry_free(r);
}

static void a_cluster_wants_a_token_each_time(void **state)
{
    struct issue_rules rules = {SLICE("cluster.local"), 100, false, NULL};
    struct proof p = {PROOF_CERTIFICATE, SLICE(CART), SLICE(""), 2000};
    struct grant g;
    struct error e;

    (void)state;
    assert_int_equal(issue_grant(&rules, &p, SLICE(""), 1000, &g, &e),
                     ERR_DENIED);
    p.kind = PROOF_TOKEN;
    assert_int_equal(issue_grant(&rules, &p, SLICE(""), 1000, &g, &e), OK);
}

static void so_many_a_second(void **state)
{
    struct issue_rate rate;

    (void)state;
    issue_rate_init(&rate, 2, 0);
    assert_true(issue_rate_take(&rate, 0));
    assert_true(issue_rate_take(&rate, 0));
    assert_false(issue_rate_take(&rate, 0));
    assert_true(issue_rate_take(&rate, NSEC_PER_SEC / 2));
    assert_false(issue_rate_take(&rate, NSEC_PER_SEC / 2));
    /* rest does not add up beyond one second's worth */
    assert_true(issue_rate_take(&rate, 100 * NSEC_PER_SEC));
    assert_true(issue_rate_take(&rate, 100 * NSEC_PER_SEC));
    assert_false(issue_rate_take(&rate, 100 * NSEC_PER_SEC));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_may_have_which_name),
        cmocka_unit_test(a_cluster_wants_a_token_each_time),
        cmocka_unit_test(so_many_a_second),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
