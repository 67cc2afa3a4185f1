/* SPDX-License-Identifier: Apache-2.0 */
/* Above the memory budget new work is refused (worker_admit_*), and what runs
 * ends, until there is room again: first of all what holds many bytes for
 * somebody who takes them slowly. Each is counted as LIMIT_MEMORY. */
#ifndef TULLE_PROXY_SHED_H
#define TULLE_PROXY_SHED_H

#include "proxy/worker.h"

/* How much it costs to wait for `held` bytes to be taken: bytes times the seconds
 * that this will take, judged by the `gone` that were in the `age` since the start,
 * and by how long none was (`still`); ns. Pure. */
double shed_cost(size_t held, uint64_t gone, int64_t age, int64_t still);

/* Now and then, by one worker: after a burst, memory goes back to the system. */
void shed_give_back(struct worker *w);

/* Of the loop of a worker. */
void shed_on_pass(struct loop *l);

#endif
