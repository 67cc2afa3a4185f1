/* SPDX-License-Identifier: Apache-2.0 */
/* Many cheap timers on one uv_timer_t. Setting a timer later again (the idle
 * timer of a busy connection) costs a store: the entry stays where it is and
 * moves when its old time comes. Resolution: 1 ms. */
#ifndef TULLE_NET_TIMER_H
#define TULLE_NET_TIMER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct timer;
typedef void timer_fn(struct timer *t);

struct timer {
    int64_t at;     /* when it is due, monotonic ns; 0: not set */
    int64_t queued; /* the time under which it sits in the heap */
    uint32_t index; /* place in the heap + 1; 0: not in it */
    timer_fn *fire;
};

struct timers {
    uv_timer_t uv;
    struct timer **heap; /* binary min-heap by `queued` */
    uint32_t len, cap;
    int64_t armed; /* what the uv timer is set to */
};

void timers_init(struct timers *ts, uv_loop_t *uv);
/* Starts closing; timers still set never fire. Memory is freed here. */
void timers_close(struct timers *ts);

static inline void timer_init(struct timer *t, timer_fn *fire)
{
    t->at = t->queued = 0;
    t->index = 0;
    t->fire = fire;
}
/* Fires once, at or after `at` (monotonic ns), never from inside this call. */
void timer_set(struct timers *ts, struct timer *t, int64_t at);
/* Idempotent. Afterwards the memory may go. */
void timer_stop(struct timers *ts, struct timer *t);
static inline bool timer_is_set(const struct timer *t)
{
    return t->at != 0;
}

#endif
