/* SPDX-License-Identifier: Apache-2.0 */
/* Who of several replicas writes: a coordination.k8s.io/v1 Lease. Expiry is
 * judged by changes seen here, never by comparing clocks: a lease that has not
 * changed for its duration on our own clock may be taken. Whoever holds it stops
 * leading well before others may take it. */
#ifndef TULLE_KUBE_LEASE_H
#define TULLE_KUBE_LEASE_H

#include "lib/kube/kube.h"

struct kube_lease;

struct kube_lease_options {
    slice ns, name, identity; /* copied; identity: our pod's name */
    int64_t duration;         /* ns; 0: 15 s */
    int64_t renew;            /* ns; 0: duration / 3 */
};

/* `on_leading`: we lead now, or do no longer. */
CHECKED enum status kube_lease_start(struct kube_lease **out, struct kube *k,
                                     const struct kube_lease_options *opt,
                                     void (*on_leading)(void *owner, bool on),
                                     void *owner, struct error *e);
bool kube_lease_leading(const struct kube_lease *l);
/* The identity of the holder as last seen; empty: unknown. Borrows until the
 * next event. */
slice kube_lease_holder(const struct kube_lease *l);
/* Gives the lease back if we hold it (one write, not waited for), and ends. No
 * event follows. NULL is ignored. */
void kube_lease_close(struct kube_lease *l);

#endif
