/* SPDX-License-Identifier: Apache-2.0 */
/* The few names that a program of ours needs, by the system's own resolver
 * (getaddrinfo): it blocks, so each query has a thread for its time. A query that
 * nobody wants any more ends by itself and touches nothing of its loop. */
#ifndef TULLE_NET_DNS_H
#define TULLE_NET_DNS_H

#include "lib/net/address.h"
#include "lib/net/loop.h"

enum { DNS_ADDRESSES_MAX = 32, DNS_NAME_MAX = 254 };

struct dns_query;

/* OK with 1 to DNS_ADDRESSES_MAX addresses (IPv4 and IPv6 in the resolver's
 * order, each once; what is beyond is left out), else none, and `why` in words.
 * They borrow until the function returns. */
typedef void dns_fn(void *arg, enum status rc, const struct address *at,
                    size_t n, const char *why);

/* Asks for `host` (copied); the addresses get `port`. On OK, `done` runs exactly
 * once, later, on this loop, unless canceled; when, is the resolver's choice: it
 * has time-outs of its own. ERR_INVALID: not a name. ERR_RESOURCES: no thread. */
CHECKED enum status dns_query(struct dns_query **out, struct loop *l,
                              slice host, uint16_t port, dns_fn *done,
                              void *arg);
/* Before `done` has run: gives it away, `done` does not run any more. */
void dns_cancel(struct dns_query *q);

#endif
