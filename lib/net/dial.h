/* SPDX-License-Identifier: Apache-2.0 */
/* Connects a TCP socket. */
#ifndef TULLE_NET_DIAL_H
#define TULLE_NET_DIAL_H

#include "lib/net/address.h"
#include "lib/net/tcp_stream.h"

struct tcp_dial;
/* On OK gives a stream (not reading, without owner); else NULL. */
typedef void tcp_dial_fn(void *arg, enum status rc, struct stream *s);

/* Starts connecting to `to` (copied). On OK, `done` runs exactly once, later, on
 * this loop: OK, ERR_REFUSED, ERR_TIMEOUT, ERR_RESOURCES, ERR_IO. After
 * tcp_dial_cancel it does not run any more. On error it never runs. */
CHECKED enum status tcp_dial_start(struct tcp_dial **out, struct loop *l,
                                   const struct address *to, int64_t timeout,
                                   int64_t user_timeout, tcp_dial_fn *done,
                                   void *arg);
/* Should `to` refuse, `second` (copied) is dialled, within the same time-out. */
void tcp_dial_or(struct tcp_dial *d, const struct address *second);
/* Gives the dial away; it ends by itself. */
void tcp_dial_cancel(struct tcp_dial *d);

#endif
