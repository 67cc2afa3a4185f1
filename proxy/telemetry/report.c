/* SPDX-License-Identifier: Apache-2.0 */
/* Rows for the controller. It does not ask whether a row was secured, only how
 * much of it: rows that differ in that alone become one. */
#include <stdlib.h>

#include "lib/base/arena.h"
#include "proxy/telemetry/parts.h"
#include "proxy/telemetry/process.h"

static uint64_t failures(const struct row *r)
{
    uint64_t n = 0;

    for (size_t i = 0; i < r->outcomes.len; i++) {
        uint32_t outcome = r->outcomes.at[i].outcome;

        if (outcome_status(outcome) >= 500 ||
            outcome_fault(outcome) != FAULT_NONE)
            n += r->outcomes.at[i].n;
    }
    return n;
}

static uint64_t requests(const struct row *r)
{
    uint64_t n = r->other_requests;

    for (size_t i = 0; i < r->outcomes.len; i++)
        if (!(r->outcomes.at[i].outcome & OUTCOME_TCP))
            n += r->outcomes.at[i].n;
    return n;
}

static void add(struct report_row *to, const struct row *r)
{
    uint64_t n = requests(r);

    to->requests += n;
    to->failures += failures(r);
    to->connections += r->opened;
    to->bytes_in += r->in;
    to->bytes_out += r->out;
    to->concurrent += r->begun - r->ended;
    if (r->secured)
        to->secured += n + r->opened;
    to->latency_sum_us += r->latency_ns / 1000;
    for (int i = 0; i < WIRE_BUCKETS; i++)
        to->latency[i] += r->latency[i];
}

static bool same(const struct row *a, const struct row *b)
{
    return a->inbound == b->inbound && slice_eq(a->service, b->service) &&
           slice_eq(a->peer, b->peer);
}

static int busiest_first(const void *a, const void *b)
{
    const struct report_row *x = a, *y = b;
    uint64_t n = x->requests + x->connections + x->concurrent;
    uint64_t m = y->requests + y->connections + y->concurrent;

    if (n != m)
        return n > m ? -1 : 1;
    if (x->inbound != y->inbound)
        return x->inbound ? -1 : 1;
    int order = slice_cmp(x->service, y->service);
    return order ? order : slice_cmp(x->peer, y->peer);
}

/* The names still borrow from `r`. */
static size_t merge(const struct rows *r, struct report_row *out)
{
    size_t n = 0;

    for (size_t i = 0; i < r->all.len; i++) {
        const struct row *row = r->all.at[i];

        if (!i || !same(row, r->all.at[i - 1]))
            out[n++] = (struct report_row){.inbound = row->inbound,
                                           .service = row->service,
                                           .peer = row->peer};
        add(&out[n - 1], row);
    }
    return n;
}

/* As many as the arena has room for. */
static uint32_t copy(const struct report_row *from, size_t n, struct arena *a,
                     struct report_row **out)
{
    struct report_row *rows = arena_alloc(a, n * sizeof *rows);
    uint32_t len = 0;

    for (; rows && len < n; len++) {
        rows[len] = from[len];
        if (arena_copy(a, from[len].service, &rows[len].service) ||
            arena_copy(a, from[len].peer, &rows[len].peer))
            break;
    }
    *out = rows;
    return len;
}

static void add_silent(struct telemetry *const *all, size_t n, bool inbound,
                       struct arena *a, struct report *out)
{
    struct tally_sums sums;

    tally_sums_make(&sums, all, n, TALLY_SILENT, inbound);
    for (size_t i = 0; i < sums.len && i < WIRE_SILENT_MAX / 2; i++) {
        struct silent *s = &out->silent[out->silent_len];

        *s = (struct silent){.inbound = inbound, .connections = sums.at[i]->n};
        if (arena_copy(a, sums.at[i]->name, &s->service) == OK)
            out->silent_len++;
    }
    tally_sums_fini(&sums);
}

void telemetry_report(struct telemetry *const *all, size_t n, struct arena *a,
                      struct report *out)
{
    struct rows r;
    struct report_row *merged;
    size_t len;

    rows_sum(&r, all, n);
    merged = mem_array(r.all.len ? r.all.len : 1, sizeof *merged);
    len = merge(&r, merged);
    qsort(merged, len, sizeof *merged, busiest_first);
    if (len > WIRE_SERIES_MAX)
        len = WIRE_SERIES_MAX;
    out->rows_len = copy(merged, len, a, &out->rows);
    out->rss_bytes = process_rss();
    out->detect_timeouts = 0;
    for (size_t i = 0; i < n; i++)
        out->detect_timeouts +=
            count_get(&all[i]->counters[COUNTER_DETECT_TIMEOUTS]);
    out->silent_len = 0;
    add_silent(all, n, true, a, out);
    add_silent(all, n, false, a, out);
    mem_free(merged);
    rows_fini(&r);
}
