/* SPDX-License-Identifier: Apache-2.0 */
/* By chance, in proportion to the weights. Draws evenly and keeps a draw with
 * probability weight / max_weight: as long as weights are alike the first or
 * second draw stays. When they are not, after some draws, one walk over the
 * list decides; both ways give the same shares. */
#include "proxy/balance/algorithm.h"

enum { DRAWS_MAX = 16 };

static ptrdiff_t draw(const struct pick *p)
{
    uint32_t max = p->st->max_weight;

    for (int i = 0; max && i < DRAWS_MAX; i++) {
        size_t at = (size_t)rand_below(p->rand, p->n);
        uint32_t weight = p->loads[at]->weight;

        if (!pick_usable(p, at))
            continue;
        if (weight == max || rand_below(p->rand, max) < weight)
            return (ptrdiff_t)at;
    }
    return -1;
}

static ptrdiff_t walk(const struct pick *p)
{
    uint64_t sum = 0, left;

    for (size_t i = 0; i < p->n; i++)
        sum += pick_usable(p, i) ? p->loads[i]->weight : 0;
    if (sum == 0)
        return -1;
    left = rand_below(p->rand, sum);
    for (size_t i = 0; i < p->n; i++) {
        uint32_t weight = pick_usable(p, i) ? p->loads[i]->weight : 0;

        if (left < weight)
            return (ptrdiff_t)i;
        left -= weight;
    }
    return -1;
}

ptrdiff_t weighted_random_pick(const struct pick *p)
{
    ptrdiff_t at = draw(p);

    return at >= 0 ? at : walk(p);
}
