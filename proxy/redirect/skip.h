/* SPDX-License-Identifier: Apache-2.0 */
/* What the packet rules leave alone: ports and networks, as lists that a user
 * wrote. Pure. */
#ifndef TULLE_PROXY_REDIRECT_SKIP_H
#define TULLE_PROXY_REDIRECT_SKIP_H

#include "lib/net/address.h"

enum { SKIP_PORTS_MAX = 200, SKIP_SUBNETS_MAX = 100 };

struct port_range {
    uint16_t first, last;
};

/* In order, and neither overlapping nor touching. */
struct port_set {
    struct port_range at[SKIP_PORTS_MAX];
    unsigned len;
};

struct subnet {
    sa_family_t family;
    uint8_t ip[16]; /* 4 of them for IPv4; no bit beyond `bits` */
    unsigned bits;
};

struct subnet_set {
    struct subnet at[SKIP_SUBNETS_MAX];
    unsigned len;
};

/* "22,8000-8010"; empty: none. ERR_INVALID or ERR_TOO_BIG with a sentence that
 * names the item. `out` is filled from nothing. */
CHECKED enum status port_set_parse(slice list, struct port_set *out,
                                   struct error *e);
/* ERR_TOO_BIG when no place is left. */
CHECKED enum status port_set_add(struct port_set *set, uint16_t first,
                                 uint16_t last, struct error *e);
bool port_set_has(const struct port_set *set, uint16_t port);

/* "10.1.0.0/16,fd00::/8,192.0.2.7"; the same errors, also for bits beyond the
 * length of the prefix (10.1.2.3/16): who writes that means something else. */
CHECKED enum status subnet_set_parse(slice list, struct subnet_set *out,
                                     struct error *e);
bool subnet_set_has(const struct subnet_set *set, const struct address *a);

#endif
