/* SPDX-License-Identifier: Apache-2.0 */
/* A step of a rotation, as a merge patch of the Secret. Pure, but for the key of
 * the next root. */
#ifndef TULLE_CONTROLLER_IDENTITY_ROOT_PATCH_H
#define TULLE_CONTROLLER_IDENTITY_ROOT_PATCH_H

#include "controller/identity/root_state.h"

struct root_change {
    enum root_step step;            /* not ROOT_WAIT */
    const struct root_state *state; /* what `secret` says; all borrowed */
    const struct root_rules *rules;
    slice trust_domain;
    int64_t now; /* seconds since 1970 */
};

/* Appends the patch, which holds for the resourceVersion of `secret` alone. It
 * may hold a key: `out` is a secret text. */
CHECKED enum status root_patch(const struct root_change *c, struct json secret,
                               struct text *out, struct error *e);

#endif
