/* SPDX-License-Identifier: Apache-2.0 */
/* Linear probing. A slot is empty (`key` NULL), dead (`key` is `tombstone`) or
 * used. len + dead stays at or below 3/4 of cap, so every probe ends at an
 * empty slot. Only map_put moves entries: a walk may delete. */
#include "lib/base/map.h"

#include <assert.h>

#include "lib/base/mem.h"

enum { FIRST_CAP = 8, KEEP_CAP = 64 };

struct map_slot {
    uint64_t hash;
    char *key;
    size_t key_len;
    void *value;
};

static char tombstone[1];

static bool used(const struct map_slot *s)
{
    return s->key && s->key != tombstone;
}

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_fini(struct map *m)
{
    for (size_t i = 0; i < m->cap; i++) {
        if (used(&m->slots[i]))
            mem_free(m->slots[i].key);
    }
    mem_free(m->slots);
    map_init(m);
}

/* The slot of `key`; NULL when absent, then `*put` is where it belongs. */
static struct map_slot *find(const struct map *m, slice key, uint64_t hash,
                             struct map_slot **put)
{
    struct map_slot *dead = NULL;

    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct map_slot *s = &m->slots[i];

        if (!s->key) {
            *put = dead ? dead : s;
            return NULL;
        }
        if (s->key == tombstone) {
            dead = dead ? dead : s;
            continue;
        }
        if (s->hash == hash && slice_eq(slice_of(s->key, s->key_len), key))
            return s;
    }
}

void *map_get(const struct map *m, slice key)
{
    struct map_slot *s, *put;

    if (m->len == 0)
        return NULL;
    s = find(m, key, slice_hash(key), &put);
    return s ? s->value : NULL;
}

static void rehash(struct map *m, size_t cap)
{
    struct map_slot *old = m->slots;
    size_t old_cap = m->cap;

    m->slots = mem_array(cap, sizeof *m->slots);
    m->cap = cap;
    m->dead = 0;
    for (size_t j = 0; j < old_cap; j++) {
        size_t i = old[j].hash & (cap - 1);

        if (!used(&old[j]))
            continue;
        while (m->slots[i].key)
            i = (i + 1) & (cap - 1);
        m->slots[i] = old[j];
    }
    mem_free(old);
}

/* Before adding one: grows when truly full, else clears the dead, and shrinks
 * when most of them were. The new load is between 1/8 and 3/8. */
static void make_room(struct map *m)
{
    size_t cap = m->cap ? m->cap : FIRST_CAP;

    if (m->cap && m->len + m->dead + 1 <= m->cap / 4 * 3)
        return;
    while (m->len + 1 > cap / 2)
        cap *= 2;
    while (cap > FIRST_CAP && m->len + 1 < cap / 8)
        cap /= 2;
    rehash(m, cap);
}

void *map_put(struct map *m, slice key, void *value)
{
    uint64_t hash = slice_hash(key);
    struct map_slot *s, *put;
    void *before;

    assert(value);
    make_room(m);
    s = find(m, key, hash, &put);
    if (s) {
        before = s->value;
        s->value = value;
        return before;
    }
    if (put->key == tombstone)
        m->dead--;
    *put = (struct map_slot){hash, mem_str(key), key.len, value};
    m->len++;
    return NULL;
}

/* A dead slot before an empty one may be empty as well, and so on backwards. */
static void bury(struct map *m, size_t i)
{
    m->slots[i].key = tombstone;
    m->dead++;
    if (m->slots[(i + 1) & (m->cap - 1)].key)
        return;
    while (m->slots[i].key == tombstone) {
        m->slots[i].key = NULL;
        m->dead--;
        i = (i - 1) & (m->cap - 1);
    }
}

void *map_del(struct map *m, slice key)
{
    struct map_slot *s, *put;
    void *value;

    if (m->len == 0)
        return NULL;
    s = find(m, key, slice_hash(key), &put);
    if (!s)
        return NULL;
    value = s->value;
    mem_free(s->key);
    bury(m, (size_t)(s - m->slots));
    m->len--;
    if (m->len == 0 && m->cap > KEEP_CAP)
        map_fini(m);
    return value;
}

bool map_next(const struct map *m, size_t *i, slice *key, void **value)
{
    while (*i < m->cap) {
        const struct map_slot *s = &m->slots[(*i)++];

        if (!used(s))
            continue;
        *key = slice_of(s->key, s->key_len);
        *value = s->value;
        return true;
    }
    return false;
}
