/* SPDX-License-Identifier: Apache-2.0 */
/* Start: read the bundle, bind everything, start the workers, ask for a
 * certificate; with it the session begins and workers open their listeners. Ready
 * when all of them have.
 *
 * Stop: SIGTERM -> workers drain -> the last one done -> session, renewal and
 * admin pages close -> the main loop ends. A second signal does not wait. */
#include "proxy/proxy.h"

#include <stdio.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/net/signals.h"
#include "lib/tls/cert.h"
#include "proxy/accept/node.h"
#include "proxy/admin/health.h"
#include "proxy/admin/pages.h"
#include "proxy/discovery/client.h"
#include "proxy/listen.h"
#include "proxy/tls/renew.h"
#include "proxy/worker.h"

static struct log_area area = LOG_AREA("proxy");
static const struct log log_ = {.area = &area};

enum {
    POOL_CHUNKS = 16,
    BUNDLE_MAX = 1 << 20,
    NAME_MAX_TEXT = 512,
    EPOCH = 16,
};

struct proxy {
    const struct config *config;
    struct loop loop;
    struct signals *signals;
    struct identity *identity;
    struct renew *renew;
    struct discovery *discovery;
    struct discovery_client *client;
    struct identity_watch *own_watch;
    struct pages *pages;
    struct listen_spec specs[WORKER_LISTENERS];
    size_t specs_len;
    struct worker *workers;
    unsigned workers_len, started;
    struct telemetry *telemetry[64];
    struct pod pod;
    struct probes probes;
    struct health *health;
    struct controllers *controllers;
    slice bundle;
    char epoch[2 * EPOCH + 1];
    uint64_t reports;
    struct arena report_arena;
    atomic_uint opened, done;
    atomic_flag posted;
    struct post wake;
    bool ready, stopping;
};

const struct config *proxy_config(const struct proxy *p)
{
    return p->config;
}

struct discovery *proxy_discovery(struct proxy *p)
{
    return p->discovery;
}

struct identity *proxy_identity(struct proxy *p)
{
    return p->identity;
}

const struct address *proxy_listening(const struct proxy *p, unsigned i)
{
    return worker_listening(&p->workers[0], i);
}

const struct pod *proxy_pod(const struct proxy *p)
{
    return &p->pod;
}

/* ---- words from the workers ---- */

static void wake_main(struct proxy *p)
{
    if (!atomic_flag_test_and_set(&p->posted))
        loop_post(&p->loop, &p->wake);
}

void proxy_worker_open(struct proxy *p)
{
    atomic_fetch_add(&p->opened, 1);
    wake_main(p);
}

void proxy_worker_done(struct proxy *p)
{
    atomic_fetch_add(&p->done, 1);
    wake_main(p);
}

static void add_addresses(struct proxy *p, struct text *t, bool inbound)
{
    char text[ADDRESS_TEXT];
    bool first = true;
    for (unsigned i = 0; i < p->specs_len; i++) {
        if (p->specs[i].inbound != inbound)
            continue;
        slice at = address_format(proxy_listening(p, i), text);
        text_printf(t, "%s\"%.*s\"", first ? "" : ",", FMT(at));
        first = false;
    }
}

static void write_ready_file(struct proxy *p)
{
    char admin[ADDRESS_TEXT];
    struct text t;
    struct error e = {{0}};
    if (slice_empty(p->config->ready_file))
        return;
    text_init(&t, 65536);
    slice at = address_format(pages_address(p->pages), admin);
    text_printf(&t, "{\"admin\":\"%.*s\",\"inbound\":[", FMT(at));
    add_addresses(p, &t, true);
    text_add(&t, SLICE("],\"outbound\":["));
    add_addresses(p, &t, false);
    text_add(&t, SLICE("]"));
    if (p->health)
        text_printf(&t, ",\"health\":\"%.*s\"",
                    FMT(address_format(health_address(p->health, 0), admin)));
    text_add(&t, SLICE("}\n"));
    if (file_write_atomic(p->config->ready_file, text_slice(&t), 0644, &e))
        log_error(&log_, "cannot write the ready file", "why=\"%s\"", e.text);
    text_fini(&t);
}

static void on_all_open(struct proxy *p)
{
    p->ready = true;
    for (unsigned i = 0; i < p->specs_len; i++) {
        char text[ADDRESS_TEXT];
        slice at = address_format(proxy_listening(p, i), text);
        log_info(&log_, "listening", "addr=%.*s direction=%s", FMT(at),
                 p->specs[i].inbound ? "inbound" : "outbound");
    }
    log_info(&log_, "ready", "");
    write_ready_file(p);
}

static void close_main(struct proxy *p);

static void on_wake(struct post *post)
{
    struct proxy *p = CONTAINER_OF(post, struct proxy, wake);
    atomic_flag_clear(&p->posted);
    if (!p->ready && atomic_load(&p->opened) == p->workers_len)
        on_all_open(p);
    if (p->started && atomic_load(&p->done) == p->started)
        close_main(p);
}

/* ---- session and reports ---- */

static bool on_report(void *arg, struct report *out)
{
    struct proxy *p = arg;
    arena_reset(&p->report_arena);
    *out = (struct report){.epoch = slice_str(p->epoch),
                           .sequence = ++p->reports};
    struct tls_identity *id = identity_now(p->identity);
    out->cert_not_after = id ? tls_identity_not_after(id) : 0;
    telemetry_report(p->telemetry, p->workers_len, &p->report_arena, out);
    return true;
}

static const struct discovery_client_events client_events = {
    .on_report = on_report,
};

static void on_identity(void *arg, struct tls_identity *now)
{
    struct proxy *p = arg;
    struct tls_options opt = {.role = TLS_CLIENT, .alpn = {TLS_ALPN_H2}};
    struct tls_settings *tls;
    struct error e = {{0}};
    if (tls_settings_new(&tls, &opt, now, SLICE_NONE, &e)) {
        log_error(&log_, "identity cannot be used", "why=\"%s\"", e.text);
        return;
    }
    discovery_client_set_tls(p->client, tls);
    tls_settings_unref(tls);
}

static void on_workload(void *arg, struct view *v)
{
    struct proxy *p = arg;
    if (v && v->workload.bundle.len)
        renew_set_bundle(p->renew, v->workload.bundle);
}

/* ---- what the admin pages ask ---- */

static bool page_ready(void *arg, struct text *why)
{
    struct proxy *p = arg;
    if (p->stopping) {
        text_add(why, SLICE("draining"));
        return false;
    }
    if (p->ready)
        return true;
    text_add(why, identity_now(p->identity)
                      ? SLICE("waiting for the workload view of the controller")
                      : SLICE("waiting for a certificate"));
    return false;
}

static void page_process(void *arg, struct telemetry_process *out)
{
    struct proxy *p = arg;
    struct tls_identity *id = identity_now(p->identity);
    struct renew_stats rs = renew_stats(p->renew);
    *out = (struct telemetry_process){
        .cert_not_after = id ? tls_identity_not_after(id) : 0,
        .session_up = discovery_client_in_sync(p->client),
        .renewals = rs.issued,
        .renewal_failures = rs.failures,
    };
}

static void page_identity(void *arg, struct pages_identity *out)
{
    struct proxy *p = arg;
    struct tls_identity *id = identity_now(p->identity);
    *out = (struct pages_identity){
        .name = id ? tls_identity_name(id) : SLICE_NONE,
        .not_before = id ? tls_identity_not_before(id) : 0,
        .not_after = id ? tls_identity_not_after(id) : 0,
        .renew_at = renew_stats(p->renew).renew_at,
        .session = slice_str(discovery_client_state(p->client)),
    };
}

static enum status start_pages(struct proxy *p, struct error *e)
{
    struct address at;
    if (address_parse(p->config->admin, &at))
        return ERR_INVALID; /* config_load has checked */
    struct pages_options opt = {
        .at = at,
        .settings = p->config,
        .ready = page_ready,
        .process = page_process,
        .identity = page_identity,
        .discovery = p->discovery,
        .telemetry = p->telemetry,
        .telemetry_len = p->workers_len,
        .arg = p,
    };
    return pages_start(&p->pages, &p->loop, &opt, e);
}

/* ---- the health port ---- */

/* Or the pod itself, whose processes can do all that already. */
static bool from_node(void *arg, const struct address *from)
{
    struct proxy *p = arg;
    struct view *v = discovery_get(p->discovery, VIEW_WORKLOAD, SLICE(""));
    return address_is_loopback(from) || pod_owns(&p->pod, from) ||
           node_has(v ? &v->workload : NULL, &p->pod, from);
}

static enum status start_health(struct proxy *p, struct error *e)
{
    struct address at[HEALTH_LISTENERS];
    struct health_options opt = {.at = at,
                                 .probes = &p->probes,
                                 .ready = page_ready,
                                 .is_node = from_node,
                                 .arg = p};
    if (slice_empty(p->config->health))
        return OK;
    enum status rc = listen_health(p->config, p->pod.ipv6, at, HEALTH_LISTENERS,
                                   &opt.at_len, e);
    if (!rc && p->pod.own_len)
        opt.pod = p->pod.own[0];
    else if (!rc)
        rc = address_parse(SLICE("127.0.0.1:0"), &opt.pod);
    return rc ? rc : health_start(&p->health, &p->loop, &opt, e);
}

/* ---- start ---- */

/* The file, if it is there, alone: it follows the roots in force, the text is of
 * when the pod was made, and must not bring back a root that has gone since. A file
 * may be missing, as an optional mount is. */
static enum status read_bundle(struct proxy *p, struct error *e)
{
    slice pem = p->config->bundle_pem;
    enum status rc = OK;
    if (p->config->bundle.len)
        rc = file_read(p->config->bundle, BUNDLE_MAX, &p->bundle, e);
    if (!slice_empty(p->bundle) || (rc && slice_empty(pem)))
        return rc;
    mem_free((void *)(uintptr_t)p->bundle.ptr);
    p->bundle = slice_str(mem_str(pem));
    return OK;
}

static enum status start_workers(struct proxy *p, struct error *e)
{
    unsigned n = (unsigned)p->config->workers;
    p->workers = mem_zalloc(n * sizeof *p->workers);
    for (unsigned i = 0; i < n; i++) {
        enum status rc = worker_init(&p->workers[i], p, i, p->specs,
                                     p->specs_len, e);
        if (rc)
            return rc;
        p->telemetry[p->workers_len++] = p->workers[i].telemetry;
    }
    return OK;
}

static enum status run_workers(struct proxy *p, struct error *e)
{
    for (unsigned i = 0; i < p->workers_len; i++) {
        enum status rc = worker_start(&p->workers[i], e);
        if (rc)
            return rc;
        p->started++;
    }
    return OK;
}

static enum status start_session(struct proxy *p, struct error *e)
{
    const struct config *c = p->config;
    bool join = c->join_token_file.len > 0;
    char name[NAME_MAX_TEXT];
    struct renew_options ro = renew_defaults;
    ro.controllers = p->controllers;
    ro.bundle_pem = p->bundle;
    ro.bundle_file = c->bundle;
    ro.trust_domain = c->trust_domain;
    ro.token_file = join ? c->join_token_file : c->token_file;
    ro.join_token = join;
    enum status rc = renew_start(&p->renew, &p->loop, &ro, p->identity, e);
    if (rc)
        return rc;
    struct discovery_client_options co = discovery_client_defaults;
    co.controllers = p->controllers;
    co.expect = renew_controller(p->renew);
    co.report_every = c->report_interval;
    snprintf(name, sizeof name, "%.*s%s%.*s", FMT(c->pod_namespace),
             c->pod_name.len ? "/" : "", FMT(c->pod_name));
    co.name = slice_str(name);
    p->client = discovery_client_new(&p->loop, p->discovery, &co,
                                     &client_events, p);
    p->own_watch = identity_watch_new(p->identity, &p->loop, on_identity, p);
    discovery_on_workload(p->discovery, on_workload, p);
    return OK;
}

static void on_signal(void *arg, int signum)
{
    struct proxy *p = arg;
    if (signum == SIGHUP)
        return;
    if (p->stopping) {
        log_warn(&log_, "second signal, leaving at once", "");
        _exit(0); /* as at the end of the grace: we did what was asked */
    }
    p->stopping = true;
    log_info(&log_, "draining", "signal=%d", signum);
    for (unsigned i = 0; i < p->workers_len; i++)
        worker_drain(&p->workers[i]);
}

static enum status start(struct proxy *p, struct error *e)
{
    enum status rc = controllers_new(&p->controllers, &p->loop,
                                     p->config->controller, NULL, e);
    if (!rc)
        rc = listen_specs(p->config, p->specs, WORKER_LISTENERS, &p->specs_len,
                          e);
    if (!rc)
        rc = read_bundle(p, e);
    if (!rc)
        rc = pod_find(&p->pod, p->config, e);
    if (!rc)
        rc = probes_parse(p->config->probes, &p->probes, e);
    if (!rc && random_hex(p->epoch, EPOCH))
        rc = error_set(e, ERR_IO, "no random numbers");
    if (rc)
        return rc;
    if (!p->pod.ipv6)
        listen_without_ipv6(p->specs, &p->specs_len);
    struct discovery_options dopt = discovery_defaults;
    dopt.max_keys = (uint32_t)p->config->max_destinations;
    p->discovery = discovery_new(&p->loop, &dopt);
    p->identity = identity_new(&p->loop);
    /* First: who is told to go before all is there does go, and well. */
    rc = signals_start(&p->signals, &p->loop, on_signal, p, e);
    if (!rc)
        rc = start_workers(p, e);
    if (!rc)
        rc = start_pages(p, e);
    if (!rc)
        rc = start_health(p, e);
    if (!rc)
        rc = start_session(p, e);
    if (!rc)
        rc = run_workers(p, e);
    return rc;
}

/* ---- end ---- */

static void on_own_watch_closed(void *arg)
{
    struct proxy *p = arg;
    identity_free(p->identity);
    p->identity = NULL;
    discovery_free(p->discovery);
    p->discovery = NULL;
    loop_stop(&p->loop);
}

static void close_main(struct proxy *p)
{
    pages_close(p->pages);
    health_close(p->health);
    discovery_client_close(p->client);
    renew_close(p->renew);
    signals_close(p->signals);
    identity_watch_close(p->own_watch, on_own_watch_closed, p);
}

enum status proxy_run(const struct config *c, struct error *e)
{
    struct proxy *p = MEM_NEW(struct proxy);
    p->config = c;
    p->wake.run = on_wake;
    atomic_flag_clear(&p->posted);
    arena_init(&p->report_arena, 4 << 20);
    enum status rc = loop_init(&p->loop, POOL_CHUNKS, e);
    if (rc)
        return rc;
    rc = start(p, e);
    if (rc)
        return rc; /* the process ends: nothing was served yet */
    loop_run(&p->loop);
    for (unsigned i = 0; i < p->workers_len; i++) {
        worker_join(&p->workers[i]);
        worker_fini(&p->workers[i]);
    }
    mem_free(p->workers);
    controllers_free(p->controllers);
    probes_fini(&p->probes);
    mem_free((void *)(uintptr_t)p->bundle.ptr);
    arena_reset(&p->report_arena);
    loop_fini(&p->loop);
    mem_free(p);
    return OK;
}
