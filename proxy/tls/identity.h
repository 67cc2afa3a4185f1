/* SPDX-License-Identifier: Apache-2.0 */
/* Who we are, now: the key, certificate and roots in force, owned by the main
 * loop and passed to every worker as a snapshot when they change. */
#ifndef TULLE_PROXY_TLS_IDENTITY_H
#define TULLE_PROXY_TLS_IDENTITY_H

#include "lib/net/mail.h"
#include "lib/tls/tls_settings.h"

struct identity; /* the main loop's */

struct identity *identity_new(struct loop *main);
/* Every watch must have been closed: identity_watches() is 0. */
void identity_free(struct identity *id);
unsigned identity_watches(const struct identity *id);
/* Shares; tells every watch. On the main loop. */
void identity_set(struct identity *id, struct tls_identity *now);
/* On loan, NULL before the first. On the main loop. */
struct tls_identity *identity_now(const struct identity *id);

/* A worker's (or the main loop's) ear. */
struct identity_watch;
/* On the watch's loop; `now` on loan. */
typedef void identity_fn(void *arg, struct tls_identity *now);
typedef void identity_closed_fn(void *arg);
/* On the thread of `l`, or before it runs. `fn` runs soon when there is an
 * identity, and on each change. */
struct identity_watch *identity_watch_new(struct identity *id, struct loop *l,
                                          identity_fn *fn, void *arg);
/* Gives it away; `closed` (may be NULL) runs once, later, on this loop, while the
 * main loop runs too. No `fn` follows. */
void identity_watch_close(struct identity_watch *w, identity_closed_fn *closed,
                          void *arg);

#endif
