/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/fsm.h"

#include <assert.h>

void fsm_move(const struct fsm_state *table, unsigned *state, unsigned to,
              const struct log *log)
{
    assert(to < 32 && table[*state].next & TO(to));
    if (log)
        log_trace(log, "state", "from=%s to=%s", table[*state].name,
                  table[to].name);
    *state = to;
}
