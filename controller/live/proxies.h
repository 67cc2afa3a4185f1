/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of every proxy: of those with a session here, and, at the leader,
 * of those that other replicas told of. Looked at every second; a proxy of which
 * something changed is told by its pod. Whose session ends is gone at once for
 * its replica, and for the others after a while in which it may come again. */
#ifndef TULLE_CONTROLLER_LIVE_PROXIES_H
#define TULLE_CONTROLLER_LIVE_PROXIES_H

#include "controller/subscribe/publish.h"

struct proxies;

enum { PROXIES_MAX = 200000 }; /* pods; more are not taken in */
/* A replica that hangs is noticed by the leader up to 10 s before its proxies
 * notice; then they find another one. */
#define PROXY_GRACE (20 * NSEC_PER_SEC)

/* `pod` is "ns/pod"; `numbers`: nothing but its numbers moved. */
typedef void proxy_changed_fn(void *arg, slice pod, bool numbers);

/* Borrows the publisher. Gives it. */
struct proxies *proxies_new(struct loop *l, const struct publisher *p,
                            proxy_changed_fn *changed, void *arg);
/* Stops looking. NULL is ignored. */
void proxies_free(struct proxies *p);

/* What another replica says. `key` is "ns/pod". `replica` > 0 is the caller's number for it. */
void proxies_put(struct proxies *p, unsigned replica,
                 const struct proxy_state *s);
void proxies_del(struct proxies *p, unsigned replica, slice key);
/* The replica is gone: so is all that it said. */
void proxies_forget(struct proxies *p, unsigned replica);

/* What one replica (0: here) says; NULL: nothing. Borrows until the next
 * change. */
const struct proxy_state *proxies_at(const struct proxies *p, unsigned replica,
                                     slice key);
/* Of the pod with this UID (empty: any). NULL: no session anywhere, as far as we
 * know, for PROXY_GRACE. Borrows until the next change. */
const struct proxy_state *proxies_find(const struct proxies *p, slice key,
                                       slice uid);
/* Walks those with a session here (replica 0) or all of a replica's; start with
 * *i = 0. */
bool proxies_next(const struct proxies *p, unsigned replica, size_t *i,
                  const struct proxy_state **out);
/* Walks all pods, wherever their session is; start with *i = 0. */
bool proxies_all(const struct proxies *p, size_t *i,
                 const struct proxy_state **out);
/* What the timer does; `now` monotonic ns. For tests. */
void proxies_look(struct proxies *p, int64_t now);
size_t proxies_count(const struct proxies *p);
size_t proxies_in_sync(const struct proxies *p);

#endif
