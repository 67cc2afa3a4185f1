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
/* For a plaintext connection from `client` to a port of the pod. */
enum exemption node_exemption(const struct worker *w, uint16_t port,
                              const struct address *client);
/* Is it, byte for byte, a probe that the pod has on this port? */
bool node_is_probe(const struct worker *w, uint16_t port,
                   const struct head *head);

#endif
