/* SPDX-License-Identifier: Apache-2.0 */
/* slice -> pointer. Open addressing, seeded hash, keys are copied. Iteration
 * order is arbitrary. */
#ifndef TULLE_BASE_MAP_H
#define TULLE_BASE_MAP_H

#include "lib/base/slice.h"

struct map_slot;
struct map {
    struct map_slot *slots;
    size_t cap, len, dead;
};

void map_init(struct map *m);
/* Frees keys and slots, never values. */
void map_fini(struct map *m);
/* NULL when absent. */
void *map_get(const struct map *m, slice key);
/* Copies the key; `value` must not be NULL. Returns the value that was there
 * before, or NULL. */
void *map_put(struct map *m, slice key, void *value);
/* Returns the value that was there, or NULL. */
void *map_del(struct map *m, slice key);
/* Walks: start with *i = 0; false at the end. Deleting the entry just returned
 * is allowed, adding is not. `key` borrows until its entry is deleted. */
bool map_next(const struct map *m, size_t *i, slice *key, void **value);

#endif
