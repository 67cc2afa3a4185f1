/* SPDX-License-Identifier: Apache-2.0 */
/* Where objects come from: a folder of manifests (folder.c) or the API server.
 * A source tells every object that there is, says that it has, and from then on
 * tells changes; always whole records, never differences. What it cannot read it
 * logs, and what it told before stays in force. */
#ifndef TULLE_CONTROLLER_WATCH_SOURCE_H
#define TULLE_CONTROLLER_WATCH_SOURCE_H

#include "controller/registry/record.h"
#include "lib/net/loop.h"

struct source;

struct source_events {
    /* New or changed: takes a reference. */
    void (*on_put)(void *owner, struct record *rec);
    void (*on_gone)(void *owner, enum record_kind kind, slice ns, slice name);
    /* Everything has been told once. */
    void (*on_synced)(void *owner);
};

struct source_type {
    const char *name;
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

#endif
