/* SPDX-License-Identifier: Apache-2.0 */
/* The only place that knows versions, suites, groups and ALPN names. A
 * tls_settings is immutable and shared: one for each (identity, role), swapped
 * when a certificate is renewed. */
#ifndef TULLE_TLS_SETTINGS_H
#define TULLE_TLS_SETTINGS_H

#include "lib/base/shared.h"
#include "lib/base/slice.h"

/* Between two proxies: HTTP/2 frames, but never an application's. */
#define TLS_ALPN_LINK "tulle/1"
#define TLS_ALPN_H2 "h2"
#define TLS_ALPN_HTTP1 "http/1.1"

struct tls_settings;

/* Private key and certificate chain in force, and the roots peers are checked
 * against. Shared, immutable. The key is in memory only. */
struct tls_identity;

/* `chain_pem`: leaf first. `key_pem` borrowed, wiped by the caller. `roots_pem`:
 * one or more. Checks that key and leaf belong together. Gives a reference. */
CHECKED enum status tls_identity_new(struct tls_identity **out, slice chain_pem,
                                     slice key_pem, slice roots_pem,
                                     struct error *e);
/* For a server that asks nobody for a certificate, whose clients know it by a DNS
 * name: no roots, and no SPIFFE name. */
CHECKED enum status tls_identity_new_plain(struct tls_identity **out,
                                           slice chain_pem, slice key_pem,
                                           struct error *e);
struct tls_identity *tls_identity_ref(struct tls_identity *id);
void tls_identity_unref(struct tls_identity *id);
/* spiffe://... of the leaf; empty of a plain one. Borrows from the identity. */
slice tls_identity_name(const struct tls_identity *id);
/* Seconds since 1970. */
int64_t tls_identity_not_before(const struct tls_identity *id);
int64_t tls_identity_not_after(const struct tls_identity *id);

enum tls_role {
    TLS_CLIENT,
    TLS_SERVER,
};

struct tls_options {
    enum tls_role role;
    /* ALPN: what a client offers / a server takes, best first; a server that
     * finds none in common fails the handshake unless the client sent none and
     * `alpn_optional`. At most 4. */
    const char *alpn[4];
    bool alpn_optional;
    /* Server: ask for a client certificate; with `require_peer` refuse without.
     * (A client always verifies the server.) */
    bool ask_peer, require_peer;
    bool resume; /* stateful session resumption, never tickets */
    /* Client without identity: whoever answers is taken, by TLS 1.2 too, and
     * stays nameless. For a probe, which asks as the kubelet does: whether there
     * is life, not whose. */
    bool any_peer;
};

/* TLS 1.3 only (but for `any_peer`). `id` may be NULL for a client without certificate: then
 * `roots_pem` gives the roots. Shares `id`. Gives a reference. */
CHECKED enum status tls_settings_new(struct tls_settings **out,
                                     const struct tls_options *opt,
                                     struct tls_identity *id, slice roots_pem,
                                     struct error *e);
struct tls_settings *tls_settings_ref(struct tls_settings *t);
void tls_settings_unref(struct tls_settings *t);
struct tls_identity *tls_settings_identity(const struct tls_settings *t);

/* Routes OpenSSL's memory through lib/base/mem. First call in main(). */
void tls_library_init(void);

/* For lib/tls only. */
struct ssl_ctx_st *tls_settings_ctx(const struct tls_settings *t);

#endif
