/* SPDX-License-Identifier: Apache-2.0 */
/* What the injector knows from the API server, and tells it: Namespaces, the trust
 * bundle, the controller's address, its own serving certificate; Events. */
#ifndef TULLE_INJECTOR_CLUSTER_H
#define TULLE_INJECTOR_CLUSTER_H

#include "injector/spaces.h"
#include "lib/kube/event.h"
#include "lib/kube/kube.h"

struct cluster;

/* Everything borrows for the call. */
struct cluster_events {
    /* The secret's certificate and key, PEM. */
    void (*on_certificate)(void *owner, slice chain, slice key);
    void (*on_bundle)(void *owner, slice pem);
    void (*on_controller_ip)(void *owner, slice ip);
};

struct cluster_options {
    slice kubeconfig;      /* empty: as the pod's service account */
    slice ns;              /* of the mesh */
    slice controller;      /* its Service */
    struct spaces *spaces; /* kept up to date */
    const struct cluster_events *events;
    void *owner;
};

/* Gives it; events come later. */
CHECKED enum status cluster_start(struct cluster **out, struct loop *l,
                                  const struct cluster_options *opt,
                                  struct error *e);
/* True, or writes what is not known yet. */
bool cluster_synced(const struct cluster *c, struct text *why);

/* Asks for one Namespace and puts it among the others; `done` runs exactly once,
 * later (also by cluster_close), whether it is known then or not. On error it
 * never runs. */
CHECKED enum status cluster_ask_space(struct cluster *c, slice name,
                                      void (*done)(void *arg), void *arg);

void cluster_event(struct cluster *c, const struct kube_object *on,
                   slice reason, slice note);
uint64_t cluster_events_dropped(const struct cluster *c);
/* NULL is ignored. */
void cluster_close(struct cluster *c);

#endif
