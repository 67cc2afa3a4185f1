/* SPDX-License-Identifier: Apache-2.0 */
#include "injector/stop_delay.h"

#include <inttypes.h>
#include <stdio.h>

enum { VALUE_BYTES = 96 };

/* Nobody calls a Job, and it need not take longer than its work. */
static bool ends_by_itself(struct json spec)
{
    slice policy = SLICE_NONE;
    struct error ignored;

    return json_opt_string(spec, "restartPolicy", &policy, &ignored) == OK &&
           (slice_eq(policy, SLICE("Never")) ||
            slice_eq(policy, SLICE("OnFailure")));
}

static bool is_set(struct json v)
{
    return json_present(v) && json_type(v) != JSON_NULL;
}

static enum status add(struct patch *p, struct json container, size_t index,
                       int64_t seconds, struct error *e)
{
    struct json lifecycle = json_get(container, "lifecycle");
    bool first = !is_set(lifecycle);
    char value[VALUE_BYTES];
    int n;

    if (is_set(json_get(lifecycle, "preStop")))
        return OK;
    /* What has another shape is refused by the API server. */
    if (json_type(container) != JSON_OBJECT ||
        (!first && json_type(lifecycle) != JSON_OBJECT))
        return OK;
    n = snprintf(value, sizeof value,
                 first ? "{\"preStop\":{\"sleep\":{\"seconds\":%" PRId64 "}}}"
                       : "{\"sleep\":{\"seconds\":%" PRId64 "}}",
                 seconds);
    return patch_push(p, PATCH_ADD, slice_of(value, (size_t)n), e,
                      "/spec/containers/%zu/lifecycle%s", index,
                      first ? "" : "/preStop");
}

enum status stop_delay_add(struct patch *p, struct json pod, int64_t seconds,
                           int64_t grace, struct error *e)
{
    struct json spec = json_get(pod, "spec");
    enum status rc = OK;
    size_t index = 0;

    if (seconds > grace / 4)
        seconds = grace / 4;
    if (seconds < 1 || ends_by_itself(spec))
        return OK;
    for (struct json c = json_first(json_get(spec, "containers"));
         json_present(c) && !rc; c = json_next(c))
        rc = add(p, c, index++, seconds, e);
    return rc;
}
