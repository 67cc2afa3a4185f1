/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tls/tls_internal.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/tls/cert.h"
#include "lib/tls/pem.h"
#include "lib/tls/verify.h"

/* Who we are: key, chain and roots in force. Refuses at once what peers would
 * refuse later: a name that is none, a key of another certificate. */

enum {
    CHAIN_COUNT = 5,
    ROOTS_COUNT = 64,
    NAME_LIMIT = 4 << 10,
};

enum status tls_roots_new(X509_STORE **out, slice pem, struct error *e)
{
    STACK_OF(X509) *certs = NULL;
    X509_STORE *store = NULL;
    enum status rc;

    *out = NULL;
    rc = pem_certs(pem, PEM_ROOTS_MAX, ROOTS_COUNT, &certs, e);
    if (rc)
        return error_prefix(e, rc, "roots");
    store = X509_STORE_new();
    if (!store) {
        rc = pem_error(e, ERR_RESOURCES, "roots");
        goto out;
    }
    for (int i = 0; i < sk_X509_num(certs); i++) {
        X509 *root = sk_X509_value(certs, i);
        if (X509_check_ca(root) != 1) {
            rc = error_set(e, ERR_INVALID,
                           "roots: certificate %d is not an authority", i + 1);
            goto out;
        }
        if (!X509_STORE_add_cert(store, root)) {
            rc = pem_error(e, ERR_RESOURCES, "roots");
            goto out;
        }
    }
    *out = store;
    store = NULL; /* moved */
out:
    X509_STORE_free(store);
    sk_X509_pop_free(certs, X509_free);
    return rc;
}

static void identity_free(struct tls_identity *id)
{
    X509_free(id->leaf);
    sk_X509_pop_free(id->chain, X509_free);
    EVP_PKEY_free(id->key); /* wipes */
    X509_STORE_free(id->roots);
    arena_reset(&id->arena);
    mem_free(id);
}

static enum status load_chain(struct tls_identity *id, slice pem,
                              struct error *e)
{
    enum status rc = pem_certs(pem, PEM_CHAIN_MAX, CHAIN_COUNT, &id->chain, e);

    if (rc)
        return error_prefix(e, rc, "chain");
    id->leaf = sk_X509_shift(id->chain);
    if (!pem_date(X509_get0_notBefore(id->leaf), &id->not_before) ||
        !pem_date(X509_get0_notAfter(id->leaf), &id->not_after))
        return pem_error(e, ERR_INVALID, "dates of the certificate");
    return OK;
}

/* It must do as a client and as a server: every proxy is both. */
static enum status load_name(struct tls_identity *id, struct error *e)
{
    const char *reason = NULL;
    slice ignored;

    if (verify_leaf(id->leaf, true, &id->arena, &id->name, &reason) ||
        verify_leaf(id->leaf, false, &id->arena, &ignored, &reason))
        return error_set(e, ERR_INVALID, "own certificate: %s", reason);
    return OK;
}

static void hash_identity(struct tls_identity *id, slice roots_pem)
{
    struct text t;
    char roots[65];

    sha256_hex(roots_pem, roots);
    text_init(&t, NAME_LIMIT);
    text_add(&t, id->name);
    text_add_char(&t, '\n');
    text_add(&t, slice_str(roots));
    sha256_hex(text_slice(&t), id->hash);
    text_fini(&t);
}

static struct tls_identity *identity_alloc(void)
{
    struct tls_identity *id = MEM_NEW(struct tls_identity);

    shared_init(&id->refs);
    arena_init(&id->arena, 2 * NAME_LIMIT);
    return id;
}

static enum status load_pair(struct tls_identity *id, slice chain_pem,
                             slice key_pem, struct error *e)
{
    enum status rc = load_chain(id, chain_pem, e);

    if (!rc)
        rc = pem_key(key_pem, &id->key, e);
    if (!rc && X509_check_private_key(id->leaf, id->key) != 1)
        rc = pem_error(e, ERR_INVALID, "certificate and key do not match");
    return rc;
}

enum status tls_identity_new_plain(struct tls_identity **out, slice chain_pem,
                                   slice key_pem, struct error *e)
{
    struct tls_identity *id = identity_alloc();
    enum status rc = load_pair(id, chain_pem, key_pem, e);

    *out = NULL;
    if (!rc) {
        id->roots = X509_STORE_new(); /* none */
        hash_identity(id, chain_pem);
        rc = id->roots ? OK : pem_error(e, ERR_RESOURCES, "roots");
    }
    if (rc)
        identity_free(id);
    else
        *out = id;
    ERR_clear_error();
    return rc;
}

enum status tls_identity_new(struct tls_identity **out, slice chain_pem,
                             slice key_pem, slice roots_pem, struct error *e)
{
    struct tls_identity *id = identity_alloc();
    enum status rc;

    *out = NULL;
    rc = load_pair(id, chain_pem, key_pem, e);
    if (rc)
        goto out;
    rc = load_name(id, e);
    if (rc)
        goto out;
    rc = tls_roots_new(&id->roots, roots_pem, e);
    if (rc)
        goto out;
    hash_identity(id, roots_pem);
    *out = id;
    id = NULL; /* moved */
out:
    if (id)
        identity_free(id);
    ERR_clear_error();
    return rc;
}

struct tls_identity *tls_identity_ref(struct tls_identity *id)
{
    shared_ref(&id->refs);
    return id;
}

void tls_identity_unref(struct tls_identity *id)
{
    if (id && shared_unref(&id->refs))
        identity_free(id);
}

slice tls_identity_name(const struct tls_identity *id)
{
    return id->name;
}

int64_t tls_identity_not_before(const struct tls_identity *id)
{
    return id->not_before;
}

int64_t tls_identity_not_after(const struct tls_identity *id)
{
    return id->not_after;
}
