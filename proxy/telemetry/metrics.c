/* SPDX-License-Identifier: Apache-2.0 */
/* The text for Prometheus, families in the order of metrics.def. A row of which
 * a family has nothing to tell (an opaque service has no requests) is left out
 * of it. */
#include <inttypes.h>

#include "lib/admin/metrics.h"
#include "lib/base/clock.h"
#include "proxy/telemetry/parts.h"
#include "proxy/telemetry/process.h"

#define X(kind, id, name, labels, help) id,
enum metric {
#include "proxy/telemetry/metrics.def"
    METRICS,
};
#undef X

#define X METRIC_FAMILY
static const struct metric_family families[METRICS] = {
#include "proxy/telemetry/metrics.def"
};
#undef X

struct page {
    struct telemetry *const *all;
    size_t n;
    const struct telemetry_process *process;
    struct process_usage usage;
    struct rows rows;
    slice *labels;     /* of each row: direction, service, peer, tls */
    struct text names; /* what they point into */
    struct text *out;
};

typedef void family_fn(struct page *p, enum metric m);

/* --- lines --- */

static void line_u64(struct page *p, enum metric m, slice labels, uint64_t n)
{
    text_printf(p->out, "%s%s%.*s%s %" PRIu64 "\n", families[m].name,
                labels.len ? "{" : "", FMT(labels), labels.len ? "}" : "", n);
}

static void line_seconds(struct page *p, enum metric m, const char *suffix,
                         slice labels, uint64_t ns)
{
    text_printf(p->out, "%s%s%s%.*s%s %" PRIu64 ".%09" PRIu64 "\n",
                families[m].name, suffix, labels.len ? "{" : "", FMT(labels),
                labels.len ? "}" : "", ns / NSEC_PER_SEC, ns % NSEC_PER_SEC);
}

/* A row's line with one or two labels more. */
static void line_more(struct page *p, enum metric m, size_t row,
                      const char *more, uint64_t n)
{
    text_printf(p->out, "%s{%.*s,%s} %" PRIu64 "\n", families[m].name,
                FMT(p->labels[row]), more, n);
}

static void line_direction(struct page *p, enum metric m, bool inbound,
                           uint64_t n)
{
    line_u64(p, m,
             inbound ? SLICE("direction=\"inbound\"")
                     : SLICE("direction=\"outbound\""),
             n);
}

/* Names are printable ASCII already. */
static void add_label(struct text *out, const char *name, slice value)
{
    text_printf(out, "%s=\"", name);
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '"' || value.ptr[i] == '\\')
            text_add_char(out, '\\');
        text_add_char(out, value.ptr[i]);
    }
    text_add_char(out, '"');
}

/* --- families of rows --- */

static void put_outcomes(struct page *p, enum metric m, uint32_t tcp)
{
    for (size_t i = 0; i < p->rows.all.len; i++) {
        const struct row *r = p->rows.all.at[i];
        uint64_t other = tcp ? r->other_closed : r->other_requests;
        char more[96];

        for (size_t k = 0; k < r->outcomes.len; k++) {
            uint32_t outcome = r->outcomes.at[k].outcome;
            slice fault = fault_row(outcome_fault(outcome))->name;

            if ((outcome & OUTCOME_TCP) != tcp)
                continue;
            if (tcp)
                snprintf(more, sizeof more, "fault=\"%.*s\"", FMT(fault));
            else
                snprintf(more, sizeof more, "status=\"%u\",fault=\"%.*s\"",
                         outcome_status(outcome), FMT(fault));
            line_more(p, m, i, more, r->outcomes.at[k].n);
        }
        if (other)
            line_more(p, m, i,
                      tcp ? "fault=\"other\""
                          : "status=\"other\",fault=\"other\"",
                      other);
    }
}

static void put_requests(struct page *p, enum metric m)
{
    put_outcomes(p, m, 0);
}

static void put_tcp_closed(struct page *p, enum metric m)
{
    put_outcomes(p, m, OUTCOME_TCP);
}

static void put_histogram(struct page *p, enum metric m, size_t i)
{
    const struct row *r = p->rows.all.at[i];
    const char *name = families[m].name;
    uint64_t n = 0;

    for (int b = 0; b < WIRE_BUCKETS - 1; b++) {
        n += r->latency[b];
        text_printf(p->out, "%s_bucket{%.*s,le=\"%g\"} %" PRIu64 "\n", name,
                    FMT(p->labels[i]), wire_bucket_us[b] / 1e6, n);
    }
    n += r->latency[WIRE_BUCKETS - 1];
    text_printf(p->out, "%s_bucket{%.*s,le=\"+Inf\"} %" PRIu64 "\n", name,
                FMT(p->labels[i]), n);
    line_seconds(p, m, "_sum", p->labels[i], r->latency_ns);
    text_printf(p->out, "%s_count{%.*s} %" PRIu64 "\n", name, FMT(p->labels[i]),
                n);
}

static void put_duration(struct page *p, enum metric m)
{
    for (size_t i = 0; i < p->rows.all.len; i++)
        if (p->rows.all.at[i]->ended)
            put_histogram(p, m, i);
}

static void put_concurrent(struct page *p, enum metric m)
{
    for (size_t i = 0; i < p->rows.all.len; i++) {
        const struct row *r = p->rows.all.at[i];

        if (r->begun)
            line_u64(p, m, p->labels[i], r->begun - r->ended);
    }
}

static void put_tcp(struct page *p, enum metric m)
{
    for (size_t i = 0; i < p->rows.all.len; i++) {
        const struct row *r = p->rows.all.at[i];

        if (!r->opened)
            continue;
        if (m == METRIC_TCP_OPENED)
            line_u64(p, m, p->labels[i], r->opened);
        if (m == METRIC_TCP_OPEN)
            line_u64(p, m, p->labels[i], r->opened - r->closed);
        if (m == METRIC_TCP_BYTES) {
            line_more(p, m, i, "flow=\"in\"", r->in);
            line_more(p, m, i, "flow=\"out\"", r->out);
        }
    }
}

/* --- single numbers --- */

static uint64_t counter(const struct page *p, enum counter c)
{
    uint64_t n = 0;

    for (size_t i = 0; i < p->n; i++)
        n += count_get(&p->all[i]->counters[c]);
    return n;
}

static uint64_t gauge(const struct page *p, enum gauge g)
{
    int64_t n = 0;

    for (size_t i = 0; i < p->n; i++)
        n += atomic_load_explicit(&p->all[i]->gauges[g], memory_order_relaxed);
    return n > 0 ? (uint64_t)n : 0;
}

static uint64_t log_dropped(const struct page *p)
{
    uint64_t n = 0;

    for (size_t i = 0; i < p->n; i++)
        if (p->all[i]->log)
            n += access_log_dropped(p->all[i]->log);
    return n;
}

static void put_faults(struct page *p, enum metric m)
{
    for (int inbound = 0; inbound < 2; inbound++)
        for (int f = 1; f < FAULTS; f++) {
            uint64_t n = 0;

            for (size_t i = 0; i < p->n; i++)
                n += count_get(&p->all[i]->faults[inbound][f]);
            if (n)
                text_printf(p->out,
                            "%s{direction=\"%s\",fault=\"%.*s\"} %" PRIu64 "\n",
                            families[m].name, inbound ? "inbound" : "outbound",
                            FMT(fault_row((enum fault)f)->name), n);
        }
}

/* Every one from the start: a limit never hit is a zero, and its first hit a rise
 * that rate() sees. */
static void put_limits(struct page *p, enum metric m)
{
    for (int inbound = 0; inbound < 2; inbound++)
        for (int l = 1; l < LIMITS; l++) {
            uint64_t n = 0;

            for (size_t i = 0; i < p->n; i++)
                n += count_get(&p->all[i]->limits[inbound][l]);
            text_printf(p->out,
                        "%s{direction=\"%s\",limit=\"%s\"} %" PRIu64 "\n",
                        families[m].name, inbound ? "inbound" : "outbound",
                        limit_name((enum limit)l), n);
        }
}

static void put_directions(struct page *p, enum metric m)
{
    uint64_t in = 0, out = 0;

    if (m == METRIC_ACCEPTED) {
        in = counter(p, COUNTER_ACCEPTED_INBOUND);
        out = counter(p, COUNTER_ACCEPTED_OUTBOUND);
    }
    if (m == METRIC_CONNECTIONS) {
        in = gauge(p, GAUGE_INBOUND_CONNECTIONS);
        out = gauge(p, GAUGE_OUTBOUND_CONNECTIONS);
    }
    if (m == METRIC_LINKS) {
        in = gauge(p, GAUGE_LINKS_IN);
        out = gauge(p, GAUGE_LINKS_OUT);
    }
    line_direction(p, m, false, out);
    line_direction(p, m, true, in);
}

static void put_names(struct page *p, enum metric m, bool inbound)
{
    bool silent = m == METRIC_DETECT_TIMEOUTS;
    struct tally_sums sums;

    tally_sums_make(&sums, p->all, p->n,
                    silent ? TALLY_SILENT : TALLY_SERVER_NAME, inbound);
    for (size_t i = 0; i < sums.len; i++) {
        text_printf(p->out, "%s{direction=\"%s\",", families[m].name,
                    inbound ? "inbound" : "outbound");
        add_label(p->out, silent ? "service" : "sni", sums.at[i]->name);
        text_printf(p->out, "} %" PRIu64 "\n", sums.at[i]->n);
    }
    tally_sums_fini(&sums);
}

static void put_tally(struct page *p, enum metric m)
{
    put_names(p, m, false);
    put_names(p, m, true);
}

static void put_handshakes(struct page *p, enum metric m)
{
    line_u64(p, m, SLICE("direction=\"outbound\",result=\"ok\""),
             counter(p, COUNTER_HANDSHAKES_OUT_OK));
    line_u64(p, m, SLICE("direction=\"outbound\",result=\"failed\""),
             counter(p, COUNTER_HANDSHAKES_OUT_FAILED));
    line_u64(p, m, SLICE("direction=\"inbound\",result=\"ok\""),
             counter(p, COUNTER_HANDSHAKES_IN_OK));
    line_u64(p, m, SLICE("direction=\"inbound\",result=\"failed\""),
             counter(p, COUNTER_HANDSHAKES_IN_FAILED));
}

static void put_plaintext(struct page *p, enum metric m)
{
    line_u64(p, m, SLICE("result=\"accepted\""),
             counter(p, COUNTER_PLAINTEXT_ACCEPTED));
    line_u64(p, m, SLICE("result=\"refused\""),
             counter(p, COUNTER_PLAINTEXT_REFUSED));
}

static void put_renewals(struct page *p, enum metric m)
{
    line_u64(p, m, SLICE("result=\"ok\""), p->process->renewals);
    line_u64(p, m, SLICE("result=\"failed\""), p->process->renewal_failures);
}

static void put_expiry(struct page *p, enum metric m)
{
    if (p->process->cert_not_after > 0)
        line_u64(p, m, SLICE_NONE, (uint64_t)p->process->cert_not_after);
}

static void put_build(struct page *p, enum metric m)
{
    line_u64(p, m, SLICE("version=\"" TULLE_VERSION "\""), 1);
}

static void put_cpu(struct page *p, enum metric m)
{
    line_seconds(p, m, "", SLICE_NONE, (uint64_t)p->usage.cpu_ns);
}

/* Counters without labels, by the worker's number for them. */
static void put_counter(struct page *p, enum metric m)
{
    static const enum counter of[METRICS] = {
        [METRIC_REFUSED] = COUNTER_CONNECTIONS_REFUSED,
        [METRIC_ACCEPT_PAUSES] = COUNTER_ACCEPT_PAUSES,
        [METRIC_RETRIES] = COUNTER_RETRIES,
        [METRIC_UNKNOWN] = COUNTER_UNKNOWN_DESTINATIONS,
        [METRIC_OVER_LIMIT] = COUNTER_OVER_LIMIT_DESTINATIONS,
    };
    line_u64(p, m, SLICE_NONE, counter(p, of[m]));
}

static uint64_t number_of(const struct page *p, enum metric m)
{
    switch (m) {
    case METRIC_APP_CONNECTIONS:
        return gauge(p, GAUGE_APP_CONNECTIONS);
    case METRIC_SESSION:
        return p->process->session_up;
    case METRIC_MEMORY:
        return mem_used();
    case METRIC_MEMORY_BUDGET:
        return mem_budget();
    case METRIC_SERIES:
        return p->rows.all.len;
    case METRIC_LOG_DROPPED:
        return log_dropped(p);
    case METRIC_RSS:
        return p->usage.rss_bytes;
    case METRIC_FDS:
        return p->usage.open_fds;
    case METRIC_MAX_FDS:
        return p->usage.max_fds;
    case METRIC_START:
        return (uint64_t)p->usage.start_seconds;
    default:
        return 0;
    }
}

static void put_number(struct page *p, enum metric m)
{
    line_u64(p, m, SLICE_NONE, number_of(p, m));
}

static family_fn *const put[METRICS] = {
    [METRIC_REQUESTS] = put_requests,
    [METRIC_DURATION] = put_duration,
    [METRIC_CONCURRENT] = put_concurrent,
    [METRIC_TCP_OPENED] = put_tcp,
    [METRIC_TCP_CLOSED] = put_tcp_closed,
    [METRIC_TCP_OPEN] = put_tcp,
    [METRIC_TCP_BYTES] = put_tcp,
    [METRIC_SERVER_NAMES] = put_tally,
    [METRIC_ACCEPTED] = put_directions,
    [METRIC_CONNECTIONS] = put_directions,
    [METRIC_REFUSED] = put_counter,
    [METRIC_ACCEPT_PAUSES] = put_counter,
    [METRIC_PLAINTEXT] = put_plaintext,
    [METRIC_LINKS] = put_directions,
    [METRIC_APP_CONNECTIONS] = put_number,
    [METRIC_HANDSHAKES] = put_handshakes,
    [METRIC_FAULTS] = put_faults,
    [METRIC_LIMITS] = put_limits,
    [METRIC_RETRIES] = put_counter,
    [METRIC_DETECT_TIMEOUTS] = put_tally,
    [METRIC_UNKNOWN] = put_counter,
    [METRIC_OVER_LIMIT] = put_counter,
    [METRIC_EXPIRY] = put_expiry,
    [METRIC_RENEWALS] = put_renewals,
    [METRIC_SESSION] = put_number,
    [METRIC_MEMORY] = put_number,
    [METRIC_MEMORY_BUDGET] = put_number,
    [METRIC_SERIES] = put_number,
    [METRIC_LOG_DROPPED] = put_number,
    [METRIC_BUILD] = put_build,
    [METRIC_CPU] = put_cpu,
    [METRIC_RSS] = put_number,
    [METRIC_FDS] = put_number,
    [METRIC_MAX_FDS] = put_number,
    [METRIC_START] = put_number,
};

/* --- the page --- */

/* Labels of all rows, written once; every family uses them again. Lengths
 * first: the text moves as it grows. */
static void make_labels(struct page *p)
{
    size_t n = p->rows.all.len, at = 0;

    text_init(&p->names, n * (2 * (SERVICE_MAX + PEER_MAX) + 64));
    p->labels = mem_array(n ? n : 1, sizeof *p->labels);
    for (size_t i = 0; i < n; i++) {
        const struct row *r = p->rows.all.at[i];
        size_t before = p->names.len;

        text_add(&p->names, r->inbound ? SLICE("direction=\"inbound\",")
                                       : SLICE("direction=\"outbound\","));
        add_label(&p->names, "service", r->service);
        text_add_char(&p->names, ',');
        add_label(&p->names, "peer", r->peer);
        text_add(&p->names,
                 r->secured ? SLICE(",tls=\"true\"") : SLICE(",tls=\"false\""));
        p->labels[i].len = p->names.len - before;
    }
    for (size_t i = 0; i < n; at += p->labels[i++].len)
        p->labels[i].ptr = p->names.ptr + at;
}

static const char *kind_name(enum metric_kind k)
{
    static const char *const names[] = {[METRIC_COUNTER] = "counter",
                                        [METRIC_GAUGE] = "gauge",
                                        [METRIC_HISTOGRAM] = "histogram"};
    return names[k];
}

void telemetry_render(struct telemetry *const *all, size_t n,
                      const struct telemetry_process *process, struct text *out)
{
    struct page p = {.all = all, .n = n, .process = process, .out = out};

    process_usage(&p.usage);
    rows_sum(&p.rows, all, n);
    make_labels(&p);
    for (int m = 0; m < METRICS; m++) {
        text_printf(out, "# HELP %s %s\n# TYPE %s %s\n", families[m].name,
                    families[m].help, families[m].name,
                    kind_name(families[m].kind));
        put[m](&p, (enum metric)m);
    }
    mem_free(p.labels);
    text_fini(&p.names);
    rows_fini(&p.rows);
}
