/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/registry/dirty.h"

void dirty_init(struct dirty *d, int64_t quiet, int64_t most)
{
    map_init(&d->keys);
    d->quiet = quiet;
    d->most = most;
    d->first = d->last = 0;
}

void dirty_fini(struct dirty *d)
{
    map_fini(&d->keys);
}

void dirty_add(struct dirty *d, slice key, int64_t now)
{
    if (d->keys.len == 0)
        d->first = now;
    d->last = now;
    (void)map_put(&d->keys, key, d);
}

int64_t dirty_due(const struct dirty *d)
{
    int64_t quiet = d->last + d->quiet;
    int64_t most = d->first + d->most;

    if (d->keys.len == 0)
        return 0;
    return quiet < most ? quiet : most;
}

bool dirty_next(const struct dirty *d, size_t *i, slice *key)
{
    void *value;

    return map_next(&d->keys, i, key, &value);
}

void dirty_clear(struct dirty *d)
{
    map_fini(&d->keys);
    map_init(&d->keys);
}
