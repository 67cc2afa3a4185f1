/* SPDX-License-Identifier: Apache-2.0 */
/* Where the controller is, on the main loop: a list of IP:port and name:port.
 * Who wants to connect picks one address after another; names are asked for
 * again at (nearly) every pick, so that a replica which came since is found, and
 * one that went is forgotten.
 *
 * First come the addresses of the names, beginning with a random one, then those
 * given as such: for the time when nobody answers for a name. */
#ifndef TULLE_PROXY_DISCOVERY_CONTROLLERS_H
#define TULLE_PROXY_DISCOVERY_CONTROLLERS_H

#include "lib/base/list.h"
#include "lib/net/dns.h"

struct controllers;

enum { CONTROLLERS_MAX = 8 };

/* dns_query and dns_cancel, or what a test puts in their place. */
struct controllers_resolver {
    enum status (*query)(struct dns_query **out, struct loop *l, slice host,
                         uint16_t port, dns_fn *done, void *arg);
    void (*cancel)(struct dns_query *q);
};

/* `list`: separated by commas, copied. ERR_INVALID, ERR_TOO_BIG with a sentence.
 * `r` NULL: the system's. */
CHECKED enum status controllers_new(struct controllers **out, struct loop *l,
                                    slice list,
                                    const struct controllers_resolver *r,
                                    struct error *e);
/* Nobody may wait any more. NULL is ignored. */
void controllers_free(struct controllers *c);

struct controllers_pick;
/* `to` NULL: no name resolves, and nothing else is given. */
typedef void controllers_fn(struct controllers_pick *p,
                            const struct address *to);

/* Embed, zeroed, in who connects; it remembers where it is in the list. */
struct controllers_pick {
    struct list node;
    struct timer patience;
    struct controllers *of; /* while waiting */
    controllers_fn *done;
    uint32_t next;
    bool begun;
};

/* The next address to try. OK: `*to` at once. ERR_AGAIN: `done` runs exactly
 * once, later, within some seconds, unless canceled. */
CHECKED enum status controllers_next(struct controllers *c,
                                     struct controllers_pick *p,
                                     struct address *to, controllers_fn *done);
/* Idempotent. */
void controllers_cancel(struct controllers_pick *p);

#endif
