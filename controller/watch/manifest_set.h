/* SPDX-License-Identifier: Apache-2.0 */
/* The objects of many files as one set: which file's declaration of an object is
 * in force, and what changed since it was last asked. No I/O. */
#ifndef TULLE_CONTROLLER_WATCH_MANIFEST_SET_H
#define TULLE_CONTROLLER_WATCH_MANIFEST_SET_H

#include "controller/watch/manifest.h"

struct manifest_set;

struct manifest_set_events {
    /* Takes a reference. */
    void (*on_put)(void *owner, struct record *rec);
    void (*on_gone)(void *owner, enum record_kind kind, slice ns, slice name);
    /* Two files declare one object: `used` stays in force. Told once. */
    void (*on_clash)(void *owner, const struct record *rec, slice used,
                     slice ignored);
};

struct manifest_set *manifest_set_new(void);
void manifest_set_free(struct manifest_set *s);

/* Puts a file's objects in place of what it held (takes what is in `objects`
 * and empties it). */
void manifest_set_put(struct manifest_set *s, slice path, record_vec *objects);
/* The file is gone. */
void manifest_set_del(struct manifest_set *s, slice path);
/* Tells what the puts and dels since the last call mean. */
void manifest_set_settle(struct manifest_set *s,
                         const struct manifest_set_events *ev, void *owner);

#endif
