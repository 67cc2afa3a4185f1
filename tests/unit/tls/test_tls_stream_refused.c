/* SPDX-License-Identifier: Apache-2.0 */
/* Peers that must not be let in: each side says why in one phrase, or finds a
 * stream that fails before its first byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/tls/tls_ends.h"

/* What both ends are made of, and what a case makes different. */
struct twist {
    struct pki_spec client, server; /* certificates; zero: good ones */
    bool no_client_cert, old_client;
    bool stray_client, stray_server;       /* issued by somebody else */
    const char *client_alpn, *server_alpn; /* NULL: a link's */
};

static struct pki_cert ca, stray;
static char *roots;

static struct tls_settings *make(enum tls_role role, struct pki_spec spec,
                                 bool stranger, bool bare, const char *alpn)
{
    struct tls_options opt = {.role = role,
                              .alpn = {alpn ? alpn : TLS_ALPN_LINK},
                              .ask_peer = true,
                              .require_peer = true};
    struct tls_identity *id = NULL;
    struct tls_settings *t;
    struct error e;

    if (!bare) {
        if (!spec.uri.ptr)
            spec.uri = role == TLS_CLIENT ? WEB : DB;
        struct pki_cert leaf = pki_make(stranger ? &stray : &ca, spec);
        id = pki_identity(&leaf, roots);
        pki_free(&leaf);
    }
    assert_int_equal(
        tls_settings_new(&t, &opt, id, id ? SLICE_NONE : slice_str(roots), &e),
        OK);
    tls_identity_unref(id);
    return t;
}

/* Both ends have their last word. */
static bool settled(const struct end *e)
{
    return e->called && (e->rc || e->ends || e->fails);
}

static void run(struct rig *r, const struct twist *t, size_t piece)
{
    client_tls = make(TLS_CLIENT, t->client, t->stray_client, t->no_client_cert,
                      t->client_alpn);
    server_tls = make(TLS_SERVER, t->server, t->stray_server, false,
                      t->server_alpn);
    if (t->old_client) {
        SSL_CTX *ctx = tls_settings_ctx(client_tls);
        SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
        SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    }
    rig_init(r, piece);
    tls_settings_unref(client_tls);
    tls_settings_unref(server_tls);
    /* A client that thinks all is well says something at once. */
    r->client.to_send = 1000;
    for (int i = 0; i < 200000 && !(settled(&r->client) && settled(&r->server));
         i++) {
        push(&r->client);
        turn(r);
    }
    assert_int_equal(r->client.called, 1);
    assert_int_equal(r->server.called, 1);
}

/* `reason` NULL: that end may have thought that all was well; but it never hears
 * a byte, nor a clean end. */
static void check_end(const struct end *e, const char *reason)
{
    assert_int_equal(e->got, 0);
    assert_int_equal(e->ends, 0);
    if (reason) {
        assert_int_equal(e->rc, ERR_TLS);
        assert_string_equal(e->reason, reason);
        return;
    }
    assert_int_equal(e->fails, e->rc ? 0 : 1);
    assert_int_equal(e->rc ? e->rc : e->why, ERR_TLS);
}

static void refused(struct twist t, const char *client, const char *server)
{
    static const size_t pieces[] = {0, 1, 100};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct rig r;
        run(&r, &t, pieces[i]);
        check_end(&r.client, client);
        check_end(&r.server, server);
        rig_fini(&r);
    }
}

/* Or the tests below would prove nothing. */
static void the_right_ones_are_let_in(void **state)
{
    struct rig r;
    struct twist t = {0};
    (void)state;
    client_tls = make(TLS_CLIENT, t.client, false, false, NULL);
    server_tls = make(TLS_SERVER, t.server, false, false, NULL);
    rig_open(&r, 0);
    tls_settings_unref(client_tls);
    tls_settings_unref(server_tls);
    r.client.to_send = 1000;
    push(&r.client);
    UNTIL(&r, r.server.got == 1000);
    assert_int_equal(r.client.ends + r.client.fails, 0);
    rig_fini(&r);
}

static void clients(void **state)
{
    (void)state;
    refused((struct twist){.no_client_cert = true}, NULL, "no certificate");
    refused((struct twist){.client = {.from = -100, .to = -10}}, NULL,
            "certificate expired");
    refused((struct twist){.client = {.from = 100, .to = 200}}, NULL,
            "certificate not yet valid");
    refused((struct twist){.stray_client = true}, NULL, "unknown issuer");
    refused((struct twist){.old_client = true},
            "peer: TLS version not supported", "TLS version not supported");
    refused((struct twist){.client_alpn = TLS_ALPN_H2}, "peer: no common ALPN",
            "no common ALPN");
}

static void servers(void **state)
{
    (void)state;
    refused((struct twist){.server = {.uri = WEB}}, "wrong identity", NULL);
    refused((struct twist){.server = {.from = -100, .to = -10}},
            "certificate expired", NULL);
    refused((struct twist){.server = {.from = 100, .to = 200}},
            "certificate not yet valid", NULL);
    refused((struct twist){.stray_server = true}, "unknown issuer", NULL);
    refused((struct twist){.server_alpn = TLS_ALPN_H2}, "peer: no common ALPN",
            "no common ALPN");
}

static int set_up(void **state)
{
    (void)state;
    ca = pki_authority(NULL, "root");
    stray = pki_authority(NULL, "root");
    roots = pki_cert_pem(&ca);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pki_free(&ca);
    pki_free(&stray);
    mem_free(roots);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_right_ones_are_let_in),
        cmocka_unit_test(clients),
        cmocka_unit_test(servers),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
