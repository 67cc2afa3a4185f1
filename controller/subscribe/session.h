/* SPDX-License-Identifier: Apache-2.0 */
/* One proxy's session, without its transport: bytes of lines in, lines out.
 *
 * What has changed is a set of dirty subscriptions, never a queue of events: a
 * proxy that is slow misses versions, not the last one. While more than a
 * watermark of output is on its way nothing is added. Order, make before break:
 * workload and backends; destinations (each after the backends that it names,
 * which are subscribed for it if they are not yet); what is gone or empty. */
#ifndef TULLE_CONTROLLER_SUBSCRIBE_SESSION_H
#define TULLE_CONTROLLER_SUBSCRIBE_SESSION_H

#include "controller/subscribe/feed.h"
#include "lib/base/log.h"
#include "lib/mesh/wire.h"

struct session_limits {
    uint32_t subscriptions; /* asked for by the proxy */
    size_t watermark;       /* bytes on their way before it counts as behind */
    size_t line;            /* of one message from the proxy */
    uint32_t rate, burst;   /* messages from the proxy, a second and at once */
    int64_t hello, beat, silence; /* ns */
};
extern const struct session_limits session_limits_default;

/* Who the certificate says it is. Borrowed by session_new, copied. */
struct session_peer {
    slice name; /* spiffe://... */
    struct client client;
    int64_t issued, not_after; /* its certificate, seconds since 1970 */
};

struct session;

struct session_events {
    /* Sends a line; session_sent tells as it leaves. Borrows. */
    void (*on_send)(void *owner, slice line);
    /* The session is over by its own decision: end the transport, then free the
     * session later (not inside). Told at most once. */
    void (*on_over)(void *owner, const char *why);
};

struct session *session_new(struct feeds *fs, const struct session_peer *peer,
                            const struct session_limits *lim,
                            const struct session_events *ev, void *owner,
                            uint64_t id, int64_t now);
/* Not inside of an event of it. */
void session_free(struct session *s);

/* Bytes from the proxy; `now` monotonic ns. */
void session_input(struct session *s, slice bytes, int64_t now);
/* `n` bytes of output have left. */
void session_sent(struct session *s, size_t n);
/* A feed has changed: notes which of its subscribers must be told. */
void feed_mark_subscribers(struct feed *f);
/* Sends what is dirty, as far as the watermark allows. */
void session_flush(struct session *s);
/* Time passed: heartbeats, silence, an expired certificate. Call it at least
 * every second. `date`: seconds since 1970. */
void session_tick(struct session *s, int64_t now, int64_t date);

/* This process stood still for so long (suspended, starved): that was no silence
 * of the proxy's, which may have bytes waiting. */
void session_slept(struct session *s, int64_t ns);

/* What can be said of a proxy, as of now. Slices borrow from whoever gives it. */
struct proxy_state {
    slice ns, pod, uid; /* from its certificate */
    slice identity;     /* spiffe://... */
    slice version;      /* of the proxy */
    slice config;       /* hash of the workload view that it has in force */
    slice mtls;         /* "permissive" or "strict": in force there */
    slice roots;   /* marks of the roots that it trusts (root_state.h); empty:
                           not known */
    slice problem; /* why it refused what it was told; empty: nothing */
    bool in_sync;
    int64_t cert_not_after; /* seconds since 1970 */
    /* Of the certificate that it came with; it may have a later one by now. 0: not
     * known. */
    int64_t cert_issued;
    /* Since the proxy started, as it last reported. */
    uint64_t requests, failures, connections, secured, detect_timeouts;
    struct silent silent[WIRE_SILENT_MAX];
    uint32_t silent_len;
};
/* Borrows until the session's next input or flush. */
void session_state(const struct session *s, struct proxy_state *out);

bool session_is_over(const struct session *s);
/* Nothing dirty, and everything that was sent was acknowledged. */
bool session_in_sync(const struct session *s);
uint32_t session_subscriptions(const struct session *s);
/* What the proxy may ask for; it is told, and keeps to it. */
uint32_t session_max_subscriptions(const struct session *s);
/* For people: one JSON object. */
void session_json(const struct session *s, int64_t now, struct text *out);

#endif
