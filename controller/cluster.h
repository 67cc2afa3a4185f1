/* SPDX-License-Identifier: Apache-2.0 */
/* What only a controller in a cluster has: the issuer's Secret, who of the
 * replicas leads, and what the leader writes (trust bundles, the webhook's
 * certificate, mesh state); what replicas tell each other. */
#ifndef TULLE_CONTROLLER_CLUSTER_H
#define TULLE_CONTROLLER_CLUSTER_H

#include "controller/config.h"
#include "controller/identity/authority.h"
#include "controller/live/gather.h"
#include "controller/subscribe/server.h"
#include "controller/watch/source.h"

struct cluster;

struct cluster_options {
    const struct controller_config *config; /* all borrowed */
    struct loop *loop;
    struct kube *kube;
    struct registry *registry;
    struct publisher *publisher;
    const struct resolve_settings *resolve;
};

struct cluster_events {
    /* The first issuer, or another one. Takes it. `ended`: see ca_secret.h. */
    void (*on_authority)(void *owner, struct authority *a, bool ended);
    /* False: we have not heard of the issuer's Secret for long, so nothing that
     * we know of it may be told as true; true: we have again. */
    void (*on_sure)(void *owner, bool sure);
};

struct cluster_numbers {
    bool leading;
    size_t replicas; /* that tell us, when we lead */
    size_t unwritten;
    size_t proxies, synced; /* everywhere, as far as we know */
};

CHECKED enum status cluster_start(struct cluster **out,
                                  const struct cluster_options *opt,
                                  const struct cluster_events *ev, void *owner,
                                  struct error *e);
/* Borrowed until the next call. */
void cluster_set_authority(struct cluster *c, const struct authority *a);
/* The serving certificate, to call other replicas with. Shares. */
CHECKED enum status cluster_set_tls(struct cluster *c,
                                    const struct tls_settings *serving,
                                    struct error *e);
/* The registry is whole. */
void cluster_synced(struct cluster *c);
/* The Mesh API is up; NULL: it is about to close. Borrows, as the source. */
void cluster_set_api(struct cluster *c, struct mesh_api *api,
                     const struct source *source);
/* For the Mesh API. */
struct gather *cluster_gather(struct cluster *c);
/* What is known of every proxy. Borrowed. */
const struct proxies *cluster_proxies(const struct cluster *c);
/* It knows less than other replicas: it has sent its proxies to them. */
bool cluster_is_blind(const struct cluster *c);
/* May we sign? Not when we have not heard of the issuer's Secret for long. */
bool cluster_may_sign(const struct cluster *c);
void cluster_numbers(const struct cluster *c, struct cluster_numbers *out);
/* Gives the lease back and writes no more: another replica may lead. */
void cluster_leave(struct cluster *c);
/* The Mesh API must have been closed. No event follows. NULL is ignored. */
void cluster_close(struct cluster *c);

#endif
