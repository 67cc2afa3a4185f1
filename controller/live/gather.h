/* SPDX-License-Identifier: Apache-2.0 */
/* At the leader: what the other replicas say of their proxies. One place for
 * each; bytes of lines in. The transport (subscribe/server.c) has checked that
 * the other end is a controller. */
#ifndef TULLE_CONTROLLER_LIVE_GATHER_H
#define TULLE_CONTROLLER_LIVE_GATHER_H

#include "controller/live/proxies.h"

struct gather;

/* Replicas at once. */
enum { GATHER_REPLICAS_MAX = 64 };
#define REPLICA_BEAT (10 * NSEC_PER_SEC)
#define REPLICA_SILENCE (30 * NSEC_PER_SEC)

/* Embed in the transport; zeroed: not joined. */
struct replica {
    struct list node;
    struct gather *gather;
    unsigned number;
    struct text line;  /* an incomplete one */
    char *pod, *roots; /* its own, see replica_wire.h; NULL: it did not say */
    int64_t heard;
    /* It was silent for too long: end the transport, which leaves. */
    void (*on_silent)(struct replica *r);
};

/* Borrows. */
struct gather *gather_new(struct loop *l, struct proxies *p);
/* All must have left. NULL is ignored. */
void gather_free(struct gather *g);
/* ERR_RESOURCES: too many. */
CHECKED enum status gather_join(struct gather *g, struct replica *r);
/* ERR_INVALID, ERR_TOO_BIG with a sentence: end the transport. */
CHECKED enum status gather_input(struct replica *r, slice bytes,
                                 struct error *e);
/* Forgets what it said. Idempotent. */
void gather_leave(struct replica *r);
size_t gather_replicas(const struct gather *g);
/* Those that tell us, but not that they trust the root with this mark. */
size_t gather_behind(const struct gather *g, slice mark);
/* Does the replica in this pod tell us? */
bool gather_hears(const struct gather *g, slice pod);

#endif
