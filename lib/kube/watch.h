/* SPDX-License-Identifier: Apache-2.0 */
/* One resource, listed and followed: streamed list (sendInitialEvents; pages
 * where the server does not know it), then changes; resumed from the last
 * bookmark after a break, listed again when that is gone (410). Backs off with
 * jitter. Objects are parsed one at a time and not kept: memory follows what the
 * owner keeps, and one key an object. What went while nobody looked is told as
 * gone after the next list.
 *
 * Any event may close the watch. After kube_close no event comes; the watch is
 * still to be closed. */
#ifndef TULLE_KUBE_WATCH_H
#define TULLE_KUBE_WATCH_H

#include "lib/kube/kube.h"

struct kube_watch;

struct kube_watch_events {
    /* New, changed, or told again by a new list. Borrowed for the call. Items
     * of pages have no apiVersion and kind. */
    void (*on_object)(void *owner, struct json obj);
    /* Borrowed for the call. `ns` is empty for what has none. */
    void (*on_gone)(void *owner, slice ns, slice name);
    /* Everything has been told once; again after each new list. */
    void (*on_synced)(void *owner);
    /* The resource does not exist there (404: its CRD is not installed), or
     * exists now. While absent it counts as synced and empty, and is looked for
     * every 30 s. May be NULL. */
    void (*on_absent)(void *owner, bool absent);
    /* Before on_gone, when its end was seen and not only that it is not there any
     * more: as it was at last. Borrowed for the call. May be NULL. */
    void (*on_deleted)(void *owner, struct json obj);
};

struct kube_watch_options {
    slice path;  /* "/api/v1/pods", "/api/v1/namespaces/x/secrets"; copied */
    slice query; /* "fieldSelector=metadata.name%3Dx", or empty; copied */
    bool metadata_only; /* PartialObjectMetadata: no spec, no status */
};

/* Gives it. Events come later, on the loop. */
CHECKED enum status kube_watch_start(struct kube_watch **out, struct kube *k,
                                     const struct kube_watch_options *opt,
                                     const struct kube_watch_events *ev,
                                     void *owner, struct error *e);
bool kube_watch_synced(const struct kube_watch *w);
/* Monotonic ns when the server was last heard to be up to date on this resource
 * (an event, a bookmark, a stream that was opened); 0: never. */
int64_t kube_watch_heard(const struct kube_watch *w);
/* How often it had to begin anew since the start, for a metric. */
uint64_t kube_watch_interruptions(const struct kube_watch *w);
/* No event follows. NULL is ignored. */
void kube_watch_close(struct kube_watch *w);

#endif
