/* SPDX-License-Identifier: Apache-2.0 */
/* A stream over a connected TCP socket: uv_poll, direct reads into the loop's
 * lent buffer, gathered writes. */
#ifndef TULLE_NET_TCP_STREAM_H
#define TULLE_NET_TCP_STREAM_H

#include "lib/net/stream.h"

/* Takes `fd` (non-blocking, connected), also on error. TCP_NODELAY is set;
 * `user_timeout` (ns, 0: none) bounds how long sent bytes may stay unanswered,
 * with keep-alive probes in a silent connection (TCP_USER_TIMEOUT). */
CHECKED enum status tcp_stream_open(struct stream **out, struct loop *l, int fd,
                                    int64_t user_timeout);
int tcp_stream_fd(const struct stream *s);
/* The kernel keeps at most `bytes` unsent (TCP_NOTSENT_LOWAT), so that what is
 * urgent never waits behind a full socket buffer. For links. */
void tcp_stream_set_lowat(struct stream *s, unsigned bytes);

/* For dial.c: the socket is still connecting; `fn` runs once, with the errno of
 * connect() or 0, before any other event. */
typedef void tcp_connected_fn(struct stream *s, int err);
void tcp_stream_await_connect(struct stream *s, tcp_connected_fn *fn);

#endif
