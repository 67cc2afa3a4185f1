/* SPDX-License-Identifier: Apache-2.0 */
/* What metrics.c keeps and metrics_text.c reads. */
#ifndef TULLE_ADMIN_METRICS_INTERNAL_H
#define TULLE_ADMIN_METRICS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "lib/admin/metrics.h"
#include "lib/base/list.h"
#include "lib/base/map.h"

struct family {
    const struct metric_family *def;
    slice label[METRIC_LABELS_MAX];
    unsigned labels;
    double bound[METRIC_BOUNDS_MAX];
    unsigned bounds;
};

struct metrics_registry {
    pthread_mutex_t lock; /* guards `threads` and which series they have */
    struct list threads;
    struct metrics_limits limits;
    unsigned n;
    struct family families[];
};

/* Cells of a counter and a gauge: the value. Of a histogram: a count for each
 * bound, one for what is above them, and the bits of the sum. */
struct series {
    struct metrics *owner;
    unsigned family;
    unsigned refs; /* held by callers; the map's is not counted */
    bool idle;     /* nobody held one at the last metrics_drop_idle */
    bool fixed;    /* never dropped: no labels, or the overflow series */
    slice labels;  /* a="x",b="y": allocated behind the cells */
    unsigned cells;
    _Atomic uint64_t cell[];
};

struct metrics {
    struct metrics_registry *registry;
    struct list node;  /* in registry->threads */
    struct map series; /* family and labels -> struct series, owned */
    unsigned total;
    struct {
        unsigned series;
        _Atomic uint64_t overflow;
    } of[]; /* by family */
};

static inline unsigned family_cells(const struct family *f)
{
    return f->def->kind == METRIC_HISTOGRAM ? f->bounds + 2 : 1;
}

static inline uint64_t cell_get(const _Atomic uint64_t *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

static inline void cell_set(_Atomic uint64_t *cell, uint64_t value)
{
    atomic_store_explicit(cell, value, memory_order_relaxed);
}

static inline double bits_double(uint64_t bits)
{
    double d;

    memcpy(&d, &bits, sizeof d);
    return d;
}

static inline uint64_t double_bits(double d)
{
    uint64_t bits;

    memcpy(&bits, &d, sizeof bits);
    return bits;
}

#endif
