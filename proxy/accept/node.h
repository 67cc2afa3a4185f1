/* SPDX-License-Identifier: Apache-2.0 */
/* What strict mTLS lets in from the pod's node: the kubelet's plain probes, and
 * nothing beside them. */
#ifndef TULLE_PROXY_ACCEPT_NODE_H
#define TULLE_PROXY_ACCEPT_NODE_H

#include "lib/http/message.h"
#include "proxy/accept/target.h"
#include "proxy/pod.h"

/* Is it an address of the pod's node? `v` may be NULL. */
bool node_has(const struct workload_view *v, const struct pod *pod,
              const struct address *client);
/* May `client` send probes in plaintext to that port of the pod? */
bool node_may_probe(const struct worker *w, uint16_t port,
                    const struct address *client);
/* Is it a probe that the pod has on this port: a GET of exactly its path, or a call
 * of gRPC's health service? */
bool node_is_probe(const struct worker *w, uint16_t port,
                   const struct head *head);

#endif
