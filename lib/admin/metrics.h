/* SPDX-License-Identifier: Apache-2.0 */
/* Counters, gauges and histograms, and their text for Prometheus (exposition
 * format 0.0.4).
 *
 * A program has one X-macro table, metrics.def, of rows
 *
 *     X(COUNTER, METRIC_REQUESTS, "proxy_requests_total", "service,status",
 *       "Requests answered.")
 *
 * and makes of it an enum and the families:
 *
 *     #define X(kind, id, name, labels, help) id,
 *     enum metric_id {
 *     #include "proxy/telemetry/metrics.def"
 *     METRIC_IDS };
 *     #undef X
 *     #define X METRIC_FAMILY
 *     static const struct metric_family families[METRIC_IDS] = {
 *     #include "proxy/telemetry/metrics.def"
 *     };
 *
 * Each thread has its own `struct metrics` and is the only one to change it;
 * scraping sums over threads. Looking up a series by its label values costs a
 * little (and a lock when it is new), so it is done once per connection or
 * backend, and the pointer is kept; changing a series is a plain load and
 * store.
 *
 * Everything is bounded: a thread has at most so many series of one family and
 * in all. Beyond that a lookup gives the family's series with every label
 * "other", and tulle_metrics_overflow_total{family="..."} counts it. */
#ifndef TULLE_ADMIN_METRICS_H
#define TULLE_ADMIN_METRICS_H

#include "lib/base/text.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_family {
    enum metric_kind kind;
    const char *name;
    const char *labels; /* names, "a,b"; "" for none */
    const char *help;
};
#define METRIC_FAMILY(kind, id, name, labels, help) \
    [id] = {METRIC_##kind, name, labels, help},

enum {
    METRIC_LABELS_MAX = 8,
    METRIC_VALUE_MAX = 200, /* bytes of a label value; the rest is cut off */
    METRIC_BOUNDS_MAX = 32,
};

/* Content type of the exposition. */
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metrics_limits {
    unsigned family_series; /* of one family, per thread */
    unsigned total_series;  /* of all families, per thread */
};
/* 1,000 and 10,000. */
extern const struct metrics_limits metrics_limits_default;

struct metrics_registry;
struct metrics;
struct series;

/* Borrows `families` for its life, copies `limits` (NULL: the default). A table
 * that is not well-formed is our bug: asserted. */
struct metrics_registry *metrics_registry_new(
    const struct metric_family *families, unsigned n,
    const struct metrics_limits *limits);
/* After every struct metrics of it. */
void metrics_registry_free(struct metrics_registry *r);
/* Upper bounds of a histogram family's buckets, rising, without +Inf (copied).
 * Default: seconds from 0.0005 to 10. Before the first metrics_new. */
void metrics_set_bounds(struct metrics_registry *r, unsigned family,
                        const double *bounds, unsigned n);

/* The calling thread's share (any thread may make it). Families without labels
 * have their series from the start. */
struct metrics *metrics_new(struct metrics_registry *r);
/* Frees its series too, whoever still holds them. NULL is ignored. */
void metrics_free(struct metrics *m);

/* Finds or makes the series with these values, in the order of the family's
 * label names; gives a reference. Bytes of a value that are neither
 * printable ASCII nor a newline become '?'. On the thread of `m`. */
struct series *metrics_series(struct metrics *m, unsigned family,
                              const slice *values, unsigned n);
#define METRICS_SERIES(m, family, ...)                          \
    metrics_series((m), (family), (const slice[]){__VA_ARGS__}, \
                   sizeof((const slice[]){__VA_ARGS__}) / sizeof(slice))
/* On the thread of its `m`. NULL is ignored by unref. */
struct series *series_ref(struct series *s);
void series_unref(struct series *s);

/* On the thread of its `m`; wait-free. Counters only ever grow. */
void series_add(struct series *s, uint64_t n);
static inline void series_inc(struct series *s)
{
    series_add(s, 1);
}
/* Gauges. */
void series_set(struct series *s, int64_t value);
void series_move(struct series *s, int64_t by);
/* Histograms, in the unit of the bounds. Not a number counts as 0, so does what
 * is negative. */
void series_observe(struct series *s, double value);
/* For readers on the same thread (reports, tests): a counter's or gauge's
 * value, a histogram's count. */
int64_t series_value(const struct series *s);

/* Forgets the labelled series to which nobody has held a reference since the
 * call before. On the thread of `m`, every few minutes. Gives how many. */
unsigned metrics_drop_idle(struct metrics *m);
/* How many series `m` has now. */
unsigned metrics_count(const struct metrics *m);

/* Appends the exposition, families in the order of the table, series in the
 * order of their labels. ERR_TOO_BIG when the text's limit cut it: then it must
 * not be sent. From any thread; locks out the making of series for as long as
 * the sums take. */
CHECKED enum status metrics_render(struct metrics_registry *r,
                                   struct text *out);

#endif
