/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers of one row: what every request and connection passes through, so
 * a few stores and no lock. Outcomes (status and fault) are few; the one that
 * was counted last is tried first, then all in the order of their coming. */
#include "lib/base/mem.h"
#include "proxy/telemetry/parts.h"

void traffic_free(struct traffic *tr)
{
    mem_free(atomic_load_explicit(&tr->more, memory_order_relaxed));
    mem_free(tr);
}

static struct series *series_at(struct traffic *tr, unsigned i)
{
    if (i < SERIES_FIRST)
        return &tr->first[i];
    return &atomic_load_explicit(&tr->more,
                                 memory_order_relaxed)[i - SERIES_FIRST];
}

/* Readers see a series only after its outcome, through `series_len`. */
static __attribute__((noinline)) struct series *series_add(struct traffic *tr,
                                                           uint32_t outcome)
{
    unsigned len = atomic_load_explicit(&tr->series_len, memory_order_relaxed);
    struct series *s;

    if (len == SERIES_MAX)
        return NULL;
    if (len == SERIES_FIRST)
        atomic_store_explicit(
            &tr->more,
            mem_array(SERIES_MAX - SERIES_FIRST, sizeof(struct series)),
            memory_order_release);
    s = series_at(tr, len);
    s->outcome = outcome;
    atomic_store_explicit(&tr->series_len, len + 1, memory_order_release);
    tr->recent = len;
    return s;
}

static __attribute__((noinline)) struct series *series_find(struct traffic *tr,
                                                            uint32_t outcome)
{
    unsigned len = atomic_load_explicit(&tr->series_len, memory_order_relaxed);

    for (unsigned i = 0; i < len; i++) {
        struct series *s = series_at(tr, i);

        if (s->outcome == outcome) {
            tr->recent = i;
            return s;
        }
    }
    return series_add(tr, outcome);
}

/* `other` takes what has no place of its own. */
static inline void count_outcome(struct traffic *tr, uint32_t outcome,
                                 count *other)
{
    struct series *s = series_at(tr, tr->recent);

    if (s->outcome != outcome ||
        !atomic_load_explicit(&tr->series_len, memory_order_relaxed))
        s = series_find(tr, outcome);
    count_add(s ? &s->n : other, 1);
}

static inline unsigned bucket_of(uint64_t ns)
{
    uint64_t us = (ns + 999) / 1000; /* up: bounds are inclusive */
    unsigned i = 0;

    while (i < WIRE_BUCKETS - 1 && us > wire_bucket_us[i])
        i++;
    return i;
}

/* A reader that takes `ended` (acquire) before `begun` never sees more ends than
 * beginnings. */
static inline void end_one(count *ended)
{
    atomic_store_explicit(ended, count_get(ended) + 1, memory_order_release);
}

static inline void count_fault(struct traffic *tr, enum fault f)
{
    if (f != FAULT_NONE)
        telemetry_fault(tr->t, tr->inbound, f);
}

void traffic_request_begin(struct traffic *tr)
{
    count_add(&tr->begun, 1);
}

void traffic_request_end(struct traffic *tr, unsigned status, enum fault f,
                         int64_t latency)
{
    uint64_t ns = latency > 0 ? (uint64_t)latency : 0;

    if (status > 999)
        status = 999;
    count_outcome(tr, outcome_of(status, f), &tr->other_requests);
    count_add(&tr->latency[bucket_of(ns)], 1);
    count_add(&tr->latency_ns, ns);
    end_one(&tr->ended);
    count_fault(tr, f);
}

void traffic_tcp_open(struct traffic *tr)
{
    count_add(&tr->opened, 1);
}

void traffic_tcp_bytes(struct traffic *tr, uint64_t in, uint64_t out)
{
    count_add(&tr->in, in);
    count_add(&tr->out, out);
}

void traffic_tcp_close(struct traffic *tr, enum fault f)
{
    count_outcome(tr, OUTCOME_TCP | outcome_of(0, f), &tr->other_closed);
    end_one(&tr->closed);
    count_fault(tr, f);
}

void traffic_limit(struct traffic *tr, enum limit which)
{
    telemetry_limit(tr->t, tr->inbound, which);
}
