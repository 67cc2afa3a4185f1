/* SPDX-License-Identifier: Apache-2.0 */
/* Where objects come from: a folder of manifests (folder.c) or the API server.
 * A source tells every object that there is, says that it has, and from then on
 * tells changes; always whole records, never differences. What it cannot read it
 * logs, and what it told before stays in force. */
#ifndef TULLE_CONTROLLER_WATCH_SOURCE_H
#define TULLE_CONTROLLER_WATCH_SOURCE_H

#include "controller/registry/record.h"
#include "lib/net/loop.h"

struct kube;
struct source;

struct source_events {
    /* New or changed: takes a reference. */
    void (*on_put)(void *owner, struct record *rec);
    void (*on_gone)(void *owner, enum record_kind kind, slice ns, slice name);
    /* Everything has been told once. */
    void (*on_synced)(void *owner);
};

/* What a source knows of its own knowledge. */
struct source_health {
    bool synced;
    int64_t heard; /* when last all was known to be the present: monotonic
                               ns; 0: never */
    uint64_t interruptions; /* how often that had to be found out anew */
};

struct source_type {
    const char *name;
    void (*health)(const struct source *s, enum record_kind kind,
                   struct source_health *out);
    /* Looks now instead of when it would have (SIGHUP). */
    void (*refresh)(struct source *s);
    void (*close)(struct source *s);
};

struct source {
    const struct source_type *type;
    const struct source_events *events;
    void *owner;
};

static inline void source_refresh(struct source *s)
{
    s->type->refresh(s);
}
static inline void source_health(const struct source *s, enum record_kind kind,
                                 struct source_health *out)
{
    s->type->health(s, kind, out);
}
/* When last every kind was known to be the present; 0: not yet. An API server is
 * heard at least about every minute while all is well, so that an age of three
 * minutes means trouble. */
int64_t source_heard(const struct source *s);
/* No event follows; memory ends by itself. */
static inline void source_close(struct source *s)
{
    s->type->close(s);
}

/* Reads `path` and all below it: *.yaml, *.yml, *.json. Events come later, on
 * the loop. ERR_* when it is no folder that can be read. */
CHECKED enum status folder_start(struct source **out, struct loop *l,
                                 slice path, const struct source_events *ev,
                                 void *owner, struct error *e);

/* Watches what watches.c lists at the API server. Borrows `k`, which may be
 * closed before; then nothing more is told. */
CHECKED enum status kubernetes_start(struct source **out, struct kube *k,
                                     const struct source_events *ev,
                                     void *owner, struct error *e);

#endif
