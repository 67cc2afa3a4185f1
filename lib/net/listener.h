/* SPDX-License-Identifier: Apache-2.0 */
/* Binds, listens, accepts. Out of descriptors it pauses (no spinning), tells,
 * and tries again every 100 ms until accepts work. */
#ifndef TULLE_NET_LISTENER_H
#define TULLE_NET_LISTENER_H

#include "lib/net/address.h"
#include "lib/net/tcp_stream.h"

struct listener;
struct listener_events {
    /* Takes `fd` (non-blocking, close-on-exec). `peer` borrows. */
    void (*on_accept)(void *owner, int fd, const struct address *peer);
    /* Accepting stopped (true) for want of descriptors, or goes on (false).
     * May be NULL. */
    void (*on_paused)(void *owner, bool paused);
};

struct listener_options {
    bool reuse_port;  /* one listener per worker */
    bool transparent; /* keep for later: IP_TRANSPARENT */
    bool v6only;
    int backlog;
};

/* Port 0 takes a free one: listener_address tells which. */
CHECKED enum status listener_open(struct listener **out, struct loop *l,
                                  const struct address *at,
                                  const struct listener_options *opt,
                                  const struct listener_events *ev, void *owner,
                                  struct error *e);
const struct address *listener_address(const struct listener *l);
/* Stops and resumes accepting, for limits of the owner. */
void listener_pause(struct listener *l, bool paused);
/* For good: takes who waits to be accepted, and refuses who comes from now on. */
void listener_refuse(struct listener *l);
/* Gives it away. No event follows. */
void listener_close(struct listener *l);

#endif
