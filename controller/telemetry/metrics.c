/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/telemetry/metrics.h"

#include "lib/admin/metrics.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define X(kind, id, name, labels, help) id,
enum controller_metric_id {
#include "controller/telemetry/metrics.def"
    CONTROLLER_METRICS
};
#undef X

#define X METRIC_FAMILY
static const struct metric_family families[CONTROLLER_METRICS] = {
#include "controller/telemetry/metrics.def"
};
#undef X

struct controller_metrics {
    struct metrics_registry *registry;
    struct metrics *metrics;
};

struct controller_metrics *controller_metrics_new(void)
{
    struct controller_metrics *m = MEM_NEW(struct controller_metrics);

    m->registry = metrics_registry_new(families, CONTROLLER_METRICS, NULL);
    m->metrics = metrics_new(m->registry);
    return m;
}

void controller_metrics_free(struct controller_metrics *m)
{
    if (!m)
        return;
    metrics_free(m->metrics);
    metrics_registry_free(m->registry);
    mem_free(m);
}

static void set(struct controller_metrics *m, enum controller_metric_id id,
                uint64_t value)
{
    struct series *s = metrics_series(m->metrics, id, NULL, 0);

    if (families[id].kind == METRIC_GAUGE)
        series_set(s, (int64_t)value);
    else
        series_add(s, value - (uint64_t)series_value(s));
    series_unref(s);
}

static void set_objects(struct controller_metrics *m, const struct registry *r)
{
    for (int k = 0; k < RECORD_KINDS; k++) {
        const char *kind = record_kind_name((enum record_kind)k);
        struct series *s = METRICS_SERIES(m->metrics, CONTROLLER_OBJECTS,
                                          slice_str(kind));

        series_set(s, (int64_t)registry_count(r, (enum record_kind)k));
        series_unref(s);
    }
}

static void set_health(struct controller_metrics *m,
                       const struct controller_numbers *n, enum record_kind k)
{
    slice kind = slice_str(record_kind_name(k));
    struct source_health h;
    struct series *s;

    source_health(n->source, k, &h);
    s = METRICS_SERIES(m->metrics, CONTROLLER_WATCH_INTERRUPTIONS, kind);
    series_add(s, h.interruptions - (uint64_t)series_value(s));
    series_unref(s);
    s = METRICS_SERIES(m->metrics, CONTROLLER_WATCH_SILENCE, kind);
    series_set(s, h.heard ? (n->now - h.heard) / NSEC_PER_SEC : -1);
    series_unref(s);
}

enum status controller_metrics_render(struct controller_metrics *m,
                                      const struct controller_numbers *n,
                                      struct text *out)
{
    set(m, CONTROLLER_REGISTRY_VERSION, registry_version(n->registry));
    set(m, CONTROLLER_REGISTRY_SYNCED, registry_synced(n->registry));
    set_objects(m, n->registry);
    for (int k = 0; k < RECORD_KINDS && n->source; k++)
        set_health(m, n, (enum record_kind)k);
    set(m, CONTROLLER_SESSIONS, publisher_sessions(n->publisher));
    set(m, CONTROLLER_SESSIONS_IN_SYNC, publisher_in_sync(n->publisher));
    set(m, CONTROLLER_FEEDS, publisher_feeds(n->publisher));
    set(m, CONTROLLER_ISSUED, n->issuer->issued);
    set(m, CONTROLLER_REFUSED, n->issuer->refused);
    set(m, CONTROLLER_LIMITED, n->issuer->limited);
    set(m, CONTROLLER_ROOT_EXPIRY, (uint64_t)n->root_not_after);
    set(m, CONTROLLER_CERTIFICATE_EXPIRY, (uint64_t)n->serving_not_after);
    set(m, CONTROLLER_MEMORY, mem_used());
    return metrics_render(m->registry, out);
}
