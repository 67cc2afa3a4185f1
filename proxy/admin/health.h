/* SPDX-License-Identifier: Apache-2.0 */
/* The port that the kubelet asks, on the main loop; anybody can reach it, so it
 * reveals and changes nothing:
 *
 *   GET /live              200 as long as the loop runs
 *   GET /ready             200, or 503 and why not yet
 *   GET /probe/...         what the application says: 200, or 503 and why
 *   GET /hook/...          from the node alone, because a hook does something: 200
 *                          when the application answered anything; else, and when
 *                          we refuse, the connection is reset, which alone is a
 *                          failure for the kubelet
 *
 * Strangers get a share of the connections, so that the kubelet always finds one. */
#ifndef TULLE_PROXY_ADMIN_HEALTH_H
#define TULLE_PROXY_ADMIN_HEALTH_H

#include "lib/base/text.h"
#include "lib/net/address.h"
#include "lib/net/loop.h"
#include "proxy/admin/probes.h"

struct health;

enum { HEALTH_LISTENERS = 4 };

struct health_options {
    const struct address *at;
    unsigned at_len;
    const struct probes *probes; /* borrowed until health_close */
    struct address pod;          /* whom probes ask; its port is of no matter */
    bool (*ready)(void *arg, struct text *why);
    bool (*is_node)(void *arg, const struct address *from);
    void *arg;
};

/* Listens. `opt` is copied. */
CHECKED enum status health_start(struct health **out, struct loop *l,
                                 const struct health_options *opt,
                                 struct error *e);
/* The i-th, for port 0. */
const struct address *health_address(const struct health *h, unsigned i);
/* Closes every connection now and frees. NULL is ignored. */
void health_close(struct health *h);

#endif
