/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of lib/tls share: verification of one connection's peer, the
 * rules that belong to an SSL_CTX, sessions kept by clients, reasons. */
#ifndef TULLE_TLS_INTERNAL_H
#define TULLE_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "lib/base/arena.h"
#include "lib/base/shared.h"
#include "lib/base/slice.h"
#include "lib/tls/tls_settings.h"

/* Who may be at the other end of one connection, and who is. */
struct tls_verify {
    slice expect;     /* borrowed; the only name accepted. Empty: any name of
                       * our own trust domain */
    bool server_side; /* we are the server */

    struct arena arena;    /* holds what follows */
    slice name, extension; /* see struct tls_peer */
    int64_t not_before, not_after;
    const char *reason; /* constant phrase, NULL while nothing went wrong */
};

/* Before the handshake. `v` (expect and server_side set, the rest is set here)
 * and what `expect` borrows outlive `ssl`, or are detached by a NULL: sessions
 * for resumption arrive at any time, and go under the name expected. An `ssl`
 * that verifies without an attached tls_verify refuses every peer. */
void tls_verify_attach(SSL *ssl, struct tls_verify *v);
/* After the handshake, also of a resumed session: checks the peer certificate,
 * the name and the date (again), and that ALPN agreed when it must; fills name,
 * extension, the dates. ERR_TLS with the reason in `v`: no byte of this
 * connection may be used; the session is dropped. */
CHECKED enum status tls_verify_finish(SSL *ssl, struct tls_verify *v);
/* Frees the arena: name and extension are gone. */
void tls_verify_fini(struct tls_verify *v);
/* Why the handshake failed: what verification said, or what is first in this
 * thread's OpenSSL error queue. Never NULL. */
const char *tls_verify_reason(SSL *ssl);
/* The callback for SSL_CTX_set_cert_verify_callback(). */
int tls_verify_chain(X509_STORE_CTX *store, void *arg);
struct tls_verify *tls_verify_of(const SSL *ssl);

/* A constant phrase for an entry of OpenSSL's error queue, or 0. */
const char *tls_reason_text(unsigned long err);
/* ... for an X509_V_ERR_* */
const char *tls_reason_verify(int code);

/* Sessions that a client may resume: at most two a name, 256 names, oldest out.
 * Locked: settings are shared by workers. */
struct tls_sessions;
struct tls_sessions *tls_sessions_new(void);
void tls_sessions_free(struct tls_sessions *s);
/* Takes the session. */
void tls_sessions_put(struct tls_sessions *s, slice key, SSL_SESSION *session);
/* Gives the youngest session of that name that has not timed out, once; NULL
 * without one. The caller SSL_SESSION_frees it. */
SSL_SESSION *tls_sessions_take(struct tls_settings *t, slice key);
/* For new sessions of either side: SSL_CTX_sess_set_new_cb(). */
int tls_sessions_on_new(SSL *ssl, SSL_SESSION *session);

enum { TLS_ALPN_NAME_MAX = 32, TLS_ALPN_COUNT = 4 };

/* Lives and dies with its SSL_CTX, which connections may hold longer than the
 * tls_settings. Immutable but for the sessions. */
struct tls_rules {
    unsigned char alpn[TLS_ALPN_COUNT * (1 + TLS_ALPN_NAME_MAX)];
    size_t alpn_len; /* in the wire's form: length, name, ... */
    bool alpn_optional;
    bool any_peer; /* nobody is verified */
    slice domain;  /* of our own name; borrows from `id`; empty without */
    struct tls_identity *id;       /* shares; NULL: no certificate */
    struct tls_sessions *sessions; /* of a client that resumes, or NULL */
};
/* Takes the rules; false when OpenSSL fails (the rules are freed). */
bool tls_rules_attach(SSL_CTX *ctx, struct tls_rules *rules);
struct tls_rules *tls_rules_of(const SSL *ssl);
struct tls_rules *tls_rules_of_ctx(const SSL_CTX *ctx);

struct tls_identity {
    struct shared refs;
    X509 *leaf;
    STACK_OF(X509) * chain; /* what is sent after the leaf, may be empty */
    EVP_PKEY *key;
    X509_STORE *roots;
    struct arena arena; /* holds the name */
    slice name;
    int64_t not_before, not_after;
    char hash[65]; /* of name and roots: sessions of others do not fit */
};
/* Roots as a store, 1 to 64. Gives a reference. */
CHECKED enum status tls_roots_new(X509_STORE **out, slice pem, struct error *e);

/* Pieces of verify.c that issuing needs. */
bool tls_trust_domain_valid(slice domain);
bool tls_pod_valid(slice pod);

#endif
