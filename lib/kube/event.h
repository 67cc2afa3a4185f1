/* SPDX-License-Identifier: Apache-2.0 */
/* Events (core/v1) on objects, for `kubectl describe`. The same event again
 * within ten minutes is counted instead of written anew; at most a fixed number
 * a minute is written, the rest dropped and counted. */
#ifndef TULLE_KUBE_EVENT_H
#define TULLE_KUBE_EVENT_H

#include "lib/kube/kube.h"

struct kube_events;

struct kube_object {
    slice api_version, kind, ns, name, uid; /* uid may be empty */
};

/* `component`: "tulle-injector"; copied. Gives it. */
struct kube_events *kube_events_new(struct kube *k, slice component);
/* `reason` is CamelCase, `note` a sentence (cut at 1,024 bytes); copied. */
void kube_events_post(struct kube_events *ev, const struct kube_object *on,
                      bool warning, slice reason, slice note);
/* Events dropped so far, for a metric. */
uint64_t kube_events_dropped(const struct kube_events *ev);
void kube_events_free(struct kube_events *ev);

#endif
