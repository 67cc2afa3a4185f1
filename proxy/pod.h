/* SPDX-License-Identifier: Apache-2.0 */
/* What the proxy finds out about its pod when it starts: addresses of its own, and
 * those by which its node, the kubelet's home, comes to it. */
#ifndef TULLE_PROXY_POD_H
#define TULLE_PROXY_POD_H

#include "lib/net/address.h"
#include "proxy/config.h"

enum { POD_OWN_MAX = 64, POD_NODE_MAX = 32 };

struct pod {
    struct address own[POD_OWN_MAX]; /* the main one first; never loopback */
    unsigned own_len;
    struct address node[POD_NODE_MAX];
    unsigned node_len;
    bool ipv6; /* there is any at all */
};

/* From the settings, the interfaces and, for a proxy behind packet rules, the
 * default routes: on many networks the node calls its pods from the address of
 * their gateway, which no API object names. ERR_INVALID: a setting is no list of
 * addresses. */
CHECKED enum status pod_find(struct pod *out, const struct config *c,
                             struct error *e);
/* Ports are of no matter. */
bool pod_owns(const struct pod *p, const struct address *a);
/* The pod's address of the other family, with the port of `of`; false when it has
 * none that reaches beyond its link. */
bool pod_sibling(const struct pod *p, const struct address *of,
                 struct address *out);
bool pod_is_node(const struct pod *p, const struct address *a);

/* Pure: the gateways of the default routes in the text of /proc/net/route and of
 * /proc/net/ipv6_route; at most `max`, their number is the result. */
unsigned pod_gateways_v4(slice text, struct address *out, unsigned max);
unsigned pod_gateways_v6(slice text, struct address *out, unsigned max);

#endif
