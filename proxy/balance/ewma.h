/* SPDX-License-Identifier: Apache-2.0 */
/* Peak EWMA: how slow an endpoint is. Goes up quickly with slow answers, comes
 * down slowly with fast ones and with time. Pure; times are nanoseconds, `now` is
 * monotonic. All zero is "nothing known yet". */
#ifndef TULLE_BALANCE_EWMA_H
#define TULLE_BALANCE_EWMA_H

#include <stdbool.h>
#include <stdint.h>

struct ewma {
    double value;    /* ns, as of `stamp` */
    int64_t stamp;   /* of the last observation */
    uint8_t answers; /* so far, up to the few that are the first */
};

/* An answer took `latency`. */
void ewma_observe(struct ewma *e, int64_t now, int64_t latency);
/* A failure, after `latency`. It counts as a slow answer, slower with each one
 * in a row, so that an endpoint that fails fast attracts no traffic. */
void ewma_fail(struct ewma *e, int64_t now, int64_t latency);
/* Gave up after `waited`: says only that it would have taken longer. */
void ewma_waited(struct ewma *e, int64_t now, int64_t waited);
/* What it would take if there were `inflight` requests before this one. Never
 * negative; only comparable with other costs of the same `now`. */
double ewma_cost(const struct ewma *e, int64_t now, uint32_t inflight);

/* It has answered, but too few times for that to say much; and never failed. */
bool ewma_is_young(const struct ewma *e);

#endif
