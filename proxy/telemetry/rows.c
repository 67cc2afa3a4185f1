/* SPDX-License-Identifier: Apache-2.0 */
/* Sums rows over workers. What is written about them is long and a worker may
 * want to add a row meanwhile, so the lock is held for copying only. */
#include <stdlib.h>

#include "proxy/telemetry/parts.h"

static struct row *row_of(struct rows *r, const struct traffic *tr)
{
    struct row *row = map_get(&r->by_key, tr->key);

    if (row)
        return row;
    row = mem_zalloc(sizeof *row + tr->key.len);
    memcpy(row->text, tr->key.ptr, tr->key.len);
    row->inbound = tr->inbound;
    row->secured = tr->secured;
    row->key = slice_of(row->text, tr->key.len);
    row->service = slice_of(row->text + (tr->service.ptr - tr->key.ptr),
                            tr->service.len);
    row->peer = slice_of(row->text + (tr->peer.ptr - tr->key.ptr),
                         tr->peer.len);
    map_put(&r->by_key, row->key, row);
    VEC_PUSH(&r->all, row);
    return row;
}

static void add_outcome(struct row *row, uint32_t outcome, uint64_t n)
{
    for (size_t i = 0; i < row->outcomes.len; i++)
        if (row->outcomes.at[i].outcome == outcome) {
            row->outcomes.at[i].n += n;
            return;
        }
    VEC_PUSH(&row->outcomes, ((struct outcome_sum){outcome, n}));
}

static void add_series(struct row *row, const struct traffic *tr)
{
    unsigned len = atomic_load_explicit(&tr->series_len, memory_order_acquire);

    for (unsigned i = 0; i < len; i++) {
        const struct series *s = traffic_series(tr, i);

        add_outcome(row, s->outcome, count_get(&s->n));
    }
    row->other_requests += count_get(&tr->other_requests);
    row->other_closed += count_get(&tr->other_closed);
}

/* Ends before beginnings, so that what is open is never below zero. */
static void add_row(struct row *row, const struct traffic *tr)
{
    row->ended += atomic_load_explicit(&tr->ended, memory_order_acquire);
    row->closed += atomic_load_explicit(&tr->closed, memory_order_acquire);
    row->begun += count_get(&tr->begun);
    row->opened += count_get(&tr->opened);
    row->latency_ns += count_get(&tr->latency_ns);
    for (int i = 0; i < WIRE_BUCKETS; i++)
        row->latency[i] += count_get(&tr->latency[i]);
    row->in += count_get(&tr->in);
    row->out += count_get(&tr->out);
    add_series(row, tr);
}

static void add_worker(struct rows *r, struct telemetry *t)
{
    size_t i = 0;
    slice key;
    void *value;

    pthread_mutex_lock(&t->lock);
    while (map_next(&t->rows, &i, &key, &value))
        add_row(row_of(r, value), value);
    pthread_mutex_unlock(&t->lock);
}

static int by_key(const void *a, const void *b)
{
    const struct row *x = *(struct row *const *)a;
    const struct row *y = *(struct row *const *)b;

    return slice_cmp(x->key, y->key);
}

static int by_outcome(const void *a, const void *b)
{
    const struct outcome_sum *x = a, *y = b;

    return (x->outcome > y->outcome) - (x->outcome < y->outcome);
}

void rows_sum(struct rows *r, struct telemetry *const *all, size_t n)
{
    memset(r, 0, sizeof *r);
    map_init(&r->by_key);
    for (size_t i = 0; i < n; i++)
        add_worker(r, all[i]);
    if (!r->all.len)
        return;
    qsort(r->all.at, r->all.len, sizeof *r->all.at, by_key);
    for (size_t i = 0; i < r->all.len; i++) {
        struct row *row = r->all.at[i];

        if (row->outcomes.len)
            qsort(row->outcomes.at, row->outcomes.len, sizeof *row->outcomes.at,
                  by_outcome);
    }
}

void rows_fini(struct rows *r)
{
    for (size_t i = 0; i < r->all.len; i++) {
        VEC_FINI(&r->all.at[i]->outcomes);
        mem_free(r->all.at[i]);
    }
    VEC_FINI(&r->all);
    map_fini(&r->by_key);
}
