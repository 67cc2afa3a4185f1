/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tls/pem.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <time.h>

#include "lib/base/mem.h"

int pem_no_passphrase(char *buf, int size, int rw, void *arg)
{
    (void)buf;
    (void)size;
    (void)rw;
    (void)arg;
    return -1;
}

BIO *pem_reader(slice pem, size_t limit)
{
    if (slice_empty(pem) || pem.len > limit || pem.len > INT_MAX)
        return NULL;
    return BIO_new_mem_buf(pem.ptr, (int)pem.len);
}

char *pem_take(BIO *out)
{
    char *data = NULL;
    long len = BIO_get_mem_data(out, &data);

    return mem_str(slice_of(data, len > 0 ? (size_t)len : 0));
}

enum status pem_error(struct error *e, enum status rc, const char *what)
{
    const char *why = ERR_reason_error_string(ERR_peek_last_error());

    (void)error_set(e, rc, "%s: %s", what, why ? why : "not acceptable");
    ERR_clear_error();
    return rc;
}

enum status pem_key(slice pem, EVP_PKEY **key, struct error *e)
{
    BIO *in = pem_reader(pem, PEM_KEY_MAX);

    *key = NULL;
    if (!in)
        return error_set(e, ERR_INVALID, "private key: empty or too long");
    *key = PEM_read_bio_PrivateKey(in, NULL, pem_no_passphrase, NULL);
    BIO_free(in);
    if (!*key)
        return pem_error(e, ERR_INVALID, "private key");
    return OK;
}

enum status pem_cert(slice pem, X509 **cert, struct error *e)
{
    BIO *in = pem_reader(pem, PEM_ROOTS_MAX);

    *cert = NULL;
    if (!in)
        return error_set(e, ERR_INVALID, "certificate: empty or too long");
    *cert = PEM_read_bio_X509(in, NULL, pem_no_passphrase, NULL);
    BIO_free(in);
    if (!*cert)
        return pem_error(e, ERR_INVALID, "certificate");
    return OK;
}

/* Reads until the PEM ends; anything else that stops it is an error. */
static enum status read_all(BIO *in, int max, STACK_OF(X509) * certs,
                            struct error *e)
{
    X509 *cert;

    while ((cert = PEM_read_bio_X509(in, NULL, pem_no_passphrase, NULL))) {
        if (sk_X509_num(certs) == max) {
            X509_free(cert);
            return error_set(e, ERR_TOO_BIG, "more than %d certificates", max);
        }
        if (sk_X509_push(certs, cert) <= 0) {
            X509_free(cert);
            return error_set(e, ERR_RESOURCES, "certificates: out of memory");
        }
    }
    if (sk_X509_num(certs) == 0 ||
        ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return pem_error(e, ERR_INVALID, "certificates");
    ERR_clear_error();
    return OK;
}

enum status pem_certs(slice pem, size_t limit, int max, STACK_OF(X509) * *certs,
                      struct error *e)
{
    BIO *in = pem_reader(pem, limit);
    enum status rc;

    *certs = NULL;
    if (!in)
        return error_set(e, ERR_INVALID, "certificates: empty or too long");
    *certs = sk_X509_new_null();
    if (!*certs) {
        rc = error_set(e, ERR_RESOURCES, "certificates: out of memory");
        goto out;
    }
    rc = read_all(in, max, *certs, e);
    if (rc) {
        sk_X509_pop_free(*certs, X509_free);
        *certs = NULL;
    }
out:
    BIO_free(in);
    return rc;
}

bool pem_date(const ASN1_TIME *t, int64_t *seconds)
{
    struct tm tm;

    if (!t || !ASN1_TIME_to_tm(t, &tm))
        return false;
    *seconds = timegm(&tm);
    return true;
}
