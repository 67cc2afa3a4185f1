/* SPDX-License-Identifier: Apache-2.0 */
/* What the algorithms share with the table in balancer.c; nobody else needs
 * it. */
#ifndef TULLE_BALANCE_ALGORITHM_H
#define TULLE_BALANCE_ALGORITHM_H

#include "proxy/balance/balancer.h"

/* The arguments of one pick. `n` is at least 1. */
struct pick {
    struct balancer_state *st;
    struct endpoint_load *const *loads;
    size_t n;
    const bool *tried; /* may be NULL */
    struct rand *rand;
    int64_t now;
};

/* An index, or -1 when no endpoint passes pick_usable. The table then asks once
 * more without `tried`. */
typedef ptrdiff_t pick_fn(const struct pick *p);

pick_fn p2c_pick, round_robin_pick, weighted_random_pick;

static inline bool pick_usable(const struct pick *p, size_t i)
{
    const struct endpoint_load *load = p->loads[i];

    return !load->unavailable && load->weight && !(p->tried && p->tried[i]);
}

/* The first usable one from `from` on, round the end; -1. */
ptrdiff_t pick_scan(const struct pick *p, size_t from);

#endif
