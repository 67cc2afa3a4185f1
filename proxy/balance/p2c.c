/* SPDX-License-Identifier: Apache-2.0 */
/* Power of two choices: draws two endpoints and takes the cheaper one. As good
 * as looking at all, but constant, and proxies that share endpoints do not all
 * run to the same best one.
 *
 * Requests in flight are facts, estimates are old news. So where only the
 * estimate speaks against an endpoint, which has no more under way than the
 * other, it still gets its chance: twice as dear, every fifth time; ten times as
 * dear, once in a hundred. Without that, an endpoint that looked slow when it was
 * last used would not be seen again until its estimate has faded. */
#include "proxy/balance/algorithm.h"

enum { DRAWS_MAX = 8 };
static const double YOUNG_CHANCE = 0.2;

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

/* Is the dearer one taken all the same? The odds are those of the squares: a
 * slow one costs more than it is worth to know it better. But its first answers
 * say little: until there are some, it is asked now and then whatever they say. */
static bool chance(const struct pick *p, double cheap, double dear, bool young)
{
    if (young && rand_unit(p->rand) < YOUNG_CHANCE)
        return true;
    return rand_unit(p->rand) * (cheap * cheap + dear * dear) < cheap * cheap;
}

static ptrdiff_t choose(const struct pick *p, ptrdiff_t one, ptrdiff_t two)
{
    double c1 = cost(p, one), c2 = cost(p, two);

    if (c1 > c2) {
        ptrdiff_t swap = one;
        double c = c1;

        one = two, two = swap;
        c1 = c2, c2 = c;
    }
    if (p->loads[two]->inflight > p->loads[one]->inflight)
        return one;
    return chance(p, c1, c2, ewma_is_young(&p->loads[two]->latency)) ? two
                                                                     : one;
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
    return two < 0 ? one : choose(p, one, two);
}
