/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tls/tls_settings.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>

#include "lib/base/mem.h"
#include "lib/tls/pem.h"
#include "lib/tls/tls_internal.h"
#include "lib/tls/verify.h"

/* An SSL_CTX is made in four steps: what we speak, who we are, whom we believe,
 * what is remembered. The rules that our callbacks need hang from the SSL_CTX,
 * because a connection keeps that alive, and not the tls_settings. */

enum {
    CERT_LIST_MAX = 64 << 10, /* bytes of a peer's chain */
    CHAIN_DEPTH = 4,
    SECURITY_LEVEL = 2, /* 112 bits: no SHA-1, no RSA under 2,048 bits */
    SERVER_SESSIONS = 1024,
    SESSION_CONTEXT_LEN = 32, /* SSL_MAX_SID_CTX_LENGTH */
};

static const char suites[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                             "TLS_CHACHA20_POLY1305_SHA256";
/* Post-quantum where OpenSSL has it (3.5). */
static const char groups_new[] = "X25519MLKEM768:X25519:P-256";
static const char groups_old[] = "X25519:P-256";

struct tls_settings {
    struct shared refs;
    SSL_CTX *ctx;
    struct tls_identity *id; /* shares, may be NULL */
};

static void *lib_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return mem_lib_malloc(size);
}

static void *lib_realloc(void *ptr, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return mem_lib_realloc(ptr, size);
}

static void lib_free(void *ptr, const char *file, int line)
{
    (void)file;
    (void)line;
    mem_lib_free(ptr);
}

void tls_library_init(void)
{
    /* Refused once OpenSSL has allocated: a second call changes nothing. */
    (void)CRYPTO_set_mem_functions(lib_malloc, lib_realloc, lib_free);
    /* No openssl.cnf: versions and suites are decided in this file alone. */
    (void)OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    ERR_clear_error();
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int rules_index = -1; /* OpenSSL's name for our pointer in an SSL_CTX */

static void rules_free(struct tls_rules *rules)
{
    tls_sessions_free(rules->sessions);
    tls_identity_unref(rules->id);
    mem_free(rules);
}

static void on_ctx_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index,
                        long argl, void *argp)
{
    (void)parent;
    (void)ad;
    (void)index;
    (void)argl;
    (void)argp;
    if (ptr)
        rules_free(ptr);
}

static void make_index(void)
{
    rules_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_ctx_free);
}

bool tls_rules_attach(SSL_CTX *ctx, struct tls_rules *rules)
{
    (void)pthread_once(&once, make_index);
    if (rules_index >= 0 && SSL_CTX_set_ex_data(ctx, rules_index, rules))
        return true;
    rules_free(rules);
    return false;
}

struct tls_rules *tls_rules_of_ctx(const SSL_CTX *ctx)
{
    (void)pthread_once(&once, make_index);
    return rules_index < 0 ? NULL : SSL_CTX_get_ex_data(ctx, rules_index);
}

struct tls_rules *tls_rules_of(const SSL *ssl)
{
    return tls_rules_of_ctx(SSL_get_SSL_CTX(ssl));
}

static void no_alpn(SSL *ssl)
{
    struct tls_verify *v = tls_verify_of(ssl);

    if (v && !v->reason)
        v->reason = "no common ALPN";
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *len,
                   const unsigned char *in, unsigned in_len, void *arg)
{
    const struct tls_rules *rules = arg;
    unsigned char *chosen = NULL;

    if (SSL_select_next_proto(&chosen, len, rules->alpn,
                              (unsigned)rules->alpn_len, in,
                              in_len) == OPENSSL_NPN_NEGOTIATED) {
        *out = chosen;
        return SSL_TLSEXT_ERR_OK;
    }
    no_alpn(ssl);
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* OpenSSL asks on_alpn only about clients that offer something. A client from
 * before TLS 1.3 passes here, to fail by its version. */
static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
    const unsigned char *ext;
    size_t len;

    (void)arg;
    if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_versions, &ext,
                                   &len) ||
        SSL_client_hello_get0_ext(
            ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &ext,
            &len))
        return SSL_CLIENT_HELLO_SUCCESS;
    no_alpn(ssl);
    *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
    return SSL_CLIENT_HELLO_ERROR;
}

static enum status add_alpn(struct tls_rules *rules,
                            const struct tls_options *opt, struct error *e)
{
    for (int i = 0; i < TLS_ALPN_COUNT && opt->alpn[i]; i++) {
        slice name = slice_str(opt->alpn[i]);
        if (name.len == 0 || name.len > TLS_ALPN_NAME_MAX)
            return error_set(e, ERR_INVALID, "ALPN name %d: wrong length", i);
        rules->alpn[rules->alpn_len++] = (unsigned char)name.len;
        memcpy(rules->alpn + rules->alpn_len, name.ptr, name.len);
        rules->alpn_len += name.len;
    }
    rules->alpn_optional = opt->alpn_optional;
    return OK;
}

static bool set_alpn(SSL_CTX *ctx, struct tls_rules *rules, enum tls_role role)
{
    if (rules->alpn_len == 0)
        return true;
    if (role == TLS_CLIENT) /* 0 is success here */
        return SSL_CTX_set_alpn_protos(ctx, rules->alpn,
                                       (unsigned)rules->alpn_len) == 0;
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, rules);
    if (!rules->alpn_optional)
        SSL_CTX_set_client_hello_cb(ctx, on_client_hello, rules);
    return true;
}

/* What we speak. */
static bool set_protocol(SSL_CTX *ctx)
{
    uint64_t options = SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                       SSL_OP_NO_COMPRESSION;

#ifdef SSL_OP_NO_RX_CERTIFICATE_COMPRESSION
    options |= SSL_OP_NO_RX_CERTIFICATE_COMPRESSION |
               SSL_OP_NO_TX_CERTIFICATE_COMPRESSION;
#endif
    SSL_CTX_set_options(ctx, options);
    SSL_CTX_set_mode(
        ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
    SSL_CTX_set_max_cert_list(ctx, CERT_LIST_MAX);
    if (!SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
        !SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) ||
        !SSL_CTX_set_ciphersuites(ctx, suites) ||
        !SSL_CTX_set_max_early_data(ctx, 0) ||
        !SSL_CTX_set_recv_max_early_data(ctx, 0))
        return false;
    if (SSL_CTX_set1_groups_list(ctx, groups_new))
        return true;
    ERR_clear_error();
    return SSL_CTX_set1_groups_list(ctx, groups_old);
}

/* The opposite: what OpenSSL has, from TLS 1.2 on, and nobody is verified. */
static bool set_any_peer(SSL_CTX *ctx)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS |
                              SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_max_cert_list(ctx, CERT_LIST_MAX);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
}

/* Who we are. */
static bool set_identity(SSL_CTX *ctx, struct tls_identity *id)
{
    return !id ||
           SSL_CTX_use_cert_and_key(ctx, id->leaf, id->key, id->chain, 1) == 1;
}

/* Whom we believe. Purposes and depth here, the leaf in tls_verify.c. */
static bool set_trust(SSL_CTX *ctx, X509_STORE *roots,
                      const struct tls_options *opt)
{
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
    int mode = SSL_VERIFY_PEER;
    int purpose = X509_PURPOSE_SSL_SERVER;

    if (opt->role == TLS_SERVER) {
        purpose = X509_PURPOSE_SSL_CLIENT;
        if (!opt->ask_peer && !opt->require_peer)
            mode = SSL_VERIFY_NONE;
        if (opt->require_peer)
            mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    SSL_CTX_set_verify(ctx, mode, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, tls_verify_chain, NULL);
    if (!X509_STORE_up_ref(roots))
        return false;
    SSL_CTX_set_cert_store(ctx, roots); /* takes */
    X509_VERIFY_PARAM_set_depth(param, CHAIN_DEPTH);
    X509_VERIFY_PARAM_set_auth_level(param, SECURITY_LEVEL);
    return X509_VERIFY_PARAM_set_purpose(param, purpose) &&
           X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
}

/* What is remembered. Without tickets, a TLS 1.3 server still sends one
 * message with the number of a session that it keeps itself. */
static bool set_sessions(SSL_CTX *ctx, struct tls_rules *rules,
                         const struct tls_options *opt)
{
    if (!opt->resume) {
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        return SSL_CTX_set_num_tickets(ctx, 0);
    }
    SSL_CTX_sess_set_new_cb(ctx, tls_sessions_on_new);
    if (opt->role == TLS_CLIENT) {
        rules->sessions = tls_sessions_new();
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT |
                                                SSL_SESS_CACHE_NO_INTERNAL);
        return true;
    }
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
    SSL_CTX_sess_set_cache_size(ctx, SERVER_SESSIONS);
    return SSL_CTX_set_num_tickets(ctx, 1) &&
           SSL_CTX_set_session_id_context(
               ctx, (const unsigned char *)rules->id->hash,
               SESSION_CONTEXT_LEN);
}

static enum status make_ctx(struct tls_settings *t,
                            const struct tls_options *opt, X509_STORE *roots,
                            struct error *e)
{
    struct tls_rules *rules;
    enum status rc;

    t->ctx = SSL_CTX_new(opt->role == TLS_SERVER ? TLS_server_method()
                                                 : TLS_client_method());
    if (!t->ctx)
        return pem_error(e, ERR_RESOURCES, "TLS settings");
    rules = MEM_NEW(struct tls_rules);
    if (t->id) {
        rules->id = tls_identity_ref(t->id);
        rules->domain = verify_trust_domain(t->id->name);
    }
    if (!tls_rules_attach(t->ctx, rules))
        return pem_error(e, ERR_RESOURCES, "TLS settings");
    rules->any_peer = opt->any_peer;
    rc = add_alpn(rules, opt, e);
    if (rc)
        return rc;
    if (opt->any_peer)
        return set_any_peer(t->ctx) && set_alpn(t->ctx, rules, opt->role)
                   ? OK
                   : pem_error(e, ERR_INVALID, "TLS settings");
    if (!set_protocol(t->ctx) || !set_identity(t->ctx, t->id) ||
        !set_trust(t->ctx, roots, opt) || !set_alpn(t->ctx, rules, opt->role) ||
        !set_sessions(t->ctx, rules, opt))
        return pem_error(e, ERR_INVALID, "TLS settings");
    return OK;
}

enum status tls_settings_new(struct tls_settings **out,
                             const struct tls_options *opt,
                             struct tls_identity *id, slice roots_pem,
                             struct error *e)
{
    struct tls_settings *t = NULL;
    X509_STORE *roots = NULL;
    enum status rc;

    *out = NULL;
    if (!id && opt->role == TLS_SERVER)
        return error_set(e, ERR_INVALID, "a TLS server needs an identity");
    if (id && opt->any_peer)
        return error_set(e, ERR_INVALID, "any_peer: without identity only");
    if (!id && !opt->any_peer) {
        rc = tls_roots_new(&roots, roots_pem, e);
        if (rc)
            return rc;
    }
    t = MEM_NEW(struct tls_settings);
    shared_init(&t->refs);
    t->id = id ? tls_identity_ref(id) : NULL;
    rc = make_ctx(t, opt, id ? id->roots : roots, e);
    if (rc)
        tls_settings_unref(t);
    else
        *out = t;
    X509_STORE_free(roots);
    return rc;
}

struct tls_settings *tls_settings_ref(struct tls_settings *t)
{
    shared_ref(&t->refs);
    return t;
}

void tls_settings_unref(struct tls_settings *t)
{
    if (!t || !shared_unref(&t->refs))
        return;
    SSL_CTX_free(t->ctx);
    tls_identity_unref(t->id);
    mem_free(t);
}

struct tls_identity *tls_settings_identity(const struct tls_settings *t)
{
    return t->id;
}

struct ssl_ctx_st *tls_settings_ctx(const struct tls_settings *t)
{
    return t->ctx;
}
