/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/accept/conduit.h"

#include "lib/base/clock.h"
#include "lib/base/fsm.h"
#include "lib/base/mem.h"
#include "lib/detect/client_hello.h"
#include "lib/detect/protocol.h"
#include "proxy/accept/passage.h"
#include "proxy/http/grpc.h"
#include "proxy/http/request.h"
#include "proxy/tcp/relay.h"
#include "proxy/upstream/open_stream.h"

static struct log_area area = LOG_AREA("conduit");

enum conduit_state {
    C_PEEKING,
    C_DIALLING,
    C_EARLY,
    C_SERVING,
    C_RELAYING,
    C_CLOSED,
};

static const struct fsm_state states[] = {
    [C_PEEKING] = {"peeking",
                   TO(C_DIALLING) | TO(C_EARLY) | TO(C_SERVING) | TO(C_CLOSED)},
    [C_DIALLING] = {"dialling", TO(C_RELAYING) | TO(C_CLOSED)},
    [C_EARLY] = {"early", TO(C_DIALLING) | TO(C_SERVING) | TO(C_RELAYING) |
                              TO(C_CLOSED)},
    [C_SERVING] = {"serving", TO(C_CLOSED)},
    [C_RELAYING] = {"relaying", TO(C_CLOSED)},
    [C_CLOSED] = {"closed", 0},
};

/* How long bytes may be too few to tell what they are. */
static const int64_t UNDECIDED = NSEC_PER_SEC;

/* What is needed only until an endpoint is reached. */
struct dialling {
    struct conduit *c;
    struct open_stream open;
    struct endpoint *ep;
    struct backend *backend;
    struct tried tried;
    unsigned attempts;
    int64_t started;
    struct stream *up; /* early: connected, and waiting for a first byte */
    bool under_way;
};

struct conduit {
    struct connection conn;
    struct holder holder;
    struct stream *down;
    struct target *target;
    unsigned state;
    struct log log;
    char *first;
    size_t first_len;
    bool input_ended, told_open;
    bool given_back; /* it was none of ours */
    bool draining;   /* was told before anything was served */
    conduit_tls_fn *on_tls;
    struct timer timer;
    struct dialling *dialling;
    struct http_conn *http;
    struct relay *relay;
    struct passage passage;
    enum fault fault; /* how an opaque connection ended */
    const struct conduit_events *events;
    void *owner;
    struct reap reap;
};

static void move(struct conduit *c, enum conduit_state to)
{
    fsm_move(states, &c->state, to, &c->log);
}

/* ---- the end ---- */

static void drop_dialling(struct conduit *c)
{
    struct dialling *d = c->dialling;
    int64_t now = loop_now(&c->conn.worker->loop);
    if (!d)
        return;
    c->dialling = NULL;
    open_stream_cancel(&d->open);
    if (d->under_way)
        balancer_cancel(&d->ep->load, now, now - d->started);
    if (d->up)
        stream_close(d->up, STREAM_RESET);
    endpoint_unref(d->ep);
    backend_unref(d->backend);
    tried_clear(&d->tried);
    mem_free(d);
}

static void free_conduit(struct reap *r)
{
    struct conduit *c = CONTAINER_OF(r, struct conduit, reap);
    mem_free(c->first);
    mem_free(c);
}

static void log_end(const struct conduit *c)
{
    uint64_t in = 0, out = 0;

    if (c->relay)
        relay_bytes(c->relay, &in, &out);
    if (c->relay)
        *(c->conn.inbound ? &in : &out) += c->first_len;
    passage_log(&c->passage, c->target, c->fault, in, out);
}

/* Every way ends here; streams are closed by the caller. */
static void end(struct conduit *c)
{
    if (c->state == C_CLOSED)
        return;
    if (c->state != C_PEEKING && c->state != C_SERVING && !c->given_back)
        log_end(c);
    c->relay = NULL;
    move(c, C_CLOSED);
    timer_stop(&c->conn.worker->loop.timers, &c->timer);
    drop_dialling(c);
    passage_fini(&c->passage);
    connection_remove(&c->conn);
    list_remove(&c->holder.node);
    target_unref(c->target);
    c->target = NULL;
    loop_reap(&c->conn.worker->loop, &c->reap, free_conduit);
}

static void tell_open(struct conduit *c)
{
    if (!c->told_open && c->events && c->events->on_open)
        c->events->on_open(c->owner);
    c->told_open = true;
}

static void refuse(struct conduit *c, enum fault f)
{
    struct stream *down = c->down;
    log_debug(&c->log, "refused", "fault=%.*s", FMT(fault_row(f)->name));
    telemetry_fault(c->conn.worker->telemetry, c->conn.inbound, f);
    c->fault = f;
    if (c->events && !c->told_open)
        c->events->on_refused(c->owner, down, f);
    else
        stream_close(down, STREAM_RESET);
    end(c);
}

/* ---- HTTP ---- */

static void on_exchange(struct http_conn *hc, struct exchange *x)
{
    struct conduit *c = hc->owner;
    request_accept(x, c->target);
}

static const struct headers *on_http_refused(struct http_conn *hc,
                                             const struct head *asked,
                                             unsigned status, const char *why)
{
    struct conduit *c = hc->owner;
    enum fault f = fault_of_status(status);
    log_debug(&c->log, "bad message", "status=%u why=\"%s\"", status, why);
    telemetry_fault(c->conn.worker->telemetry, c->conn.inbound, f);
    return asked && grpc_is(asked) ? grpc_fault_fields(f) : fault_fields(f);
}

static void on_http_closed(struct http_conn *hc, enum status why)
{
    struct conduit *c = hc->owner;
    (void)why;
    c->http = NULL;
    end(c);
}

static const struct http_conn_events http_events = {
    .on_exchange = on_exchange,
    .on_refused = on_http_refused,
    .on_closed = on_http_closed,
};

static void serve(struct conduit *c, bool http2)
{
    struct worker *w = c->conn.worker;
    drop_dialling(c);
    timer_stop(&w->loop.timers, &c->timer);
    move(c, C_SERVING);
    tell_open(c);
    c->http = (http2 ? h2_server_new : h1_server_new)(
        &w->loop, c->down, &w->http[c->conn.inbound],
        slice_of(c->first, c->first_len), &http_events, c);
    mem_free(c->first);
    c->first = NULL;
    if (c->draining || worker_leaving(w, c->conn.inbound))
        http_conn_drain(c->http);
}

/* ---- relay ---- */

static void on_relay_done(void *arg, enum fault f)
{
    struct conduit *c = arg;
    log_debug(&c->log, "relay ended", "fault=%.*s", FMT(fault_row(f)->name));
    c->fault = f;
    end(c);
}

static bool on_relay_watch(void *arg, slice bytes)
{
    struct conduit *c = arg;
    return passage_see(&c->passage, c->target, bytes);
}

static void relay(struct conduit *c, struct stream *up)
{
    struct worker *w = c->conn.worker;
    struct traffic *row = target_row(c->target, c->dialling->ep);
    timer_stop(&w->loop.timers, &c->timer);
    move(c, C_RELAYING);
    tell_open(c);
    c->dialling->up = NULL;
    traffic_tcp_bytes(row, c->conn.inbound ? c->first_len : 0,
                      c->conn.inbound ? 0 : c->first_len);
    c->relay = relay_start(&w->loop, c->down, up, w->config->tcp_idle_timeout,
                           c->conn.inbound, row, on_relay_done, c);
    relay_watch(c->relay, on_relay_watch);
    if (c->input_ended)
        relay_down_ended(c->relay);
    drop_dialling(c);
    mem_free(c->first); /* it has been sent */
    c->first = NULL;
}

/* ---- dialling ---- */

static void try_next(struct conduit *c);
static void peek(struct conduit *c);
static void arm(struct conduit *c, int64_t wait);

static void see_first(struct conduit *c)
{
    (void)passage_see(&c->passage, c->target, slice_of(c->first, c->first_len));
}

/* Early: the stream is there, and what has come is not HTTP after all. */
static struct relay *relay_early(struct conduit *c)
{
    struct stream *up = c->dialling->up;
    see_first(c);
    stream_write(up, c->first, c->first_len);
    relay(c, up);
    return c->relay;
}

static void on_up_data(struct stream *up, const char *ptr, size_t len)
{
    struct conduit *c = up->owner;
    relay_up_data(relay_early(c), ptr, len);
}

static void on_up_end(struct stream *up)
{
    relay_up_ended(relay_early(up->owner));
}

static void on_up_fail(struct stream *up, enum status why)
{
    struct conduit *c = up->owner;
    (void)why;
    c->dialling->up = NULL;
    c->fault = FAULT_UPSTREAM_RESET;
    stream_close(up, STREAM_NOW);
    stream_close(c->down, STREAM_RESET);
    end(c);
}

static const struct stream_events up_events = {
    .on_data = on_up_data,
    .on_end = on_up_end,
    .on_fail = on_up_fail,
};

static void connected(struct conduit *c, struct stream *up)
{
    struct dialling *d = c->dialling;
    int64_t now = loop_now(&c->conn.worker->loop);
    balancer_end(&d->ep->load, now, now - d->started, false);
    if (c->state == C_DIALLING) {
        relay(c, up);
        return;
    }
    d->up = up; /* early: whoever speaks first decides */
    tell_open(c);
    stream_own(up, &up_events, c);
    stream_read(up, true);
    if (c->first_len)
        peek(c);
    else
        arm(c, c->conn.worker->config->tcp_idle_timeout);
}

static void on_opened(struct open_stream *o, enum fault f, struct stream *up)
{
    struct dialling *d = CONTAINER_OF(o, struct dialling, open);
    struct conduit *c = d->c;
    struct worker *w = c->conn.worker;
    d->under_way = false;
    if (!f) {
        connected(c, up);
        return;
    }
    balancer_end(&d->ep->load, loop_now(&w->loop), w->config->connect_timeout,
                 true);
    if (!fault_elsewhere(f) || c->target->fixed ||
        d->attempts >= w->config->attempts) {
        refuse(c, f);
        return;
    }
    telemetry_count(w->telemetry, COUNTER_RETRIES);
    tried_add(&d->tried, d->ep);
    endpoint_unref(d->ep);
    d->ep = NULL;
    try_next(c);
}

static void try_next(struct conduit *c)
{
    struct dialling *d = c->dialling;
    enum fault f;
    d->attempts++;
    d->ep = target_pick(c->target, &d->backend, &d->tried, &f);
    if (!d->ep) {
        refuse(c, f);
        return;
    }
    passage_try(&c->passage, c->conn.worker, d->ep);
    d->started = loop_now(&c->conn.worker->loop);
    d->under_way = true;
    balancer_begin(&d->ep->load);
    /* Early: nothing was read yet, and what comes may be HTTP. */
    slice first = c->state == C_DIALLING ? slice_of(c->first, c->first_len)
                                         : SLICE_NONE;
    open_stream_start(&d->open, d->ep, first, on_opened);
}

static void dial(struct conduit *c)
{
    c->dialling = MEM_NEW(struct dialling);
    c->dialling->c = c;
    try_next(c);
}

static void go_opaque(struct conduit *c)
{
    timer_stop(&c->conn.worker->loop.timers, &c->timer);
    stream_read(c->down, false); /* until somebody takes it */
    if (c->state == C_EARLY && c->dialling->up) {
        relay_early(c);
        return;
    }
    see_first(c);
    drop_dialling(c); /* early: without the bytes that have come meanwhile */
    move(c, C_DIALLING);
    dial(c);
}

/* ---- peeking ---- */

static void arm(struct conduit *c, int64_t wait)
{
    struct loop *l = &c->conn.worker->loop;
    timer_set(&l->timers, &c->timer, loop_now(l) + (wait > 0 ? wait : 1));
}

/* A peer that was silent for so long that it was taken for plaintext. */
static void give_back(struct conduit *c)
{
    c->given_back = true;
    c->on_tls(c->down, c->target, slice_of(c->first, c->first_len),
              c->input_ended);
    end(c);
}

static void drop(struct conduit *c, enum fault f)
{
    telemetry_fault(c->conn.worker->telemetry, c->conn.inbound, f);
    stream_close(c->down, STREAM_NOW);
    end(c);
}

/* What has come so far is all that there is to go by. */
static void decide(struct conduit *c)
{
    if (!protocol_is_http(target_protocol(c->target))) {
        go_opaque(c);
    } else if (c->input_ended) { /* before there was a request */
        stream_close(c->down, STREAM_NOW);
        end(c);
    } else {
        serve(c, false);
    }
}

static void peek(struct conduit *c)
{
    slice first = slice_of(c->first, c->first_len);
    enum protocol p = target_protocol(c->target);
    if (c->on_tls && client_hello_begins(first)) {
        give_back(c);
        return;
    }
    if (p != PROTOCOL_DETECT && !protocol_is_http(p)) {
        go_opaque(c);
        return;
    }
    switch (protocol_may_be_http1(p) ? protocol_detect_http(first)
                                     : protocol_detect(first)) {
    case DETECTED_NEED_MORE:
        if (c->input_ended)
            decide(c);
        return; /* a timer runs */
    case DETECTED_HTTP1:
        serve(c, false);
        return;
    case DETECTED_HTTP2:
        serve(c, true);
        return;
    default:
        if (p == PROTOCOL_DETECT)
            go_opaque(c);
        else /* what is declared as HTTP/2 has no words for this */
            drop(c, FAULT_BAD_REQUEST);
    }
}

static void count_silence(struct conduit *c)
{
    struct telemetry *t = c->conn.worker->telemetry;
    telemetry_count(t, COUNTER_DETECT_TIMEOUTS);
    telemetry_tally(t, TALLY_SILENT, c->conn.inbound,
                    slice_str(c->target->service));
}

static void on_timer(struct timer *t)
{
    struct conduit *c = CONTAINER_OF(t, struct conduit, timer);
    if (c->first_len) { /* too little to tell, in all that time */
        decide(c);
        return;
    }
    if (c->state == C_EARLY || protocol_is_http(target_protocol(c->target))) {
        c->fault = FAULT_UPSTREAM_TIMEOUT;
        telemetry_limit(c->conn.worker->telemetry, c->conn.inbound,
                        c->state == C_EARLY ? LIMIT_TCP_IDLE_TIMEOUT
                                            : LIMIT_IDLE_TIMEOUT);
        stream_close(c->down, STREAM_NOW); /* nobody ever spoke */
        end(c);
        return;
    }
    count_silence(c);
    move(c, C_EARLY);
    dial(c);
}

static void keep(struct conduit *c, const char *ptr, size_t len)
{
    if (c->first_len == 0)
        arm(c, UNDECIDED);
    c->first = mem_resize(c->first, c->first_len + len);
    memcpy(c->first + c->first_len, ptr, len);
    c->first_len += len;
}

static void on_data(struct stream *s, const char *ptr, size_t len)
{
    struct conduit *c = s->owner;
    keep(c, ptr, len);
    if (c->first_len >= DETECT_MAX)
        stream_read(s, false);
    peek(c);
}

static void on_end(struct stream *s)
{
    struct conduit *c = s->owner;
    c->input_ended = true;
    peek(c); /* what is not HTTP by now will not be */
}

static void on_fail(struct stream *s, enum status why)
{
    struct conduit *c = s->owner;
    (void)why;
    c->fault = FAULT_CLIENT_GONE;
    stream_close(s, STREAM_NOW);
    end(c);
}

static const struct stream_events peek_events = {
    .on_data = on_data,
    .on_end = on_end,
    .on_fail = on_fail,
};

/* ---- from outside ---- */

static void on_drain(struct connection *conn)
{
    struct conduit *c = CONTAINER_OF(conn, struct conduit, conn);
    c->draining = true;
    if (c->http)
        http_conn_drain(c->http);
    /* Who has not spoken yet may be about to. */
    else if (c->state == C_PEEKING && !c->first_len &&
             protocol_is_http(target_protocol(c->target)))
        arm(c, UNDECIDED);
}

static void on_close(struct connection *conn)
{
    struct conduit *c = CONTAINER_OF(conn, struct conduit, conn);
    if (c->http)
        http_conn_close(c->http, ERR_CANCELED); /* comes back to end() */
    else if (c->relay)
        relay_close(c->relay);
    else
        stream_close(c->down, STREAM_RESET);
    c->fault = FAULT_DRAINING;
    end(c);
}

static size_t held(const struct holder *h, int64_t *moved)
{
    const struct conduit *c = CONTAINER_OF(h, const struct conduit, holder);
    *moved = h->began;
    if (c->http)
        return http_conn_held(c->http, moved);
    if (c->relay)
        return relay_held(c->relay, moved);
    return c->first_len;
}

/* A relay tells its row; of what else there is, no request knows. */
static void shed(struct holder *h)
{
    struct conduit *c = CONTAINER_OF(h, struct conduit, holder);
    if (c->relay) {
        relay_shed(c->relay);
        return;
    }
    telemetry_fault(c->conn.worker->telemetry, c->conn.inbound, FAULT_SHED);
    on_close(&c->conn);
}

static struct conduit *new_conduit(struct stream *s,
                                   const struct conduit_options *opt)
{
    struct worker *w = opt->target->worker;
    struct conduit *c = MEM_NEW(struct conduit);
    c->down = s;
    c->target = target_ref(opt->target);
    c->log = (struct log){.area = &area, .id = rand_u64(&w->loop.rand) >> 40};
    c->on_tls = opt->on_tls;
    c->input_ended = opt->input_ended;
    c->events = opt->events;
    c->owner = opt->owner;
    c->conn.drain = on_drain;
    c->conn.close = on_close;
    timer_init(&c->timer, on_timer);
    passage_init(&c->passage, w);
    c->conn.plaintext = opt->target->inbound && !opt->target->secured &&
                        !opt->target->probes_only;
    connection_add(&c->conn, w, opt->target->inbound);
    c->holder = (struct holder){.began = loop_now(&w->loop),
                                .held = held,
                                .shed = shed,
                                .inbound = opt->target->inbound};
    list_push_back(&w->holders, &c->holder.node);
    stream_own(s, &peek_events, c);
    return c;
}

void conduit_start(struct stream *s, const struct conduit_options *opt)
{
    struct conduit *c = new_conduit(s, opt);
    const struct config *config = c->conn.worker->config;
    enum protocol p = target_protocol(c->target);
    if (opt->first.len)
        keep(c, opt->first.ptr, opt->first.len);
    bool silent = !c->first_len && !c->input_ended;
    bool http = protocol_is_http(p);
    if (http && !c->on_tls)
        tell_open(c); /* it will be served, whichever version it is */
    if (silent && (p == PROTOCOL_DETECT || http || c->on_tls)) {
        bool leaving = worker_leaving(c->conn.worker, c->conn.inbound);
        arm(c, !http     ? opt->silence
               : leaving ? UNDECIDED
                         : config->http_idle_timeout);
        stream_read(s, true);
        return;
    }
    if (!c->input_ended && (p == PROTOCOL_DETECT || http))
        stream_read(s, true);
    peek(c);
}
