/* SPDX-License-Identifier: Apache-2.0 */
/* Annotations of a pod and its namespace -> the settings of its sidecar. Pure.
 * The table is annotations.def. */
#ifndef TULLE_INJECTOR_OVERRIDES_H
#define TULLE_INJECTOR_OVERRIDES_H

#include "injector/notes.h"
#include "lib/json/json.h"

/* Every value is text in its one spelling: ports and networks without blanks,
 * quantities as the API server writes them. */
struct overrides {
#define X(kind, field, annotation, whose, expects, help) slice field;
#include "injector/annotations.def"
#undef X
};

/* Puts `o` (an installation's defaults) in order; what is spelled anew is kept in
 * `arena`. An empty value of a setting that is no list stays empty. ERR_INVALID
 * with a sentence that names the setting: "proxy-cpu-request: ...". */
CHECKED enum status overrides_check(struct overrides *o, struct arena *arena,
                                    struct error *e);

/* `pod` and `ns` are the annotations (or absent); borrows from all. A bad value
 * on the pod is ERR_INVALID, with its sentence; one on the namespace is a note. A
 * name that starts with tulle.dev/ and is none of ours is a warning. */
CHECKED enum status overrides_read(struct overrides *out,
                                   const struct overrides *defaults,
                                   struct json pod, struct json ns,
                                   struct notes *notes, struct error *e);

/* Seconds. */
int64_t overrides_stop_delay(const struct overrides *o);
/* Nanoseconds of a value of shutdown_grace that was accepted. */
int64_t overrides_grace(const struct overrides *o);

#endif
