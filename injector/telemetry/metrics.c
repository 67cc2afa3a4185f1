/* SPDX-License-Identifier: Apache-2.0 */
#include "injector/telemetry/metrics.h"

#include "lib/admin/metrics.h"
#include "lib/base/mem.h"

#define X(kind, id, name, labels, help) id,
enum injector_metric_id {
#include "injector/telemetry/metrics.def"
    INJECTOR_METRICS
};
#undef X

#define X METRIC_FAMILY
static const struct metric_family families[INJECTOR_METRICS] = {
#include "injector/telemetry/metrics.def"
};
#undef X

struct injector_metrics {
    struct metrics_registry *registry;
    struct metrics *metrics;
};

struct injector_metrics *injector_metrics_new(void)
{
    struct injector_metrics *m = MEM_NEW(struct injector_metrics);

    m->registry = metrics_registry_new(families, INJECTOR_METRICS, NULL);
    m->metrics = metrics_new(m->registry);
    return m;
}

void injector_metrics_free(struct injector_metrics *m)
{
    if (!m)
        return;
    metrics_free(m->metrics);
    metrics_registry_free(m->registry);
    mem_free(m);
}

static void set_series(struct series *s, enum injector_metric_id id,
                       uint64_t value)
{
    if (families[id].kind == METRIC_GAUGE)
        series_set(s, (int64_t)value);
    else
        series_add(s, value - (uint64_t)series_value(s));
    series_unref(s);
}

static void set(struct injector_metrics *m, enum injector_metric_id id,
                uint64_t value)
{
    set_series(metrics_series(m->metrics, id, NULL, 0), id, value);
}

static void set_verdicts(struct injector_metrics *m, const uint64_t *counts)
{
    static const slice names[VERDICTS] = {
        [VERDICT_INJECT] = SLICE_INIT("injected"),
        [VERDICT_LEAVE] = SLICE_INIT("left"),
        [VERDICT_TELL] = SLICE_INIT("told"),
        [VERDICT_REFUSE] = SLICE_INIT("refused"),
    };

    for (int v = 0; v < VERDICTS; v++)
        set_series(METRICS_SERIES(m->metrics, INJECTOR_VERDICTS, names[v]),
                   INJECTOR_VERDICTS, counts[v]);
}

enum status injector_metrics_render(struct injector_metrics *m,
                                    const struct injector_numbers *n,
                                    struct text *out)
{
    set(m, INJECTOR_REVIEWS, n->reviews);
    set(m, INJECTOR_BAD, n->bad);
    set_verdicts(m, n->verdicts);
    set(m, INJECTOR_RUNNING, n->running);
    set(m, INJECTOR_NAMESPACES, n->namespaces);
    set(m, INJECTOR_BUNDLE, n->bundle);
    set(m, INJECTOR_CERTIFICATE_EXPIRY, (uint64_t)n->not_after);
    set(m, INJECTOR_EVENTS_DROPPED, n->events_dropped);
    set(m, INJECTOR_MEMORY, mem_used());
    return metrics_render(m->registry, out);
}
