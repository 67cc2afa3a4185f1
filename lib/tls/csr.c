/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tls/cert.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "lib/base/mem.h"
#include "lib/tls/pem.h"
#include "lib/tls/san.h"
#include "lib/tls/spki.h"
#include "lib/tls/verify.h"

/* A request proves that its sender has the private key. The name in it is what
 * the sender would like; the issuer decides by other evidence. */

enum { CSR_MAX = 16 << 10 };

static bool csr_build(X509_REQ *req, EVP_PKEY *key, slice name)
{
    STACK_OF(X509_EXTENSION) *exts = NULL;
    GENERAL_NAMES *names = NULL;
    bool ok = false;

    names = slice_empty(name) ? NULL : san_new();
    if (!slice_empty(name) && (!names || !san_add(names, GEN_URI, name) ||
                               !X509V3_add1_i2d(&exts, NID_subject_alt_name,
                                                names, 0, X509V3_ADD_DEFAULT)))
        goto out;
    ok = X509_REQ_set_version(req, X509_REQ_VERSION_1) &&
         X509_REQ_set_pubkey(req, key) &&
         (!exts || X509_REQ_add_extensions(req, exts)) &&
         X509_REQ_sign(req, key, EVP_sha256()) > 0;
out:
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    GENERAL_NAMES_free(names);
    return ok;
}

enum status csr_new(slice key_pem, slice name, char **csr_pem, struct error *e)
{
    EVP_PKEY *key = NULL;
    X509_REQ *req = NULL;
    BIO *out = NULL;
    enum status rc;

    *csr_pem = NULL;
    if (!slice_empty(name) && !verify_spiffe_name(name))
        return error_set(e, ERR_INVALID, "request: \"%.*s\" is not a name",
                         FMT(name));
    rc = pem_key(key_pem, &key, e);
    if (rc)
        return rc;
    req = X509_REQ_new();
    out = BIO_new(BIO_s_mem());
    if (!req || !out || !csr_build(req, key, name) ||
        !PEM_write_bio_X509_REQ(out, req)) {
        rc = pem_error(e, ERR_RESOURCES, "request");
        goto out;
    }
    *csr_pem = pem_take(out);
out:
    BIO_free(out);
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    return rc;
}

/* The public key in the one form that we sign. */
static enum status check_key(X509_REQ *req, char **der, size_t *len,
                             struct error *e)
{
    EVP_PKEY *key = X509_REQ_get0_pubkey(req);
    unsigned char *bytes = NULL;
    enum status rc = OK;
    int n = key ? i2d_PUBKEY(key, &bytes) : -1;
    slice form = slice_of(bytes, n > 0 ? (size_t)n : 0);

    if (!spki_is_p256(form)) {
        rc =
            error_set(e, ERR_INVALID,
                      "request: the key is not a P-256 key on its named curve");
        goto out;
    }
    if (X509_REQ_verify(req, key) != 1) {
        rc = error_set(e, ERR_INVALID, "request: the signature is wrong");
        goto out;
    }
    *der = mem_str(form);
    *len = form.len;
out:
    OPENSSL_free(bytes);
    ERR_clear_error();
    return rc;
}

static enum status check_name(X509_REQ *req, char **name, struct error *e)
{
    STACK_OF(X509_EXTENSION) *exts = X509_REQ_get_extensions(req);
    GENERAL_NAMES *names = NULL;
    enum status rc = OK;
    slice uri = SLICE_NONE;
    int critical = -1; /* -1: there is none; -2: several */

    names = X509V3_get_d2i(exts, NID_subject_alt_name, &critical, NULL);
    if (!names && critical != -1) {
        rc = error_set(e, ERR_INVALID,
                       "request: its names cannot be read or come twice");
        goto out;
    }
    switch (san_uri(names, &uri)) {
    case 0:
        break;
    case 1:
        if (verify_spiffe_name(uri))
            break;
        rc = error_set(e, ERR_INVALID,
                       "request: the name in it is not a SPIFFE name");
        goto out;
    default:
        rc = error_set(e, ERR_INVALID, "request: it asks for several names");
        goto out;
    }
    *name = mem_str(uri);
out:
    GENERAL_NAMES_free(names);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    ERR_clear_error();
    return rc;
}

enum status csr_check(slice csr_pem, char **public_der, size_t *len,
                      char **name, struct error *e)
{
    X509_REQ *req = NULL;
    enum status rc;
    BIO *in;

    *public_der = *name = NULL;
    *len = 0;
    in = pem_reader(csr_pem, CSR_MAX);
    if (!in)
        return error_set(e, ERR_INVALID,
                         "request: empty, or longer than %d bytes", CSR_MAX);
    req = PEM_read_bio_X509_REQ(in, NULL, pem_no_passphrase, NULL);
    if (!req) {
        rc = pem_error(e, ERR_INVALID, "request");
        goto out;
    }
    rc = check_name(req, name, e);
    if (rc)
        goto out;
    rc = check_key(req, public_der, len, e);
    if (rc) {
        mem_free(*name);
        *name = NULL;
    }
out:
    X509_REQ_free(req);
    BIO_free(in);
    return rc;
}
