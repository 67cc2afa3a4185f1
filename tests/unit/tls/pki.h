/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates of any shape, good and bad, and TLS connections in memory. Made
 * with OpenSSL alone, so that a mistake in lib/tls does not hide itself. */
#ifndef TULLE_TESTS_PKI_H
#define TULLE_TESTS_PKI_H

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h> /* wants those above */

#include "lib/base/mem.h"
#include "lib/tls/tls_internal.h"

struct pki_cert {
    X509 *cert;
    EVP_PKEY *key;
};

/* Zero: what a good leaf has. "" in a text: without this extension. */
struct pki_spec {
    const char *cn; /* NULL: empty subject */
    slice uri, uri2;
    const char *dns;
    bool second_san; /* uri2 in a SAN extension of its own */
    const char *basic, *usage, *extended, *extra; /* configuration syntax */
    int extra_nid;
    const char *pod, *pod2;
    int64_t from, to; /* seconds from now; default -60, 3600 */
    const EVP_MD *md; /* default SHA-256 */
    bool no_name;
};

UNUSED static EVP_PKEY *pki_key(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(key);
    return key;
}

UNUSED static void pki_free(struct pki_cert *c)
{
    X509_free(c->cert);
    EVP_PKEY_free(c->key);
    *c = (struct pki_cert){0};
}

static void pki_conf(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509_EXTENSION *ext;
    X509V3_CTX ctx;

    if (!*value)
        return;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&ctx);
    ext = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
    assert_non_null(ext);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

static void pki_name(GENERAL_NAMES *names, int type, slice value)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();

    assert_int_equal(ASN1_STRING_set(text, value.ptr, (int)value.len), 1);
    GENERAL_NAME_set0_value(name, type, text);
    assert_true(sk_GENERAL_NAME_push(names, name) > 0);
}

/* Added as it is: a second extension of the same kind too. */
static void pki_san(X509 *cert, GENERAL_NAMES *names, bool critical)
{
    X509_EXTENSION *ext;

    if (sk_GENERAL_NAME_num(names) > 0) {
        ext = X509V3_EXT_i2d(NID_subject_alt_name, critical, names);
        assert_non_null(ext);
        assert_int_equal(X509_add_ext(cert, ext, -1), 1);
        X509_EXTENSION_free(ext);
    }
    GENERAL_NAMES_free(names);
}

static void pki_names(X509 *cert, const struct pki_spec *s)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();

    if (s->uri.ptr)
        pki_name(names, GEN_URI, s->uri);
    if (s->uri2.ptr && !s->second_san)
        pki_name(names, GEN_URI, s->uri2);
    if (s->dns)
        pki_name(names, GEN_DNS, slice_str(s->dns));
    pki_san(cert, names, !s->cn);
    if (s->second_san) {
        names = sk_GENERAL_NAME_new_null();
        pki_name(names, GEN_URI, s->uri2);
        pki_san(cert, names, false);
    }
}

static void pki_pod(X509 *cert, const char *value)
{
    ASN1_OBJECT *oid = OBJ_txt2obj("1.3.6.1.4.1.62851.1.1", 1);
    ASN1_UTF8STRING *text = ASN1_UTF8STRING_new();
    ASN1_OCTET_STRING *bytes = ASN1_OCTET_STRING_new();
    unsigned char *der = NULL;
    X509_EXTENSION *ext;
    int n;

    assert_int_equal(ASN1_STRING_set(text, value, -1), 1);
    n = i2d_ASN1_UTF8STRING(text, &der);
    assert_int_equal(ASN1_OCTET_STRING_set(bytes, der, n), 1);
    ext = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, bytes);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
    OPENSSL_free(der);
    ASN1_OCTET_STRING_free(bytes);
    ASN1_UTF8STRING_free(text);
    ASN1_OBJECT_free(oid);
}

static const char *pki_or(const char *value, const char *otherwise)
{
    return value ? value : otherwise;
}

/* `issuer` NULL: self-signed. */
UNUSED static struct pki_cert pki_make(const struct pki_cert *issuer,
                                       struct pki_spec s)
{
    struct pki_cert c = {X509_new(), pki_key()};
    X509 *by = issuer ? issuer->cert : c.cert;
    static long serial = 1000;
    time_t now = time(NULL);

    X509_set_version(c.cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(c.cert), serial++);
    ASN1_TIME_set(X509_getm_notBefore(c.cert), now + (s.from ? s.from : -60));
    ASN1_TIME_set(X509_getm_notAfter(c.cert), now + (s.to ? s.to : 3600));
    X509_set_pubkey(c.cert, c.key);
    if (s.cn)
        X509_NAME_add_entry_by_NID(X509_get_subject_name(c.cert),
                                   NID_commonName, MBSTRING_UTF8,
                                   (const unsigned char *)s.cn, -1, -1, 0);
    X509_set_issuer_name(c.cert, X509_get_subject_name(by));
    pki_conf(c.cert, by, NID_basic_constraints,
             pki_or(s.basic, "critical,CA:FALSE"));
    pki_conf(c.cert, by, NID_key_usage,
             pki_or(s.usage, "critical,digitalSignature"));
    pki_conf(c.cert, by, NID_ext_key_usage,
             pki_or(s.extended, "serverAuth,clientAuth"));
    pki_conf(c.cert, by, NID_subject_key_identifier, "hash");
    if (issuer)
        pki_conf(c.cert, by, NID_authority_key_identifier, "keyid:always");
    if (s.extra)
        pki_conf(c.cert, by, s.extra_nid, s.extra);
    pki_names(c.cert, &s);
    if (s.pod)
        pki_pod(c.cert, s.pod);
    if (s.pod2)
        pki_pod(c.cert, s.pod2);
    assert_true(X509_sign(c.cert, issuer ? issuer->key : c.key,
                          s.md ? s.md : EVP_sha256()) > 0);
    ERR_clear_error();
    return c;
}

UNUSED static struct pki_cert pki_authority(const struct pki_cert *issuer,
                                            const char *cn)
{
    return pki_make(issuer, (struct pki_spec){
                                .cn = cn,
                                .basic = "critical,CA:TRUE",
                                .usage = "critical,keyCertSign,cRLSign",
                                .extended = "",
                            });
}

static char *pki_take(BIO *out)
{
    char *data;
    long n = BIO_get_mem_data(out, &data);
    char *text = mem_str(slice_of(data, (size_t)n));
    BIO_free(out);
    return text;
}

UNUSED static char *pki_cert_pem(const struct pki_cert *c)
{
    BIO *out = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509(out, c->cert), 1);
    return pki_take(out);
}

UNUSED static char *pki_key_pem(const struct pki_cert *c)
{
    BIO *out = BIO_new(BIO_s_mem());
    assert_int_equal(
        PEM_write_bio_PKCS8PrivateKey(out, c->key, NULL, NULL, 0, NULL, NULL),
        1);
    return pki_take(out);
}

/* An identity of lib/tls. */
UNUSED static struct tls_identity *pki_identity(const struct pki_cert *leaf,
                                                const char *roots)
{
    char *cert = pki_cert_pem(leaf), *key = pki_key_pem(leaf);
    struct tls_identity *id;
    struct error e = {""};

    if (tls_identity_new(&id, slice_str(cert), slice_str(key), slice_str(roots),
                         &e))
        fail_msg("%s", e.text);
    mem_free(cert);
    mem_free(key);
    return id;
}

/* One end of a connection in memory. */
struct pki_end {
    SSL *ssl;
    struct tls_verify verify; /* attached when the end is one of ours */
    bool done, failed;
    const char *reason;
};

UNUSED static void pki_connect(struct pki_end *client, SSL_CTX *client_ctx,
                               struct pki_end *server, SSL_CTX *server_ctx)
{
    BIO *a, *b;

    *client = (struct pki_end){.ssl = SSL_new(client_ctx)};
    *server = (struct pki_end){.ssl = SSL_new(server_ctx)};
    assert_int_equal(BIO_new_bio_pair(&a, 256 << 10, &b, 256 << 10), 1);
    SSL_set_bio(client->ssl, a, a);
    SSL_set_bio(server->ssl, b, b);
    SSL_set_connect_state(client->ssl);
    SSL_set_accept_state(server->ssl);
}

UNUSED static void pki_expect(struct pki_end *end, slice name)
{
    end->verify.expect = name;
    end->verify.server_side = SSL_is_server(end->ssl);
    tls_verify_attach(end->ssl, &end->verify);
}

static void pki_step(struct pki_end *end)
{
    int rc, err;

    if (end->done || end->failed)
        return;
    ERR_clear_error();
    rc = SSL_do_handshake(end->ssl);
    if (rc == 1) {
        end->done = true;
        return;
    }
    err = SSL_get_error(end->ssl, rc);
    if (err == SSL_ERROR_WANT_READ || err == SSL_ERROR_WANT_WRITE)
        return;
    end->failed = true;
    end->reason = tls_verify_reason(end->ssl);
    ERR_clear_error();
}

/* Both ends until each is done, failed or waits for an end that stopped. */
UNUSED static void pki_shake(struct pki_end *client, struct pki_end *server)
{
    for (int i = 0; i < 32; i++) {
        pki_step(client);
        pki_step(server);
    }
}

/* Lets a client see what the server sent after the handshake: sessions. */
UNUSED static void pki_read(struct pki_end *end)
{
    char byte;
    assert_true(SSL_read(end->ssl, &byte, 1) <= 0);
    ERR_clear_error();
}

/* Says goodbye first: a session of an aborted connection is dropped. */
UNUSED static void pki_close(struct pki_end *client, struct pki_end *server)
{
    SSL_set_quiet_shutdown(client->ssl, 1);
    SSL_set_quiet_shutdown(server->ssl, 1);
    (void)SSL_shutdown(client->ssl);
    (void)SSL_shutdown(server->ssl);
    SSL_free(client->ssl);
    SSL_free(server->ssl);
    tls_verify_fini(&client->verify);
    tls_verify_fini(&server->verify);
    ERR_clear_error();
}

#endif
