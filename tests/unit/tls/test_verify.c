/* SPDX-License-Identifier: Apache-2.0 */
/* The identity table: certificates of every bad shape, shown by a client to our
 * server and by a server to our client, in real handshakes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/tls/verify.h"
#include "tests/unit/tls/pki.h"

#define RIGHT "spiffe://cluster.local/ns/default/sa/client"
#define WHOM SLICE(RIGHT)

enum issuer {
    ROOT,
    ROGUE,        /* a root of nobody's, with the same subject */
    SELF,         /* self-signed */
    LEAF,         /* a good leaf, which is not sent */
    LEAF_CHAIN,   /* ... which is sent */
    MIDDLE_CHAIN, /* an intermediate, which is sent */
    LONG_CHAIN,   /* six intermediates, all sent */
    HUGE_CHAIN,   /* the right leaf, then 80 KB of certificates */
};

struct row {
    const char *what;
    struct pki_spec spec;
    enum issuer issuer;
    const char *reason; /* NULL: accepted */
};

#define URI(text) .uri = SLICE_INIT(text)

static const struct row rows[] = {
    {"the right one", {URI(RIGHT)}, ROOT, NULL},
    {"with a DNS name too", {URI(RIGHT), .dns = "client.local"}, ROOT, NULL},
    {"without key usages",
     {URI(RIGHT), .usage = "", .extended = ""},
     ROOT,
     NULL},
    {"of an intermediate", {URI(RIGHT)}, MIDDLE_CHAIN, NULL},
    {"with a pod", {URI(RIGHT), .pod = "default/client-1/uid"}, ROOT, NULL},
    {"rogue issuer", {URI(RIGHT)}, ROGUE, "wrong signature|unknown issuer"},
    {"self-signed", {URI(RIGHT), .cn = "me"}, SELF, "unknown issuer"},
    {"other trust domain",
     {URI("spiffe://other.local/ns/default/sa/client")},
     ROOT,
     "wrong identity"},
    {"suffix trust domain",
     {URI("spiffe://cluster.local.evil/ns/default/sa/client")},
     ROOT,
     "wrong identity"},
    {"longer account", {URI(RIGHT "2")}, ROOT, "wrong identity"},
    {"shorter account",
     {URI("spiffe://cluster.local/ns/default/sa/clien")},
     ROOT,
     "wrong identity"},
    {"other case of the path",
     {URI("spiffe://cluster.local/ns/default/sa/Client")},
     ROOT,
     "wrong identity"},
    {"two URIs",
     {URI(RIGHT), .uri2 = SLICE_INIT("spiffe://cluster.local/ns/a/sa/b")},
     ROOT,
     "several names"},
    {"the same URI twice",
     {URI(RIGHT), .uri2 = SLICE_INIT(RIGHT)},
     ROOT,
     "several names"},
    {"two URIs, one of another scheme",
     {URI(RIGHT), .uri2 = SLICE_INIT("https://cluster.local/")},
     ROOT,
     "several names"},
    {"the URI as DNS name",
     {.cn = "client", .dns = RIGHT},
     ROOT,
     "certificate without name"},
    {"name only in CN", {.cn = RIGHT}, ROOT, "certificate without name"},
    {"dot segments",
     {URI("spiffe://cluster.local/ns/x/../default/sa/client")},
     ROOT,
     "name is not valid"},
    {"upper-case scheme",
     {URI("SPIFFE://cluster.local/ns/default/sa/client")},
     ROOT,
     "name is not valid"},
    {"upper-case domain",
     {URI("spiffe://CLUSTER.LOCAL/ns/default/sa/client")},
     ROOT,
     "name is not valid"},
    {"NUL after the name", {URI(RIGHT "\0.evil")}, ROOT, "name is not valid"},
    {"NUL inside the name",
     {URI("spiffe://cluster.local\0.evil/ns/default/sa/client")},
     ROOT,
     "name is not valid"},
    {"escapes",
     {URI("spiffe://cluster.local/ns/default/sa/%63lient")},
     ROOT,
     "name is not valid"},
    {"final slash", {URI(RIGHT "/")}, ROOT, "name is not valid"},
    {"query", {URI(RIGHT "?a")}, ROOT, "name is not valid"},
    {"user and port",
     {URI("spiffe://me@cluster.local:1/ns/default/sa/client")},
     ROOT,
     "name is not valid"},
    {"two name extensions",
     {URI(RIGHT), .second_san = true,
      .uri2 = SLICE_INIT("spiffe://cluster.local/ns/a/sa/b")},
     ROOT,
     "several name extensions|bad certificate"},
    {"authority that may issue",
     {URI(RIGHT), .cn = "ca", .basic = "critical,CA:TRUE",
      .usage = "critical,digitalSignature,keyCertSign"},
     ROOT,
     "certificate is an authority"},
    {"authority",
     {URI(RIGHT), .cn = "ca", .basic = "critical,CA:TRUE"},
     ROOT,
     "certificate is an authority|bad certificate"},
    {"expired",
     {URI(RIGHT), .from = -7200, .to = -3600},
     ROOT,
     "certificate expired"},
    {"not yet valid",
     {URI(RIGHT), .from = 1800},
     ROOT,
     "certificate not yet valid"},
    {"key usage without signatures",
     {URI(RIGHT), .usage = "critical,keyAgreement"},
     ROOT,
     "wrong key usage"},
    {"key usage for encryption",
     {URI(RIGHT), .usage = "critical,keyEncipherment"},
     ROOT,
     "wrong key usage|wrong certificate purpose"},
    {"key usage that issues",
     {URI(RIGHT), .usage = "critical,digitalSignature,cRLSign"},
     ROOT,
     "wrong key usage|bad certificate"},
    {"other purpose",
     {URI(RIGHT), .extended = "codeSigning"},
     ROOT,
     "wrong certificate purpose"},
    {"any purpose",
     {URI(RIGHT), .extended = "anyExtendedKeyUsage"},
     ROOT,
     "wrong certificate purpose"},
    {"unknown critical extension",
     {URI(RIGHT), .extra_nid = NID_netscape_comment, .extra = "critical,x"},
     ROOT,
     "unknown critical extension"},
    {"two pods",
     {URI(RIGHT), .pod = "default/a/1", .pod2 = "default/b/2"},
     ROOT,
     "pod extension is not valid"},
    {"pod with a space",
     {URI(RIGHT), .pod = "default/a b/1"},
     ROOT,
     "pod extension is not valid"},
    {"issued by a leaf", {URI(RIGHT)}, LEAF, "unknown issuer"},
    {"issued by a leaf that is sent",
     {URI(RIGHT)},
     LEAF_CHAIN,
     "issuer may not issue"},
    {"six intermediates",
     {URI(RIGHT)},
     LONG_CHAIN,
     "certificate chain too long"},
    {"80 KB of certificates", {URI(RIGHT)}, HUGE_CHAIN, "message too long"},
};

struct fixture {
    struct pki_cert root, rogue, good, own, middle[6];
    struct tls_identity *id;
    struct tls_settings *client, *server;
};

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);
    struct pki_cert *by;
    struct error e = {""};
    char *roots;

    f->root = pki_authority(NULL, "root");
    f->rogue = pki_authority(NULL, "root");
    f->good = pki_make(&f->root, (struct pki_spec){.cn = "good", URI(RIGHT)});
    f->own = pki_make(
        &f->root, (struct pki_spec){URI("spiffe://cluster.local/ns/a/sa/me")});
    by = &f->root;
    for (int i = 0; i < 6; i++) {
        char cn[16];
        (void)snprintf(cn, sizeof cn, "middle %d", i);
        f->middle[i] = pki_authority(by, cn);
        by = &f->middle[i];
    }
    roots = pki_cert_pem(&f->root);
    f->id = pki_identity(&f->own, roots);
    mem_free(roots);
    assert_int_equal(tls_settings_new(&f->client,
                                      &(struct tls_options){.role = TLS_CLIENT},
                                      f->id, SLICE_NONE, &e),
                     OK);
    assert_int_equal(
        tls_settings_new(&f->server,
                         &(struct tls_options){.role = TLS_SERVER,
                                               .ask_peer = true,
                                               .require_peer = true},
                         f->id, SLICE_NONE, &e),
        OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    tls_settings_unref(f->client);
    tls_settings_unref(f->server);
    tls_identity_unref(f->id);
    for (int i = 0; i < 6; i++)
        pki_free(&f->middle[i]);
    pki_free(&f->own);
    pki_free(&f->good);
    pki_free(&f->rogue);
    pki_free(&f->root);
    mem_free(f);
    return 0;
}

static const struct pki_cert *issuer_of(struct fixture *f, enum issuer which)
{
    switch (which) {
    case ROGUE:
        return &f->rogue;
    case SELF:
        return NULL;
    case LEAF:
    case LEAF_CHAIN:
        return &f->good;
    case MIDDLE_CHAIN:
        return &f->middle[0];
    case LONG_CHAIN:
        return &f->middle[5];
    case ROOT:
    case HUGE_CHAIN:
        break;
    }
    return &f->root;
}

static void add_chain(SSL_CTX *ctx, struct fixture *f, enum issuer which)
{
    if (which == LEAF_CHAIN)
        assert_true(SSL_CTX_add1_chain_cert(ctx, f->good.cert));
    if (which == MIDDLE_CHAIN)
        assert_true(SSL_CTX_add1_chain_cert(ctx, f->middle[0].cert));
    for (int i = 5; which == LONG_CHAIN && i >= 0; i--)
        assert_true(SSL_CTX_add1_chain_cert(ctx, f->middle[i].cert));
    for (int i = 0; which == HUGE_CHAIN && i < 200; i++)
        assert_true(SSL_CTX_add1_chain_cert(ctx, f->middle[0].cert));
}

/* A peer that checks nothing and shows what it is told to. `cert` may be NULL. */
static SSL_CTX *bad_peer(bool server, const struct pki_cert *cert)
{
    SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method()
                                      : TLS_client_method());

    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
    if (cert) {
        assert_int_equal(SSL_CTX_use_certificate(ctx, cert->cert), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(ctx, cert->key), 1);
    }
    return ctx;
}

static void show(struct fixture *f, SSL_CTX *peer, bool peer_is_server,
                 struct pki_end *ours, struct pki_end *theirs, slice expect)
{
    if (peer_is_server)
        pki_connect(ours, tls_settings_ctx(f->client), theirs, peer);
    else
        pki_connect(theirs, peer, ours, tls_settings_ctx(f->server));
    pki_expect(ours, expect);
    if (peer_is_server)
        pki_shake(ours, theirs);
    else
        pki_shake(theirs, ours);
}

/* "a|b" wants a or b: which of them depends on OpenSSL's version. */
static bool reason_fits(const char *got, const char *want)
{
    slice rest = slice_str(want), part;

    while (got && slice_next(&rest, '|', &part))
        if (slice_eq(part, slice_str(got)))
            return true;
    return false;
}

static void check_row(struct fixture *f, const struct row *row, bool server)
{
    struct pki_cert cert = pki_make(issuer_of(f, row->issuer), row->spec);
    SSL_CTX *peer = bad_peer(server, &cert);
    struct pki_end ours, theirs;
    const char *to = server ? "our client" : "our server";

    add_chain(peer, f, row->issuer);
    show(f, peer, server, &ours, &theirs, WHOM);
    if (!row->reason) {
        if (!ours.done || tls_verify_finish(ours.ssl, &ours.verify))
            fail_msg("%s, to %s: refused, %s", row->what, to,
                     ours.reason ? ours.reason : ours.verify.reason);
        assert_true(slice_eq(ours.verify.name, WHOM));
        assert_true(slice_eq(ours.verify.extension, slice_str(row->spec.pod)));
        assert_true(ours.verify.not_after > time(NULL));
    } else if (!ours.failed) {
        fail_msg("%s, to %s: accepted", row->what, to);
    } else if (!reason_fits(ours.reason, row->reason)) {
        fail_msg("%s, to %s: \"%s\", not \"%s\"", row->what, to, ours.reason,
                 row->reason);
    } else {
        assert_true(slice_empty(ours.verify.name));
    }
    pki_close(server ? &ours : &theirs, server ? &theirs : &ours);
    SSL_CTX_free(peer);
    pki_free(&cert);
}

static void to_server(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_row(*state, &rows[i], false);
}

static void to_client(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_row(*state, &rows[i], true);
}

/* A certificate for one role is none for the other. */
static void one_role(void **state)
{
    static const struct row server_only = {
        "serverAuth only",
        {URI(RIGHT), .extended = "serverAuth"},
        ROOT,
        "wrong certificate purpose"};
    static const struct row client_only = {
        "clientAuth only",
        {URI(RIGHT), .extended = "clientAuth"},
        ROOT,
        "wrong certificate purpose"};
    struct row good_server = server_only, good_client = client_only;

    check_row(*state, &server_only, false);
    check_row(*state, &client_only, true);
    good_server.reason = good_client.reason = NULL;
    check_row(*state, &good_server, true);
    check_row(*state, &good_client, false);
}

static void weak_digest(void **state)
{
    struct row row = {
        "SHA-1", {URI(RIGHT), .md = EVP_sha1()}, ROOT, "weak certificate"};

    check_row(*state, &row, false);
    check_row(*state, &row, true);
}

static void no_certificate(void **state)
{
    struct fixture *f = *state;
    SSL_CTX *peer = bad_peer(false, NULL);
    struct pki_end ours, theirs;

    show(f, peer, false, &ours, &theirs, WHOM);
    assert_true(ours.failed);
    assert_string_equal(ours.reason, "no certificate");
    pki_close(&theirs, &ours);
    SSL_CTX_free(peer);
}

/* Optional certificates: none is fine, unless a name is expected. */
static void optional_certificate(void **state)
{
    struct fixture *f = *state;
    struct tls_settings *asking;
    SSL_CTX *peer = bad_peer(false, NULL);
    struct pki_end ours, theirs;

    assert_int_equal(tls_settings_new(&asking,
                                      &(struct tls_options){.role = TLS_SERVER,
                                                            .ask_peer = true},
                                      f->id, SLICE_NONE, NULL),
                     OK);
    for (int expect = 0; expect < 2; expect++) {
        pki_connect(&theirs, peer, &ours, tls_settings_ctx(asking));
        pki_expect(&ours, expect ? WHOM : SLICE_NONE);
        pki_shake(&theirs, &ours);
        assert_true(ours.done);
        assert_int_equal(tls_verify_finish(ours.ssl, &ours.verify),
                         expect ? ERR_TLS : OK);
        assert_true(slice_empty(ours.verify.name));
        pki_close(&theirs, &ours);
    }
    tls_settings_unref(asking);
    SSL_CTX_free(peer);
}

/* Without an expected name: any, but of our own trust domain. */
static void any_name(void **state)
{
    struct fixture *f = *state;
    struct pki_cert other = pki_make(
        &f->root, (struct pki_spec){URI("spiffe://other.local/ns/a/sa/b")});
    const struct pki_cert *shown[] = {&f->good, &other};

    for (int i = 0; i < 2; i++) {
        SSL_CTX *peer = bad_peer(false, shown[i]);
        struct pki_end ours, theirs;
        show(f, peer, false, &ours, &theirs, SLICE_NONE);
        if (i == 0) {
            assert_true(ours.done);
            assert_int_equal(tls_verify_finish(ours.ssl, &ours.verify), OK);
            assert_true(slice_eq(ours.verify.name, WHOM));
        } else {
            assert_true(ours.failed);
            assert_string_equal(ours.reason, "wrong trust domain");
        }
        pki_close(&theirs, &ours);
        SSL_CTX_free(peer);
    }
    pki_free(&other);
}

/* A connection of which nobody said whom to expect refuses everybody. */
static void nothing_attached(void **state)
{
    struct fixture *f = *state;
    SSL_CTX *peer = bad_peer(false, &f->good);
    struct pki_end ours, theirs;

    pki_connect(&theirs, peer, &ours, tls_settings_ctx(f->server));
    pki_shake(&theirs, &ours);
    assert_true(ours.failed);
    pki_close(&theirs, &ours);
    SSL_CTX_free(peer);
}

static void changed_signature(void **state)
{
    struct fixture *f = *state;
    struct pki_cert cert = {X509_dup(f->good.cert), f->good.key};
    const ASN1_BIT_STRING *signature;
    SSL_CTX *peer;
    struct pki_end ours, theirs;

    X509_get0_signature(&signature, NULL, cert.cert);
    /* the last byte belongs to the number s: still well-formed */
    ((unsigned char *)(uintptr_t)ASN1_STRING_get0_data(
        signature))[ASN1_STRING_length(signature) - 1] ^= 1;
    peer = bad_peer(false, &cert);
    show(f, peer, false, &ours, &theirs, WHOM);
    assert_true(ours.failed);
    assert_string_equal(ours.reason, "wrong signature");
    pki_close(&theirs, &ours);
    SSL_CTX_free(peer);
    X509_free(cert.cert);
}

/* While roots rotate, two of the same subject are believed. */
static void two_roots(void **state)
{
    struct fixture *f = *state;
    char *one = pki_cert_pem(&f->rogue), *two = pki_cert_pem(&f->root);
    char *both = mem_alloc(strlen(one) + strlen(two) + 1);
    const struct pki_cert *roots[] = {&f->rogue, &f->root};
    struct tls_settings *client;

    (void)snprintf(both, strlen(one) + strlen(two) + 1, "%s%s", one, two);
    assert_int_equal(tls_settings_new(&client,
                                      &(struct tls_options){.role = TLS_CLIENT},
                                      NULL, slice_str(both), NULL),
                     OK);
    for (int i = 0; i < 2; i++) {
        struct pki_cert leaf = pki_make(roots[i],
                                        (struct pki_spec){URI(RIGHT)});
        SSL_CTX *peer = bad_peer(true, &leaf);
        struct pki_end ours, theirs;
        pki_connect(&ours, tls_settings_ctx(client), &theirs, peer);
        pki_expect(&ours, WHOM);
        pki_shake(&ours, &theirs);
        assert_true(ours.done);
        assert_int_equal(tls_verify_finish(ours.ssl, &ours.verify), OK);
        pki_close(&ours, &theirs);
        SSL_CTX_free(peer);
        pki_free(&leaf);
    }
    tls_settings_unref(client);
    mem_free(one);
    mem_free(two);
    mem_free(both);
}

static void names(void **state)
{
    static const char *const good[] = {
        "spiffe://cluster.local/ns/default/sa/client",
        "spiffe://a/b",
        "spiffe://a-b_c.1/A.b-C_9/...",
    };
    static const char *const bad[] = {
        "",
        "spiffe://",
        "spiffe:///a",
        "spiffe://a",
        "spiffe://a/",
        "spiffe://a//b",
        "spiffe://a/b//c",
        "spiffe://a/b/",
        "spiffe://a/./b",
        "spiffe://a/b/..",
        "spiffe://A/b",
        "Spiffe://a/b",
        "spiffe:/a/b",
        "https://a/b",
        " spiffe://a/b",
        "spiffe://a/b ",
        "spiffe://a/b#c",
        "spiffe://a/b?c",
        "spiffe://a:1/b",
        "spiffe://u@a/b",
        "spiffe://a/%62",
        "spiffe://a/b\n",
        "spiffe://a/\xc3\xa9",
        "spiffe://\xc3\xa9/a",
    };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!verify_spiffe_name(slice_str(good[i])))
            fail_msg("%s: refused", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (verify_spiffe_name(slice_str(bad[i])))
            fail_msg("%s: accepted", bad[i]);
    assert_false(verify_spiffe_name(SLICE("spiffe://a/b\0")));
    assert_true(slice_eq(verify_trust_domain(WHOM), SLICE("cluster.local")));
    assert_true(slice_empty(verify_trust_domain(SLICE("spiffe://a"))));
}

static void name_lengths(void **state)
{
    char name[2100];
    char domain[300];

    (void)state;
    memset(name, 'a', sizeof name);
    memcpy(name, "spiffe://a/", 11);
    assert_true(verify_spiffe_name(slice_of(name, 2048)));
    assert_false(verify_spiffe_name(slice_of(name, 2049)));
    memset(domain, 'a', sizeof domain);
    memcpy(domain, "spiffe://", 9);
    memcpy(domain + 9 + 255, "/b", 2);
    assert_true(verify_spiffe_name(slice_of(domain, 9 + 255 + 2)));
    memcpy(domain + 9 + 255, "a/b", 3);
    assert_false(verify_spiffe_name(slice_of(domain, 9 + 256 + 2)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(name_lengths),
        cmocka_unit_test(to_server),
        cmocka_unit_test(to_client),
        cmocka_unit_test(one_role),
        cmocka_unit_test(weak_digest),
        cmocka_unit_test(no_certificate),
        cmocka_unit_test(optional_certificate),
        cmocka_unit_test(any_name),
        cmocka_unit_test(nothing_attached),
        cmocka_unit_test(changed_signature),
        cmocka_unit_test(two_roots),
    };

    tls_library_init();
    return cmocka_run_group_tests(tests, setup, teardown);
}
