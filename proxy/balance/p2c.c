/* SPDX-License-Identifier: Apache-2.0 */
/* Power of two choices: draws two endpoints and takes the cheaper one. As good
 * as looking at all, but constant, and proxies that share endpoints do not all
 * run to the same best one.
 *
 * Estimates are old news, in-flight requests are not. Where those are the same,
 * as they are between requests that come one after the other, the dearer one gets
 * its chance too: one that is twice as dear every fifth time, one that is ten
 * times as dear once in a hundred. Without that, an endpoint that looked slow
 * when it was last used would not be seen again until its estimate has faded. */
#include "proxy/balance/algorithm.h"

enum { DRAWS_MAX = 8 };

/* A usable one by chance; -1 when the draws hit none. */
static ptrdiff_t draw(const struct pick *p)
{
    for (int i = 0; i < DRAWS_MAX; i++) {
        size_t at = (size_t)rand_below(p->rand, p->n);

        if (pick_usable(p, at))
            return (ptrdiff_t)at;
    }
    return -1;
}

/* The same, but not `one`. */
static ptrdiff_t draw_other(const struct pick *p, ptrdiff_t one)
{
    for (int i = 0; i < DRAWS_MAX && p->n > 1; i++) {
        size_t at = (size_t)rand_below(p->rand, p->n - 1);

        at += at >= (size_t)one;
        if (pick_usable(p, at))
            return (ptrdiff_t)at;
    }
    return -1;
}

/* When few are usable: looks at all, and still gives each the same chance. */
static ptrdiff_t draw_slowly(const struct pick *p)
{
    ptrdiff_t kept = -1;
    uint64_t seen = 0;

    for (size_t i = 0; i < p->n; i++) {
        if (pick_usable(p, i) && rand_below(p->rand, ++seen) == 0)
            kept = (ptrdiff_t)i;
    }
    return kept;
}

static double cost(const struct pick *p, ptrdiff_t at)
{
    const struct endpoint_load *load = p->loads[at];

    return ewma_cost(&load->latency, p->now, load->inflight) / load->weight;
}

/* Is `one` to be taken? The odds are those of the squares: a slow one costs more
 * than it is worth to know it better. */
static bool first_wins(const struct pick *p, ptrdiff_t one, ptrdiff_t two)
{
    double c1 = cost(p, one), c2 = cost(p, two);

    if (p->loads[one]->inflight != p->loads[two]->inflight || c1 == 0 ||
        c2 == 0)
        return c1 <= c2;
    return rand_unit(p->rand) * (c1 * c1 + c2 * c2) < c2 * c2;
}

ptrdiff_t p2c_pick(const struct pick *p)
{
    ptrdiff_t one, two;

    one = draw(p);
    if (one < 0)
        one = draw_slowly(p);
    if (one < 0)
        return one;
    two = draw_other(p, one);
    /* On equal costs the first is as random as the second. */
    return two < 0 || first_wins(p, one, two) ? one : two;
}
