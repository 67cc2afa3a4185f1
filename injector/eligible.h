/* SPDX-License-Identifier: Apache-2.0 */
/* Does this pod get a sidecar, and if not, the reason that a person can read.
 * Pure. */
#ifndef TULLE_INJECTOR_ELIGIBLE_H
#define TULLE_INJECTOR_ELIGIBLE_H

#include "lib/json/json.h"

enum verdict {
    VERDICT_INJECT,
    VERDICT_LEAVE, /* nobody asked, or it is none of our business */
    VERDICT_TELL, /* it was asked for and cannot be done: leave it and say so */
    VERDICT_REFUSE, /* the pod must not start like this */
};

struct eligible_pod {
    struct json pod; /* metadata and spec: a Pod or the template of one */
    slice ns;
    slice system_ns; /* where the mesh itself lives */
    /* Whether it was asked for where the pod itself says nothing. */
    bool asked;
    uint32_t uid, gid; /* of the proxy */
};

/* `why` is a sentence for all but VERDICT_INJECT. */
enum verdict eligible(const struct eligible_pod *p, struct error *why);

/* enabled or disabled in the labels of a namespace; anything else is a sentence
 * in `why` and means disabled. Absent: disabled. */
bool eligible_namespace_asks(struct json labels, struct error *why);
/* kube-system and its like, and the mesh's own. */
bool eligible_namespace_is_system(slice ns, slice system_ns);

/* A container that is not the application's: one of our two. */
bool eligible_is_ours(struct json container);

#endif
