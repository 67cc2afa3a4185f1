/* SPDX-License-Identifier: Apache-2.0 */
/* Joins two byte streams: what one reads the other writes. Half-close goes
 * through, a reset on one side resets the other, a side that takes nothing stops
 * the other, silence ends both. */
#ifndef TULLE_PROXY_TCP_RELAY_H
#define TULLE_PROXY_TCP_RELAY_H

#include "lib/net/stream.h"
#include "proxy/telemetry/telemetry.h"

struct relay;
/* Last event; both streams are closed and the relay ends by itself. */
typedef void relay_fn(void *arg, enum fault f);

/* Takes both streams and a reference to `tr` (shares; bytes are counted there;
 * `inbound` says which way `down` faces). `done` runs once, later. */
struct relay *relay_start(struct loop *l, struct stream *down,
                          struct stream *up, int64_t idle_timeout, bool inbound,
                          struct traffic *tr, relay_fn *done, void *arg);
/* What had come before the relay began: the end of `down`'s input; bytes of `up`,
 * or its end. */
void relay_down_ended(struct relay *r);
void relay_up_data(struct relay *r, const char *ptr, size_t len);
void relay_up_ended(struct relay *r);
/* What `down` says from now on is shown to `watch` as well, until that returns
 * false; `arg` is that of `done`. */
typedef bool relay_watch_fn(void *arg, slice bytes);
void relay_watch(struct relay *r, relay_watch_fn *watch);
/* So far, as seen from the pod; also in `done`. */
void relay_bytes(const struct relay *r, uint64_t *in, uint64_t *out);
/* Tells both ends (a plain end; a reset where bytes are queued, which are
 * dropped), waits for nothing; `done` does not run. */
/* Bytes that wait for their readers, and since when (loop time) none went on. */
size_t relay_held(const struct relay *r, int64_t *moved);
/* Breaks it for want of memory; `done` runs. */
void relay_shed(struct relay *r);
void relay_close(struct relay *r);

#endif
