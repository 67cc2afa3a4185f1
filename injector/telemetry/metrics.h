/* SPDX-License-Identifier: Apache-2.0 */
/* The injector's numbers as Prometheus text. The values live where they are made
 * and are read when somebody asks. */
#ifndef TULLE_INJECTOR_TELEMETRY_METRICS_H
#define TULLE_INJECTOR_TELEMETRY_METRICS_H

#include "injector/eligible.h"
#include "lib/base/text.h"

struct injector_metrics;

enum { VERDICTS = VERDICT_REFUSE + 1 };

struct injector_numbers {
    uint64_t reviews, bad, running, namespaces, bundle, events_dropped;
    uint64_t verdicts[VERDICTS];
    int64_t not_after; /* seconds since 1970 */
};

struct injector_metrics *injector_metrics_new(void);
/* NULL is ignored. */
void injector_metrics_free(struct injector_metrics *m);
/* Appends the exposition. */
CHECKED enum status injector_metrics_render(struct injector_metrics *m,
                                            const struct injector_numbers *n,
                                            struct text *out);

#endif
