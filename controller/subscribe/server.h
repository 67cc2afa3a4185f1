/* SPDX-License-Identifier: Apache-2.0 */
/* The Mesh API: HTTP/2 over TLS, for proxies.
 *     POST /v1/certificates  open to callers without certificate: issuer.h says
 *                            what they must prove
 *     POST /v1/session       one stream of JSON lines each way; mTLS with the
 *                            identity of a workload of this trust domain
 *     POST /v1/replica       another replica tells the leader of its proxies; mTLS
 *                            with the controllers' own name */
#ifndef TULLE_CONTROLLER_SUBSCRIBE_SERVER_H
#define TULLE_CONTROLLER_SUBSCRIBE_SERVER_H

#include "controller/identity/issuer.h"
#include "controller/live/gather.h"
#include "controller/subscribe/publish.h"
#include "lib/http/server.h"

struct mesh_api;

struct mesh_api_options {
    struct address at;
    struct tls_settings *tls; /* borrowed for the call */
    slice trust_domain;       /* borrowed, as the next two */
    struct issuer *issuer;
    struct publisher *publisher;
    struct gather *gather; /* borrowed; NULL: there are no replicas */
    unsigned max_connections;
};

/* Gives it, listening. */
CHECKED enum status mesh_api_start(struct mesh_api **out, struct loop *l,
                                   const struct mesh_api_options *opt,
                                   struct error *e);
const struct address *mesh_api_address(const struct mesh_api *a);
/* The serving certificate was renewed. */
void mesh_api_set_tls(struct mesh_api *a, struct tls_settings *tls);
/* Do we lead? Replicas are heard only while we do. */
void mesh_api_lead(struct mesh_api *a, bool leading);
/* Ends the sessions of proxies, which go to another replica if there is one, and
 * takes no new ones while `shed`: what we know is too old. */
void mesh_api_shed(struct mesh_api *a, bool shed);
/* Ends the sessions (proxies come again, to another replica if there is one) and
 * takes no more. */
void mesh_api_drain(struct mesh_api *a);
/* Requests and sessions under way. */
size_t mesh_api_running(const struct mesh_api *a);
/* Ends everything now; memory ends by itself. NULL is ignored. */
void mesh_api_close(struct mesh_api *a);

#endif
