/* SPDX-License-Identifier: Apache-2.0 */
/* The latest snapshot of every key that some worker uses, on the main loop. It
 * stands between the session with the controller (client.h) and the workers
 * (lookup.h), and keeps serving what it has when the controller is away.
 *
 * A destination is passed on only when the backends that it names have arrived
 * (or one second is over): make before break. */
#ifndef TULLE_PROXY_DISCOVERY_STORE_H
#define TULLE_PROXY_DISCOVERY_STORE_H

#include "lib/mesh/wire.h"
#include "lib/net/mail.h"

struct discovery;

enum { DISCOVERY_WORKERS_MAX = 64 };

/* What the session is told; on the main loop. `hash` is what we have, may be
 * empty. Slices on loan. */
struct discovery_session {
    void (*subscribe)(void *arg, enum view_kind kind, slice key, slice hash);
    void (*unsubscribe)(void *arg, enum view_kind kind, slice key);
};

struct discovery_options {
    int64_t hold_back; /* ns a destination waits for its backends; 1 s */
    int64_t idle;      /* ns that a key without users is kept; 5 s */
    uint32_t max_keys; /* of all workers together; 20,000 */
};
extern const struct discovery_options discovery_defaults;

/* NULL options: defaults. The workload is subscribed to from the start. */
struct discovery *discovery_new(struct loop *main,
                                const struct discovery_options *opt);
/* Every lookup must have been closed: discovery_workers() is 0. */
void discovery_free(struct discovery *d);
unsigned discovery_workers(const struct discovery *d);
struct mail_hub *discovery_hub(struct discovery *d);

/* --- for the session --- */
/* How many keys the next session takes, the workload included; 0: any number.
 * What is beyond is not subscribed to: it keeps the view that it has, workers are
 * told that it is over the limit, and it is asked about when others are let go.
 * Destinations go before backends, which are told with them. */
void discovery_set_limit(struct discovery *d, uint32_t keys);
/* One at a time; NULL takes it away. Then, and whenever keys come and go,
 * `subscribe` and `unsubscribe` tell what is wanted; setting it tells all at
 * once, from inside. */
void discovery_set_session(struct discovery *d,
                           const struct discovery_session *s, void *arg);
/* On loan, or NULL. */
struct view *discovery_get(const struct discovery *d, enum view_kind kind,
                           slice key);
/* Does anybody here want this key? */
bool discovery_wants(const struct discovery *d, enum view_kind kind, slice key);
/* Takes the reference. Views nobody asked for are kept for a while: backends come
 * before the destinations that name them. ERR_TOO_BIG: too many keys. */
CHECKED enum status discovery_put(struct discovery *d, struct view *v);
/* The controller took the key back; it stays subscribed. */
void discovery_remove(struct discovery *d, enum view_kind kind, slice key);

/* --- for others on the main loop --- */
/* Runs `fn` on each change of the workload view (on loan); at once when there is
 * one. One listener. */
typedef void discovery_workload_fn(void *arg, struct view *v);
void discovery_on_workload(struct discovery *d, discovery_workload_fn *fn,
                           void *arg);
/* Walks what is known, in any order; `v` NULL: asked, not answered. */
typedef void discovery_each_fn(void *arg, enum view_kind kind, slice key,
                               struct view *v);
void discovery_each(const struct discovery *d, discovery_each_fn *fn,
                    void *arg);

#endif
