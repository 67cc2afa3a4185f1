/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends from tls_settings: versions, ALPN, and sessions that are resumed
 * only by whom they belong to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/tls/cert.h"
#include "tests/unit/tls/pki.h"

#define WEB SLICE("spiffe://cluster.local/ns/default/sa/web")
#define DB SLICE("spiffe://cluster.local/ns/default/sa/db")

struct fixture {
    struct ca *ca;
    struct tls_identity *web, *db;
};

/* By way of the product's own code, as in a mesh. */
static struct tls_identity *issue(const struct ca *ca, slice name, slice pod,
                                  int64_t life)
{
    struct cert_request r = {.name = name,
                             .pod = pod,
                             .not_before = time(NULL) - 60,
                             .not_after = time(NULL) + life};
    struct tls_identity *id = NULL;
    struct error e = {""};
    char *key = NULL, *csr = NULL, *der = NULL, *asked = NULL, *leaf = NULL;
    size_t len = 0;

    if (key_new(&key, &e) || csr_new(slice_str(key), name, &csr, &e) ||
        csr_check(slice_str(csr), &der, &len, &asked, &e))
        fail_msg("%s", e.text);
    r.public_der = slice_of(der, len);
    if (ca_sign(ca, &r, &leaf, &e) ||
        tls_identity_new(&id, slice_str(leaf), slice_str(key), ca_cert_pem(ca),
                         &e))
        fail_msg("%s", e.text);
    mem_wipe_free(key, strlen(key));
    mem_free(csr);
    mem_free(der);
    mem_free(asked);
    mem_free(leaf);
    return id;
}

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);

    assert_int_equal(
        ca_new(&f->ca, SLICE("cluster.local"), time(NULL), 86400, NULL), OK);
    f->web = issue(f->ca, WEB, SLICE("default/web-1/u1"), 7000);
    f->db = issue(f->ca, DB, SLICE("default/db-0/u2"), 7000);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    tls_identity_unref(f->web);
    tls_identity_unref(f->db);
    ca_free(f->ca);
    mem_free(f);
    return 0;
}

static struct tls_settings *make(const struct tls_options *opt,
                                 struct tls_identity *id)
{
    struct tls_settings *t;
    struct error e = {""};

    if (tls_settings_new(&t, opt, id, SLICE_NONE, &e))
        fail_msg("%s", e.text);
    return t;
}

static struct tls_settings *client_of(struct tls_identity *id)
{
    return make(&(struct tls_options){.role = TLS_CLIENT,
                                      .alpn = {TLS_ALPN_LINK},
                                      .resume = true},
                id);
}

static struct tls_settings *server_of(struct tls_identity *id)
{
    return make(&(struct tls_options){.role = TLS_SERVER,
                                      .alpn = {TLS_ALPN_LINK},
                                      .require_peer = true,
                                      .resume = true},
                id);
}

static void join(struct tls_settings *ct, slice want_server,
                 struct tls_settings *st, slice want_client, SSL_SESSION *old,
                 struct pki_end *c, struct pki_end *s)
{
    pki_connect(c, tls_settings_ctx(ct), s, tls_settings_ctx(st));
    pki_expect(c, want_server);
    pki_expect(s, want_client);
    if (old)
        assert_int_equal(SSL_set_session(c->ssl, old), 1);
    pki_shake(c, s);
}

static void both_named(void **state)
{
    struct fixture *f = *state;
    struct tls_settings *ct = client_of(f->web), *st = server_of(f->db);
    struct pki_end c, s;

    join(ct, DB, st, SLICE_NONE, NULL, &c, &s);
    assert_true(c.done && s.done);
    assert_int_equal(tls_verify_finish(c.ssl, &c.verify), OK);
    assert_int_equal(tls_verify_finish(s.ssl, &s.verify), OK);
    assert_true(slice_eq(c.verify.name, DB));
    assert_true(slice_eq(c.verify.extension, SLICE("default/db-0/u2")));
    assert_true(slice_eq(s.verify.name, WEB));
    assert_true(slice_eq(s.verify.extension, SLICE("default/web-1/u1")));
    assert_int_equal(s.verify.not_after, tls_identity_not_after(f->web));
    assert_null(s.verify.reason);
    assert_int_equal(SSL_version(c.ssl), TLS1_3_VERSION);
    assert_true(slice_eq(tls_identity_name(f->web), WEB));
    pki_close(&c, &s);
    tls_settings_unref(ct);
    tls_settings_unref(st);
}

/* A connection may outlive the settings that it began with. */
static void settings_let_go(void **state)
{
    struct fixture *f = *state;
    struct tls_settings *ct = client_of(f->web), *st = server_of(f->db);
    struct pki_end c, s;

    pki_connect(&c, tls_settings_ctx(ct), &s, tls_settings_ctx(st));
    tls_settings_unref(ct);
    tls_settings_unref(st);
    pki_expect(&c, DB);
    pki_expect(&s, WEB);
    pki_shake(&c, &s);
    assert_true(c.done && s.done);
    assert_int_equal(tls_verify_finish(c.ssl, &c.verify), OK);
    assert_int_equal(tls_verify_finish(s.ssl, &s.verify), OK);
    pki_close(&c, &s);
}

static void alpn(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *client[4], *server[4];
        bool optional;
        const char *agreed; /* "": none, NULL: refused */
    } rows[] = {
        {{"h2", "http/1.1"}, {"h2", "http/1.1"}, false, "h2"},
        {{"http/1.1", "h2"}, {"h2", "http/1.1"}, false, "h2"},
        {{"http/1.1"}, {"h2", "http/1.1"}, false, "http/1.1"},
        {{"tulle/1"}, {"h2"}, false, NULL},
        {{"tulle/1"}, {"h2"}, true, NULL},
        {{NULL}, {"h2"}, false, NULL},
        {{NULL}, {"h2"}, true, ""},
        {{NULL}, {NULL}, false, ""},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tls_options co = {.role = TLS_CLIENT};
        struct tls_options so = {.role = TLS_SERVER,
                                 .alpn_optional = rows[i].optional};
        struct tls_settings *ct, *st;
        struct pki_end c, s;
        const unsigned char *got;
        unsigned len;
        for (int k = 0; k < 4; k++) {
            co.alpn[k] = rows[i].client[k];
            so.alpn[k] = rows[i].server[k];
        }
        ct = make(&co, f->web);
        st = make(&so, f->db);
        join(ct, DB, st, SLICE_NONE, NULL, &c, &s);
        if (!rows[i].agreed) {
            assert_true(s.failed && c.failed);
            assert_string_equal(s.reason, "no common ALPN");
            assert_string_equal(c.reason, "peer: no common ALPN");
        } else {
            assert_true(s.done && c.done);
            assert_int_equal(tls_verify_finish(c.ssl, &c.verify), OK);
            assert_int_equal(tls_verify_finish(s.ssl, &s.verify), OK);
            SSL_get0_alpn_selected(c.ssl, &got, &len);
            assert_true(
                slice_eq(slice_of(got, len), slice_str(rows[i].agreed)));
        }
        pki_close(&c, &s);
        tls_settings_unref(ct);
        tls_settings_unref(st);
    }
}

/* A server that knows no ALPN answers none: a client that needs one leaves. */
static void alpn_unanswered(void **state)
{
    struct fixture *f = *state;
    struct tls_settings *ct = client_of(f->web);
    struct tls_settings *st = make(&(struct tls_options){.role = TLS_SERVER},
                                   f->db);
    struct pki_end c, s;

    join(ct, DB, st, SLICE_NONE, NULL, &c, &s);
    assert_true(c.done);
    assert_int_equal(tls_verify_finish(c.ssl, &c.verify), ERR_TLS);
    assert_string_equal(c.verify.reason, "no common ALPN");
    pki_close(&c, &s);
    tls_settings_unref(ct);
    tls_settings_unref(st);
}

static void old_versions(void **state)
{
    struct fixture *f = *state;
    struct tls_settings *ct = client_of(f->web), *st = server_of(f->db);
    SSL_CTX *old_client = SSL_CTX_new(TLS_client_method());
    SSL_CTX *old_server = SSL_CTX_new(TLS_server_method());
    struct pki_end c, s;

    SSL_CTX_set_max_proto_version(old_client, TLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(old_server, TLS1_2_VERSION);
    pki_connect(&c, old_client, &s, tls_settings_ctx(st));
    pki_expect(&s, SLICE_NONE);
    pki_shake(&c, &s);
    assert_true(s.failed && c.failed);
    assert_string_equal(s.reason, "TLS version not supported");
    pki_close(&c, &s);

    pki_connect(&c, tls_settings_ctx(ct), &s, old_server);
    pki_expect(&c, DB);
    pki_shake(&c, &s);
    assert_true(s.failed && c.failed);
    assert_string_equal(c.reason, "peer: TLS version not supported");
    pki_close(&c, &s);
    SSL_CTX_free(old_client);
    SSL_CTX_free(old_server);
    tls_settings_unref(ct);
    tls_settings_unref(st);
}

static void not_tls(void **state)
{
    struct fixture *f = *state;
    struct tls_settings *st = server_of(f->db);
    static const char get[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    struct pki_end s = {.ssl = SSL_new(tls_settings_ctx(st))};

    SSL_set_bio(s.ssl, BIO_new_mem_buf(get, -1), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(s.ssl);
    pki_expect(&s, SLICE_NONE);
    pki_step(&s);
    assert_true(s.failed);
    assert_string_equal(s.reason, "not TLS");
    SSL_free(s.ssl);
    tls_settings_unref(st);
}

/* One full connection; gives the session that the client keeps. */
static SSL_SESSION *first(struct tls_settings *ct, struct tls_settings *st)
{
    struct pki_end c, s;

    join(ct, DB, st, WEB, NULL, &c, &s);
    assert_true(c.done && s.done);
    assert_int_equal(tls_verify_finish(c.ssl, &c.verify), OK);
    assert_int_equal(tls_verify_finish(s.ssl, &s.verify), OK);
    assert_false(SSL_session_reused(c.ssl));
    pki_read(&c);
    pki_close(&c, &s);
    return tls_sessions_take(ct, DB);
}

static void resumed(void **state)
{
    struct fixture *f = *state;
    struct tls_settings *ct = client_of(f->web), *st = server_of(f->db);
    SSL_SESSION *session = first(ct, st);
    const unsigned char *ticket;
    struct pki_end c, s;
    size_t len;

    for (int i = 0; i < 3; i++) {
        assert_non_null(session);
        /* the number of a session, not the session */
        SSL_SESSION_get0_ticket(session, &ticket, &len);
        assert_int_equal(len, SSL_MAX_SSL_SESSION_ID_LENGTH);
        assert_null(tls_sessions_take(ct, DB)); /* once */
        join(ct, DB, st, WEB, session, &c, &s);
        SSL_SESSION_free(session);
        assert_true(c.done && s.done);
        assert_true(SSL_session_reused(c.ssl));
        assert_true(SSL_session_reused(s.ssl));
        assert_int_equal(tls_verify_finish(c.ssl, &c.verify), OK);
        assert_int_equal(tls_verify_finish(s.ssl, &s.verify), OK);
        assert_true(slice_eq(c.verify.name, DB));
        assert_true(slice_eq(s.verify.name, WEB));
        assert_true(slice_eq(s.verify.extension, SLICE("default/web-1/u1")));
        assert_int_equal(s.verify.not_after, tls_identity_not_after(f->web));
        pki_read(&c);
        pki_close(&c, &s);
        session = tls_sessions_take(ct, DB);
    }
    SSL_SESSION_free(session);
    tls_settings_unref(ct);
    tls_settings_unref(st);
}

/* What was proved for one name says nothing about another. */
static void resumed_by_another(void **state)
{
    struct fixture *f = *state;
    struct tls_settings *ct = client_of(f->web), *st = server_of(f->db);
    SSL_SESSION *session = first(ct, st);
    struct pki_end c, s;

    assert_non_null(session);
    join(ct, WEB, st, WEB, session, &c, &s); /* the client wants another */
    SSL_SESSION_free(session);
    assert_true(c.done && SSL_session_reused(c.ssl));
    assert_int_equal(tls_verify_finish(c.ssl, &c.verify), ERR_TLS);
    assert_string_equal(c.verify.reason, "wrong identity");
    assert_true(slice_empty(c.verify.name));
    pki_read(&c);
    pki_close(&c, &s);
    assert_null(tls_sessions_take(ct, WEB));

    session = first(ct, st);
    join(ct, DB, st, DB, session, &c, &s); /* the server wants another */
    SSL_SESSION_free(session);
    assert_true(s.done && SSL_session_reused(s.ssl));
    assert_int_equal(tls_verify_finish(s.ssl, &s.verify), ERR_TLS);
    assert_string_equal(s.verify.reason, "wrong identity");
    pki_close(&c, &s);
    tls_settings_unref(ct);
    tls_settings_unref(st);
}

/* New settings (a renewed certificate, other roots) know no old sessions. */
static void resumed_elsewhere(void **state)
{
    struct fixture *f = *state;
    struct tls_settings *ct = client_of(f->web), *st = server_of(f->db);
    struct tls_settings *renewed = server_of(f->db);
    SSL_SESSION *session = first(ct, st);
    struct pki_end c, s;

    join(ct, DB, renewed, WEB, session, &c, &s);
    SSL_SESSION_free(session);
    assert_true(c.done && s.done);
    assert_false(SSL_session_reused(c.ssl));
    assert_int_equal(tls_verify_finish(c.ssl, &c.verify), OK);
    assert_int_equal(tls_verify_finish(s.ssl, &s.verify), OK);
    pki_close(&c, &s);
    tls_settings_unref(ct);
    tls_settings_unref(st);
    tls_settings_unref(renewed);
}

static void born_at(SSL_SESSION *session, time_t when)
{
#if OPENSSL_VERSION_NUMBER >= 0x30300000L
    SSL_SESSION_set_time_ex(session, when);
#else
    SSL_SESSION_set_time(session, (long)when);
#endif
}

/* No session lives longer than the certificate of either end. */
static void session_life(void **state)
{
    struct fixture *f = *state;
    struct tls_identity *brief = issue(f->ca, WEB, SLICE_NONE, 100);
    struct tls_identity *brief_db = issue(f->ca, DB, SLICE_NONE, 100);
    struct tls_identity *ends[][2] = {{brief, f->db}, {f->web, brief_db}};

    for (int i = 0; i < 2; i++) {
        struct tls_settings *ct = client_of(ends[i][0]);
        struct tls_settings *st = server_of(ends[i][1]);
        SSL_SESSION *session;
        struct pki_end c, s;
        join(ct, DB, st, WEB, NULL, &c, &s);
        assert_true(c.done && s.done);
        assert_true(SSL_SESSION_get_timeout(SSL_get_session(s.ssl)) <= 100);
        pki_read(&c);
        session = tls_sessions_take(ct, DB);
        assert_non_null(session);
        assert_true(SSL_SESSION_get_timeout(session) <= 100);
        /* back in, but too old: it does not come out again */
        born_at(session, time(NULL) - 101);
        tls_sessions_put(tls_rules_of(c.ssl)->sessions, DB, session);
        assert_null(tls_sessions_take(ct, DB));
        pki_close(&c, &s);
        tls_settings_unref(ct);
        tls_settings_unref(st);
    }
    tls_identity_unref(brief);
    tls_identity_unref(brief_db);
}

static void no_sessions(void **state)
{
    struct fixture *f = *state;
    struct tls_settings *ct = client_of(f->web);
    struct tls_settings *st =
        make(&(struct tls_options){.role = TLS_SERVER, .alpn = {TLS_ALPN_LINK}},
             f->db);
    struct pki_end c, s;

    join(ct, DB, st, SLICE_NONE, NULL, &c, &s);
    assert_true(c.done && s.done);
    pki_read(&c);
    assert_null(tls_sessions_take(ct, DB));
    assert_int_equal(SSL_CTX_sess_number(tls_settings_ctx(st)), 0);
    pki_close(&c, &s);
    tls_settings_unref(ct);
    tls_settings_unref(st);
}

/* The store of a client is bounded in names and in sessions of a name. */
static void sessions_bounded(void **state)
{
    struct fixture *f = *state;
    struct tls_settings *ct = client_of(f->web), *st = server_of(f->db);
    SSL_SESSION *session = first(ct, st), *got;
    struct tls_sessions *all = tls_rules_of_ctx(tls_settings_ctx(ct))->sessions;
    char key[32];

    for (int i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof key, "name %d", i);
        for (int k = 0; k < 3; k++)
            tls_sessions_put(all, slice_str(key), SSL_SESSION_dup(session));
    }
    assert_null(tls_sessions_take(ct, SLICE("name 0")));
    assert_null(tls_sessions_take(ct, SLICE("name 743")));
    for (int k = 0; k < 3; k++) {
        got = tls_sessions_take(ct, SLICE("name 744"));
        assert_true(k < 2 ? got != NULL : got == NULL);
        SSL_SESSION_free(got);
    }
    SSL_SESSION_free(session);
    tls_settings_unref(ct);
    tls_settings_unref(st);
}

/* A client that has no certificate yet: its first call to the controller. */
static void without_identity(void **state)
{
    struct fixture *f = *state;
    struct tls_settings *ct, *bad;
    struct tls_settings *st = make(
        &(struct tls_options){.role = TLS_SERVER, .ask_peer = true}, f->db);
    struct tls_options opt = {.role = TLS_CLIENT};
    struct error e = {""};
    struct pki_end c, s;

    assert_int_equal(tls_settings_new(&ct, &opt, NULL, ca_cert_pem(f->ca), &e),
                     OK);
    join(ct, DB, st, SLICE_NONE, NULL, &c, &s);
    assert_true(c.done && s.done);
    assert_int_equal(tls_verify_finish(c.ssl, &c.verify), OK);
    assert_int_equal(tls_verify_finish(s.ssl, &s.verify), OK);
    assert_true(slice_eq(c.verify.name, DB));
    assert_true(slice_empty(s.verify.name));
    pki_close(&c, &s);
    tls_settings_unref(ct);
    tls_settings_unref(st);

    assert_int_equal(tls_settings_new(&bad, &opt, NULL, SLICE_NONE, &e),
                     ERR_INVALID);
    assert_null(bad);
    opt.role = TLS_SERVER;
    assert_int_equal(tls_settings_new(&bad, &opt, NULL, ca_cert_pem(f->ca), &e),
                     ERR_INVALID);
    assert_null(bad);
}

static void identity_refused(void **state)
{
    struct fixture *f = *state;
    struct pki_cert root = pki_authority(NULL, "root");
    struct pki_cert good = pki_make(&root, (struct pki_spec){.uri = WEB});
    struct pki_cert nameless =
        pki_make(&root, (struct pki_spec){.cn = "web", .dns = "web"});
    char *good_pem = pki_cert_pem(&good), *good_key = pki_key_pem(&good);
    char *bad_pem = pki_cert_pem(&nameless), *bad_key = pki_key_pem(&nameless);
    char *roots = pki_cert_pem(&root);
    struct {
        const char *cert, *key, *roots;
        bool ok;
    } rows[] = {
        {good_pem, good_key, roots, true},
        {good_pem, bad_key, roots, false},
        {bad_pem, bad_key, roots, false},
        {good_pem, good_key, "", false},
        {good_pem, good_key, "junk", false},
        {"", good_key, roots, false},
        {good_pem, "", roots, false},
        {good_pem, good_key, good_pem, false},
    };

    (void)f;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tls_identity *id;
        struct error e = {""};
        enum status rc = tls_identity_new(&id, slice_str(rows[i].cert),
                                          slice_str(rows[i].key),
                                          slice_str(rows[i].roots), &e);
        if ((rc == OK) != rows[i].ok)
            fail_msg("row %zu: %s", i, e.text);
        assert_true((id != NULL) == rows[i].ok);
        assert_true(rows[i].ok || e.text[0]);
        tls_identity_unref(id);
    }
    mem_free(good_pem);
    mem_free(good_key);
    mem_free(bad_pem);
    mem_free(bad_key);
    mem_free(roots);
    pki_free(&nameless);
    pki_free(&good);
    pki_free(&root);
}

static void reasons(void **state)
{
    (void)state;
    assert_string_equal(tls_reason_text(0), "handshake failed");
    assert_string_equal(tls_reason_verify(X509_V_ERR_CERT_HAS_EXPIRED),
                        "certificate expired");
    assert_string_equal(tls_reason_verify(12345), "bad certificate");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_named),
        cmocka_unit_test(settings_let_go),
        cmocka_unit_test(alpn),
        cmocka_unit_test(alpn_unanswered),
        cmocka_unit_test(old_versions),
        cmocka_unit_test(not_tls),
        cmocka_unit_test(resumed),
        cmocka_unit_test(resumed_by_another),
        cmocka_unit_test(resumed_elsewhere),
        cmocka_unit_test(session_life),
        cmocka_unit_test(no_sessions),
        cmocka_unit_test(sessions_bounded),
        cmocka_unit_test(without_identity),
        cmocka_unit_test(identity_refused),
        cmocka_unit_test(reasons),
    };

    tls_library_init();
    return cmocka_run_group_tests(tests, setup, teardown);
}
