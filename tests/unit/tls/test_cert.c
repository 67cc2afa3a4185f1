/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/tls/cert.h"
#include "lib/tls/verify.h"
#include "tests/unit/tls/pki.h"

#define NAME SLICE("spiffe://cluster.local/ns/default/sa/web")

static const int64_t hour = 3600;

struct fixture {
    struct ca *ca;
    char *key, *der; /* of a leaf */
    size_t der_len;
    int64_t now;
};

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);
    struct error e = {""};

    f->now = time(NULL);
    if (ca_new(&f->ca, SLICE("cluster.local"), f->now, 24 * hour, &e))
        fail_msg("%s", e.text);
    assert_int_equal(key_new(&f->key, &e), OK);
    assert_int_equal(
        key_public_der(slice_str(f->key), &f->der, &f->der_len, &e), OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    ca_free(f->ca);
    mem_wipe_free(f->key, strlen(f->key));
    mem_free(f->der);
    mem_free(f);
    return 0;
}

static struct cert_request request(const struct fixture *f)
{
    return (struct cert_request){.public_der = slice_of(f->der, f->der_len),
                                 .name = NAME,
                                 .not_before = f->now - 60,
                                 .not_after = f->now + hour};
}

static X509 *parse(const char *pem)
{
    BIO *in = BIO_new_mem_buf(pem, -1);
    X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);

    BIO_free(in);
    assert_non_null(cert);
    return cert;
}

static void root(void **state)
{
    struct fixture *f = *state;
    X509 *cert = parse(ca_cert_pem(f->ca).ptr);
    int64_t from, to;

    assert_true(slice_eq(ca_trust_domain(f->ca), SLICE("cluster.local")));
    assert_int_equal(ca_not_after(f->ca), f->now + 24 * hour);
    assert_int_equal(cert_dates(ca_cert_pem(f->ca), &from, &to, NULL), OK);
    assert_int_equal(to, f->now + 24 * hour);
    assert_true(from < f->now);
    assert_int_equal(X509_check_ca(cert), 1);
    assert_int_equal(X509_get_pathlen(cert), 1);
    X509_free(cert);
}

static void root_again(void **state)
{
    struct fixture *f = *state;
    struct ca *again, *other;
    struct error e = {""};

    assert_int_equal(ca_load(&again, ca_cert_pem(f->ca), ca_key_pem(f->ca), &e),
                     OK);
    assert_true(slice_eq(ca_cert_pem(again), ca_cert_pem(f->ca)));
    assert_true(slice_eq(ca_trust_domain(again), SLICE("cluster.local")));
    assert_int_equal(ca_new(&other, SLICE("cluster.local"), f->now, hour, &e),
                     OK);
    ca_free(again);
    assert_int_equal(ca_load(&again, ca_cert_pem(f->ca), ca_key_pem(other), &e),
                     ERR_INVALID);
    assert_null(again);
    assert_non_null(strstr(e.text, "do not match"));
    ca_free(other);
}

static void root_refused(void **state)
{
    struct fixture *f = *state;
    struct pki_cert bad[] = {
        pki_make(NULL, (struct pki_spec){.cn = "leaf"}),
        pki_make(NULL, (struct pki_spec){.cn = "no usage",
                                         .basic = "critical,CA:TRUE",
                                         .usage = "",
                                         .extended = ""}),
    };
    struct ca *ca;
    struct error e;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *cert = pki_cert_pem(&bad[i]), *key = pki_key_pem(&bad[i]);
        e.text[0] = 0;
        assert_int_equal(ca_load(&ca, slice_str(cert), slice_str(key), &e),
                         ERR_INVALID);
        assert_null(ca);
        assert_true(slice_starts(slice_str(e.text), SLICE("root: ")));
        mem_free(cert);
        mem_free(key);
        pki_free(&bad[i]);
    }
    assert_int_equal(ca_new(&ca, SLICE("UPPER"), f->now, hour, &e),
                     ERR_INVALID);
    assert_int_equal(ca_new(&ca, SLICE("a/b"), f->now, hour, &e), ERR_INVALID);
    assert_int_equal(ca_new(&ca, SLICE(""), f->now, hour, &e), ERR_INVALID);
    assert_int_equal(ca_new(&ca, SLICE("a"), f->now, 0, &e), ERR_INVALID);
}

/* It can sign; whose root it leads to is for chain_check to say. */
static void an_intermediate_is_no_root(void **state)
{
    struct pki_cert issuer = pki_authority(NULL, "root");
    struct pki_cert middle = pki_authority(&issuer, "middle");
    char *cert = pki_cert_pem(&middle), *key = pki_key_pem(&middle);
    struct fixture *f = *state;
    struct ca *ca;
    struct error e;

    assert_int_equal(ca_load(&ca, slice_str(cert), slice_str(key), &e), OK);
    assert_false(ca_is_root(ca));
    assert_true(ca_is_root(f->ca));
    ca_free(ca);
    mem_free(cert);
    mem_free(key);
    pki_free(&middle);
    pki_free(&issuer);
}

/* An issuer of somebody else's: RSA, without URI. */
static void foreign_root(void **state)
{
    struct fixture *f = *state;
    struct pki_cert root = {X509_new(), EVP_RSA_gen(2048)};
    struct cert_request r = request(f);
    struct tls_identity *id;
    struct ca *ca;
    struct error e = {""};
    char *cert_pem, *key_pem, *leaf;

    X509_set_version(root.cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(root.cert), 1);
    ASN1_TIME_set(X509_getm_notBefore(root.cert), f->now - hour);
    ASN1_TIME_set(X509_getm_notAfter(root.cert), f->now + hour);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(root.cert), "O",
                               MBSTRING_ASC, (const unsigned char *)"Acme", -1,
                               -1, 0);
    X509_set_issuer_name(root.cert, X509_get_subject_name(root.cert));
    X509_set_pubkey(root.cert, root.key);
    pki_conf(root.cert, root.cert, NID_basic_constraints, "critical,CA:TRUE");
    pki_conf(root.cert, root.cert, NID_key_usage, "critical,keyCertSign");
    pki_conf(root.cert, root.cert, NID_subject_key_identifier, "hash");
    assert_true(X509_sign(root.cert, root.key, EVP_sha256()) > 0);
    cert_pem = pki_cert_pem(&root);
    key_pem = pki_key_pem(&root);
    if (ca_load(&ca, slice_str(cert_pem), slice_str(key_pem), &e))
        fail_msg("%s", e.text);
    assert_true(slice_empty(ca_trust_domain(ca)));
    assert_int_equal(ca_sign(ca, &r, &leaf, &e), OK);
    if (tls_identity_new(&id, slice_str(leaf), slice_str(f->key),
                         slice_str(cert_pem), &e))
        fail_msg("%s", e.text);
    tls_identity_unref(id);
    ca_free(ca);
    mem_free(leaf);
    mem_free(cert_pem);
    mem_free(key_pem);
    pki_free(&root);
}

static void leaf(void **state)
{
    struct fixture *f = *state;
    struct cert_request r = request(f);
    struct arena a;
    struct error e = {""};
    const char *reason = NULL;
    slice name, pod;
    char *pem;
    X509 *cert;

    arena_init(&a, 8192);
    r.pod = SLICE("default/web-1/3f2a");
    r.dns[0] = "tulle-injector.tulle.svc";
    r.dns[1] = "localhost";
    if (ca_sign(f->ca, &r, &pem, &e))
        fail_msg("%s", e.text);
    cert = parse(pem);
    assert_int_equal(verify_leaf(cert, true, &a, &name, &reason), OK);
    assert_true(slice_eq(name, NAME));
    assert_int_equal(verify_leaf(cert, false, &a, &name, &reason), OK);
    assert_int_equal(verify_pod_extension(cert, &a, &pod), OK);
    assert_true(slice_eq(pod, r.pod));
    assert_int_equal(X509_check_host(cert, r.dns[0], 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(cert, r.dns[1], 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(cert, "example.com", 0, 0, NULL), 0);
    assert_int_equal(X509_get_key_usage(cert), KU_DIGITAL_SIGNATURE);
    assert_int_equal(X509_get_extended_key_usage(cert),
                     XKU_SSL_SERVER | XKU_SSL_CLIENT);
    assert_true(ASN1_STRING_length(X509_get0_serialNumber(cert)) >= 16);
    X509_free(cert);
    mem_free(pem);
    arena_reset(&a);
}

/* Two of the same request differ at least in the serial. */
static void serials(void **state)
{
    struct fixture *f = *state;
    struct cert_request r = request(f);
    char *one, *two;
    X509 *a, *b;

    assert_int_equal(ca_sign(f->ca, &r, &one, NULL), OK);
    assert_int_equal(ca_sign(f->ca, &r, &two, NULL), OK);
    a = parse(one);
    b = parse(two);
    assert_int_not_equal(
        ASN1_INTEGER_cmp(X509_get0_serialNumber(a), X509_get0_serialNumber(b)),
        0);
    X509_free(a);
    X509_free(b);
    mem_free(one);
    mem_free(two);
}

static void dates(void **state)
{
    struct fixture *f = *state;
    struct cert_request r = request(f);
    int64_t from, to;
    char *pem;

    assert_int_equal(ca_sign(f->ca, &r, &pem, NULL), OK);
    assert_int_equal(cert_dates(slice_str(pem), &from, &to, NULL), OK);
    assert_int_equal(from, r.not_before);
    assert_int_equal(to, r.not_after);
    mem_free(pem);

    r.not_before = f->now - 1000 * hour; /* both cut to the root's */
    r.not_after = f->now + 1000 * hour;
    assert_int_equal(ca_sign(f->ca, &r, &pem, NULL), OK);
    assert_int_equal(cert_dates(slice_str(pem), &from, &to, NULL), OK);
    assert_true(from > f->now - 2 * hour);
    assert_int_equal(to, ca_not_after(f->ca));
    mem_free(pem);

    r.not_before = f->now + 25 * hour; /* the root is dead by then */
    r.not_after = f->now + 26 * hour;
    assert_int_equal(ca_sign(f->ca, &r, &pem, NULL), ERR_INVALID);
    assert_null(pem);
    assert_int_equal(cert_dates(SLICE("nothing"), &from, &to, NULL),
                     ERR_INVALID);
}

static void sign_refused(void **state)
{
    struct fixture *f = *state;
    struct cert_request bad[8];
    char der[91], *pem;

    for (int i = 0; i < 8; i++)
        bad[i] = request(f);
    bad[0].name = SLICE("spiffe://cluster.local/a/../b");
    bad[1].name = SLICE("spiffe://other.local/ns/a/sa/b");
    bad[2].name = SLICE_NONE;
    bad[3].pod = SLICE("a b");
    bad[4].dns[0] = "a,URI:spiffe://cluster.local/x";
    bad[5].dns[0] = "";
    bad[6].public_der = slice_sub(bad[6].public_der, 0, 90);
    memcpy(der, f->der, sizeof der);
    der[90] ^= 1; /* not on the curve */
    bad[7].public_der = slice_of(der, sizeof der);
    for (int i = 0; i < 8; i++) {
        struct error e = {""};
        enum status rc = ca_sign(f->ca, &bad[i], &pem, &e);
        if (rc != (i == 1 ? ERR_DENIED : ERR_INVALID))
            fail_msg("request %d: %s", i, status_name(rc));
        assert_null(pem);
        assert_true(e.text[0]);
    }
}

static void csr(void **state)
{
    struct fixture *f = *state;
    char *pem, *der, *name;
    struct error e = {""};
    size_t len;

    assert_int_equal(csr_new(slice_str(f->key), NAME, &pem, &e), OK);
    if (csr_check(slice_str(pem), &der, &len, &name, &e))
        fail_msg("%s", e.text);
    assert_true(slice_eq(slice_str(name), NAME));
    assert_true(slice_eq(slice_of(der, len), slice_of(f->der, f->der_len)));
    mem_free(der);
    mem_free(name);
    mem_free(pem);
    assert_int_equal(csr_new(slice_str(f->key), SLICE("web"), &pem, &e),
                     ERR_INVALID);
}

static enum status check(slice pem, struct error *e)
{
    char *der, *name;
    size_t len;
    enum status rc = csr_check(pem, &der, &len, &name, e);

    if (rc) {
        assert_null(der);
        assert_null(name);
        assert_true(!e || e->text[0]);
        return rc;
    }
    mem_free(der);
    mem_free(name);
    return rc;
}

static char *csr_pem(X509_REQ *req)
{
    BIO *out = BIO_new(BIO_s_mem());

    assert_int_equal(PEM_write_bio_X509_REQ(out, req), 1);
    return pki_take(out);
}

/* A request with these URIs, signed by `signer` over the key `shown`. */
static char *forge(EVP_PKEY *shown, EVP_PKEY *signer, const slice *uris, int n)
{
    STACK_OF(X509_EXTENSION) *exts = NULL;
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    X509_REQ *req = X509_REQ_new();
    char *pem;

    for (int i = 0; i < n; i++)
        pki_name(names, GEN_URI, uris[i]);
    if (n > 0) {
        assert_int_equal(
            X509V3_add1_i2d(&exts, NID_subject_alt_name, names, 0, 0), 1);
        assert_int_equal(X509_REQ_add_extensions(req, exts), 1);
    }
    X509_REQ_set_pubkey(req, shown);
    assert_true(X509_REQ_sign(req, signer, EVP_sha256()) > 0);
    pem = csr_pem(req);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    GENERAL_NAMES_free(names);
    X509_REQ_free(req);
    return pem;
}

static void csr_keys(void **state)
{
    EVP_PKEY *good = pki_key(), *other = pki_key();
    EVP_PKEY *rsa = EVP_RSA_gen(2048), *p384 = EVP_EC_gen("P-384");
    struct {
        EVP_PKEY *shown, *signer;
        const char *want; /* NULL: fine */
    } rows[] = {
        {good, good, NULL},
        {good, other, "signature"}, /* does not have the key it shows */
        {rsa, rsa, "P-256"},
        {p384, p384, "P-256"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *pem = forge(rows[i].shown, rows[i].signer, NULL, 0);
        struct error e = {""};
        enum status rc = check(slice_str(pem), &e);
        assert_int_equal(rc, rows[i].want ? ERR_INVALID : OK);
        if (rows[i].want)
            assert_non_null(strstr(e.text, rows[i].want));
        mem_free(pem);
    }
    EVP_PKEY_free(good);
    EVP_PKEY_free(other);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(p384);
}

static void csr_names(void **state)
{
    EVP_PKEY *key = pki_key();
    const slice two[] = {NAME, SLICE("spiffe://cluster.local/ns/a/sa/b")};
    const slice nul = SLICE("spiffe://cluster.local/ns/a/sa/b\0c");
    const slice web = SLICE("https://cluster.local/");
    struct {
        const slice *uris;
        int n;
        enum status rc;
    } rows[] = {{two, 1, OK},
                {two, 0, OK},
                {two, 2, ERR_INVALID},
                {&nul, 1, ERR_INVALID},
                {&web, 1, ERR_INVALID}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *pem = forge(key, key, rows[i].uris, rows[i].n);
        assert_int_equal(check(slice_str(pem), NULL), rows[i].rc);
        mem_free(pem);
    }
    EVP_PKEY_free(key);
}

/* No bit of what is signed may change. */
static void csr_changed(void **state)
{
    struct fixture *f = *state;
    unsigned char *der = NULL;
    X509_REQ *req;
    BIO *in;
    char *pem;
    int len;

    assert_int_equal(csr_new(slice_str(f->key), NAME, &pem, NULL), OK);
    in = BIO_new_mem_buf(pem, -1);
    req = PEM_read_bio_X509_REQ(in, NULL, NULL, NULL);
    BIO_free(in);
    mem_free(pem);
    len = i2d_X509_REQ(req, &der);
    X509_REQ_free(req);
    assert_true(len > 100);
    for (int i = 0; i < len; i++) {
        BIO *out = BIO_new(BIO_s_mem());
        char *changed;
        der[i] ^= 0x01;
        PEM_write_bio(out, "CERTIFICATE REQUEST", "", der, len);
        changed = pki_take(out);
        if (check(slice_str(changed), NULL) == OK)
            fail_msg("byte %d changed: accepted", i);
        mem_free(changed);
        der[i] ^= 0x01;
    }
    OPENSSL_free(der);
}

static void csr_sizes(void **state)
{
    struct fixture *f = *state;
    size_t limit = 16 << 10, len;
    char *pem, *big = mem_alloc(limit + 1);

    assert_int_equal(csr_new(slice_str(f->key), NAME, &pem, NULL), OK);
    len = strlen(pem);
    memset(big, '\n', limit + 1); /* blank lines before it are harmless */
    memcpy(big + limit - len, pem, len);
    assert_int_equal(check(slice_of(big, limit), NULL), OK);
    memcpy(big + limit + 1 - len, pem, len);
    assert_int_equal(check(slice_of(big, limit + 1), NULL), ERR_INVALID);
    assert_int_equal(check(SLICE_NONE, NULL), ERR_INVALID);
    assert_int_equal(check(SLICE("no PEM"), NULL), ERR_INVALID);
    for (size_t n = 1; n < len - 1; n += 7)
        assert_int_equal(check(slice_of(pem, n), NULL), ERR_INVALID);
    mem_free(pem);
    mem_free(big);
}

/* Nobody is asked for a passphrase. */
static void encrypted_key(void **state)
{
    EVP_PKEY *key = pki_key();
    BIO *out = BIO_new(BIO_s_mem());
    char *pem, *der;
    size_t len;

    (void)state;
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(out, key, EVP_aes_128_cbc(),
                                                   "secret", 6, NULL, NULL),
                     1);
    pem = pki_take(out);
    assert_int_equal(key_public_der(slice_str(pem), &der, &len, NULL),
                     ERR_INVALID);
    mem_free(pem);
    EVP_PKEY_free(key);
}

static void helpers(void **state)
{
    char hex[65], random[2][129];

    (void)state;
    sha256_hex(SLICE("abc"), hex);
    assert_string_equal(
        hex,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_hex(SLICE_NONE, hex);
    assert_string_equal(
        hex,
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(random_hex(random[i], 64), OK);
        assert_int_equal(strlen(random[i]), 128);
        assert_int_equal(strspn(random[i], "0123456789abcdef"), 128);
    }
    assert_string_not_equal(random[0], random[1]);
    assert_true(bytes_equal_secret(SLICE("ab"), SLICE("ab")));
    assert_false(bytes_equal_secret(SLICE("ab"), SLICE("ac")));
    assert_false(bytes_equal_secret(SLICE("ab"), SLICE("abc")));
    assert_true(bytes_equal_secret(SLICE_NONE, SLICE("")));
}

/* OpenSSL's memory is in our accounts. */
static void memory(void **state)
{
    size_t before = mem_used();
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());

    (void)state;
    assert_true(mem_used() > before);
    SSL_CTX_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(root),
        cmocka_unit_test(root_again),
        cmocka_unit_test(root_refused),
        cmocka_unit_test(an_intermediate_is_no_root),
        cmocka_unit_test(foreign_root),
        cmocka_unit_test(leaf),
        cmocka_unit_test(serials),
        cmocka_unit_test(dates),
        cmocka_unit_test(sign_refused),
        cmocka_unit_test(csr),
        cmocka_unit_test(csr_keys),
        cmocka_unit_test(csr_names),
        cmocka_unit_test(csr_changed),
        cmocka_unit_test(csr_sizes),
        cmocka_unit_test(encrypted_key),
        cmocka_unit_test(helpers),
        cmocka_unit_test(memory),
    };

    tls_library_init();
    return cmocka_run_group_tests(tests, setup, teardown);
}
