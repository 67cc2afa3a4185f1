/* SPDX-License-Identifier: Apache-2.0 */
/* Whose is (address, port), and what does its owner declare for it? The only
 * source of endpoint identities: what an EndpointSlice says about its targets is
 * never believed, because whoever may write slices could borrow a name. Pure. */
#ifndef TULLE_CONTROLLER_REGISTRY_OWNER_H
#define TULLE_CONTROLLER_REGISTRY_OWNER_H

#include "controller/registry/registry.h"
#include "lib/mesh/views.h"

/* The live pod whose own address this is; NULL when nobody's or when it cannot
 * be told. Host-network pods own nothing: their address is the node's. Pods that
 * share an address (loopback in local mode) own the ports they declare. */
const struct record *owner_of(const struct registry *r, slice ip,
                              uint16_t port);
/* A pod's annotations, completed by its namespace's. Borrows. */
void owner_settings(const struct registry *r, const struct record *pod,
                    struct mesh_settings *out);
/* What the port speaks: the pod's (or its namespace's) annotation, else what the
 * Services of its namespace that lead to it declare, else the port's number. Services that
 * disagree: opaque if one says so (its server may speak first), else the bytes
 * decide. `pod` may be NULL: an address that is no pod's. */
enum protocol owner_protocol(const struct registry *r, const struct record *pod,
                             slice ip, uint16_t port);
/* Does its sidecar take mesh traffic on that port? */
bool owner_meshed(const struct registry *r, const struct record *pod,
                  uint16_t port);

#endif
