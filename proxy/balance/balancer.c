/* SPDX-License-Identifier: Apache-2.0 */
/* The table of algorithms, and the accounts that all of them read. */
#include "proxy/balance/balancer.h"

#include "proxy/balance/algorithm.h"

struct balancer {
    slice name;
    pick_fn *pick;
};

/* The first is the default. */
static const struct balancer balancers[] = {
    {SLICE_INIT("peak-ewma"), p2c_pick},
    {SLICE_INIT("round-robin"), round_robin_pick},
    {SLICE_INIT("weighted-random"), weighted_random_pick},
};

const struct balancer *balancer_find(slice name)
{
    for (size_t i = 0; i < sizeof balancers / sizeof balancers[0]; i++) {
        if (slice_eq(name, balancers[i].name))
            return &balancers[i];
    }
    return NULL;
}

const struct balancer *balancer_default(void)
{
    return &balancers[0];
}

slice balancer_name(const struct balancer *b)
{
    return b->name;
}

void endpoint_load_init(struct endpoint_load *load, uint32_t weight)
{
    *load = (struct endpoint_load){.weight = weight};
}

void balancer_state_init(struct balancer_state *st, struct rand *r)
{
    *st = (struct balancer_state){.next = (size_t)rand_below(r, UINT32_MAX)};
}

void balancer_state_update(struct balancer_state *st,
                           struct endpoint_load *const *loads, size_t n)
{
    st->max_weight = 0;
    for (size_t i = 0; i < n; i++) {
        if (loads[i]->weight > st->max_weight)
            st->max_weight = loads[i]->weight;
    }
}

ptrdiff_t pick_scan(const struct pick *p, size_t from)
{
    for (size_t i = 0; i < p->n; i++) {
        size_t at = (from + i) % p->n;

        if (pick_usable(p, at))
            return (ptrdiff_t)at;
    }
    return -1;
}

ptrdiff_t balancer_pick(const struct balancer *b, struct balancer_state *st,
                        struct endpoint_load *const *loads, size_t n,
                        const bool *tried, struct rand *r, int64_t now)
{
    struct pick p = {st, loads, n, tried, r, now};
    ptrdiff_t at;

    if (n == 0)
        return -1;
    at = b->pick(&p);
    if (at >= 0 || !tried)
        return at;
    p.tried = NULL;
    return b->pick(&p);
}

void balancer_begin(struct endpoint_load *load)
{
    load->inflight++;
}

static void end(struct endpoint_load *load)
{
    if (load->inflight)
        load->inflight--;
}

void balancer_end(struct endpoint_load *load, int64_t now, int64_t latency,
                  bool failed)
{
    end(load);
    if (failed)
        ewma_fail(&load->latency, now, latency);
    else
        ewma_observe(&load->latency, now, latency);
}

void balancer_cancel(struct endpoint_load *load, int64_t now, int64_t waited)
{
    end(load);
    ewma_waited(&load->latency, now, waited);
}
