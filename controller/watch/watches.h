/* SPDX-License-Identifier: Apache-2.0 */
/* THE list of resources that the controller watches. */
#ifndef TULLE_CONTROLLER_WATCH_WATCHES_H
#define TULLE_CONTROLLER_WATCH_WATCHES_H

#include "controller/watch/decode.h"

struct watched {
    enum record_kind record;
    const char *api_version, *kind;
    const char *path; /* of the list, at the API server */
    decode_fn *decode;
};

/* One row for each record_kind, in its order. */
extern const struct watched watches[RECORD_KINDS];

/* NULL: not a resource of ours. */
const struct watched *watched_find(slice api_version, slice kind);

#endif
