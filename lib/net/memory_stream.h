/* SPDX-License-Identifier: Apache-2.0 */
/* Two streams joined in memory: what one writes the other reads, one pass later.
 * Carries a pod's connection to itself, and event modules in tests. */
#ifndef TULLE_NET_MEMORY_STREAM_H
#define TULLE_NET_MEMORY_STREAM_H

#include "lib/net/stream.h"

/* Gives both ends. Each keeps at most `window` bytes that the other end has not
 * read: beyond it stream_queued() grows and on_drained tells, as with a socket. */
void memory_stream_pair(struct loop *l, size_t window, struct stream **a,
                        struct stream **b);
/* Scripted faults, for tests: after `bytes` more bytes have been delivered to
 * this end it fails with `why` (as a reset by the peer would). */
void memory_stream_fail_after(struct stream *s, size_t bytes, enum status why);
/* The `n`-th operation from now on (1: the next read, write, room, end or wake)
 * fails the end, whether it reads or not: on_fail comes in the flush. */
void memory_stream_fail_at(struct stream *s, unsigned n, enum status why);
/* Delivers at most `n` bytes in one on_data (0: no limit). */
void memory_stream_slice(struct stream *s, size_t n);

#endif
