/* SPDX-License-Identifier: Apache-2.0 */
/* MeshProxies and the MeshConfig, kept as they should be by the leader: one for
 * each meshed pod, owned by it, and one for all; within one budget of writes. */
#ifndef TULLE_CONTROLLER_STATUS_MESH_OBJECTS_H
#define TULLE_CONTROLLER_STATUS_MESH_OBJECTS_H

#include "controller/live/proxies.h"
#include "controller/status/mesh_state.h"
#include "controller/status/writes.h"
#include "lib/kube/event.h"

struct mesh_objects;

struct mesh_objects_options {
    /* Borrowed. */
    struct registry *registry;
    const struct proxies *proxies;
    const struct resolve_settings *settings;
    struct kube_events *events; /* on pods */
    /* What only the owner knows of the mesh: the issuer. */
    void (*facts)(void *arg, struct mesh_config_facts *out);
    void *arg;
};

CHECKED enum status mesh_objects_start(struct mesh_objects **out,
                                       struct kube *k,
                                       const struct mesh_objects_options *opt,
                                       struct error *e);
/* The registry is whole now: looks at everything. */
void mesh_objects_look(struct mesh_objects *m);
/* Something of the proxy of this pod (`key`: "ns/pod") changed. */
void mesh_objects_touch(struct mesh_objects *m, slice key);
void mesh_objects_lead(struct mesh_objects *m, bool leading);
/* From now on proxies, and the other replicas, can connect; or not any more. */
void mesh_objects_serve(struct mesh_objects *m, bool serving);
/* Objects that are not as they should be, as far as we know. */
size_t mesh_objects_behind(const struct mesh_objects *m);
/* NULL is ignored. */
void mesh_objects_close(struct mesh_objects *m);

#endif
