/* SPDX-License-Identifier: Apache-2.0 */
/* Changes a root of our own for the next one, in its Secret: the leader alone,
 * step by step, each a compare-and-swap (docs/decisions/0018). Nothing is
 * remembered here but how long something has been so: who leads next goes on from
 * what the Secret says, and waits anew. */
#ifndef TULLE_CONTROLLER_IDENTITY_ROTATION_H
#define TULLE_CONTROLLER_IDENTITY_ROTATION_H

#include "controller/identity/root_state.h"
#include "lib/kube/event.h"
#include "lib/kube/kube.h"

struct rotation;

struct rotation_options {
    slice ns, name;     /* of the Secret; copied */
    slice trust_domain; /* borrowed */
    struct root_rules rules;
    struct kube_events *events; /* borrowed */
    /* While a rotation is under way: who has got how far. Fills in missing,
     * replicas, proxies, behind and old; appends some names of those that it
     * waits for. True: what is there of what we write is written, as far as `s`
     * goes. */
    bool (*see)(void *arg, const struct root_state *s, struct root_sight *out,
                struct text *names);
    void *arg;
};

/* Gives it. */
struct rotation *rotation_new(struct kube *k,
                              const struct rotation_options *opt);
void rotation_lead(struct rotation *r, bool leading);
/* Every second: `seen` is what the watch knows; NULL: nothing that can be relied
 * on now. */
void rotation_look(struct rotation *r, const struct root_state *seen);
/* NULL is ignored. */
void rotation_close(struct rotation *r);

#endif
