/* SPDX-License-Identifier: Apache-2.0 */
/* From a change in the registry to the proxies: collects the topics that became
 * dirty (10 ms quiet, 100 ms at most), computes the feeds that depend on them,
 * and has the sessions tell what is another. Also the sessions' clock. */
#ifndef TULLE_CONTROLLER_SUBSCRIBE_PUBLISH_H
#define TULLE_CONTROLLER_SUBSCRIBE_PUBLISH_H

#include "controller/subscribe/session.h"
#include "lib/net/loop.h"

struct publisher;

/* A session's place among all; embed in its transport. */
struct seat {
    struct list node;
    struct session *session;
};

/* Borrows all. */
struct publisher *publisher_new(struct loop *l, struct registry *r,
                                const struct resolve_settings *settings,
                                const struct session_limits *lim);
/* No timers and no changes any more; sessions may still be left. Idempotent. */
void publisher_stop(struct publisher *p);
/* Stopped, and all seats must have been left. NULL is ignored. */
void publisher_free(struct publisher *p);

/* Makes the session of `seat` and takes it in. */
void publisher_join(struct publisher *p, struct seat *seat,
                    const struct session_peer *peer,
                    const struct session_events *ev, void *owner);
/* Frees the session. Not inside of its events. */
void publisher_leave(struct seat *seat);

/* Views that depend on this topic must be computed again: the bundle. */
void publisher_touch(struct publisher *p, slice topic);
/* Tells the state of each session that has subscribed to something, and whose
 * pod is not known to be another one's namesake. */
void publisher_states(const struct publisher *p,
                      void (*fn)(void *arg, const struct proxy_state *s),
                      void *arg);
size_t publisher_sessions(const struct publisher *p);
size_t publisher_in_sync(const struct publisher *p);
size_t publisher_feeds(const struct publisher *p);
/* {"version":...,"sessions":[...]} */
void publisher_json(const struct publisher *p, struct text *out);

#endif
