/* SPDX-License-Identifier: Apache-2.0 */
/* One after the other. Weights count only as 0 or not. */
#include "proxy/balance/algorithm.h"

ptrdiff_t round_robin_pick(const struct pick *p)
{
    ptrdiff_t at = pick_scan(p, p->st->next % p->n);

    if (at >= 0)
        p->st->next = (size_t)at + 1;
    return at;
}
