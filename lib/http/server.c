/* SPDX-License-Identifier: Apache-2.0 */
/* accepted -> TLS handshake -------------> ALPN -----> HTTP/1 or HTTP/2
 *         \-> plain: the first bytes are or are not HTTP/2's preface -/
 *
 * A connection that is slow to say what it is ends at the head time-out. At the
 * cap the listener pauses until one ends: clients wait in the kernel's queue. */
#include "lib/http/server.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"

enum { PREFACE = 24, CONNECTIONS_DEFAULT = 1024 };
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
static const int64_t USER_TIMEOUT = 30 * NSEC_PER_SEC;

struct http_server {
    struct loop *loop;
    struct listener *listener; /* NULL once draining */
    struct address at;
    struct tls_settings *tls;
    struct http_limits limits;
    unsigned max, count;
    struct list conns;
    http_server_fn *fn;
    void *arg;
    bool closed;
    struct reap reap;
};

/* Exactly one of handshake, raw, conn is set while it is in the list. */
struct server_conn {
    struct list node;
    struct http_server *server;
    struct tls_handshake *handshake;
    struct stream *raw; /* plain, until we know what it speaks */
    struct http_conn *conn;
    const struct tls_peer *peer;
    struct timer timer; /* while raw */
    char first[PREFACE];
    size_t first_len;
    struct reap reap;
};

/* ---- the end of a connection ---- */

static void free_conn(struct reap *r)
{
    mem_free(CONTAINER_OF(r, struct server_conn, reap));
}

static void forget(struct server_conn *sc)
{
    struct http_server *s = sc->server;
    timer_stop(&s->loop->timers, &sc->timer);
    list_remove(&sc->node);
    s->count--;
    loop_reap(s->loop, &sc->reap, free_conn);
    if (s->listener)
        listener_pause(s->listener, s->count >= s->max);
}

static void on_closed(struct http_conn *c, enum status why)
{
    (void)why;
    forget(c->owner);
}

/* ---- requests ---- */

static void on_exchange(struct http_conn *c, struct exchange *x)
{
    struct server_conn *sc = c->owner;
    sc->server->fn(sc->server->arg, x, sc->peer);
}

static const struct http_conn_events conn_events = {
    .on_exchange = on_exchange,
    .on_closed = on_closed,
};

static void serve(struct server_conn *sc, struct stream *st, bool h2,
                  slice first)
{
    struct http_server *s = sc->server;
    sc->handshake = NULL;
    sc->raw = NULL;
    timer_stop(&s->loop->timers, &sc->timer);
    sc->conn =
        h2 ? h2_server_new(s->loop, st, &s->limits, first, &conn_events, sc)
           : h1_server_new(s->loop, st, &s->limits, first, &conn_events, sc);
}

/* ---- what is spoken? ---- */

static void on_handshake(void *arg, enum status rc, struct stream *st,
                         const struct tls_peer *peer, const char *reason)
{
    struct server_conn *sc = arg;
    (void)reason;
    if (rc) { /* whoever it was has been told by an alert */
        forget(sc);
        return;
    }
    sc->peer = peer;
    serve(sc, st, slice_eq(peer->alpn, SLICE(TLS_ALPN_H2)), SLICE_NONE);
}

static void drop_raw(struct server_conn *sc)
{
    struct stream *st = sc->raw;
    forget(sc);
    stream_close(st, STREAM_NOW);
}

static void on_raw_data(struct stream *st, const char *ptr, size_t len)
{
    struct server_conn *sc = st->owner;
    size_t room = PREFACE - sc->first_len;
    size_t n = len < room ? len : room;
    memcpy(sc->first + sc->first_len, ptr, n);
    size_t have = sc->first_len + n;
    bool like = memcmp(sc->first, preface, have) == 0;
    if (like && have < PREFACE) {
        sc->first_len = have;
        return;
    }
    stream_read(st, false);
    if (sc->first_len == 0) {
        serve(sc, st, like, slice_of(ptr, len));
        return;
    }
    size_t all = sc->first_len + len;
    char *joined = mem_alloc(all);
    memcpy(joined, sc->first, sc->first_len);
    memcpy(joined + sc->first_len, ptr, len);
    serve(sc, st, like, slice_of(joined, all));
    mem_free(joined);
}

static void on_raw_end(struct stream *st)
{
    drop_raw(st->owner);
}

static void on_raw_fail(struct stream *st, enum status why)
{
    (void)why;
    drop_raw(st->owner);
}

static void on_raw_timeout(struct timer *t)
{
    drop_raw(CONTAINER_OF(t, struct server_conn, timer));
}

static const struct stream_events raw_events = {
    .on_data = on_raw_data,
    .on_end = on_raw_end,
    .on_fail = on_raw_fail,
};

static void wait_for_bytes(struct server_conn *sc, struct stream *st)
{
    struct http_server *s = sc->server;
    sc->raw = st;
    stream_own(st, &raw_events, sc);
    timer_set(&s->loop->timers, &sc->timer,
              loop_now(s->loop) + s->limits.head_timeout);
    stream_read(st, true);
}

/* ---- accepting ---- */

static void on_accept(void *owner, int fd, const struct address *peer)
{
    struct http_server *s = owner;
    struct stream *st;
    (void)peer;
    if (tcp_stream_open(&st, s->loop, fd, USER_TIMEOUT))
        return;
    struct server_conn *sc = MEM_NEW(struct server_conn);
    sc->server = s;
    timer_init(&sc->timer, on_raw_timeout);
    list_push_back(&s->conns, &sc->node);
    s->count++;
    listener_pause(s->listener, s->count >= s->max);
    if (!s->tls)
        wait_for_bytes(sc, st);
    else if (tls_handshake_start(&sc->handshake, st, s->tls, SLICE_NONE,
                                 SLICE_NONE, s->limits.head_timeout,
                                 on_handshake, sc))
        forget(sc);
}

static const struct listener_events listener_events = {.on_accept = on_accept};

/* ---- the server ---- */

enum status http_server_start(struct http_server **out, struct loop *l,
                              const struct http_server_options *opt,
                              http_server_fn *fn, void *arg, struct error *e)
{
    struct http_server *s = MEM_NEW(struct http_server);
    struct listener_options lo = {0};
    s->loop = l;
    s->limits = opt->limits;
    s->max = opt->max_connections ? opt->max_connections : CONNECTIONS_DEFAULT;
    s->fn = fn;
    s->arg = arg;
    list_init(&s->conns);
    enum status rc = listener_open(&s->listener, l, &opt->at, &lo,
                                   &listener_events, s, e);
    if (rc) {
        mem_free(s);
        return rc;
    }
    s->at = *listener_address(s->listener);
    s->tls = opt->tls ? tls_settings_ref(opt->tls) : NULL;
    *out = s;
    return OK;
}

const struct address *http_server_address(const struct http_server *s)
{
    return &s->at;
}

unsigned http_server_connections(const struct http_server *s)
{
    return s->count;
}

void http_server_set_tls(struct http_server *s, struct tls_settings *tls)
{
    struct tls_settings *old = s->tls;
    s->tls = tls_settings_ref(tls);
    tls_settings_unref(old);
}

static void stop_listening(struct http_server *s)
{
    if (s->listener)
        listener_close(s->listener);
    s->listener = NULL;
}

static void end_conn(struct server_conn *sc)
{
    if (sc->conn) {
        http_conn_close(sc->conn, ERR_CANCELED); /* forgets in on_closed */
        return;
    }
    if (sc->raw) {
        drop_raw(sc);
        return;
    }
    tls_handshake_cancel(sc->handshake);
    forget(sc);
}

void http_server_drain(struct http_server *s)
{
    stop_listening(s);
    /* Draining an idle connection closes it, no other. */
    LIST_EACH(node, &s->conns) {
        struct server_conn *sc = CONTAINER_OF(node, struct server_conn, node);
        if (sc->conn)
            http_conn_drain(sc->conn);
        else
            end_conn(sc);
    }
}

static void free_server(struct reap *r)
{
    struct http_server *s = CONTAINER_OF(r, struct http_server, reap);
    tls_settings_unref(s->tls);
    mem_free(s);
}

void http_server_close(struct http_server *s)
{
    if (s->closed)
        return;
    s->closed = true;
    stop_listening(s);
    while (!list_empty(&s->conns))
        end_conn(CONTAINER_OF(s->conns.next, struct server_conn, node));
    loop_reap(s->loop, &s->reap, free_server);
}
