/* SPDX-License-Identifier: Apache-2.0 */
/* A set of keys to look at again. Changes come in bursts (a rollout, a saved
 * file): the set is due when nothing was added for `quiet`, and at the latest
 * `most` after its first key. Pure: time is passed in (monotonic ns). */
#ifndef TULLE_CONTROLLER_REGISTRY_DIRTY_H
#define TULLE_CONTROLLER_REGISTRY_DIRTY_H

#include "lib/base/map.h"

struct dirty {
    struct map keys;
    int64_t quiet, most;
    int64_t first, last; /* when the first and the last key were added */
};

void dirty_init(struct dirty *d, int64_t quiet, int64_t most);
void dirty_fini(struct dirty *d);
/* Copies the key; adding it twice is harmless. */
void dirty_add(struct dirty *d, slice key, int64_t now);
/* When to take the keys; 0 when there are none. */
int64_t dirty_due(const struct dirty *d);
/* Walks the keys (start with *i = 0), in any order. */
bool dirty_next(const struct dirty *d, size_t *i, slice *key);
void dirty_clear(struct dirty *d);

#endif
