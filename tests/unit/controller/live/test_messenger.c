/* SPDX-License-Identifier: Apache-2.0 */
/* A replica and the leader in one process, over loopback sockets and real TLS:
 * what has a session at the one is known at the other. */
#include "tests/unit/http/talk.h"

#include "controller/identity/serving.h"
#include "controller/live/messenger.h"
#include "controller/subscribe/server.h"

#define DOMAIN SLICE("cluster.local")
#define CONTROLLER SLICE("spiffe://cluster.local/tulle/controller")

enum { HERE_MAX = 4000 };

struct rig {
    struct turner t;
    struct authority *authority;
    struct tls_settings *serving, *client;
    struct registry *registry;
    struct resolve_settings resolve;
    struct publisher *publisher;
    struct issuer issuer;
    /* the leader */
    struct proxies *known;
    struct gather *gather;
    struct mesh_api *api;
    struct address at;
    /* the replica */
    struct proxies *own;
    struct messenger *messenger;
    int here; /* pods p-0 to p-(n-1) have a session there */
    bool in_sync;
};

static int64_t today(void)
{
    return clock_real_ns() / NSEC_PER_SEC;
}

static void on_known(void *arg, slice pod, bool numbers)
{
    (void)arg;
    (void)pod;
    (void)numbers;
}

static void on_own(void *arg, slice pod, bool numbers)
{
    struct rig *r = arg;

    (void)numbers;
    if (r->messenger)
        messenger_touch(r->messenger, pod);
}

/* There are no real sessions: what is said here, again and again, are they. */
static void say(struct rig *r)
{
    for (int i = 0; i < r->here; i++) {
        struct proxy_state s = {
            .ns = SLICE("shop"), .version = SLICE("1"), .in_sync = r->in_sync};
        char pod[16];

        snprintf(pod, sizeof pod, "p-%d", i);
        s.pod = slice_str(pod);
        proxies_put(r->own, 0, &s);
    }
}

static void step(struct rig *r)
{
    turn(&r->t);
    if (r->own)
        say(r);
}

#define STEP_UNTIL(r, cond)                                 \
    do {                                                    \
        int64_t end_ = clock_mono_ns() + 20 * NSEC_PER_SEC; \
        while (!(cond) && clock_mono_ns() < end_)           \
            step(r);                                        \
        assert_true(cond);                                  \
    } while (0)

static void lead_at(struct rig *r, const char *at)
{
    struct mesh_api_options opt = {
        .trust_domain = DOMAIN,
        .tls = r->serving,
        .issuer = &r->issuer,
        .publisher = r->publisher,
        .gather = r->gather,
    };
    struct error e;

    assert_int_equal(address_parse(slice_str(at), &opt.at), OK);
    assert_int_equal(mesh_api_start(&r->api, &r->t.loop, &opt, &e), OK);
    r->at = *mesh_api_address(r->api);
    mesh_api_lead(r->api, true);
}

static void rig_init(struct rig *r)
{
    struct ca *ca;
    struct error e;
    int64_t end;

    *r = (struct rig){.in_sync = true, .here = 3};
    turner_init(&r->t);
    assert_int_equal(ca_new(&ca, DOMAIN, today(), 86400, &e), OK);
    r->authority = authority_of(ca);
    assert_int_equal(
        serving_new(&r->serving, r->authority, DOMAIN, today(), 3600, &end, &e),
        OK);
    assert_int_equal(serving_client(&r->client, r->serving,
                                    authority_bundle(r->authority), &e),
                     OK);
    r->registry = registry_new();
    r->publisher = publisher_new(&r->t.loop, r->registry, &r->resolve,
                                 &session_limits_default);
    r->issuer = (struct issuer){.authority = r->authority};
    r->known = proxies_new(&r->t.loop, r->publisher, on_known, r);
    r->gather = gather_new(&r->t.loop, r->known);
    lead_at(r, "127.0.0.1:0");
    r->own = proxies_new(&r->t.loop, r->publisher, on_own, r);
    r->messenger = messenger_new(&r->t.loop, r->own, CONTROLLER,
                                 SLICE("tulle-controller-b"));
    messenger_set_tls(r->messenger, r->client);
    say(r);
}

static void rig_fini(struct rig *r)
{
    messenger_close(r->messenger);
    proxies_free(r->own);
    r->own = NULL;
    mesh_api_close(r->api);
    TURN_UNTIL(&r->t, gather_replicas(r->gather) == 0);
    gather_free(r->gather);
    proxies_free(r->known);
    publisher_stop(r->publisher);
    turner_fini(&r->t);
    publisher_free(r->publisher);
    registry_free(r->registry);
    tls_settings_unref(r->serving);
    tls_settings_unref(r->client);
    authority_free(r->authority);
}

static const struct proxy_state *known(const struct rig *r, const char *pod)
{
    return proxies_find(r->known, slice_str(pod), SLICE_NONE);
}

/* --- tests --- */

static void all_then_changes(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    assert_false(messenger_connected(r.messenger));
    messenger_to(r.messenger, &r.at);
    messenger_to(r.messenger, &r.at); /* said again: nothing new */
    STEP_UNTIL(&r, proxies_count(r.known) == 3);
    assert_true(messenger_connected(r.messenger));
    assert_int_equal(gather_replicas(r.gather), 1);
    r.in_sync = false;
    STEP_UNTIL(&r, !known(&r, "shop/p-2")->in_sync);
    r.here = 5;
    STEP_UNTIL(&r, proxies_count(r.known) == 5);
    r.here = 1;
    STEP_UNTIL(&r, proxies_count(r.known) == 1);
    assert_non_null(known(&r, "shop/p-0"));
    messenger_to(r.messenger, NULL);
    assert_false(messenger_connected(r.messenger));
    STEP_UNTIL(&r, gather_replicas(r.gather) == 0);
    assert_int_equal(proxies_count(r.known), 0);
    rig_fini(&r);
}

static void the_leader_knows_what_it_trusts(void **state)
{
    const slice mark = SLICE("0123456789abcdef");
    struct rig r;

    (void)state;
    rig_init(&r);
    messenger_set_roots(r.messenger, SLICE("aaaaaaaaaaaaaaaa"));
    messenger_to(r.messenger, &r.at);
    STEP_UNTIL(&r, gather_hears(r.gather, SLICE("tulle-controller-b")));
    assert_int_equal(gather_behind(r.gather, mark), 1);
    assert_int_equal(gather_behind(r.gather, SLICE("aaaaaaaaaaaaaaaa")), 0);
    /* At once, and not with the next beat. */
    messenger_set_roots(r.messenger, SLICE("aaaaaaaaaaaaaaaa,"
                                           "0123456789abcdef"));
    STEP_UNTIL(&r, gather_behind(r.gather, mark) == 0);
    rig_fini(&r);
}

static void many_flow_through(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    r.here = HERE_MAX;
    messenger_to(r.messenger, &r.at);
    STEP_UNTIL(&r, proxies_count(r.known) == HERE_MAX);
    rig_fini(&r);
}

static void who_does_not_lead_is_not_told(void **state)
{
    struct rig r;
    int64_t end;

    (void)state;
    rig_init(&r);
    mesh_api_lead(r.api, false);
    messenger_to(r.messenger, &r.at);
    end = clock_mono_ns() + NSEC_PER_SEC;
    while (clock_mono_ns() < end) {
        step(&r);
        assert_false(messenger_connected(r.messenger));
        assert_int_equal(proxies_count(r.known), 0);
    }
    mesh_api_lead(r.api, true); /* it comes again by itself */
    STEP_UNTIL(&r, proxies_count(r.known) == 3);
    mesh_api_lead(r.api, false);
    STEP_UNTIL(&r, !messenger_connected(r.messenger));
    STEP_UNTIL(&r, gather_replicas(r.gather) == 0);
    mesh_api_lead(r.api, true);
    STEP_UNTIL(&r, proxies_count(r.known) == 3);
    rig_fini(&r);
}

static void the_leader_dies_and_another_leads(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    messenger_to(r.messenger, &r.at);
    STEP_UNTIL(&r, proxies_count(r.known) == 3);
    mesh_api_close(r.api);
    STEP_UNTIL(&r, !messenger_connected(r.messenger));
    lead_at(&r, "127.0.0.2:0");
    messenger_to(r.messenger, &r.at);
    STEP_UNTIL(&r, proxies_count(r.known) == 3);
    /* Our turn. */
    messenger_to(r.messenger, NULL);
    STEP_UNTIL(&r, gather_replicas(r.gather) == 0);
    rig_fini(&r);
}

static void a_new_certificate_is_shown(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    messenger_set_tls(r.messenger, r.client); /* before it knows the leader */
    messenger_to(r.messenger, &r.at);
    STEP_UNTIL(&r, proxies_count(r.known) == 3);
    messenger_set_tls(r.messenger, r.client);
    assert_false(messenger_connected(r.messenger));
    STEP_UNTIL(&r, messenger_connected(r.messenger));
    STEP_UNTIL(&r, proxies_count(r.known) == 3);
    rig_fini(&r);
}

/* A workload, though of our own mesh, is no controller. */
static void only_controllers(void **state)
{
    struct tls_options opt = {.role = TLS_CLIENT, .alpn = {TLS_ALPN_H2}};
    struct cert_request req = {
        .name = SLICE("spiffe://cluster.local/ns/shop/sa/cart")};
    struct tls_settings *tls = NULL;
    struct tls_identity *id = NULL;
    struct rig r;
    struct error e;
    char *key, *der, *chain;
    int64_t end;
    size_t len;

    (void)state;
    rig_init(&r);
    assert_int_equal(key_new(&key, &e), OK);
    assert_int_equal(key_public_der(slice_str(key), &der, &len, &e), OK);
    req.public_der = slice_of(der, len);
    req.not_before = today() - 10;
    req.not_after = today() + 100;
    assert_int_equal(authority_sign(r.authority, &req, &chain, &e), OK);
    assert_int_equal(tls_identity_new(&id, slice_str(chain), slice_str(key),
                                      authority_bundle(r.authority), &e),
                     OK);
    assert_int_equal(
        tls_settings_new(&tls, &opt, id, authority_bundle(r.authority), &e),
        OK);
    messenger_set_tls(r.messenger, tls);
    messenger_to(r.messenger, &r.at);
    end = clock_mono_ns() + NSEC_PER_SEC;
    while (clock_mono_ns() < end) {
        step(&r);
        assert_false(messenger_connected(r.messenger));
        assert_int_equal(gather_replicas(r.gather), 0);
    }
    tls_settings_unref(tls);
    tls_identity_unref(id);
    mem_free(key);
    mem_free(der);
    mem_free(chain);
    rig_fini(&r);
}

enum blow {
    CLOSE_MESSENGER,
    CLOSE_API,
    LEAD_NOT,
    TO_NOBODY,
    NEW_TLS,
    BLOWS,
};

static void strike(struct rig *r, enum blow what)
{
    switch (what) {
    case CLOSE_MESSENGER:
        messenger_close(r->messenger);
        r->messenger = NULL;
        break;
    case CLOSE_API:
        mesh_api_close(r->api);
        r->api = NULL;
        break;
    case LEAD_NOT:
        mesh_api_lead(r->api, false);
        break;
    case TO_NOBODY:
        messenger_to(r->messenger, NULL);
        break;
    default:
        messenger_set_tls(r->messenger, r->client);
        break;
    }
}

static void a_blow_at_every_turn(void **state)
{
    (void)state;
    for (int n = 0; n < 24; n++) {
        for (enum blow what = 0; what < BLOWS; what++) {
            struct rig r;

            rig_init(&r);
            messenger_to(r.messenger, &r.at);
            for (int i = 0; i < n; i++)
                step(&r);
            strike(&r, what);
            for (int i = 0; i < 6; i++)
                step(&r);
            if (what == NEW_TLS)
                STEP_UNTIL(&r, proxies_count(r.known) == 3);
            rig_fini(&r);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_then_changes),
        cmocka_unit_test(the_leader_knows_what_it_trusts),
        cmocka_unit_test(many_flow_through),
        cmocka_unit_test(who_does_not_lead_is_not_told),
        cmocka_unit_test(the_leader_dies_and_another_leads),
        cmocka_unit_test(a_new_certificate_is_shown),
        cmocka_unit_test(only_controllers),
        cmocka_unit_test(a_blow_at_every_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
