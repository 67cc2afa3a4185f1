/* SPDX-License-Identifier: Apache-2.0 */
/* The settings inbound, outbound and their transparent twins as a list. Pure. */
#ifndef TULLE_PROXY_LISTEN_H
#define TULLE_PROXY_LISTEN_H

#include "proxy/worker.h"

/* At most `max`. ERR_INVALID with a sentence naming the part that is wrong. */
CHECKED enum status listen_specs(const struct config *c,
                                 struct listen_spec *out, size_t max, size_t *n,
                                 struct error *e);
/* For a pod without IPv6: of the transparent ones, [::] becomes 0.0.0.0, and
 * what else is IPv6 is left out: nothing can come there. */
void listen_without_ipv6(struct listen_spec *specs, size_t *n);
/* The health port's addresses; 0.0.0.0 and [::] with one port become one. */
CHECKED enum status listen_health(const struct config *c, bool ipv6,
                                  struct address *out, unsigned max,
                                  unsigned *n, struct error *e);

#endif
