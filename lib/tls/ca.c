/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tls/cert.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/tls/pem.h"
#include "lib/tls/san.h"
#include "lib/tls/spki.h"
#include "lib/tls/tls_internal.h"
#include "lib/tls/verify.h"

/* A root that signs leaves. What it signs passes OpenSSL's strict checks of RFC
 * 5280 (X509_V_FLAG_X509_STRICT), which our proxies turn on: key identifiers
 * everywhere, critical basic constraints and key usage, and, as a leaf has no
 * subject, a critical subject alternative name. */

enum {
    ROOTS_MAX = 64,
    SERIAL_LEN = 16,
    COMMON_NAME_MAX = 64, /* ub-common-name, RFC 5280 appendix A */
    DNS_MAX = 253,
    /* A root is valid a little before it was made: clocks of nodes differ. */
    ROOT_BACKDATE = 3600,
};

struct ca {
    X509 *cert;
    EVP_PKEY *key;
    char *cert_pem, *key_pem;
    char *trust_domain; /* empty when the root names none */
    int64_t not_before, not_after;
};

void ca_free(struct ca *ca)
{
    if (!ca)
        return;
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
    mem_free(ca->cert_pem);
    if (ca->key_pem)
        mem_wipe_free(ca->key_pem, strlen(ca->key_pem));
    mem_free(ca->trust_domain);
    mem_free(ca);
}

slice ca_cert_pem(const struct ca *ca)
{
    return slice_str(ca->cert_pem);
}

bool ca_is_root(const struct ca *ca)
{
    return X509_NAME_cmp(X509_get_subject_name(ca->cert),
                         X509_get_issuer_name(ca->cert)) == 0;
}

slice ca_key_pem(const struct ca *ca)
{
    return slice_str(ca->key_pem);
}

slice ca_trust_domain(const struct ca *ca)
{
    return slice_str(ca->trust_domain);
}

int64_t ca_not_after(const struct ca *ca)
{
    return ca->not_after;
}

/* `value` is OpenSSL's configuration syntax: constant text only. */
static bool add_constant(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509_EXTENSION *ext;
    X509V3_CTX ctx;
    bool ok;

    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&ctx);
    ext = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
    ok = ext && X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
    return ok;
}

static bool add_names(X509 *cert, slice uri, const char *const dns[4],
                      bool critical)
{
    GENERAL_NAMES *names = san_new();
    bool ok = names && san_add(names, GEN_URI, uri);

    for (int i = 0; ok && dns && i < 4 && dns[i]; i++)
        ok = san_add(names, GEN_DNS, slice_str(dns[i]));
    ok = ok && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, critical,
                                 X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAMES_free(names);
    return ok;
}

static bool add_pod(X509 *cert, slice pod)
{
    ASN1_OBJECT *oid = NULL;
    ASN1_UTF8STRING *text = NULL;
    ASN1_OCTET_STRING *bytes = NULL;
    X509_EXTENSION *ext = NULL;
    unsigned char *der = NULL;
    bool ok = false;
    int n;

    oid = OBJ_txt2obj(CERT_POD_OID, 1);
    text = ASN1_UTF8STRING_new();
    bytes = ASN1_OCTET_STRING_new();
    if (!oid || !text || !bytes ||
        !ASN1_STRING_set(text, pod.ptr, (int)pod.len))
        goto out;
    n = i2d_ASN1_UTF8STRING(text, &der);
    if (n <= 0 || !ASN1_OCTET_STRING_set(bytes, der, n))
        goto out;
    ext = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, bytes);
    ok = ext && X509_add_ext(cert, ext, -1);
out:
    X509_EXTENSION_free(ext);
    OPENSSL_free(der);
    ASN1_OCTET_STRING_free(bytes);
    ASN1_UTF8STRING_free(text);
    ASN1_OBJECT_free(oid);
    return ok;
}

/* 128 random bits, positive and not zero in its first byte. */
static bool set_serial(X509 *cert)
{
    unsigned char raw[SERIAL_LEN];
    BIGNUM *n = NULL;
    bool ok;

    if (RAND_bytes(raw, sizeof raw) != 1)
        return false;
    n = BN_bin2bn(raw, sizeof raw, NULL);
    ok = n && BN_set_bit(n, 8 * SERIAL_LEN - 1) &&
         BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
    BN_free(n);
    return ok;
}

static bool set_basics(X509 *cert, EVP_PKEY *key, int64_t from, int64_t to)
{
    return X509_set_version(cert, X509_VERSION_3) && set_serial(cert) &&
           ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)from) &&
           ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)to) &&
           X509_set_pubkey(cert, key);
}

static bool build_root(X509 *cert, EVP_PKEY *key, slice domain, int64_t from,
                       int64_t to)
{
    char uri[sizeof "spiffe://" + 255], cn[COMMON_NAME_MAX + 1];
    X509_NAME *name = X509_get_subject_name(cert);

    /* both are cut to fit: the domain was checked, so only cn can be */
    (void)snprintf(uri, sizeof uri, "spiffe://%.*s", FMT(domain));
    (void)snprintf(cn, sizeof cn, "tulle root %.*s", FMT(domain));
    return set_basics(cert, key, from, to) &&
           X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                      (const unsigned char *)cn, -1, -1, 0) &&
           X509_set_issuer_name(cert, name) &&
           add_constant(cert, cert, NID_basic_constraints,
                        "critical,CA:TRUE,pathlen:1") &&
           add_constant(cert, cert, NID_key_usage,
                        "critical,keyCertSign,cRLSign") &&
           add_constant(cert, cert, NID_subject_key_identifier, "hash") &&
           add_names(cert, slice_str(uri), NULL, false) &&
           X509_sign(cert, key, EVP_sha256()) > 0;
}

static enum status write_cert(X509 *cert, char **pem, struct error *e)
{
    BIO *out = BIO_new(BIO_s_mem());
    enum status rc = OK;

    if (out && PEM_write_bio_X509(out, cert))
        *pem = pem_take(out);
    else
        rc = pem_error(e, ERR_RESOURCES, "certificate");
    BIO_free(out);
    return rc;
}

enum status ca_new(struct ca **out, slice trust_domain, int64_t now,
                   int64_t life_seconds, struct error *e)
{
    char *cert_pem = NULL, *key_pem = NULL;
    EVP_PKEY *key = NULL;
    X509 *cert = NULL;
    enum status rc;

    *out = NULL;
    if (!tls_trust_domain_valid(trust_domain))
        return error_set(e, ERR_INVALID, "\"%.*s\" is not a trust domain",
                         FMT(trust_domain));
    if (life_seconds <= 0)
        return error_set(e, ERR_INVALID, "a root needs a life");
    rc = key_new(&key_pem, e);
    if (rc)
        goto out;
    rc = pem_key(slice_str(key_pem), &key, e);
    if (rc)
        goto out;
    cert = X509_new();
    if (!cert || !build_root(cert, key, trust_domain, now - ROOT_BACKDATE,
                             now + life_seconds)) {
        rc = pem_error(e, ERR_RESOURCES, "new root");
        goto out;
    }
    rc = write_cert(cert, &cert_pem, e);
    if (rc)
        goto out;
    rc = ca_load(out, slice_str(cert_pem), slice_str(key_pem), e);
out:
    X509_free(cert);
    EVP_PKEY_free(key);
    mem_free(cert_pem);
    if (key_pem)
        mem_wipe_free(key_pem, strlen(key_pem));
    return rc;
}

static bool build_leaf(const struct ca *ca, const struct cert_request *r,
                       X509 *cert, EVP_PKEY *key, int64_t from, int64_t to)
{
    return set_basics(cert, key, from, to) &&
           X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) &&
           add_constant(cert, ca->cert, NID_basic_constraints,
                        "critical,CA:FALSE") &&
           add_constant(cert, ca->cert, NID_key_usage,
                        "critical,digitalSignature") &&
           add_constant(cert, ca->cert, NID_ext_key_usage,
                        "serverAuth,clientAuth") &&
           add_constant(cert, ca->cert, NID_subject_key_identifier, "hash") &&
           add_constant(cert, ca->cert, NID_authority_key_identifier,
                        "keyid:always") &&
           add_names(cert, r->name, r->dns, true) &&
           (slice_empty(r->pod) || add_pod(cert, r->pod)) &&
           X509_sign(cert, ca->key, EVP_sha256()) > 0;
}

/* A leaf that is thrown away. */
static X509 *sign_probe(const struct ca *ca)
{
    struct cert_request r = {.name = SLICE("spiffe://probe/probe")};
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *leaf = X509_new();

    if (!key || !leaf ||
        !build_leaf(ca, &r, leaf, key, ca->not_before, ca->not_after)) {
        X509_free(leaf);
        leaf = NULL;
    }
    EVP_PKEY_free(key);
    return leaf;
}

/* Would our peers believe a leaf of this root? Whatever the date is. */
static enum status check_root(const struct ca *ca, struct error *e)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509 *leaf = NULL;
    enum status rc = OK;

    if (X509_check_ca(ca->cert) != 1) {
        rc = error_set(e, ERR_INVALID, "root: it is not an authority");
        goto out;
    }
    leaf = sign_probe(ca);
    if (!leaf || !store || !ctx || !X509_STORE_add_cert(store, ca->cert) ||
        !X509_STORE_CTX_init(ctx, store, leaf, NULL)) {
        rc = pem_error(e, ERR_INVALID, "root: it cannot sign");
        goto out;
    }
    /* An intermediate is as good as a root here: its own root is looked for by
     * chain_check. */
    X509_STORE_CTX_set_flags(
        ctx, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE |
                 X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_NO_CHECK_TIME);
    if (X509_verify_cert(ctx) != 1)
        rc = error_set(
            e, ERR_INVALID, "root: %s",
            X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
out:
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    X509_free(leaf);
    ERR_clear_error();
    return rc;
}

/* The domain of the root's own URI; "" when it has none (an issuer of somebody
 * else's making). */
static char *root_domain(X509 *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL,
                                            NULL);
    slice uri = SLICE_NONE, domain = SLICE_NONE;
    char *copy;

    if (san_uri(names, &uri) == 1 && slice_starts(uri, SLICE("spiffe://")))
        domain = slice_sub(uri, sizeof "spiffe://" - 1, uri.len);
    if (!tls_trust_domain_valid(domain))
        domain = SLICE_NONE;
    copy = mem_str(domain);
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    return copy;
}

enum status cert_root_domain(slice pem, char **domain, struct error *e)
{
    STACK_OF(X509) *roots = NULL;
    enum status rc = pem_certs(pem, PEM_ROOTS_MAX, ROOTS_MAX, &roots, e);

    *domain = NULL;
    if (rc)
        return rc;
    *domain = root_domain(sk_X509_value(roots, 0));
    sk_X509_pop_free(roots, X509_free);
    return OK;
}

enum status ca_load(struct ca **out, slice cert_pem, slice key_pem,
                    struct error *e)
{
    struct ca *ca = MEM_NEW(struct ca);
    enum status rc;

    *out = NULL;
    rc = pem_cert(cert_pem, &ca->cert, e);
    if (rc)
        goto out;
    rc = pem_key(key_pem, &ca->key, e);
    if (rc)
        goto out;
    if (X509_check_private_key(ca->cert, ca->key) != 1) {
        rc = pem_error(e, ERR_INVALID, "root and private key do not match");
        goto out;
    }
    if (!EVP_PKEY_is_a(ca->key, "EC") && !EVP_PKEY_is_a(ca->key, "RSA")) {
        rc = error_set(e, ERR_INVALID, "root: the key is not EC or RSA");
        goto out;
    }
    if (!pem_date(X509_get0_notBefore(ca->cert), &ca->not_before) ||
        !pem_date(X509_get0_notAfter(ca->cert), &ca->not_after)) {
        rc = pem_error(e, ERR_INVALID, "dates of the root");
        goto out;
    }
    rc = check_root(ca, e);
    if (rc)
        goto out;
    rc = write_cert(ca->cert, &ca->cert_pem, e);
    if (rc)
        goto out;
    ca->key_pem = mem_str(key_pem);
    ca->trust_domain = root_domain(ca->cert);
    *out = ca;
    ca = NULL; /* moved */
out:
    ca_free(ca);
    return rc;
}

static bool dns_valid(slice name)
{
    if (name.len == 0 || name.len > DNS_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' &&
            c != '.')
            return false;
    }
    return true;
}

static enum status check_request(const struct ca *ca,
                                 const struct cert_request *r, struct error *e)
{
    slice domain = verify_trust_domain(r->name);
    slice own = ca_trust_domain(ca);

    if (slice_empty(domain))
        return error_set(e, ERR_INVALID, "\"%.*s\" is not a SPIFFE name",
                         FMT(r->name));
    if (!slice_empty(own) && !slice_eq(own, domain))
        return error_set(e, ERR_DENIED,
                         "\"%.*s\" is not in the root's domain %.*s",
                         FMT(r->name), FMT(own));
    if (!slice_empty(r->pod) && !tls_pod_valid(r->pod))
        return error_set(e, ERR_INVALID, "pod of %.*s: not acceptable",
                         FMT(r->name));
    for (int i = 0; i < 4 && r->dns[i]; i++)
        if (!dns_valid(slice_str(r->dns[i])))
            return error_set(e, ERR_INVALID, "DNS name of %.*s: not acceptable",
                             FMT(r->name));
    return OK;
}

enum status ca_sign(const struct ca *ca, const struct cert_request *r,
                    char **pem, struct error *e)
{
    int64_t from = r->not_before, to = r->not_after;
    EVP_PKEY *key = NULL;
    X509 *cert = NULL;
    enum status rc;

    *pem = NULL;
    rc = check_request(ca, r, e);
    if (rc)
        return rc;
    if (from < ca->not_before)
        from = ca->not_before;
    if (to > ca->not_after)
        to = ca->not_after;
    if (from >= to)
        return error_set(e, ERR_INVALID,
                         "%.*s: no time left in the life of the root",
                         FMT(r->name));
    key = spki_key(r->public_der);
    if (!key)
        return error_set(e, ERR_INVALID, "%.*s: the key is not a P-256 key",
                         FMT(r->name));
    cert = X509_new();
    if (!cert || !build_leaf(ca, r, cert, key, from, to))
        rc = pem_error(e, ERR_RESOURCES, "new certificate");
    else
        rc = write_cert(cert, pem, e);
    X509_free(cert);
    EVP_PKEY_free(key);
    return rc;
}
