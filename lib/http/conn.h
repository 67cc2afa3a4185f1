/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP connection of either version, either side, over a stream: what
 * h1_conn.c and h2_conn.c implement and servers, clients and links use. */
#ifndef TULLE_HTTP_CONN_H
#define TULLE_HTTP_CONN_H

#include "lib/http/exchange.h"
#include "lib/http/limits.h"
#include "lib/net/stream.h"

struct http_conn;

struct http_conn_events {
    /* Server: a request is about to be delivered. The owner calls exchange_own
     * here; on_head follows at once. */
    void (*on_exchange)(struct http_conn *c, struct exchange *x);
    /* Client: it can (again) carry a new exchange; of HTTP/2 outside of links also
     * when the server says how many. May be NULL. */
    void (*on_ready)(struct http_conn *c);
    /* It will carry no new exchange (GOAWAY, Connection: close); those running go
     * on. May be NULL. */
    void (*on_draining)(struct http_conn *c);
    /* Server: the peer's message was refused before it became an exchange
     * (malformed, over a limit, too slow). `asked`: its head as far as it was
     * read, or NULL; only for the kind of the answer. Gives fields to add to the
     * answer, or NULL; they borrow until the call returns to the loop. May be
     * NULL. */
    const struct headers *(*on_refused)(struct http_conn *c,
                                        const struct head *asked,
                                        unsigned status, const char *why);
    /* It ended; its exchanges were told before. Last event; memory ends by itself
     * after the pass: the owner forgets its pointer. */
    void (*on_closed)(struct http_conn *c, enum status why);
};

struct http_conn_type {
    const char *name;
    struct exchange *(*open)(struct http_conn *c);
    void (*drain)(struct http_conn *c);
    void (*close)(struct http_conn *c, enum status why);
    size_t (*held)(const struct http_conn *c, int64_t *moved);
};

struct http_conn {
    const struct http_conn_type *type;
    const struct http_conn_events *events;
    void *owner;
    struct loop *loop;
    struct stream *stream;
    const struct http_limits *limits;
    const void *peer; /* the owner's: who TLS says the other end is */
    unsigned running; /* exchanges under way */
    bool server, draining, closed;
};

/* Take the stream (not reading yet, or stopped); `lim` must outlive the
 * connection. Reading starts at once. `first` are bytes that were read before
 * (for detection); they are copied. The arguments `ev`, `owner` are stored. */
struct http_conn *h1_server_new(struct loop *l, struct stream *s,
                                const struct http_limits *lim, slice first,
                                const struct http_conn_events *ev, void *owner);
struct http_conn *h1_client_new(struct loop *l, struct stream *s,
                                const struct http_limits *lim,
                                const struct http_conn_events *ev, void *owner);
struct http_conn *h2_server_new(struct loop *l, struct stream *s,
                                const struct http_limits *lim, slice first,
                                const struct http_conn_events *ev, void *owner);
struct http_conn *h2_client_new(struct loop *l, struct stream *s,
                                const struct http_limits *lim,
                                const struct http_conn_events *ev, void *owner);

/* The same between two proxies of the mesh: upgrades, and the version that the
 * client behind it speaks, travel along (h2_head.c). On other connections what
 * looks like that is an ordinary field. */
struct http_conn *h2_link_server_new(struct loop *l, struct stream *s,
                                     const struct http_limits *lim, slice first,
                                     const struct http_conn_events *ev,
                                     void *owner);
struct http_conn *h2_link_client_new(struct loop *l, struct stream *s,
                                     const struct http_limits *lim,
                                     const struct http_conn_events *ev,
                                     void *owner);

/* Client: a new exchange on it, or NULL (busy, draining, stream limit). The
 * caller owns it with exchange_own and sends the head in the same pass. */
static inline struct exchange *http_conn_open(struct http_conn *c)
{
    return c->type->open(c);
}
/* Takes no new exchange, tells the peer (GOAWAY, or Connection: close on the
 * next response), closes when the last one is over; when idle at once, on the
 * SERVER side after a moment in which a request that was under way may come. */
static inline void http_conn_drain(struct http_conn *c)
{
    c->type->drain(c);
}
/* Closes now; its exchanges break with RESET_CONNECTION (a request that has not
 * left yet: RESET_REFUSED); on_closed follows before this returns. Idempotent. */
static inline void http_conn_close(struct http_conn *c, enum status why)
{
    c->type->close(c, why);
}

/* Bytes that it keeps for nobody's exchange: input that is no message yet, output
 * whose exchange is over, or that all of them share. `*moved`: loop time of its last
 * progress. */
static inline size_t http_conn_held(const struct http_conn *c, int64_t *moved)
{
    return c->type->held(c, moved);
}

/* HTTP/2 only. Sends a PING; the answer's time is kept. */
void h2_conn_ping(struct http_conn *c);
/* Loop time (ns) of the last byte received. */
int64_t h2_conn_last_heard(const struct http_conn *c);
/* Bytes received on all streams and not yet consumed by their owners. */
size_t h2_conn_held(const struct http_conn *c);
/* One of its streams moves much (256 KiB within a second, of late). */
bool h2_conn_bulky(const struct http_conn *c);

#endif
