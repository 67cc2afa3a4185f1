/* SPDX-License-Identifier: Apache-2.0 */
/* State tables: the diagram at the top of a file, checked. */
#ifndef TULLE_BASE_FSM_H
#define TULLE_BASE_FSM_H

#include <stdint.h>

#include "lib/base/log.h"

#define TO(state) (UINT32_C(1) << (state))

struct fsm_state {
    const char *name;
    uint32_t next; /* TO(..) | TO(..) */
};

/* Moves `*state` to `to`; asserts that the table allows it; traces
 * "state from=a to=b" at level trace. */
void fsm_move(const struct fsm_state *table, unsigned *state, unsigned to,
              const struct log *log);

#endif
