/* SPDX-License-Identifier: Apache-2.0 */
/* Start: listeners are bound on the main thread (so a port in use stops the
 * start-up), paused; the thread runs; when an identity and the first workload view
 * are there they accept. Nothing is forwarded before, so no policy fails open.
 *
 * Drain: connections are told to end (GOAWAY, Connection: close) while new ones
 * are still accepted, and told likewise. Inbound that lasts until those that were
 * there have gone, and a while for the word to spread; then new ones are refused,
 * or they would keep us for as long as they come. When no connection is left, or
 * the grace period is over, everything is closed and the loop ends. */
#include "proxy/worker.h"

#include <errno.h>
#include <ifaddrs.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "proxy/accept/accept.h"
#include "proxy/accept/orig_dst.h"
#include "proxy/limits.h"
#include "proxy/proxy.h"
#include "proxy/shed.h"
#include "proxy/tls/identity.h"

static struct log_area area = LOG_AREA("worker");
static const struct log log_ = {.area = &area};

enum { POOL_CHUNKS = 64, TICK_MSEC = 250 };

/* ---- what the own pod says ---- */

const struct workload_view *worker_workload(const struct worker *w)
{
    struct view *v = lookup_held(&w->workload_watch);
    return v ? &v->workload : NULL;
}

enum protocol worker_port_protocol(const struct worker *w, uint16_t port)
{
    const struct workload_view *v = worker_workload(w);
    for (uint32_t i = 0; v && i < v->ports_len; i++)
        if (v->ports[i].port == port)
            return v->ports[i].protocol;
    return PROTOCOL_DETECT;
}

bool worker_strict(const struct worker *w)
{
    const struct workload_view *v = worker_workload(w);
    return !v || v->mtls == MTLS_STRICT; /* not known: closed */
}

bool worker_leaving(const struct worker *w, bool inbound)
{
    const struct workload_view *v = worker_workload(w);
    return w->draining || (inbound && v && v->terminating);
}

enum fault worker_admit_request(struct worker *w, bool inbound)
{
    uint32_t n = inbound ? w->requests_inbound : w->requests_outbound;
    if (n >= w->max_requests) {
        telemetry_limit(w->telemetry, inbound, LIMIT_REQUESTS);
        return FAULT_TOO_MANY_REQUESTS;
    }
    if (mem_over_budget()) {
        telemetry_limit(w->telemetry, inbound, LIMIT_MEMORY);
        return FAULT_OUT_OF_MEMORY;
    }
    return FAULT_NONE;
}

/* ---- connections ---- */

void connection_add(struct connection *c, struct worker *w, bool inbound)
{
    c->worker = w;
    c->inbound = inbound;
    c->late = w->draining;
    list_push_back(&w->connections, &c->node);
    ++*(inbound ? &w->open_inbound : &w->open_outbound);
}

void connection_remove(struct connection *c)
{
    struct worker *w = c->worker;
    list_remove(&c->node);
    if (w->draining && c->inbound && !c->late)
        w->awaited--;
    --*(c->inbound ? &w->open_inbound : &w->open_outbound);
}

enum fault worker_admit_connection(struct worker *w, bool inbound)
{
    uint32_t open = inbound ? w->open_inbound : w->open_outbound;
    enum fault f = FAULT_NONE;
    if (open >= w->max_connections)
        f = FAULT_TOO_MANY_CONNECTIONS;
    else if (mem_over_budget())
        f = FAULT_OUT_OF_MEMORY;
    if (!f)
        return f;
    telemetry_count(w->telemetry, COUNTER_CONNECTIONS_REFUSED);
    telemetry_limit(w->telemetry, inbound,
                    f == FAULT_OUT_OF_MEMORY ? LIMIT_MEMORY
                                             : LIMIT_CONNECTIONS);
    return f;
}

/* Whoever serves this dials himself. Inbound, every address is one of the pod:
 * also one that it got after our start. */
static bool leads_back(const struct worker_listener *wl,
                       const struct address *to)
{
    const struct worker *w = wl->worker;
    if (!wl->spec->inbound && !address_is_loopback(to) &&
        !pod_owns(proxy_pod(w->proxy), to))
        return false;
    for (unsigned i = 0; i < w->listeners_len; i++)
        if (w->listeners[i].spec->transparent &&
            address_port(listener_address(w->listeners[i].listener)) ==
                address_port(to))
            return true;
    return false;
}

/* Redirected to us, and yet for somebody else, or for loopback: a neighbour on the
 * link wants us to dial that for him. The packet rules leave such packets alone;
 * who changed them, or has a kernel without that rule, is still no relay. */
static bool is_foreign(const struct worker_listener *wl,
                       const struct address *to)
{
    return wl->spec->inbound && !pod_owns(proxy_pod(wl->worker->proxy), to) &&
           !orig_dst_is_own(to); /* that it got after our start */
}

static void accept_transparent(struct worker_listener *wl, struct stream *s,
                               int fd, const struct address *client)
{
    char text[ADDRESS_TEXT];
    struct address to;
    uint16_t own = address_port(listener_address(wl->listener));
    if (orig_dst(fd, own, &to) || leads_back(wl, &to)) {
        telemetry_fault(wl->worker->telemetry, wl->spec->inbound, FAULT_LOOP);
        stream_close(s, STREAM_RESET);
        return;
    }
    if (is_foreign(wl, &to)) {
        telemetry_count(wl->worker->telemetry, COUNTER_CONNECTIONS_REFUSED);
        log_debug(&log_, "connection for a foreign address refused",
                  "destination=%.*s", FMT(address_format(&to, text)));
        stream_close(s, STREAM_RESET);
        return;
    }
    if (wl->spec->inbound)
        inbound_accept(wl->worker, s, &to, address_port(&to), client);
    else
        outbound_accept(wl->worker, s, address_format(&to, text), &to, client);
}

static void reject(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

static void on_accept(void *owner, int fd, const struct address *client)
{
    struct worker_listener *wl = owner;
    struct worker *w = wl->worker;
    struct stream *s;
    bool inbound = wl->spec->inbound;
    if (worker_admit_connection(w, inbound)) {
        reject(fd);
        return;
    }
    /* Inbound the other end is a proxy or a pod whose death must be noticed. */
    if (tcp_stream_open(&s, &w->loop, fd, w->up.user_timeout))
        return;
    telemetry_count(w->telemetry, inbound ? COUNTER_ACCEPTED_INBOUND
                                          : COUNTER_ACCEPTED_OUTBOUND);
    if (wl->spec->transparent)
        accept_transparent(wl, s, fd, client);
    else if (inbound)
        inbound_accept(w, s, &wl->spec->app,
                       address_port(listener_address(wl->listener)), client);
    else
        outbound_accept(w, s, slice_str(wl->spec->service), NULL, client);
}

static void on_paused(void *owner, bool paused)
{
    struct worker_listener *wl = owner;
    if (!paused)
        return;
    log_warn(&log_, "out of descriptors, accepting paused", "");
    telemetry_count(wl->worker->telemetry, COUNTER_ACCEPT_PAUSES);
    telemetry_limit(wl->worker->telemetry, wl->spec->inbound,
                    LIMIT_DESCRIPTORS);
}

static const struct listener_events listener_events = {
    .on_accept = on_accept,
    .on_paused = on_paused,
};

/* ---- in-process delivery ---- */

static const struct worker_listener *own_listener(const struct worker *w,
                                                  const struct address *to)
{
    for (unsigned i = 0; i < w->listeners_len; i++) {
        const struct worker_listener *wl = &w->listeners[i];
        if (!wl->spec->inbound)
            continue;
        if (wl->spec->transparent
                ? pod_owns(proxy_pod(w->proxy), to)
                : address_eq(to, proxy_listening(w->proxy, i)))
            return wl;
    }
    return NULL;
}

static bool is_self(void *owner, const struct address *to)
{
    return own_listener(owner, to) != NULL;
}

/* Only what packet rules bring here came for the pod rather than for one address
 * that somebody has configured. */
static bool sibling(void *owner, const struct address *of, struct address *out)
{
    const struct worker *w = owner;
    const struct worker_listener *wl = own_listener(w, of);
    return wl && wl->spec->transparent &&
           pod_sibling(proxy_pod(w->proxy), of, out);
}

static void deliver_self(void *owner, const struct address *to,
                         struct stream *s)
{
    struct worker *w = owner;
    const struct worker_listener *wl = own_listener(w, to);
    struct tls_identity *id =
        w->up.link.tls ? tls_settings_identity(w->up.link.tls) : NULL;
    if (!wl || !id || worker_admit_connection(w, true)) {
        stream_close(s, STREAM_RESET);
        return;
    }
    inbound_accept_self(w, s, wl->spec->transparent ? to : &wl->spec->app,
                        address_port(to), tls_identity_name(id), to);
}

static void on_handshake(void *owner, bool ok)
{
    struct worker *w = owner;
    telemetry_count(w->telemetry, ok ? COUNTER_HANDSHAKES_OUT_OK
                                     : COUNTER_HANDSHAKES_OUT_FAILED);
}

static void on_pending(void *owner, bool app, bool late)
{
    struct worker *w = owner;
    telemetry_limit(w->telemetry, app,
                    late ? LIMIT_PENDING_TIMEOUT : LIMIT_PENDING);
}

/* ---- identity, workload: when to open ---- */

static void maybe_open(struct worker *w)
{
    if (w->open || !w->tls_server || !worker_workload(w))
        return;
    w->open = true;
    for (unsigned i = 0; i < w->listeners_len; i++)
        listener_pause(w->listeners[i].listener, false);
    proxy_worker_open(w->proxy);
}

static void tell_to_go(struct worker *w)
{
    LIST_EACH(node, &w->connections) {
        struct connection *c = CONTAINER_OF(node, struct connection, node);
        if (worker_leaving(w, c->inbound))
            c->drain(c);
    }
}

/* mTLS is strict from now on: also for who was let in before. */
static void end_plaintext(struct worker *w)
{
    unsigned n = 0;
    LIST_EACH(node, &w->connections) {
        struct connection *c = CONTAINER_OF(node, struct connection, node);
        if (!c->plaintext)
            continue;
        c->close(c);
        telemetry_count(w->telemetry, COUNTER_PLAINTEXT_REFUSED);
        n++;
    }
    if (n)
        log_info(&log_, "mTLS is strict now, plaintext ended", "connections=%u",
                 n);
}

static void on_workload(struct lookup_watch *lw, struct view *v)
{
    struct worker *w = lw->arg;
    maybe_open(w);
    if (worker_strict(w))
        end_plaintext(w);
    /* The pod is being deleted: clients should go elsewhere, in peace. */
    if (v && v->workload.terminating && !w->draining)
        tell_to_go(w);
}

static enum status make_settings(struct tls_identity *id,
                                 struct tls_settings **client,
                                 struct tls_settings **server, struct error *e)
{
    struct tls_options c = {
        .role = TLS_CLIENT, .alpn = {TLS_ALPN_LINK}, .resume = true};
    struct tls_options s = {.role = TLS_SERVER,
                            .alpn = {TLS_ALPN_LINK},
                            .ask_peer = true,
                            .require_peer = true,
                            .resume = true};
    enum status rc = tls_settings_new(client, &c, id, SLICE_NONE, e);
    if (rc)
        return rc;
    rc = tls_settings_new(server, &s, id, SLICE_NONE, e);
    if (rc)
        tls_settings_unref(*client);
    return rc;
}

static void on_identity(void *arg, struct tls_identity *now)
{
    struct worker *w = arg;
    struct tls_settings *client, *server;
    struct error e = {{0}};
    if (make_settings(now, &client, &server, &e)) {
        log_error(&log_, "identity cannot be used", "why=\"%s\"", e.text);
        return;
    }
    upstream_set_tls(&w->up, client);
    tls_settings_unref(client);
    tls_settings_unref(w->tls_server);
    w->tls_server = server;
    maybe_open(w);
}

/* ---- drain ---- */

static void on_watch_closed(void *arg)
{
    struct worker *w = arg;
    w->identity_watch = NULL;
    if (!w->lookup)
        loop_stop(&w->loop);
}

static void on_lookup_closed(void *arg)
{
    struct worker *w = arg;
    w->lookup = NULL;
    if (!w->identity_watch)
        loop_stop(&w->loop);
}

static void close_all(struct worker *w)
{
    if (w->closing)
        return;
    w->closing = true;
    timer_stop(&w->loop.timers, &w->tick);
    for (unsigned i = 0; i < w->listeners_len; i++)
        listener_close(w->listeners[i].listener);
    struct list *node;
    while ((node = w->connections.next) != &w->connections) {
        struct connection *c = CONTAINER_OF(node, struct connection, node);
        c->close(c);
    }
    upstream_close(&w->up);
    backends_free(w->backends);
    w->backends = NULL;
    upstream_close(&w->up);
    lookup_release(&w->workload_watch);
    lookup_close(w->lookup, on_lookup_closed, w);
    identity_watch_close(w->identity_watch, on_watch_closed, w);
}

static void publish_gauges(struct worker *w)
{
    struct telemetry *t = w->telemetry;
    telemetry_gauge(t, GAUGE_INBOUND_CONNECTIONS, w->open_inbound);
    telemetry_gauge(t, GAUGE_OUTBOUND_CONNECTIONS, w->open_outbound);
    telemetry_gauge(t, GAUGE_LINKS_OUT, w->up.links_up);
    telemetry_gauge(t, GAUGE_LINKS_IN, w->links_in);
    telemetry_gauge(t, GAUGE_APP_CONNECTIONS, w->up.pool_open);
}

static void refuse_newcomers(struct worker *w)
{
    w->refusing = true;
    log_info(&log_, "new connections are refused", "open=%u", w->open_inbound);
    for (unsigned i = 0; i < w->listeners_len; i++)
        if (w->listeners[i].spec->inbound)
            listener_refuse(w->listeners[i].listener);
}

static void on_tick(struct timer *timer)
{
    struct worker *w = CONTAINER_OF(timer, struct worker, tick);
    int64_t now = loop_now(&w->loop);
    publish_gauges(w);
    if (w->id == 0)
        shed_give_back(w);
    if (w->draining && (list_empty(&w->connections) || now >= w->grace_until)) {
        if (!list_empty(&w->connections))
            log_warn(&log_, "grace period is over", "open=%u",
                     w->open_inbound + w->open_outbound);
        close_all(w);
        return;
    }
    if (w->draining && !w->refusing && !w->awaited && now >= w->refuse_at)
        refuse_newcomers(w);
    timer_set(&w->loop.timers, timer, now + TICK_MSEC * NSEC_PER_MSEC);
}

static void on_drain(struct post *p)
{
    struct worker *w = CONTAINER_OF(p, struct worker, drain_post);
    if (w->draining)
        return;
    w->draining = true;
    w->awaited = w->open_inbound;
    w->grace_until = loop_now(&w->loop) + w->config->shutdown_grace;
    w->refuse_at = loop_now(&w->loop) + w->config->shutdown_grace / 5;
    tell_to_go(w);
    timer_set(&w->loop.timers, &w->tick, loop_now(&w->loop) + NSEC_PER_MSEC);
}

void worker_drain(struct worker *w)
{
    loop_post(&w->loop, &w->drain_post);
}

/* ---- life ---- */

static void set_upstream(struct worker *w)
{
    const struct config *c = w->config;
    upstream_init(&w->up, &w->loop);
    w->up.link.limits = &w->link_limits;
    w->up.link.dial_timeout = c->connect_timeout;
    w->up.link.ping_after = c->link_ping;
    w->up.link.dead_after = c->link_dead;
    w->up.link.idle_timeout = c->link_idle;
    w->up.connect_timeout = c->connect_timeout;
    w->up.user_timeout = c->link_dead;
    w->up.pending_timeout = c->pending_timeout;
    w->up.max_pending = (uint32_t)c->max_pending;
    w->up.max_links = (uint32_t)c->max_links;
    w->up.max_pool = (uint32_t)c->max_pool;
    w->up.is_self = is_self;
    w->up.deliver_self = deliver_self;
    w->up.sibling = sibling;
    w->up.on_handshake = on_handshake;
    w->up.on_pending = on_pending;
    w->up.owner = w;
}

static enum status open_listeners(struct worker *w,
                                  const struct listen_spec *specs, size_t n,
                                  struct error *e)
{
    struct listener_options opt = {.reuse_port = w->config->workers > 1,
                                   .backlog = 4096};
    for (size_t i = 0; i < n; i++) {
        struct worker_listener *wl = &w->listeners[i];
        wl->worker = w;
        wl->spec = &specs[i];
        opt.v6only = specs[i].v6only;
        /* Another worker has chosen the port of a listener with port 0. */
        const struct address *at =
            w->id ? proxy_listening(w->proxy, (unsigned)i) : &specs[i].at;
        enum status rc = listener_open(&wl->listener, &w->loop, at, &opt,
                                       &listener_events, wl, e);
        if (rc)
            return rc;
        listener_pause(wl->listener, true);
        w->listeners_len++;
    }
    return OK;
}

enum status worker_init(struct worker *w, struct proxy *p, unsigned id,
                        const struct listen_spec *specs, size_t n,
                        struct error *e)
{
    w->proxy = p;
    w->config = proxy_config(p);
    w->id = id;
    enum status rc = loop_init(&w->loop, POOL_CHUNKS, e);
    if (rc)
        return rc;
    list_init(&w->connections);
    list_init(&w->holders);
    w->loop.owner = w;
    w->loop.on_pass = shed_on_pass;
    timer_init(&w->tick, on_tick);
    w->drain_post.run = on_drain;
    set_upstream(w);
    w->telemetry = telemetry_new(&w->loop, w->config->access_log);
    limits_set(w);
    if (path_rule_find(w->config->path_rule,
                       &w->path_rule)) /* checked before */
        w->path_rule = PATH_STRICT;
    rc = open_listeners(w, specs, n, e);
    if (rc)
        return rc;
    struct lookup_options lo = lookup_defaults;
    lo.wait = w->config->resolve_timeout;
    lo.max_keys = (uint32_t)w->config->max_destinations;
    w->lookup = lookup_new(proxy_discovery(p), &w->loop, &lo);
    w->backends = backends_new(&w->up, w->lookup,
                               balancer_find(w->config->balancer));
    w->identity_watch = identity_watch_new(proxy_identity(p), &w->loop,
                                           on_identity, w);
    /* Held for its changes; asked for through lookup_held. */
    (void)lookup_hold(w->lookup, VIEW_WORKLOAD, SLICE(""), &w->workload_watch,
                      on_workload, w);
    return OK;
}

const struct address *worker_listening(const struct worker *w, size_t i)
{
    return listener_address(w->listeners[i].listener);
}

static void *run_thread(void *arg)
{
    struct worker *w = arg;
    timer_set(&w->loop.timers, &w->tick, clock_mono_ns() + NSEC_PER_MSEC);
    loop_run(&w->loop);
    proxy_worker_done(w->proxy);
    return NULL;
}

enum status worker_start(struct worker *w, struct error *e)
{
    int rc = pthread_create(&w->thread, NULL, run_thread, w);
    if (rc)
        return error_set(e, ERR_RESOURCES, "cannot start a worker: %s",
                         strerror(rc));
    w->running = true;
    return OK;
}

void worker_join(struct worker *w)
{
    if (w->running)
        pthread_join(w->thread, NULL);
    w->running = false;
}

void worker_fini(struct worker *w)
{
    upstream_fini(&w->up);
    tls_settings_unref(w->tls_server);
    telemetry_free(w->telemetry);
    loop_fini(&w->loop);
}
