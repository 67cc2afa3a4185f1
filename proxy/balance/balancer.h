/* SPDX-License-Identifier: Apache-2.0 */
/* Which endpoint? Pure: no clock (`now` is monotonic ns), no sockets; what is
 * remembered between calls lies in the caller's structs.
 *
 * To add an algorithm: a file with a `pick`, a row in balancer.c's table. */
#ifndef TULLE_BALANCE_BALANCER_H
#define TULLE_BALANCE_BALANCER_H

#include "lib/base/rand.h"
#include "lib/base/slice.h"
#include "proxy/balance/ewma.h"

/* One endpoint, as seen by one worker. */
struct endpoint_load {
    uint32_t inflight; /* kept by balancer_begin and its three ends */
    uint32_t weight;   /* share of the traffic; 0: none */
    struct ewma latency;
    bool unavailable; /* a breaker, or the caller, keeps traffic off */
};

void endpoint_load_init(struct endpoint_load *load, uint32_t weight);

/* What one balancer remembers about its list. */
struct balancer_state {
    size_t next;         /* round robin */
    uint32_t max_weight; /* of the list; 0: not known */
};

struct balancer;

/* "peak-ewma", "round-robin", "weighted-random"; NULL for other names. */
const struct balancer *balancer_find(slice name);
const struct balancer *balancer_default(void); /* peak-ewma */
slice balancer_name(const struct balancer *b);

/* Starts at a random place, so that many proxies with the same list do not all
 * begin with the same endpoint. */
void balancer_state_init(struct balancer_state *st, struct rand *r);
/* Call when the list, or a weight in it, has changed. */
void balancer_state_update(struct balancer_state *st,
                           struct endpoint_load *const *loads, size_t n);

/* Index of an endpoint, or -1 when none can take traffic (unavailable or weight
 * 0). `tried` (NULL, or `n` flags): the others are preferred, but one that was
 * tried before is better than none. Borrows all; changes only `st` and `r`. */
ptrdiff_t balancer_pick(const struct balancer *b, struct balancer_state *st,
                        struct endpoint_load *const *loads, size_t n,
                        const bool *tried, struct rand *r, int64_t now);

/* A request goes to the endpoint. Exactly one of the ends below follows. */
void balancer_begin(struct endpoint_load *load);
/* Answered, or failed, after `latency` ns (to the response head). */
void balancer_end(struct endpoint_load *load, int64_t now, int64_t latency,
                  bool failed);
/* Whoever asked gave up after `waited` ns. */
void balancer_cancel(struct endpoint_load *load, int64_t now, int64_t waited);

#endif
