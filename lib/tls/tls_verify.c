/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tls/tls_internal.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>

#include "lib/base/clock.h"
#include "lib/tls/pem.h"
#include "lib/tls/verify.h"

/* The peer of one connection. A full handshake calls tls_verify_chain(): OpenSSL
 * builds the chain to our roots, then the leaf is judged, so that a wrong peer
 * gets an alert. A resumed one calls nothing, so tls_verify_finish() judges the
 * certificate kept in the session by what this connection expects, now. */

enum { ARENA_LIMIT = 8 << 10 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int verify_index = -1; /* OpenSSL's name for our pointer in an SSL */

static void make_index(void)
{
    verify_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

struct tls_verify *tls_verify_of(const SSL *ssl)
{
    (void)pthread_once(&once, make_index);
    return verify_index < 0 ? NULL : SSL_get_ex_data(ssl, verify_index);
}

void tls_verify_attach(SSL *ssl, struct tls_verify *v)
{
    (void)pthread_once(&once, make_index);
    if (v) {
        arena_init(&v->arena, ARENA_LIMIT);
        v->name = v->extension = SLICE_NONE;
        v->not_before = v->not_after = 0;
        v->reason = NULL;
    }
    /* On failure nothing is attached, and every peer is refused. */
    if (verify_index < 0 || !SSL_set_ex_data(ssl, verify_index, v))
        ERR_clear_error();
}

void tls_verify_fini(struct tls_verify *v)
{
    arena_reset(&v->arena);
    v->name = v->extension = SLICE_NONE;
}

static enum status refuse(struct tls_verify *v, const char *reason)
{
    v->reason = reason;
    tls_verify_fini(v);
    v->not_before = v->not_after = 0;
    return ERR_TLS;
}

/* Is this leaf, whose chain is good, the peer that we want? */
static enum status judge(X509 *leaf, const struct tls_rules *rules,
                         struct tls_verify *v)
{
    const char *reason = NULL;

    arena_reset(&v->arena);
    if (verify_leaf(leaf, !v->server_side, &v->arena, &v->name, &reason))
        return refuse(v, reason);
    if (!slice_empty(v->expect) && !slice_eq(v->expect, v->name))
        return refuse(v, "wrong identity");
    if (slice_empty(v->expect) && !slice_empty(rules->domain) &&
        !slice_eq(rules->domain, verify_trust_domain(v->name)))
        return refuse(v, "wrong trust domain");
    if (verify_pod_extension(leaf, &v->arena, &v->extension))
        return refuse(v, "pod extension is not valid");
    if (!pem_date(X509_get0_notBefore(leaf), &v->not_before) ||
        !pem_date(X509_get0_notAfter(leaf), &v->not_after))
        return refuse(v, "bad certificate");
    return OK;
}

/* OpenSSL finds no issuer for a leaf with an extension twice: say what is. */
static const char *chain_reason(X509_STORE_CTX *store)
{
    X509 *leaf = X509_STORE_CTX_get0_cert(store);

    if (leaf && (X509_get_extension_flags(leaf) & EXFLAG_INVALID))
        return "bad certificate";
    return tls_reason_verify(X509_STORE_CTX_get_error(store));
}

int tls_verify_chain(X509_STORE_CTX *store, void *arg)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store,
                                          SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_verify *v = ssl ? tls_verify_of(ssl) : NULL;
    const struct tls_rules *rules = ssl ? tls_rules_of(ssl) : NULL;

    (void)arg;
    if (!v || !rules) { /* nobody says whom to expect */
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }
    if (X509_verify_cert(store) != 1) {
        (void)refuse(v, chain_reason(store));
        return 0;
    }
    if (judge(X509_STORE_CTX_get0_cert(store), rules, v)) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }
    return 1;
}

static enum status check_alpn(const SSL *ssl, const struct tls_rules *rules,
                              struct tls_verify *v)
{
    const unsigned char *alpn = NULL;
    unsigned len = 0;

    if (rules->alpn_len == 0 || rules->alpn_optional)
        return OK;
    SSL_get0_alpn_selected(ssl, &alpn, &len);
    return len > 0 ? OK : refuse(v, "no common ALPN");
}

static enum status check_peer(SSL *ssl, const struct tls_rules *rules,
                              struct tls_verify *v)
{
    X509 *leaf = SSL_get0_peer_certificate(ssl);
    bool needed = !v->server_side || !slice_empty(v->expect) ||
                  (SSL_get_verify_mode(ssl) & SSL_VERIFY_FAIL_IF_NO_PEER_CERT);

    if (!leaf)
        return needed ? refuse(v, "no certificate") : OK;
    if (SSL_get_verify_result(ssl) != X509_V_OK)
        return refuse(v, "certificate refused");
    if (judge(leaf, rules, v))
        return ERR_TLS;
    if (v->not_after <= clock_real_ns() / NSEC_PER_SEC)
        return refuse(v, "certificate expired");
    return OK;
}

enum status tls_verify_finish(SSL *ssl, struct tls_verify *v)
{
    const struct tls_rules *rules = tls_rules_of(ssl);
    enum status rc;

    if (!rules)
        return refuse(v, "no rules");
    rc = check_alpn(ssl, rules, v);
    if (!rc && !rules->any_peer)
        rc = check_peer(ssl, rules, v);
    if (rc)
        (void)SSL_CTX_remove_session(SSL_get_SSL_CTX(ssl),
                                     SSL_get_session(ssl));
    return rc;
}

const char *tls_verify_reason(SSL *ssl)
{
    const struct tls_verify *v = tls_verify_of(ssl);

    return v && v->reason ? v->reason : tls_reason_text(ERR_peek_error());
}
