/* SPDX-License-Identifier: Apache-2.0 */
/* How far a root has come: who of replicas, proxies and the objects that we write
 * has it. What the leader of a rotation goes by (identity/rotation.h). */
#ifndef TULLE_CONTROLLER_ROOT_REACH_H
#define TULLE_CONTROLLER_ROOT_REACH_H

#include "controller/config.h"
#include "controller/identity/bundle.h"
#include "controller/identity/root_state.h"
#include "controller/identity/webhook_cert.h"
#include "controller/live/gather.h"

/* All borrowed. */
struct root_reach {
    const struct controller_config *config;
    const struct registry *registry;
    const struct proxies *proxies;
    const struct gather *gather;
    const struct bundle_writer *bundles;
    const struct webhook_cert *webhook;
    struct root_rules rules;
};

/* Fills in missing, replicas, proxies, behind and old of `out`; appends some names
 * of those that are waited for. True: what is there of what we write has the next
 * root: `own` (marks of the roots that we trust ourselves and write) holds it, and
 * the API server has said so since `fresh`, monotonic ns. */
bool root_reach_see(const struct root_reach *r, const struct root_state *s,
                    slice own, int64_t fresh, struct root_sight *out,
                    struct text *names);

/* The other replicas: pods of our namespace and our service account. Gives the
 * next one; start with *i = 0. */
bool replica_pods_next(const struct registry *r,
                       const struct controller_config *config, size_t *i,
                       const struct record **out);

#endif
