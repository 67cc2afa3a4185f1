/* SPDX-License-Identifier: Apache-2.0 */
/* A small HTTP server for our own pages and APIs: listener, optional TLS, then
 * HTTP/1 or HTTP/2 by ALPN (TLS) or by the first bytes (plain). */
#ifndef TULLE_HTTP_SERVER_H
#define TULLE_HTTP_SERVER_H

#include "lib/http/conn.h"
#include "lib/net/listener.h"
#include "lib/tls/tls_stream.h"

struct http_server;

struct http_server_options {
    struct address at;
    struct tls_settings *tls;  /* NULL: plain. Shares; may be swapped later */
    struct http_limits limits; /* head_timeout also bounds the handshake */
    unsigned max_connections;  /* at it no more are accepted; 0: 1,024 */
};

/* A request comes in: call exchange_own(x, ...) here. `peer` (NULL when plain)
 * says who TLS says the client is, with `peer->name` empty when it showed no
 * certificate; it lives as long as the connection. */
typedef void http_server_fn(void *arg, struct exchange *x,
                            const struct tls_peer *peer);

/* Listens. `opt` is copied. */
CHECKED enum status http_server_start(struct http_server **out, struct loop *l,
                                      const struct http_server_options *opt,
                                      http_server_fn *fn, void *arg,
                                      struct error *e);
const struct address *http_server_address(const struct http_server *s);
unsigned http_server_connections(const struct http_server *s);
/* New connections use this (shares; the old one lives as long as its streams). */
void http_server_set_tls(struct http_server *s, struct tls_settings *tls);
/* Stops accepting and drains; http_server_connections tells how far it is. */
void http_server_drain(struct http_server *s);
/* Closes everything now and frees; exchanges are told. */
void http_server_close(struct http_server *s);

#endif
