/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share.
 *
 * Who may touch what: a number is stored by the worker's thread only (a plain
 * load and store, no locked instruction) and loaded by anybody. Rows come and
 * go under `lock`; the worker, who alone changes the table, reads it without. */
#ifndef TULLE_PROXY_TELEMETRY_PARTS_H
#define TULLE_PROXY_TELEMETRY_PARTS_H

#include <stdatomic.h>

#include "lib/base/map.h"
#include "lib/base/vec.h"
#include "proxy/telemetry/access_log.h"
#include "proxy/telemetry/telemetry.h"

enum {
    ROWS_MAX = 1000, /* of one worker, without the four "other" */
    SERVICE_MAX = WIRE_KEY_MAX,
    PEER_MAX = 600, /* the longest name of a workload */
    ROW_KEY_MAX = 4 + SERVICE_MAX + PEER_MAX,
    SERIES_FIRST = 4,  /* most rows see 200 and a fault or two */
    SERIES_MAX = 64,   /* of one row; the rest counts as "other" */
    TALLY_NAMES = 100, /* of one kind, direction and worker */
    TALLY_NAME_MAX = 256,
};
#define ROW_IDLE (10 * 60 * NSEC_PER_SEC)
#define SWEEP_EVERY (60 * NSEC_PER_SEC)

typedef _Atomic uint64_t count;

static inline uint64_t count_get(const count *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}
static inline void count_add(count *c, uint64_t n)
{
    atomic_store_explicit(c, count_get(c) + n, memory_order_relaxed);
}

/* How something ended: for a request status and fault, for an opaque connection
 * the fault. */
#define OUTCOME_TCP (UINT32_C(1) << 31)
static inline uint32_t outcome_of(unsigned status, enum fault f)
{
    return (uint32_t)status << 8 | (uint32_t)f;
}
static inline unsigned outcome_status(uint32_t outcome)
{
    return (outcome & ~OUTCOME_TCP) >> 8;
}
static inline enum fault outcome_fault(uint32_t outcome)
{
    return (enum fault)(outcome & 255);
}
_Static_assert(FAULTS <= 256, "a fault fits in 8 bits");

struct series {
    uint32_t outcome; /* fixed once series_len tells of it */
    count n;
};

struct traffic {
    struct telemetry *t;
    unsigned refs;
    unsigned recent;    /* index of the series counted last */
    int64_t idle_since; /* when the last reference went */
    bool inbound, secured;
    slice service, peer, key; /* key: service and peer in it */
    count begun, ended, latency_ns, latency[WIRE_BUCKETS];
    count opened, closed, in, out;      /* opaque connections */
    count other_requests, other_closed; /* beyond SERIES_MAX */
    _Atomic unsigned series_len;
    struct series first[SERIES_FIRST];
    struct series *_Atomic more; /* SERIES_MAX - SERIES_FIRST, when needed */
    char text[];
};

static inline const struct series *traffic_series(const struct traffic *tr,
                                                  unsigned i)
{
    if (i < SERIES_FIRST)
        return &tr->first[i];
    return &atomic_load_explicit(&tr->more,
                                 memory_order_acquire)[i - SERIES_FIRST];
}
void traffic_free(struct traffic *tr);

struct tally_name {
    count n;
    int64_t last; /* the worker's own */
};

struct tally {
    struct map names; /* name -> struct tally_name */
    count other;
};

struct telemetry {
    struct loop *loop;
    pthread_mutex_t lock; /* guards the tables, not the numbers */
    struct map rows;
    struct tally tallies[TALLIES][2]; /* of inbound */
    struct timer sweep;
    struct access_log *log; /* NULL: off */
    count counters[COUNTERS];
    count faults[2][FAULTS]; /* inbound, fault */
    count limits[2][LIMITS]; /* inbound, limit */
    _Atomic int64_t gauges[GAUGES];
};

/* Copies at most `max` bytes of a name; gives how many. Printable ASCII only:
 * what goes into metrics and reports never grows by escapes for bytes that no
 * service and no workload has in its name. */
size_t put_name(char *dst, slice s, size_t max);

void tallies_init(struct telemetry *t);
void tallies_fini(struct telemetry *t);

/* --- sums over all workers, at one moment --- */

struct outcome_sum {
    uint32_t outcome;
    uint64_t n;
};

struct row {
    bool inbound, secured;
    slice service, peer, key;
    uint64_t begun, ended, latency_ns, latency[WIRE_BUCKETS];
    uint64_t opened, closed, in, out, other_requests, other_closed;
    VEC(struct outcome_sum) outcomes;
    char text[];
};

/* Rows sorted by direction, service, peer, secured. */
struct rows {
    VEC(struct row *) all;
    struct map by_key;
};
/* Pair with rows_fini. */
void rows_sum(struct rows *r, struct telemetry *const *all, size_t n);
void rows_fini(struct rows *r);

struct tally_sum {
    slice name;
    uint64_t n;
    char text[];
};
/* The most first, then by name; "other" is one of them. */
struct tally_sums {
    struct tally_sum **at;
    size_t len, cap;
};
/* Pair with tally_sums_fini. */
void tally_sums_make(struct tally_sums *s, struct telemetry *const *all,
                     size_t n, enum tally_kind kind, bool inbound);
void tally_sums_fini(struct tally_sums *s);

#endif
