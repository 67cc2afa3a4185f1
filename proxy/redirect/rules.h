/* SPDX-License-Identifier: Apache-2.0 */
/* Settings -> the text that `nft -f -` takes. Pure. docs/packet-rules.md is the
 * prose. */
#ifndef TULLE_PROXY_REDIRECT_RULES_H
#define TULLE_PROXY_REDIRECT_RULES_H

#include "lib/base/text.h"
#include "proxy/redirect/skip.h"

/* Ports of the proxy that are reached as they are. */
enum { RULES_ADMIN_PORT = 15020, RULES_HEALTH_PORT = 15021 };

enum { RULES_TEXT_MAX = 32768 };

struct rules {
    uint32_t uid, gid;
    uint16_t inbound_port, outbound_port;
    struct port_set skip_inbound; /* the two above, too */
    struct port_set skip_outbound;
    struct subnet_set skip_subnets;
    bool without_fib; /* the kernel cannot say which addresses are the pod's */
};

/* One transaction: what an earlier run left is replaced. The text always fits
 * RULES_TEXT_MAX. */
void rules_write(const struct rules *r, struct text *out);

#endif
