/* SPDX-License-Identifier: Apache-2.0 */
/* At every other replica: tells the leader of the proxies that have a session
 * here, over one stream (POST /v1/replica at the leader's Mesh API, mTLS with the
 * controllers' own name at both ends). All of them when it connects, then what
 * changes. Connects again with backoff. */
#ifndef TULLE_CONTROLLER_LIVE_MESSENGER_H
#define TULLE_CONTROLLER_LIVE_MESSENGER_H

#include "controller/live/proxies.h"
#include "lib/net/address.h"
#include "lib/tls/tls_settings.h"

struct messenger;

/* Borrows `p`. `expect`: the controllers' own name, `pod`: ours; copied. */
struct messenger *messenger_new(struct loop *l, const struct proxies *p,
                                slice expect, slice pod);
/* Marks of the roots that we trust (root_state.h; copied): the leader is told at
 * once. */
void messenger_set_roots(struct messenger *r, slice roots);
/* The certificate to show (shares); again when it was renewed. */
void messenger_set_tls(struct messenger *r, struct tls_settings *tls);
/* Where the leader is; NULL: nobody leads, or we do. */
void messenger_to(struct messenger *r, const struct address *leader);
/* A proxy ("ns/pod") with a session here has changed, come or gone. */
void messenger_touch(struct messenger *r, slice pod);
/* Whom we tell says that it leads. */
bool messenger_connected(const struct messenger *r);
/* NULL is ignored. */
void messenger_close(struct messenger *r);

#endif
