/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tls/cert.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include "lib/base/mem.h"
#include "lib/tls/pem.h"

/* Keys, and what can be read from a certificate without trusting it. Requests
 * are in csr.c, signing in ca.c. */

static const char hex[] = "0123456789abcdef";

enum status key_new(char **pem, struct error *e)
{
    enum status rc = OK;
    EVP_PKEY *key = NULL;
    BIO *out = NULL;

    *pem = NULL;
    key = EVP_EC_gen("P-256");
    out = BIO_new(BIO_s_secmem());
    if (!key || !out ||
        !PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL)) {
        rc = pem_error(e, ERR_RESOURCES, "new private key");
        goto out;
    }
    *pem = pem_take(out);
out:
    BIO_free(out); /* wipes */
    EVP_PKEY_free(key);
    return rc;
}

enum status key_public_der(slice key_pem, char **der, size_t *len,
                           struct error *e)
{
    EVP_PKEY *key = NULL;
    unsigned char *bytes = NULL;
    enum status rc;
    int n;

    *der = NULL;
    *len = 0;
    rc = pem_key(key_pem, &key, e);
    if (rc)
        return rc;
    n = i2d_PUBKEY(key, &bytes);
    if (n <= 0) {
        rc = pem_error(e, ERR_INVALID, "public key");
        goto out;
    }
    *der = mem_str(slice_of(bytes, (size_t)n));
    *len = (size_t)n;
out:
    OPENSSL_free(bytes);
    EVP_PKEY_free(key);
    return rc;
}

enum status cert_dates(slice pem, int64_t *not_before, int64_t *not_after,
                       struct error *e)
{
    X509 *cert;
    enum status rc = pem_cert(pem, &cert, e);

    if (rc)
        return rc;
    if (!pem_date(X509_get0_notBefore(cert), not_before) ||
        !pem_date(X509_get0_notAfter(cert), not_after))
        rc = pem_error(e, ERR_INVALID, "dates of the certificate");
    X509_free(cert);
    return rc;
}

static void to_hex(const unsigned char *bytes, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = hex[bytes[i] >> 4];
        out[2 * i + 1] = hex[bytes[i] & 15];
    }
    out[2 * n] = 0;
}

void sha256_hex(slice bytes, char out[65])
{
    unsigned char md[SHA256_DIGEST_LENGTH];
    const unsigned char *done;

    done = SHA256((const unsigned char *)(bytes.ptr ? bytes.ptr : ""),
                  bytes.len, md);
    assert(done);
    (void)done;
    to_hex(md, sizeof md, out);
}

enum status random_hex(char *out, size_t n)
{
    unsigned char chunk[64];
    size_t done = 0;

    while (done < n) {
        size_t now = n - done < sizeof chunk ? n - done : sizeof chunk;
        if (RAND_bytes(chunk, (int)now) != 1) {
            ERR_clear_error();
            return ERR_RESOURCES;
        }
        to_hex(chunk, now, out + 2 * done);
        done += now;
    }
    out[2 * n] = 0;
    mem_wipe(chunk, sizeof chunk);
    return OK;
}

bool bytes_equal_secret(slice a, slice b)
{
    return a.len == b.len &&
           (a.len == 0 || !CRYPTO_memcmp(a.ptr, b.ptr, a.len));
}
