/* SPDX-License-Identifier: Apache-2.0 */
/* Containers that would end at once are told to wait until callers know that the
 * pod is going: `lifecycle.preStop.sleep` (KEP-3960). Pure. */
#ifndef TULLE_INJECTOR_STOP_DELAY_H
#define TULLE_INJECTOR_STOP_DELAY_H

#include "injector/patch.h"

/* For each container of `pod` without a preStop hook, unless the pod runs to its
 * completion. At most a quarter of the pod's time to end (`grace`, seconds);
 * nothing when that is less than a second. */
CHECKED enum status stop_delay_add(struct patch *p, struct json pod,
                                   int64_t seconds, int64_t grace,
                                   struct error *e);

#endif
