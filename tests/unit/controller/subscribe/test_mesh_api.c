/* SPDX-License-Identifier: Apache-2.0 */
/* The Mesh API over loopback sockets and real TLS: a proxy joins with a token,
 * opens a session with the certificate it got, and hears of a change. */
#include "tests/unit/controller/objects.h"

#include <stdio.h>
#include <stdlib.h>

#include "controller/identity/ca_store.h"
#include "controller/identity/join_token.h"
#include "controller/identity/serving.h"
#include "controller/subscribe/server.h"
#include "tests/unit/http/talk.h"

#define DOMAIN SLICE("cluster.local")
#define CONTROLLER SLICE("spiffe://cluster.local/tulle/controller")
#define CART "spiffe://cluster.local/ns/shop/sa/cart"

struct rig {
    struct turner t;
    char state[64];
    struct ca *ca;
    struct authority *authority;
    struct registry *registry;
    struct resolve_settings resolve;
    struct publisher *publisher;
    struct issuer issuer;
    struct mesh_api *api;
    /* the proxy's side */
    struct http_limits limits;
    struct http_client *client;
    struct http_conn *conn;
    struct exchange *x;
    bool failed, ended;
    unsigned status;
    struct text body;
    char *key;
};

static int64_t today(void)
{
    return clock_real_ns() / NSEC_PER_SEC;
}

static void rig_init(struct rig *r)
{
    struct mesh_api_options opt = {.trust_domain = DOMAIN};
    struct error e;
    int64_t end;

    *r = (struct rig){.limits = http_limits_default};
    snprintf(r->state, sizeof r->state, "/tmp/tulle-test-XXXXXX");
    assert_non_null(mkdtemp(r->state));
    turner_init(&r->t);
    assert_int_equal(
        ca_store_open(&r->ca, slice_str(r->state), DOMAIN, today(), 86400, &e),
        OK);
    r->authority = authority_of(r->ca); /* takes it */
    r->registry = registry_new();
    registry_set_synced(r->registry, true);
    r->resolve = (struct resolve_settings){
        .trust_domain = DOMAIN,
        .bundle = ca_cert_pem(r->ca),
        .default_mtls = MTLS_PERMISSIVE,
    };
    r->publisher = publisher_new(&r->t.loop, r->registry, &r->resolve,
                                 &session_limits_default);
    r->issuer = (struct issuer){
        .authority = r->authority,
        .state = slice_str(r->state),
        .rules = {DOMAIN, 3600, true, r->registry},
    };
    issue_rate_init(&r->issuer.rate, 100, 0);
    assert_int_equal(
        serving_new(&opt.tls, r->authority, DOMAIN, today(), 3600, &end, &e),
        OK);
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), &opt.at), OK);
    opt.issuer = &r->issuer;
    opt.publisher = r->publisher;
    assert_int_equal(mesh_api_start(&r->api, &r->t.loop, &opt, &e), OK);
    tls_settings_unref(opt.tls);
    text_init(&r->body, 1 << 20);
    assert_int_equal(key_new(&r->key, &e), OK);
}

static void hang_up(struct rig *r)
{
    if (r->client)
        http_client_cancel(r->client);
    r->client = NULL;
    if (r->conn)
        http_conn_close(r->conn, OK);
    r->conn = NULL;
    r->x = NULL;
}

static void rig_fini(struct rig *r)
{
    char command[100];

    hang_up(r);
    mesh_api_close(r->api);
    publisher_stop(r->publisher);
    turner_fini(&r->t);
    publisher_free(r->publisher);
    registry_free(r->registry);
    authority_free(r->authority);
    text_fini(&r->body);
    mem_free(r->key);
    snprintf(command, sizeof command, "rm -rf '%s'", r->state);
    assert_int_equal(system(command), 0);
}

/* --- the proxy's side --- */

static void on_head(struct exchange *x, const struct head *head, bool end)
{
    struct rig *r = x->owner;

    r->status = head->status;
    r->ended = end;
}

static void on_body(struct exchange *x, slice data, bool end)
{
    struct rig *r = x->owner;

    text_add(&r->body, data);
    exchange_consumed(x, data.len);
    r->ended = end;
}

static void on_trailers(struct exchange *x, const struct headers *t)
{
    (void)t;
    ((struct rig *)x->owner)->ended = true;
}

static void on_sent(struct exchange *x, size_t n)
{
    (void)x;
    (void)n;
}

static void on_reset(struct exchange *x, enum reset_why why)
{
    struct rig *r = x->owner;

    (void)why;
    r->x = NULL;
    r->ended = r->failed = true;
}

static void on_done(struct exchange *x)
{
    ((struct rig *)x->owner)->x = NULL;
}

static const struct exchange_events events = {on_head, on_body,  on_trailers,
                                              on_sent, on_reset, on_done};

static void on_closed(struct http_conn *c, enum status why)
{
    struct rig *r = c->owner;

    (void)why;
    r->conn = NULL;
}

static const struct http_conn_events conn_events = {.on_closed = on_closed};

static void on_client(void *arg, enum status rc, struct http_conn *c,
                      const struct tls_peer *peer, const char *reason)
{
    struct rig *r = arg;

    (void)peer;
    r->client = NULL;
    r->conn = c;
    r->failed = rc != OK;
    if (rc)
        print_message("%s\n", reason);
    if (!c)
        return;
    c->events = &conn_events;
    c->owner = r;
}

/* `chain` NULL: without a certificate. */
static void connect_as(struct rig *r, const char *chain)
{
    struct tls_options opt = {.role = TLS_CLIENT, .alpn = {TLS_ALPN_H2}};
    struct tls_identity *id = NULL;
    struct tls_settings *tls = NULL;
    slice roots = ca_cert_pem(r->ca);
    struct error e;

    hang_up(r);
    if (chain &&
        tls_identity_new(&id, slice_str(chain), slice_str(r->key), roots, &e))
        fail_msg("%s", e.text);
    assert_int_equal(tls_settings_new(&tls, &opt, id, roots, &e), OK);
    assert_int_equal(http_client_start(&r->client, &r->t.loop,
                                       mesh_api_address(r->api), tls,
                                       CONTROLLER, 5 * NSEC_PER_SEC, &r->limits,
                                       on_client, r),
                     OK);
    tls_settings_unref(tls);
    tls_identity_unref(id);
    TURN_UNTIL(&r->t, r->conn || r->failed);
    assert_false(r->failed);
}

static void post(struct rig *r, const char *path, slice body, bool end)
{
    struct header fields[4];
    struct head head;

    r->status = 0;
    r->ended = r->failed = false;
    text_clear(&r->body);
    r->x = http_conn_open(r->conn);
    assert_non_null(r->x);
    exchange_own(r->x, &events, r);
    head_init_request(&head, SLICE("POST"), SLICE("controller"),
                      slice_str(path), fields, 4);
    exchange_send_head(r->x, &head, false);
    exchange_send_body(r->x, body, end);
}

/* Asks for a certificate; gives the chain (heap) or NULL. */
static char *ask(struct rig *r, const char *token)
{
    struct certificate_request req = {.token = slice_str(token)};
    struct certificate_answer answer;
    struct arena arena;
    struct text body;
    struct error e;
    char *csr, *chain = NULL;

    assert_int_equal(csr_new(slice_str(r->key), SLICE(CART), &csr, &e), OK);
    req.csr = slice_str(csr);
    text_init(&body, 1 << 16);
    certificate_request_encode(&req, &body);
    post(r, "/v1/certificates", text_slice(&body), true);
    text_fini(&body);
    mem_free(csr);
    TURN_UNTIL(&r->t, r->ended);
    if (r->status != 200)
        return NULL;
    arena_init(&arena, 1 << 20);
    assert_int_equal(
        certificate_answer_decode(text_slice(&r->body), &arena, &answer, &e),
        OK);
    chain = mem_str(answer.chain);
    arena_reset(&arena);
    return chain;
}

static char *join(struct rig *r, const char *pod)
{
    char token[JOIN_TOKEN_TEXT], *chain;
    struct error e;

    assert_int_equal(join_token_new(slice_str(r->state), DOMAIN,
                                    SLICE("shop/cart"), slice_str(pod), today(),
                                    600, token, &e),
                     OK);
    connect_as(r, NULL);
    chain = ask(r, token);
    assert_non_null(chain);
    return chain;
}

static bool heard(struct rig *r, const char *what)
{
    return strstr(text_cstr(&r->body), what) != NULL;
}

static const char lines[] =
    "{\"type\":\"hello\",\"version\":\"1\",\"capabilities\":[]}\n"
    "{\"type\":\"subscribe\",\"kind\":\"workload\",\"key\":\"\"}\n"
    "{\"type\":\"subscribe\",\"kind\":\"destination\","
    "\"key\":\"shop/cart:80\"}\n";

static void a_proxy_joins_and_hears(void **state)
{
    struct rig r;
    char *chain, *renewed;

    (void)state;
    rig_init(&r);
    chain = join(&r, "shop/cart-1");
    connect_as(&r, chain);
    renewed = ask(&r, "");
    assert_non_null(renewed);
    post(&r, "/v1/session", slice_str(lines), false);
    TURN_UNTIL(&r.t,
               heard(&r, "\"unknown\"") && heard(&r, "\"type\":\"remove\""));
    assert_int_equal(r.status, 200);
    assert_int_equal(publisher_sessions(r.publisher), 1);
    object_put(r.registry,
               "{'apiVersion':'v1','kind':'Service','metadata':{'name':"
               "'cart','namespace':'shop'},'spec':{'ports':[{'port':80}]}}");
    object_put(r.registry, "{'apiVersion':'v1','kind':'Pod','metadata':{'name':"
                           "'cart-1','namespace':'shop'},'spec':{"
                           "'serviceAccountName':'cart'}}");
    TURN_UNTIL(&r.t,
               heard(&r, "\"known\"") && heard(&r, "\"type\":\"workload\""));
    assert_false(r.ended);
    hang_up(&r);
    TURN_UNTIL(&r.t, publisher_sessions(r.publisher) == 0);
    mem_free(chain);
    mem_free(renewed);
    rig_fini(&r);
}

static void draining_ends_sessions(void **state)
{
    struct rig r;
    char *chain;

    (void)state;
    rig_init(&r);
    chain = join(&r, "");
    connect_as(&r, chain);
    post(&r, "/v1/session", slice_str(lines), false);
    TURN_UNTIL(&r.t, r.status == 200);
    mesh_api_drain(r.api);
    TURN_UNTIL(&r.t, r.ended);
    if (r.x)
        exchange_send_body(r.x, SLICE_NONE, true);
    TURN_UNTIL(&r.t, mesh_api_running(r.api) == 0);
    mem_free(chain);
    rig_fini(&r);
}

static void expect_status(struct rig *r, const char *path, const char *body,
                          unsigned status)
{
    post(r, path, slice_str(body), true);
    TURN_UNTIL(&r->t, r->ended);
    assert_int_equal(r->status, status);
}

static void refusals(void **state)
{
    struct rig r;
    char *chain;

    (void)state;
    rig_init(&r);
    connect_as(&r, NULL);
    expect_status(&r, "/v1/nothing", "", 404);
    expect_status(&r, "/v1/certificates", "nonsense", 400);
    expect_status(&r, "/v1/certificates", "{\"csr\":\"x\"}", 403);
    expect_status(&r, "/v1/certificates",
                  "{\"csr\":\"x\",\"token\":\"tulle-join-0\"}", 403);
    expect_status(&r, "/v1/session", lines, 403);
    assert_int_equal(publisher_sessions(r.publisher), 0);
    chain = join(&r, "shop/cart-1");
    assert_null(ask(&r, ""));
    assert_int_equal(r.status, 403);
    mem_free(chain);
    rig_fini(&r);
}

/* The controller's serving certificate is not a workload's. */
static void a_session_needs_a_workloads_name(void **state)
{
    struct cert_request req = {.name = CONTROLLER};
    struct rig r;
    struct error e;
    char *der, *leaf;
    size_t len;

    (void)state;
    rig_init(&r);
    assert_int_equal(key_public_der(slice_str(r.key), &der, &len, &e), OK);
    req.public_der = slice_of(der, len);
    req.not_before = today() - 10;
    req.not_after = today() + 100;
    assert_int_equal(ca_sign(r.ca, &req, &leaf, &e), OK);
    connect_as(&r, leaf);
    expect_status(&r, "/v1/session", lines, 403);
    assert_null(ask(&r, ""));
    assert_int_equal(r.status, 403);
    mem_free(der);
    mem_free(leaf);
    rig_fini(&r);
}

static void a_large_request_is_cut_off(void **state)
{
    struct rig r;
    char *big = mem_alloc(200000);

    (void)state;
    memset(big, 'x', 200000);
    rig_init(&r);
    connect_as(&r, NULL);
    post(&r, "/v1/certificates", slice_of(big, 200000), true);
    TURN_UNTIL(&r.t, r.ended);
    assert_int_equal(r.status, 413);
    mem_free(big);
    rig_fini(&r);
}

/* The server is closed after the Nth turn of a session's life. */
static void close_at_every_turn(void **state)
{
    (void)state;
    for (int n = 0; n < 12; n++) {
        struct rig r;
        char *chain;

        rig_init(&r);
        chain = join(&r, "");
        connect_as(&r, chain);
        post(&r, "/v1/session", slice_str(lines), false);
        for (int i = 0; i < n; i++)
            turn(&r.t);
        mesh_api_close(r.api);
        r.api = NULL;
        TURN_UNTIL(&r.t, publisher_sessions(r.publisher) == 0);
        mem_free(chain);
        rig_fini(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_proxy_joins_and_hears),
        cmocka_unit_test(draining_ends_sessions),
        cmocka_unit_test(refusals),
        cmocka_unit_test(a_session_needs_a_workloads_name),
        cmocka_unit_test(a_large_request_is_cut_off),
        cmocka_unit_test(close_at_every_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
