/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to an accepted connection, by the listener that took it. */
#ifndef TULLE_PROXY_ACCEPT_ACCEPT_H
#define TULLE_PROXY_ACCEPT_ACCEPT_H

#include "proxy/worker.h"

/* Both take the stream (not reading). */

/* `app`: where the application is. `port`: what peers know it by, and what the
 * own pod's declarations speak of (the same as the application's in a cluster,
 * the listener's for an explicit one). */
void inbound_accept(struct worker *w, struct stream *s,
                    const struct address *app, uint16_t port,
                    const struct address *client);
/* A connection of this pod to itself: `peer` is our own identity. */
void inbound_accept_self(struct worker *w, struct stream *s,
                         const struct address *app, uint16_t port, slice peer,
                         const struct address *client);
/* `key`: "namespace/service:port" of an explicit listener, or the original
 * destination as text; `original` NULL for explicit ones. */
void outbound_accept(struct worker *w, struct stream *s, slice key,
                     const struct address *original,
                     const struct address *client);

#endif
