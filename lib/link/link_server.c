/* SPDX-License-Identifier: Apache-2.0 */
/* The inbound end: an HTTP/2 server session that knows who its peer is. */
#include "lib/base/mem.h"
#include "lib/link/pulse.h"

struct link_server {
    const struct link_server_events *events;
    void *owner;
    struct http_conn *conn;
    const struct tls_peer *peer; /* lives in the stream */
    struct pulse pulse;
    struct reap reap;
};

static void free_server(struct reap *r)
{
    mem_free(CONTAINER_OF(r, struct link_server, reap));
}

static void on_exchange(struct http_conn *c, struct exchange *x)
{
    struct link_server *s = c->owner;
    s->events->on_exchange(s, x);
}

static const struct headers *on_refused(struct http_conn *c,
                                        const struct head *asked,
                                        unsigned status, const char *why)
{
    (void)asked; /* who asked through the other proxy is answered there */
    struct link_server *s = c->owner;
    return s->events->on_refused ? s->events->on_refused(s, status, why) : NULL;
}

static void on_closed(struct http_conn *c, enum status why)
{
    struct link_server *s = c->owner;
    pulse_stop(&s->pulse);
    loop_reap(c->loop, &s->reap, free_server);
    s->events->on_closed(s, why);
}

static const struct http_conn_events conn_events = {
    .on_exchange = on_exchange,
    .on_refused = on_refused,
    .on_closed = on_closed,
};

static void on_dead(struct pulse *p)
{
    http_conn_close(p->conn, ERR_TIMEOUT);
}

static void on_expired(struct pulse *p)
{
    http_conn_drain(p->conn);
}

struct link_server *link_serve(struct loop *loop, struct stream *tls,
                               const struct link_options *opt,
                               const struct link_server_events *ev, void *owner)
{
    struct link_server *s = MEM_NEW(struct link_server);
    s->events = ev;
    s->owner = owner;
    s->peer = tls_stream_peer(tls);
    s->conn = h2_link_server_new(loop, tls, opt->limits, SLICE_NONE,
                                 &conn_events, s);
    s->pulse.on_dead = on_dead;
    s->pulse.on_expired = on_expired;
    s->pulse.on_ended = on_dead;
    pulse_start(&s->pulse, s->conn, opt, s->peer->not_after);
    return s;
}

void *link_server_owner(const struct link_server *s)
{
    return s->owner;
}

const struct tls_peer *link_server_peer(const struct link_server *s)
{
    return s->peer;
}

void link_server_drain(struct link_server *s)
{
    http_conn_drain(s->conn);
}

void link_server_close(struct link_server *s)
{
    http_conn_close(s->conn, ERR_CANCELED);
}
