/* SPDX-License-Identifier: Apache-2.0 */
/* A message from the controller and what we have -> what to do. Pure. */
#ifndef TULLE_PROXY_DISCOVERY_APPLY_H
#define TULLE_PROXY_DISCOVERY_APPLY_H

#include "lib/mesh/wire.h"

enum apply {
    APPLY_IGNORE,      /* nothing to do, nothing to say */
    APPLY_PUT,         /* `view` is the new one (a reference); ack */
    APPLY_KEEP,        /* what we have is right; ack */
    APPLY_REMOVE,      /* forget it */
    APPLY_RESUBSCRIBE, /* the base is another: ask again, without hash */
    APPLY_NACK,        /* `why` says why; what we have stays */
};

/* `current` may be NULL. `m` was decoded; of a view the reference moves into
 * `*view`. */
enum apply apply_message(struct msg *m, const struct view *current,
                         struct view **view, struct error *why);

#endif
