/* SPDX-License-Identifier: Apache-2.0 */
/* A bump allocator: many small allocations, freed at once. */
#ifndef TULLE_BASE_ARENA_H
#define TULLE_BASE_ARENA_H

#include "lib/base/slice.h"

struct arena_block;
struct arena {
    struct arena_block *blocks; /* newest first */
    char *at, *end;
    size_t used, limit;
};

/* Takes no memory until first used. `limit` bounds the sum of what is asked. */
void arena_init(struct arena *a, size_t limit);
/* Aligned to 16, not zeroed. NULL when over the limit: check it, the size may
 * come from a peer. */
void *arena_alloc(struct arena *a, size_t size) CHECKED;
/* Copies; the empty slice on size 0. `ok` false when over the limit. */
CHECKED enum status arena_copy(struct arena *a, slice s, slice *out);
/* Frees everything; the arena may be used again. */
void arena_reset(struct arena *a);

#endif
