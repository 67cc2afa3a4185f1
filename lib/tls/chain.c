/* SPDX-License-Identifier: Apache-2.0 */
/* Several certificates together: bundles of roots, and chains that lead to
 * them. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "lib/base/mem.h"
#include "lib/tls/cert.h"
#include "lib/tls/pem.h"
#include "lib/tls/tls_internal.h"

enum { CERTS_MAX = 64 };

static bool holds(const STACK_OF(X509) * certs, const X509 *cert)
{
    for (int i = 0; i < sk_X509_num(certs); i++)
        if (X509_cmp(sk_X509_value(certs, i), cert) == 0)
            return true;
    return false;
}

static enum status add_new(STACK_OF(X509) * all, slice pem, BIO *out,
                           struct error *e)
{
    STACK_OF(X509) *certs = NULL;
    enum status rc = pem_certs(pem, PEM_ROOTS_MAX, CERTS_MAX, &certs, e);

    for (int i = 0; !rc && i < sk_X509_num(certs); i++) {
        X509 *cert = sk_X509_value(certs, i);

        if (holds(all, cert))
            continue;
        if (sk_X509_num(all) == CERTS_MAX)
            rc = error_set(e, ERR_TOO_BIG, "more than %d certificates",
                           CERTS_MAX);
        else if (!X509_up_ref(cert) || sk_X509_push(all, cert) <= 0 ||
                 !PEM_write_bio_X509(out, cert))
            rc = pem_error(e, ERR_RESOURCES, "certificates");
    }
    sk_X509_pop_free(certs, X509_free);
    return rc;
}

enum status certs_merge(const slice *pems, size_t n, char **out,
                        struct error *e)
{
    STACK_OF(X509) *all = sk_X509_new_null();
    BIO *bio = BIO_new(BIO_s_mem());
    enum status rc = OK;

    *out = NULL;
    if (!all || !bio)
        rc = error_set(e, ERR_RESOURCES, "certificates: out of memory");
    for (size_t i = 0; i < n && !rc; i++)
        if (!slice_empty(slice_trim(pems[i])))
            rc = add_new(all, pems[i], bio, e);
    if (!rc)
        *out = pem_take(bio);
    sk_X509_pop_free(all, X509_free);
    BIO_free(bio);
    return rc;
}

enum status roots_check(slice roots_pem, struct error *e)
{
    X509_STORE *store = NULL;
    enum status rc = tls_roots_new(&store, roots_pem, e);

    X509_STORE_free(store);
    ERR_clear_error();
    return rc;
}

static enum status check(STACK_OF(X509) * chain, STACK_OF(X509) * roots,
                         struct error *e)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    enum status rc = OK;

    if (!store || !ctx) {
        rc = error_set(e, ERR_RESOURCES, "chain: out of memory");
        goto out;
    }
    for (int i = 0; i < sk_X509_num(roots); i++)
        if (!X509_STORE_add_cert(store, sk_X509_value(roots, i))) {
            rc = pem_error(e, ERR_INVALID, "roots");
            goto out;
        }
    if (!X509_STORE_CTX_init(ctx, store, sk_X509_value(chain, 0), chain)) {
        rc = pem_error(e, ERR_INVALID, "chain");
        goto out;
    }
    X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_X509_STRICT |
                                      X509_V_FLAG_CHECK_SS_SIGNATURE |
                                      X509_V_FLAG_NO_CHECK_TIME);
    if (X509_verify_cert(ctx) != 1)
        rc = error_set(
            e, ERR_INVALID, "the chain leads to none of the roots: %s",
            X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
out:
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    ERR_clear_error();
    return rc;
}

enum status chain_check(slice chain_pem, slice roots_pem, struct error *e)
{
    STACK_OF(X509) *chain = NULL, *roots = NULL;
    enum status rc = pem_certs(chain_pem, PEM_CHAIN_MAX, CERTS_MAX, &chain, e);

    if (!rc)
        rc = pem_certs(roots_pem, PEM_ROOTS_MAX, CERTS_MAX, &roots, e);
    if (!rc)
        rc = check(chain, roots, e);
    sk_X509_pop_free(chain, X509_free);
    sk_X509_pop_free(roots, X509_free);
    return rc;
}
