/* SPDX-License-Identifier: Apache-2.0 */
/* One backend in use by a worker: the endpoints of a service and port as the
 * controller lists them, and the balancer over them. */
#ifndef TULLE_PROXY_UPSTREAM_BACKEND_H
#define TULLE_PROXY_UPSTREAM_BACKEND_H

#include "proxy/discovery/lookup.h"
#include "proxy/upstream/endpoint.h"

enum { BACKEND_TRIED_MAX = 64 }; /* endpoints remembered as tried */

struct backends; /* of a worker */
struct backend;

struct backends *backends_new(struct upstream *up, struct lookup *lk,
                              const struct balancer *balancer);
void backends_free(struct backends *bs);

/* The backend of that key; gives a reference. Kept 60 s beyond the last one. */
struct backend *backend_get(struct backends *bs, slice key);
void backend_unref(struct backend *b);

/* False while the controller has not listed it yet. */
bool backend_known(const struct backend *b);
/* Is it empty because too many keys are known? */
bool backend_over_limit(const struct backend *b);
slice backend_key(const struct backend *b);

/* Endpoints one request has tried. */
struct tried {
    struct endpoint *at[8]; /* references */
    unsigned len;
};
void tried_add(struct tried *t, struct endpoint *ep);
void tried_clear(struct tried *t);

/* Picks; gives a reference; NULL when there is none to pick. An endpoint that was
 * tried comes again only when there is no other. */
struct endpoint *backend_pick(struct backend *b, const struct tried *tried,
                              int64_t now);

#endif
