/* SPDX-License-Identifier: Apache-2.0 */
/* A feed is one view kept up to date for all who subscribed to it. Feeds are
 * shared: many proxies of a namespace ask for the same destination. No I/O. */
#ifndef TULLE_CONTROLLER_SUBSCRIBE_FEED_H
#define TULLE_CONTROLLER_SUBSCRIBE_FEED_H

#include "controller/registry/dirty.h"
#include "controller/registry/resolve.h"
#include "lib/base/list.h"
#include "lib/base/text.h"

struct feeds;

struct feed {
    struct feeds *all;
    enum view_kind kind;
    slice key; /* as proxies name it; "" for workloads */
    struct client client;
    struct view *view;   /* what holds now; NULL: nothing to offer */
    struct view *before; /* what held before that, for deltas; may be NULL */
    struct list subscribers; /* of struct subscription, the session's */
    char *names;             /* memory behind `key` and `client` */
    slice id;                /* in the table of feeds */
    unsigned refs;
    bool stale;
    char *snapshot, *delta; /* lines, made when first asked for */
    size_t snapshot_len, delta_len;
    bool delta_made;
};

/* The view of `f` has changed, appeared or gone. */
typedef void feed_changed_fn(void *arg, struct feed *f);

/* Borrows all; `settings` may change: then mark TOPIC_BUNDLE dirty. */
struct feeds *feeds_new(const struct registry *r,
                        const struct resolve_settings *settings,
                        feed_changed_fn *changed, void *arg);
/* All feeds must have been dropped. NULL is ignored. */
void feeds_free(struct feeds *fs);
size_t feeds_count(const struct feeds *fs);
const struct resolve_settings *feeds_settings(const struct feeds *fs);

/* Gives a reference to the feed; made when it is not there yet (copies).
 * ERR_INVALID when there cannot be such a key; a key behind which nothing is
 * makes a feed without view, because something may come. */
CHECKED enum status feeds_take(struct feeds *fs, enum view_kind kind,
                               const struct client *c, slice key,
                               struct feed **out, struct error *e);
/* Drops the reference; with the last the feed goes. */
void feed_drop(struct feed *f);

/* Computes again what depends on the topics in `d`; calls `changed` for those
 * whose content is another. */
void feeds_refresh(struct feeds *fs, const struct dirty *d);

/* The line (with newline) that tells the whole view; it must have one. Borrows
 * until the view changes. */
slice feed_snapshot(struct feed *f);
/* The line that turns the view with hash `base` into the one in force; empty
 * when there is none that is shorter than a snapshot. */
slice feed_delta(struct feed *f, slice base);

#endif
