/* SPDX-License-Identifier: Apache-2.0 */
/* The controller's numbers as Prometheus text, read when they are asked for. */
#ifndef TULLE_CONTROLLER_TELEMETRY_METRICS_H
#define TULLE_CONTROLLER_TELEMETRY_METRICS_H

#include "controller/identity/issuer.h"
#include "controller/subscribe/publish.h"

struct controller_numbers {
    const struct registry *registry;
    const struct publisher *publisher;
    const struct issuer *issuer;
    int64_t root_not_after, serving_not_after; /* seconds since 1970 */
};

void controller_metrics(const struct controller_numbers *n, struct text *out);

#endif
