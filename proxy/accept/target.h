/* SPDX-License-Identifier: Apache-2.0 */
/* Where the traffic of one accepted connection goes, and on whose behalf.
 *
 * Outbound: a service (its destination view is watched, so each request sees the
 * routes in force) or one fixed address (external, unknown, a pod's own).
 * Inbound: the application at one address, for one peer. */
#ifndef TULLE_PROXY_ACCEPT_TARGET_H
#define TULLE_PROXY_ACCEPT_TARGET_H

#include "proxy/worker.h"

struct target {
    unsigned refs;
    struct worker *worker;
    bool inbound;
    bool secured;             /* inbound: the peer proved `peer` by mTLS */
    bool probes_only;         /* plaintext that strict mode lets in, for the
                                 kubelet: each request is judged by itself */
    struct address client;    /* who connected */
    struct lookup_watch dest; /* outbound to a service */
    uint16_t port;            /* inbound: see accept.h */
    struct endpoint *fixed;   /* inbound, or outbound to an address */
    char *service;            /* for metrics and logs */
    char *peer;               /* identity of an inbound peer, "" if none */
    /* the row of what went last, and to whom: most go to the same */
    struct traffic *row;
    char *row_peer;
    bool row_secured;
};

/* Takes nothing; `peer` copied. Gives a reference. */
struct target *target_inbound(struct worker *w, const struct address *app,
                              uint16_t port, slice peer, bool secured,
                              const struct address *client);
/* `key` is a destination key that the lookup knows; held from now on. */
struct target *target_service(struct worker *w, slice key,
                              const struct address *client);
/* Straight to an address. NULL when it is not valid. */
struct target *target_address(struct worker *w, slice address, slice name,
                              const struct address *client);
struct target *target_ref(struct target *t);
void target_unref(struct target *t);

/* Destination in force; NULL for a fixed address. Lent. */
const struct destination_view *target_destination(const struct target *t);
enum protocol target_protocol(const struct target *t);

/* Picks where the next attempt goes; gives a reference, or NULL with a fault.
 * `*backend` (a reference, or NULL at first) stays between attempts of one
 * request. */
struct endpoint *target_pick(struct target *t, struct backend **backend,
                             const struct tried *tried, enum fault *f);
/* The traffic row for an endpoint. Lent by the target. */
struct traffic *target_row(struct target *t, const struct endpoint *ep);

#endif
