/* SPDX-License-Identifier: Apache-2.0 */
/* A link: one mTLS connection between two proxies that carries many exchanges
 * and many opaque connections as streams of one HTTP/2 session, under our own
 * ALPN name. docs/wire-protocol.md, part 2, is the prose.
 *
 * Outbound: link_start dials, proves the identity, and opens exchanges. Inbound:
 * link_serve takes a TLS stream that agreed on our ALPN. Both ends ping a silent
 * peer; both stop using a link before the certificates of its ends expire. */
#ifndef TULLE_LINK_LINK_H
#define TULLE_LINK_LINK_H

#include "lib/http/conn.h"
#include "lib/net/address.h"
#include "lib/tls/tls_stream.h"

struct link;

/* Bytes that the kernel may hold unsent at either end of a link: what is urgent
 * stands behind no more than that. */
enum { LINK_LOWAT = 131072 };

struct link_options {
    struct tls_settings *tls; /* client settings; shared while dialling */
    const struct http_limits *limits; /* outlives the link */
    int64_t dial_timeout;             /* ns, TCP and TLS together */
    int64_t ping_after;               /* ns of silence before a ping is sent */
    int64_t dead_after;   /* ns of silence after which the link is broken */
    int64_t idle_timeout; /* ns without a stream until it is closed */
};

struct link_events {
    /* Handshake done: link_open works. */
    void (*on_up)(struct link *l);
    /* A stream ended: there may be room for another. May be NULL. */
    void (*on_room)(struct link *l);
    /* No new streams (drain, GOAWAY, old certificate); those running go on. */
    void (*on_retired)(struct link *l);
    /* Never came up, or broke, or ended. Last event; the memory ends by itself.
     * `reason` is a constant phrase or NULL. */
    void (*on_down)(struct link *l, enum status why, const char *reason);
};

/* Starts dialling `to` (copied); the peer must prove exactly `identity` (copied).
 * Events come later, never from inside this call. */
struct link *link_start(struct loop *loop, const struct address *to,
                        slice identity, const struct link_options *opt,
                        const struct link_events *ev, void *owner);
void *link_owner(const struct link *l);
bool link_is_up(const struct link *l);
/* A new exchange, or NULL: not up, retired, or full. */
struct exchange *link_open(struct link *l);
/* Carries bulk: better to put small requests on another one. */
bool link_is_bulky(const struct link *l);
unsigned link_streams(const struct link *l);
/* Takes no new streams, ends with the last one. */
void link_retire(struct link *l);
/* Breaks it now; no event follows, exchanges break. */
void link_close(struct link *l);

/* --- inbound --- */

struct link_server;
struct link_server_events {
    /* A stream begins: exchange_own(x) here. */
    void (*on_exchange)(struct link_server *s, struct exchange *x);
    const struct headers *(*on_refused)(struct link_server *s, unsigned status,
                                        const char *why);
    /* Last event. */
    void (*on_closed)(struct link_server *s, enum status why);
};
/* Takes `tls`. */
struct link_server *link_serve(struct loop *loop, struct stream *tls,
                               const struct link_options *opt,
                               const struct link_server_events *ev,
                               void *owner);
void *link_server_owner(const struct link_server *s);
/* Who TLS says the other end is; lives as long as the link. */
const struct tls_peer *link_server_peer(const struct link_server *s);
void link_server_drain(struct link_server *s);
void link_server_close(struct link_server *s);

#endif
