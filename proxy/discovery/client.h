/* SPDX-License-Identifier: Apache-2.0 */
/* The one session with the controller, on the main loop:
 *
 *   connecting -> hello -> in sync -> backing off -> connecting ...
 *
 * Controllers are tried in turn; between two tries it waits, longer each time,
 * with full jitter. While there is no session everybody works on with the last
 * snapshots; on a new one everything is subscribed to again with the hashes of
 * what is there.
 *
 * A session that is old ends while all is well, and the next one begins at any
 * controller: else one that was away would have no sessions until others fail. */
#ifndef TULLE_PROXY_DISCOVERY_CLIENT_H
#define TULLE_PROXY_DISCOVERY_CLIENT_H

#include "lib/tls/tls_settings.h"
#include "proxy/discovery/controllers.h"
#include "proxy/discovery/store.h"

struct discovery_client;

struct discovery_client_options {
    struct controllers *controllers; /* borrowed until the client is closed */
    slice expect; /* spiffe://<trust domain>/tulle/controller; copied */
    slice name;   /* of this pod or program, for people; copied */
    int64_t connect_timeout;          /* 5 s */
    int64_t heartbeat, silence;       /* 10 s, 30 s */
    int64_t backoff_min, backoff_max; /* 100 ms, 10 s */
    int64_t report_every;             /* 5 s; 0: no reports */
    int64_t age; /* 1 h, give or take 30 %; 0: sessions do not age */
};
/* Times of above, everything else empty. */
extern const struct discovery_client_options discovery_client_defaults;

struct discovery_client_events {
    /* Fill a report; what it points at must live until the call returns to the
     * loop. False: none now. May be NULL. */
    bool (*on_report)(void *arg, struct report *out);
    /* The session is in sync with a controller, or was lost. May be NULL. */
    void (*on_sync)(void *arg, bool in_sync);
};

/* Idle until the first discovery_client_set_tls. */
struct discovery_client *discovery_client_new(
    struct loop *l, struct discovery *d,
    const struct discovery_client_options *opt,
    const struct discovery_client_events *ev, void *arg);
/* What the next connection uses (shares): a client's, with our certificate, ALPN
 * "h2". A running session goes on until its certificate's end is near, then it
 * is renewed by reconnecting. */
void discovery_client_set_tls(struct discovery_client *c,
                              struct tls_settings *tls);
/* Ends the session now and frees; no event follows. */
void discovery_client_close(struct discovery_client *c);

bool discovery_client_in_sync(const struct discovery_client *c);
/* "connecting", "in sync" ... */
const char *discovery_client_state(const struct discovery_client *c);
struct discovery_client_stats {
    uint64_t sessions, failures; /* begun; ended or never begun */
    uint64_t views, nacks;
};
struct discovery_client_stats discovery_client_stats(
    const struct discovery_client *c);

#endif
