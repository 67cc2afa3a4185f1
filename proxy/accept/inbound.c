/* SPDX-License-Identifier: Apache-2.0 */
/* An inbound connection: a link from another proxy, or plaintext.
 *
 *   looking --ClientHello with our ALPN--> handshaking --> link
 *      +--anything else, or silence--> conduit (permissive), reset (strict;
 *      |                                    but for the node's probes)
 *      ^------ClientHello after silence----+
 *
 * On a link each stream is a request or, by a CONNECT of the link's own, a conduit, which
 * our own declaration and our own look at its bytes judge: never the peer's word.
 * Failures: half a ClientHello, a refused certificate, a slow handshake and a
 * broken link close the connection; what ran on it breaks. */
#include "lib/base/clock.h"
#include "lib/base/fsm.h"
#include "lib/base/mem.h"
#include "lib/detect/client_hello.h"
#include "lib/detect/protocol.h"
#include "lib/http/exchange_stream.h"
#include "proxy/accept/accept.h"
#include "proxy/accept/conduit.h"
#include "proxy/accept/node.h"
#include "proxy/http/request.h"

static struct log_area area = LOG_AREA("inbound");

/* For so long a new link to a pod that leaves may be used, so that nobody dials
 * one after the other as fast as he can. */
static const int64_t LINK_STAYS = NSEC_PER_SEC;

enum inbound_state { IN_LOOKING, IN_HANDSHAKING, IN_LINK, IN_CLOSED };

static const struct fsm_state states[] = {
    [IN_LOOKING] = {"looking", TO(IN_HANDSHAKING) | TO(IN_CLOSED)},
    [IN_HANDSHAKING] = {"handshaking", TO(IN_LINK) | TO(IN_CLOSED)},
    [IN_LINK] = {"link", TO(IN_CLOSED)},
    [IN_CLOSED] = {"closed", 0},
};

struct inbound {
    struct connection conn;
    struct stream *s; /* until it is given on */
    unsigned state;
    struct log log;
    struct address app, client;
    uint16_t port;
    bool again; /* was taken for plaintext while it was silent */
    char *first;
    size_t first_len;
    struct timer timer;
    struct tls_handshake *handshake;
    struct link_server *link;
    struct target *target;
    struct reap reap;
};

static void free_inbound(struct reap *r)
{
    struct inbound *in = CONTAINER_OF(r, struct inbound, reap);
    mem_free(in->first);
    mem_free(in);
}

static void end(struct inbound *in)
{
    if (in->state == IN_CLOSED)
        return;
    fsm_move(states, &in->state, IN_CLOSED, &in->log);
    timer_stop(&in->conn.worker->loop.timers, &in->timer);
    connection_remove(&in->conn);
    target_unref(in->target);
    loop_reap(&in->conn.worker->loop, &in->reap, free_inbound);
}

static void wait_for(struct inbound *in, int64_t time)
{
    struct loop *l = &in->conn.worker->loop;
    timer_set(&l->timers, &in->timer, loop_now(l) + time);
}

/* ---- plaintext ---- */

static void look_again(struct stream *s, const struct target *t, slice first,
                       bool input_ended);

static void go_plain(struct inbound *in, bool input_ended)
{
    struct worker *w = in->conn.worker;
    struct stream *s = in->s;
    bool strict = worker_strict(w);
    bool probes_only = strict && node_may_probe(w, in->port, &in->client);
    if (strict && !probes_only) {
        log_info(&in->log, "plaintext refused: mTLS is strict", "");
        telemetry_count(w->telemetry, COUNTER_PLAINTEXT_REFUSED);
        stream_close(s, STREAM_RESET);
        end(in);
        return;
    }
    if (!in->again && !probes_only)
        telemetry_count(w->telemetry, COUNTER_PLAINTEXT_ACCEPTED);
    stream_read(s, false);
    struct target *t = target_inbound(w, &in->app, in->port, SLICE_NONE, false,
                                      &in->client);
    t->probes_only = probes_only;
    struct conduit_options opt = {
        .target = t,
        .silence = 0, /* we have waited already */
        .first = slice_of(in->first, in->first_len),
        .input_ended = input_ended,
        .on_tls = in->first_len ? NULL : look_again,
    };
    conduit_start(s, &opt);
    target_unref(t);
    end(in);
}

/* ---- streams of a link ---- */

/* A CONNECT stream: the owner of its conduit is the stream itself. */
static void on_open(void *owner)
{
    exchange_stream_confirm(owner);
}

static void on_refused(void *owner, struct stream *s, enum fault f)
{
    (void)owner;
    exchange_stream_refuse(s, fault_row(f)->status, fault_fields(f));
}

static const struct conduit_events opaque_events = {
    .on_open = on_open,
    .on_refused = on_refused,
};

static void accept_opaque(struct inbound *in, struct exchange *x)
{
    struct worker *w = in->conn.worker;
    enum fault f = worker_admit_connection(w, true);
    if (f) {
        telemetry_fault(w->telemetry, true, f);
        exchange_reply(x, fault_row(f)->status, SLICE_NONE, SLICE_NONE,
                       fault_fields(f));
        return;
    }
    struct stream *s = exchange_stream_accept(x);
    struct conduit_options opt = {
        .target = in->target,
        /* The other proxy has waited for the first bytes already: if there are
         * any, they are here in this pass or the next. */
        .silence = 1,
        .events = &opaque_events,
        .owner = s,
    };
    conduit_start(s, &opt);
}

static void on_stream_head(struct exchange *x, const struct head *h, bool end_)
{
    struct inbound *in = x->owner;
    if (h->opaque) {
        accept_opaque(in, x);
        return;
    }
    enum protocol declared = target_protocol(in->target);
    if (declared == PROTOCOL_OPAQUE || declared == PROTOCOL_TLS) {
        /* Our own declaration holds: requests have no place on this port. */
        telemetry_fault(in->conn.worker->telemetry, true,
                        FAULT_PROTOCOL_MISMATCH);
        exchange_reply(x, fault_row(FAULT_PROTOCOL_MISMATCH)->status,
                       SLICE_NONE, SLICE_NONE,
                       fault_fields(FAULT_PROTOCOL_MISMATCH));
        return;
    }
    request_accept(x, in->target);
    x->events->on_head(x, h, end_);
}

/* Of a CONNECT that was answered with a fault: nobody waits for more. */
static void on_stream_over(struct exchange *x)
{
    (void)x;
}

static void on_stream_reset(struct exchange *x, enum reset_why why)
{
    (void)x, (void)why;
}

static void on_stream_body(struct exchange *x, slice data, bool end_)
{
    (void)end_;
    exchange_consumed(x, data.len);
}

static void on_stream_trailers(struct exchange *x, const struct headers *t)
{
    (void)x, (void)t;
}

static void on_stream_sent(struct exchange *x, size_t n)
{
    (void)x, (void)n;
}

static const struct exchange_events stream_events_ = {
    .on_head = on_stream_head,
    .on_body = on_stream_body,
    .on_trailers = on_stream_trailers,
    .on_sent = on_stream_sent,
    .on_reset = on_stream_reset,
    .on_done = on_stream_over,
};

static void on_link_exchange(struct link_server *ls, struct exchange *x)
{
    exchange_own(x, &stream_events_, link_server_owner(ls));
}

static const struct headers *on_link_refused(struct link_server *ls,
                                             unsigned status, const char *why)
{
    struct inbound *in = link_server_owner(ls);
    enum fault f = fault_of_status(status);
    log_debug(&in->log, "bad message", "status=%u why=\"%s\"", status, why);
    telemetry_fault(in->conn.worker->telemetry, true, f);
    return fault_fields(f);
}

static void on_link_closed(struct link_server *ls, enum status why)
{
    struct inbound *in = link_server_owner(ls);
    log_debug(&in->log, "link closed", "why=%s", status_name(why));
    in->link = NULL;
    in->conn.worker->links_in--;
    end(in);
}

static const struct link_server_events link_events = {
    .on_exchange = on_link_exchange,
    .on_refused = on_link_refused,
    .on_closed = on_link_closed,
};

/* ---- handshake ---- */

static void on_handshake(void *arg, enum status rc, struct stream *tls,
                         const struct tls_peer *peer, const char *reason)
{
    struct inbound *in = arg;
    struct worker *w = in->conn.worker;
    in->handshake = NULL;
    telemetry_count(w->telemetry, rc ? COUNTER_HANDSHAKES_IN_FAILED
                                     : COUNTER_HANDSHAKES_IN_OK);
    if (rc == ERR_TIMEOUT)
        telemetry_limit(w->telemetry, true, LIMIT_HANDSHAKE_TIMEOUT);
    if (rc) {
        char client[ADDRESS_TEXT];
        slice at = address_format(&in->client, client);
        log_info(&in->log, "mTLS handshake refused",
                 "client=%.*s reason=\"%s\"", FMT(at),
                 reason ? reason : status_name(rc));
        end(in);
        return;
    }
    fsm_move(states, &in->state, IN_LINK, &in->log);
    in->target = target_inbound(w, &in->app, in->port, peer->name, true,
                                &in->client);
    struct link_options opt = w->up.link;
    opt.limits = &w->inbound_link;
    in->link = link_serve(&w->loop, tls, &opt, &link_events, in);
    w->links_in++;
    if (worker_leaving(w, true))
        wait_for(in, LINK_STAYS);
}

static void go_tls(struct inbound *in)
{
    struct worker *w = in->conn.worker;
    timer_stop(&w->loop.timers, &in->timer);
    fsm_move(states, &in->state, IN_HANDSHAKING, &in->log);
    tcp_stream_set_lowat(in->s, LINK_LOWAT);
    enum status rc =
        tls_handshake_start(&in->handshake, in->s, w->tls_server, SLICE_NONE,
                            slice_of(in->first, in->first_len),
                            w->config->handshake_timeout, on_handshake, in);
    in->s = NULL;
    mem_free(in->first);
    in->first = NULL;
    if (rc)
        end(in);
}

/* ---- looking ---- */

static void look(struct inbound *in, bool input_ended)
{
    struct client_hello hello;
    slice first = slice_of(in->first, in->first_len);
    if (first.len == 0) {
        if (input_ended)
            go_plain(in, true);
        return;
    }
    enum status rc = client_hello_begins(first)
                         ? client_hello_read(first, &hello)
                         : ERR_PROTOCOL;
    if (rc == ERR_AGAIN && !input_ended)
        return;
    if (rc == OK && client_hello_has_alpn(&hello, SLICE(TLS_ALPN_LINK)))
        go_tls(in);
    else
        go_plain(in, input_ended); /* the application's own TLS, or noise */
}

static void keep(struct inbound *in, const char *ptr, size_t len)
{
    /* Who has begun a ClientHello may be on a bad road, but is not silent. */
    if (in->first_len == 0 && client_hello_begins(slice_of(ptr, len)))
        wait_for(in, in->conn.worker->config->handshake_timeout);
    in->first = mem_resize(in->first, in->first_len + len);
    memcpy(in->first + in->first_len, ptr, len);
    in->first_len += len;
}

static void on_data(struct stream *s, const char *ptr, size_t len)
{
    struct inbound *in = s->owner;
    keep(in, ptr, len);
    look(in, false);
}

static void on_end(struct stream *s)
{
    look(s->owner, true);
}

static void on_fail(struct stream *s, enum status why)
{
    (void)why;
    stream_close(s, STREAM_NOW);
    end(s->owner);
}

static const struct stream_events look_events = {
    .on_data = on_data,
    .on_end = on_end,
    .on_fail = on_fail,
};

static void on_timer(struct timer *t)
{
    struct inbound *in = CONTAINER_OF(t, struct inbound, timer);
    if (in->state == IN_LINK) {
        link_server_drain(in->link);
        return;
    }
    if (in->first_len == 0) {
        go_plain(in, false);
        return;
    }
    telemetry_count(in->conn.worker->telemetry, COUNTER_HANDSHAKES_IN_FAILED);
    telemetry_limit(in->conn.worker->telemetry, true, LIMIT_HANDSHAKE_TIMEOUT);
    log_info(&in->log, "ClientHello not complete in time", "");
    stream_close(in->s, STREAM_RESET);
    end(in);
}

/* ---- from outside ---- */

static void on_drain(struct connection *conn)
{
    struct inbound *in = CONTAINER_OF(conn, struct inbound, conn);
    if (in->link)
        link_server_drain(in->link);
}

static void on_close(struct connection *conn)
{
    struct inbound *in = CONTAINER_OF(conn, struct inbound, conn);
    if (in->link)
        link_server_close(in->link); /* comes back to end() */
    else if (in->handshake)
        tls_handshake_cancel(in->handshake);
    else if (in->s)
        stream_close(in->s, STREAM_RESET);
    end(in);
}

static struct inbound *new_inbound(struct worker *w, struct stream *s,
                                   const struct address *app, uint16_t port,
                                   const struct address *client)
{
    struct inbound *in = MEM_NEW(struct inbound);
    in->s = s;
    in->app = *app;
    in->port = port;
    in->client = *client;
    in->log = (struct log){.area = &area, .id = rand_u64(&w->loop.rand) >> 40};
    in->conn.drain = on_drain;
    in->conn.close = on_close;
    timer_init(&in->timer, on_timer);
    connection_add(&in->conn, w, true);
    stream_own(s, &look_events, in);
    return in;
}

void inbound_accept(struct worker *w, struct stream *s,
                    const struct address *app, uint16_t port,
                    const struct address *client)
{
    struct inbound *in = new_inbound(w, s, app, port, client);
    /* In strict mode silence is no plaintext: a peer may be slow. */
    wait_for(in, worker_strict(w) ? w->config->handshake_timeout
                                  : w->config->detect_timeout);
    stream_read(s, true);
}

/* A slow peer, whose ClientHello begins only now. */
static void look_again(struct stream *s, const struct target *t, slice first,
                       bool input_ended)
{
    struct inbound *in = new_inbound(t->worker, s, &t->fixed->address, t->port,
                                     &t->client);
    in->again = true;
    keep(in, first.ptr, first.len);
    stream_read(s, true);
    look(in, input_ended);
}

void inbound_accept_self(struct worker *w, struct stream *s,
                         const struct address *app, uint16_t port, slice peer,
                         const struct address *client)
{
    struct target *t = target_inbound(w, app, port, peer, true, client);
    struct conduit_options opt = {.target = t, .silence = 1};
    conduit_start(s, &opt);
    target_unref(t);
}
