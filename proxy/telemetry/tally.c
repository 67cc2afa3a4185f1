/* SPDX-License-Identifier: Apache-2.0 */
/* Counts by names that somebody else chooses: services and ports that stay
 * silent, servers that TLS clients ask for. The first TALLY_NAMES have a number
 * each. A name beyond that takes the place of the one that was quiet for longest,
 * if that is long enough; what that one had counts as "other" from then on, as
 * does a name that finds no place. So the sum never goes back. */
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "proxy/telemetry/parts.h"

void tallies_init(struct telemetry *t)
{
    for (int k = 0; k < TALLIES; k++)
        for (int inbound = 0; inbound < 2; inbound++)
            map_init(&t->tallies[k][inbound].names);
}

static void tally_fini(struct tally *t)
{
    size_t i = 0;
    void *value;
    slice key;

    while (map_next(&t->names, &i, &key, &value))
        mem_free(value);
    map_fini(&t->names);
}

void tallies_fini(struct telemetry *t)
{
    for (int k = 0; k < TALLIES; k++)
        for (int inbound = 0; inbound < 2; inbound++)
            tally_fini(&t->tallies[k][inbound]);
}

/* The key borrows until it is deleted. */
static struct tally_name *quietest(const struct tally *t, slice *key)
{
    struct tally_name *found = NULL;
    size_t i = 0;
    void *value;
    slice at;

    while (map_next(&t->names, &i, &at, &value)) {
        struct tally_name *n = value;

        if (found && found->last <= n->last)
            continue;
        found = n;
        *key = at;
    }
    return found;
}

/* Under the lock. False: all names are in use. */
static bool make_room(struct tally *t, int64_t now)
{
    struct tally_name *old;
    char name[TALLY_NAME_MAX];
    slice key = SLICE_NONE;

    if (t->names.len < TALLY_NAMES)
        return true;
    old = quietest(t, &key);
    if (now - old->last < ROW_IDLE)
        return false;
    memcpy(name, key.ptr, key.len);
    count_add(&t->other, count_get(&old->n));
    mem_free(map_del(&t->names, slice_of(name, key.len)));
    return true;
}

static struct tally_name *name_new(struct telemetry *telemetry, struct tally *t,
                                   slice name)
{
    struct tally_name *n = NULL;

    pthread_mutex_lock(&telemetry->lock);
    if (make_room(t, loop_now(telemetry->loop))) {
        n = MEM_NEW(struct tally_name);
        (void)map_put(&t->names, name, n);
    }
    pthread_mutex_unlock(&telemetry->lock);
    return n;
}

void telemetry_tally(struct telemetry *telemetry, enum tally_kind kind,
                     bool inbound, slice name)
{
    struct tally *t = &telemetry->tallies[kind][inbound];
    char text[TALLY_NAME_MAX];
    struct tally_name *n;

    name = slice_of(text, put_name(text, name, sizeof text));
    n = map_get(&t->names, name);
    if (!n)
        n = name_new(telemetry, t, name);
    if (n)
        n->last = loop_now(telemetry->loop);
    count_add(n ? &n->n : &t->other, 1);
}

/* --- sums over all workers --- */

static void add(struct tally_sums *s, struct map *by_name, slice name,
                uint64_t n)
{
    struct tally_sum *sum = map_get(by_name, name);

    if (!sum) {
        sum = mem_zalloc(sizeof *sum + name.len);
        memcpy(sum->text, name.ptr, name.len);
        sum->name = slice_of(sum->text, name.len);
        (void)map_put(by_name, name, sum);
        VEC_PUSH(s, sum);
    }
    sum->n += n;
}

static void add_worker(struct tally_sums *s, struct map *by_name,
                       struct telemetry *telemetry, const struct tally *t)
{
    size_t i = 0;
    void *value;
    slice name;

    pthread_mutex_lock(&telemetry->lock);
    while (map_next(&t->names, &i, &name, &value)) {
        const struct tally_name *n = value;

        add(s, by_name, name, count_get(&n->n));
    }
    if (count_get(&t->other))
        add(s, by_name, SLICE("other"), count_get(&t->other));
    pthread_mutex_unlock(&telemetry->lock);
}

static int most_first(const void *a, const void *b)
{
    const struct tally_sum *x = *(struct tally_sum *const *)a;
    const struct tally_sum *y = *(struct tally_sum *const *)b;

    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return slice_cmp(x->name, y->name);
}

void tally_sums_make(struct tally_sums *s, struct telemetry *const *all,
                     size_t n, enum tally_kind kind, bool inbound)
{
    struct map by_name;

    *s = (struct tally_sums){0};
    map_init(&by_name);
    for (size_t i = 0; i < n; i++)
        add_worker(s, &by_name, all[i], &all[i]->tallies[kind][inbound]);
    map_fini(&by_name);
    if (s->len)
        qsort(s->at, s->len, sizeof *s->at, most_first);
}

void tally_sums_fini(struct tally_sums *s)
{
    for (size_t i = 0; i < s->len; i++)
        mem_free(s->at[i]);
    VEC_FINI(s);
}
