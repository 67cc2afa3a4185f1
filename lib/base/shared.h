/* SPDX-License-Identifier: Apache-2.0 */
/* Atomic reference counts, for snapshots that travel between threads. Objects
 * of one loop use a plain `unsigned refs`. */
#ifndef TULLE_BASE_SHARED_H
#define TULLE_BASE_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>

struct shared {
    atomic_uint refs;
};

static inline void shared_init(struct shared *s)
{
    atomic_init(&s->refs, 1);
}
static inline void shared_ref(struct shared *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}
/* True when this was the last reference: the caller frees. */
static inline bool shared_unref(struct shared *s)
{
    return atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1;
}

#endif
