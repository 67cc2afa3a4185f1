/* SPDX-License-Identifier: Apache-2.0 */
/* A client connection of our own programs: dial, TLS, HTTP/2. The proxy's data
 * path does not use it (see lib/link and proxy/upstream). */
#ifndef TULLE_HTTP_CLIENT_H
#define TULLE_HTTP_CLIENT_H

#include "lib/http/conn.h"
#include "lib/net/address.h"
#include "lib/tls/tls_stream.h"

struct http_client;

/* On OK `c` is ready for http_conn_open, and is from now on the callee's, to end
 * with http_conn_close; its events and owner must be set in this call (assign
 * c->events, c->owner). `peer` (NULL when plain) lives as long as `c`.
 * Else `c` is NULL and `reason` says why in one constant phrase ("refused",
 * "wrong identity"). */
typedef void http_client_fn(void *arg, enum status rc, struct http_conn *c,
                            const struct tls_peer *peer, const char *reason);

/* Starts. On OK, `done` runs exactly once, later, unless canceled. `tls` is
 * shared; its ALPN decides between HTTP/2 and HTTP/1; NULL is plain HTTP/2
 * without any negotiation. `expect` (copied) is the only peer name accepted.
 * `timeout` (ns) bounds connect and handshake together. `lim` must outlive the
 * connection. */
CHECKED enum status http_client_start(struct http_client **out, struct loop *l,
                                      const struct address *to,
                                      struct tls_settings *tls, slice expect,
                                      int64_t timeout,
                                      const struct http_limits *lim,
                                      http_client_fn *done, void *arg);
/* Before `done` has run: gives it away, `done` does not run any more. */
void http_client_cancel(struct http_client *c);

#endif
