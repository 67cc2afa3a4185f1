/* SPDX-License-Identifier: Apache-2.0 */
/* At every other replica: tells the leader of the proxies that have a session
 * here, over one stream (POST /v1/replica at the leader's Mesh API, mTLS with the
 * controllers' own name at both ends). All of them when it connects, then what
 * changes. Connects again with backoff. */
#ifndef TULLE_CONTROLLER_LIVE_RELAY_H
#define TULLE_CONTROLLER_LIVE_RELAY_H

#include "controller/live/proxies.h"
#include "lib/net/address.h"
#include "lib/tls/tls_settings.h"

struct relay;

/* Borrows `p`. `expect`: the controllers' own name; copied. */
struct relay *relay_new(struct loop *l, const struct proxies *p, slice expect);
/* The certificate to show (shares); again when it was renewed. */
void relay_set_tls(struct relay *r, struct tls_settings *tls);
/* Where the leader is; NULL: nobody leads, or we do. */
void relay_to(struct relay *r, const struct address *leader);
/* A proxy ("ns/pod") with a session here has changed, come or gone. */
void relay_touch(struct relay *r, slice pod);
bool relay_connected(const struct relay *r);
/* NULL is ignored. */
void relay_close(struct relay *r);

#endif
