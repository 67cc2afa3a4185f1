/* SPDX-License-Identifier: Apache-2.0 */
/* The controller's numbers as Prometheus text. The values live where they are
 * made and are read when somebody asks. */
#ifndef TULLE_CONTROLLER_TELEMETRY_METRICS_H
#define TULLE_CONTROLLER_TELEMETRY_METRICS_H

#include "controller/identity/issuer.h"
#include "controller/subscribe/publish.h"
#include "controller/watch/source.h"

struct controller_metrics;

struct controller_numbers {
    const struct registry *registry;
    const struct source *source; /* may be NULL */
    int64_t now;                 /* monotonic ns */
    const struct publisher *publisher;
    const struct issuer *issuer;
    int64_t root_not_after, serving_not_after; /* seconds since 1970 */
};

struct controller_metrics *controller_metrics_new(void);
/* NULL is ignored. */
void controller_metrics_free(struct controller_metrics *m);
/* Appends the exposition. */
CHECKED enum status controller_metrics_render(
    struct controller_metrics *m, const struct controller_numbers *n,
    struct text *out);

#endif
