/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's side of what the controller told: its own map of views, read
 * without locks on the request path, fed by letters from the main loop.
 *
 * Everything here is called on the worker's thread. Views are given on loan
 * until the call returns to the loop; whoever keeps one takes a reference
 * (view_ref), from any thread. */
#ifndef TULLE_PROXY_DISCOVERY_LOOKUP_H
#define TULLE_PROXY_DISCOVERY_LOOKUP_H

#include "lib/mesh/views.h"
#include "lib/net/loop.h"

struct discovery; /* store.h: the main loop's side */
struct lookup;

struct lookup_options {
    int64_t wait;      /* ns that a first question may take; then "unknown" */
    int64_t idle;      /* ns after which a key not used is let go */
    uint32_t max_keys; /* keys known at once; beyond them "unknown" */
};
extern const struct lookup_options lookup_defaults; /* 1 s, 60 s, 10,000 */

/* On the thread of `l`, or before that thread runs. NULL options: defaults. */
struct lookup *lookup_new(struct discovery *d, struct loop *l,
                          const struct lookup_options *opt);
typedef void lookup_closed_fn(void *arg);
/* Every watch and wait must be gone (released, canceled) before. Gives it away;
 * `closed` runs once, later, on this loop, while the main loop runs too; only
 * then may the loop be stopped. */
void lookup_close(struct lookup *lk, lookup_closed_fn *closed, void *arg);

/* --- destinations: what is this address? --- */

struct lookup_entry;
struct lookup_wait;
/* `v` is a destination view, never NULL, on loan. */
typedef void lookup_wait_fn(struct lookup_wait *w, struct view *v);
/* Embed; zero it. */
struct lookup_wait {
    struct list node;
    struct lookup_entry *entry; /* NULL: not waiting */
    lookup_wait_fn *done;
    void *arg;
};

/* `key`: "10.0.0.1:80", "[::1]:80" or "shop/cart:80".
 * OK: `*out` is the answer, never NULL, on loan; its resolution is UNKNOWN (and
 * its key empty) when the controller did not say in time, or too many keys are
 * known (see lookup_over_limit). `w` is not used.
 * ERR_AGAIN: not known yet; `done` runs once, later, within opt.wait of the first
 * question. `w` belongs to us until then, or until it is canceled.
 * With `w` NULL: OK or ERR_AGAIN, nothing follows (the question is asked). */
CHECKED enum status lookup_destination(struct lookup *lk, slice key,
                                       struct view **out, struct lookup_wait *w,
                                       lookup_wait_fn *done, void *arg);
/* Idempotent; `done` does not run. */
void lookup_wait_cancel(struct lookup_wait *w);
/* Is this answer "unknown" because too many keys are known, here or for the
 * controller? */
bool lookup_over_limit(const struct lookup *lk, const struct view *answer);

/* --- views that are held: backends, a destination of a long stream, and the
 * workload --- */

struct lookup_watch;
/* The view was exchanged; on loan; NULL: the controller took it back. May
 * release this watch; may hold and release others. */
typedef void lookup_watch_fn(struct lookup_watch *w, struct view *v);
/* Embed; zero it. */
struct lookup_watch {
    struct list node;
    struct lookup_entry *entry; /* NULL: holds nothing */
    lookup_watch_fn *changed;
    void *arg;
};

/* Holds a key: it is never let go while held. Returns what is known now, on loan,
 * or NULL: then `changed` tells when it comes. (Backends that a destination names
 * are there as soon as the destination is, unless the controller has none to
 * give.) NULL for ever when too many keys are known. `changed` may be NULL. */
struct view *lookup_hold(struct lookup *lk, enum view_kind kind, slice key,
                         struct lookup_watch *w, lookup_watch_fn *changed,
                         void *arg);
/* Idempotent. */
void lookup_release(struct lookup_watch *w);
/* The view of a key held, now; on loan or NULL. */
struct view *lookup_held(const struct lookup_watch *w);
/* Is there no view of a key that was held because too many are known? */
bool lookup_held_over_limit(const struct lookup_watch *w);

/* The pod's own view: on loan; NULL before the first. To hear changes, hold
 * (VIEW_WORKLOAD, ""). */
struct view *lookup_workload(const struct lookup *lk);

/* For metrics. */
struct lookup_stats {
    uint64_t
        timeouts;     /* questions that the controller did not answer in time */
    uint64_t refused; /* questions beyond max_keys */
    uint32_t keys;    /* known or asked now */
};
struct lookup_stats lookup_stats(const struct lookup *lk);

#endif
