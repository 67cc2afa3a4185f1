/* SPDX-License-Identifier: Apache-2.0 */
/* Start: root -> admin pages (not ready) -> source; in a cluster the root comes
 * later, from a Secret. When the source has told all and there is a root: own
 * certificate -> Mesh API -> ready file. A controller that does not know the mesh
 * yet must not answer proxies.
 *
 * End: no new sessions, those that run are told to go elsewhere, the lease is given
 * back; then all is closed and the loop runs dry. */
#include "controller/controller.h"

#include <inttypes.h>
#include <unistd.h>

#include "controller/admin.h"
#include "controller/cluster.h"
#include "controller/identity/ca_store.h"
#include "controller/identity/root_state.h"
#include "controller/identity/serving.h"
#include "controller/identity/state_file.h"
#include "controller/live/proxies_json.h"
#include "controller/subscribe/server.h"
#include "controller/telemetry/metrics.h"
#include "controller/watch/source.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/kube/kube.h"
#include "lib/net/signals.h"

static struct log_area area = LOG_AREA("controller");
static struct log log_ = {&area, 0};

enum { CHUNKS_KEPT = 256 };
#define RETRY (30 * NSEC_PER_SEC)
/* How often the date is looked at: it may jump, or the machine may sleep. */
#define LOOK_EVERY (60 * NSEC_PER_SEC)

struct controller {
    const struct controller_config *config;
    struct loop loop;
    struct signals *signals;
    struct authority *authority; /* NULL: not known yet, in a cluster */
    struct text roots;           /* marks of those that are trusted */
    struct registry *registry;
    struct kube *kube;       /* NULL: no API server, a folder */
    struct cluster *cluster; /* NULL: local mode */
    struct source *source;
    struct resolve_settings resolve;
    struct publisher *publisher;
    struct issuer issuer;
    struct controller_metrics *metrics;
    struct admin_pages *admin;
    struct mesh_api *api; /* NULL until the source has told all */
    struct timer renew, drain, retire;
    int64_t serving_not_after, renew_at; /* seconds since 1970 */
    bool draining;
    bool unsure;    /* of the issuer: its Secret is not heard of */
    enum status rc; /* of what failed after the start */
    struct error *e;
};

static int64_t today(void)
{
    return clock_real_ns() / NSEC_PER_SEC;
}

/* --- the end --- */

static void stop(struct controller *c)
{
    signals_close(c->signals);
    c->signals = NULL;
    if (c->cluster)
        cluster_set_api(c->cluster, NULL, NULL);
    mesh_api_close(c->api);
    c->api = NULL;
    cluster_close(c->cluster);
    c->cluster = NULL;
    if (c->source)
        source_close(c->source);
    c->source = NULL;
    kube_close(c->kube);
    c->kube = NULL;
    admin_pages_close(c->admin);
    c->admin = NULL;
    if (c->publisher)
        publisher_stop(c->publisher);
    timer_stop(&c->loop.timers, &c->renew);
    timer_stop(&c->loop.timers, &c->drain);
    timer_stop(&c->loop.timers, &c->retire);
    loop_stop(&c->loop);
}

/* Looks whether the last one is gone, until the drain time is over. */
static void on_drain(struct timer *t)
{
    struct controller *c = CONTAINER_OF(t, struct controller, drain);

    c->rc = OK;
    stop(c);
}

static void on_drain_check(struct timer *t)
{
    struct controller *c = CONTAINER_OF(t, struct controller, renew);

    if ((!c->api || mesh_api_running(c->api) == 0) &&
        (!c->kube || kube_running(c->kube) == 0))
        stop(c);
    else
        timer_set(&c->loop.timers, t, loop_now(&c->loop) + 20 * NSEC_PER_MSEC);
}

static void drain(struct controller *c)
{
    int64_t now = loop_now(&c->loop);

    if (c->draining || (!c->api && !c->cluster)) {
        stop(c);
        return;
    }
    log_info(&log_, "draining", "sessions=%zu",
             publisher_sessions(c->publisher));
    c->draining = true;
    if (c->cluster)
        cluster_leave(c->cluster);
    if (c->api)
        mesh_api_drain(c->api);
    timer_set(&c->loop.timers, &c->drain, now + c->config->drain);
    timer_stop(&c->loop.timers, &c->renew);
    timer_init(&c->renew, on_drain_check);
    timer_set(&c->loop.timers, &c->renew, now + NSEC_PER_MSEC);
}

static void on_signal(void *arg, int signum)
{
    struct controller *c = arg;

    if (signum == SIGHUP) {
        if (c->source)
            source_refresh(c->source);
        return;
    }
    drain(c);
}

static void fail(struct controller *c, enum status rc)
{
    c->rc = rc;
    stop(c);
}

/* --- serving --- */

static void await_renewal(struct controller *c)
{
    int64_t wait = (c->renew_at - today()) * NSEC_PER_SEC;

    if (wait > LOOK_EVERY)
        wait = LOOK_EVERY;
    if (wait < NSEC_PER_SEC) /* the issuer itself may be about to end */
        wait = NSEC_PER_SEC;
    timer_set(&c->loop.timers, &c->renew, loop_now(&c->loop) + wait);
}

static enum status new_serving(struct controller *c, struct tls_settings **out,
                               struct error *e)
{
    int64_t life = c->config->cert_life / NSEC_PER_SEC;
    int64_t date = today();
    enum status rc;

    rc = serving_new(out, c->authority, c->config->trust_domain, date, life,
                     &c->serving_not_after, e);
    if (!rc && c->cluster)
        rc = cluster_set_tls(c->cluster, *out, e);
    if (rc)
        return rc;
    c->renew_at = date + (c->serving_not_after - date) / 2;
    await_renewal(c);
    return OK;
}

static void renew(struct controller *c)
{
    struct tls_settings *tls = NULL;
    struct error e;

    if (new_serving(c, &tls, &e)) {
        log_error(&log_, "own certificate not renewed", "why=" LOG_QUOTED,
                  FMT(slice_str(e.text)));
        tls_settings_unref(tls);
        timer_set(&c->loop.timers, &c->renew, loop_now(&c->loop) + RETRY);
        return;
    }
    mesh_api_set_tls(c->api, tls);
    tls_settings_unref(tls);
    log_info(&log_, "own certificate renewed", "");
}

static void on_renew(struct timer *t)
{
    struct controller *c = CONTAINER_OF(t, struct controller, renew);

    if (today() < c->renew_at)
        await_renewal(c);
    else
        renew(c);
}

static enum status start_api(struct controller *c, struct error *e)
{
    struct mesh_api_options opt = {
        .at = c->config->listen_address,
        .trust_domain = c->config->trust_domain,
        .issuer = &c->issuer,
        .publisher = c->publisher,
        .gather = c->cluster ? cluster_gather(c->cluster) : NULL,
        .max_connections = (unsigned)c->config->max_connections,
    };
    enum status rc = new_serving(c, &opt.tls, e);

    if (!rc)
        rc = mesh_api_start(&c->api, &c->loop, &opt, e);
    if (!rc && c->cluster)
        cluster_set_api(c->cluster, c->api, c->source);
    tls_settings_unref(opt.tls);
    return rc;
}

static enum status write_ready_file(struct controller *c, struct error *e)
{
    const struct address *health_at = admin_pages_health(c->admin);
    char api[ADDRESS_TEXT], admin[ADDRESS_TEXT], health[ADDRESS_TEXT];
    struct text content;
    enum status rc;

    log_info(&log_, "ready", "listen=%.*s admin=%.*s version=%" PRIu64,
             FMT(address_format(mesh_api_address(c->api), api)),
             FMT(address_format(admin_pages_address(c->admin), admin)),
             registry_version(c->registry));
    if (slice_empty(c->config->ready_file))
        return OK;
    text_init(&content, 1024);
    text_printf(&content, "{\"listen\":\"%.*s\",\"admin\":\"%.*s\"",
                FMT(address_format(mesh_api_address(c->api), api)),
                FMT(address_format(admin_pages_address(c->admin), admin)));
    if (health_at)
        text_printf(&content, ",\"health\":\"%.*s\"",
                    FMT(address_format(health_at, health)));
    text_add(&content, SLICE("}\n"));
    rc = file_write_atomic(c->config->ready_file, text_slice(&content), 0644,
                           e);
    text_fini(&content);
    return rc;
}

/* --- source --- */

static void on_put(void *owner, struct record *rec)
{
    struct controller *c = owner;

    registry_put(c->registry, rec);
}

static void on_gone(void *owner, enum record_kind kind, slice ns, slice name)
{
    struct controller *c = owner;

    registry_del(c->registry, kind, ns, name);
}

/* Who knows the mesh and can sign serves it. */
static void serve(struct controller *c)
{
    enum status rc;

    if (c->api || c->draining || !c->authority || !registry_synced(c->registry))
        return;
    rc = start_api(c, c->e);
    if (!rc)
        rc = write_ready_file(c, c->e);
    if (rc)
        fail(c, rc);
}

static void on_synced(void *owner)
{
    struct controller *c = owner;

    registry_set_synced(c->registry, true);
    log_info(&log_, "source read", "services=%zu slices=%zu pods=%zu",
             registry_count(c->registry, RECORD_SERVICE),
             registry_count(c->registry, RECORD_SLICE),
             registry_count(c->registry, RECORD_POD));
    if (c->cluster)
        cluster_synced(c->cluster);
    serve(c);
}

static const struct source_events source_events = {on_put, on_gone, on_synced};

/* --- the issuer of a cluster --- */

/* A proxy that is told of no bundle keeps the one that it has. */
static void tell_bundle(struct controller *c)
{
    c->resolve.bundle = c->unsure ? SLICE_NONE : authority_bundle(c->authority);
    text_clear(&c->roots);
    root_marks(c->resolve.bundle, &c->roots);
    c->resolve.roots = text_slice(&c->roots);
    publisher_touch(c->publisher, TOPIC_BUNDLE);
}

/* Tells everybody what we sign with and whom to trust. */
static void authority_changed(struct controller *c)
{
    c->issuer.authority = c->authority;
    tell_bundle(c);
    cluster_set_authority(c->cluster, c->authority);
    c->renew_at = 0; /* also if it fails now */
    if (c->api)
        renew(c);
    else
        serve(c);
}

static void on_sure(void *owner, bool sure)
{
    struct controller *c = owner;

    c->unsure = !sure;
    if (!c->draining && c->authority)
        tell_bundle(c);
}

/* Certificates under the roots before stay good until they end. */
static void keep_roots(struct controller *c, struct authority *a,
                       const struct authority *old)
{
    int64_t most = c->config->cert_life + c->config->cert_life / 4;
    size_t own = authority_bundle(a).len;
    struct error e;

    if (authority_keep(a, authority_bundle(old), &e)) {
        log_error(&log_, "the roots before are trusted no longer",
                  "why=" LOG_QUOTED, FMT(slice_str(e.text)));
    } else if (authority_bundle(a).len > own) {
        log_warn(&log_, "another root: the one before is trusted for a while",
                 "%s", "");
    }
    timer_set(&c->loop.timers, &c->retire, loop_now(&c->loop) + most);
}

static void on_retire(struct timer *t)
{
    struct controller *c = CONTAINER_OF(t, struct controller, retire);

    if (!c->draining && authority_let_go(c->authority))
        authority_changed(c);
}

static void on_authority(void *owner, struct authority *a, bool ended)
{
    struct controller *c = owner;
    struct authority *old = c->authority;
    char until[21];

    if (c->draining || (old && authority_eq(old, a))) {
        authority_free(a);
        return;
    }
    clock_format_rfc3339(authority_not_after(a), until);
    log_info(&log_, "issuer in force", "until=%s", until);
    if (old && !ended)
        keep_roots(c, a, old);
    c->authority = a;
    authority_changed(c);
    authority_free(old);
}

static bool may_sign(void *arg)
{
    const struct controller *c = arg;

    return cluster_may_sign(c->cluster);
}

/* --- admin --- */

static bool ready(void *arg, struct text *why)
{
    const struct controller *c = arg;

    if (c->draining)
        text_add(why, SLICE("draining"));
    else if (!c->api)
        text_add(why, registry_synced(c->registry)
                          ? SLICE("there is no issuer yet")
                          : SLICE("the source is being read"));
    else if (c->cluster && cluster_is_blind(c->cluster))
        text_add(why, SLICE("the API server is out of reach"));
    return slice_empty(text_slice(why));
}

static enum status render_metrics(void *arg, struct text *out)
{
    const struct controller *c = arg;
    struct controller_numbers n = {
        .registry = c->registry,
        .source = c->source,
        .now = loop_now(&c->loop),
        .publisher = c->publisher,
        .issuer = &c->issuer,
        .root_not_after = c->authority ? authority_not_after(c->authority) : 0,
        .serving_not_after = c->serving_not_after,
    };

    return controller_metrics_render(c->metrics, &n, out);
}

static void put_proxy(void *arg, const struct proxy_state *s)
{
    proxy_state_json(s, arg);
}

static void write_proxies(void *arg, struct json_write *w)
{
    const struct controller *c = arg;

    if (c->cluster)
        proxies_json(cluster_proxies(c->cluster), w);
    else
        publisher_states(c->publisher, put_proxy, w);
}

static enum status start_admin(struct controller *c, struct error *e)
{
    struct admin_pages_options opt = {
        .at = c->config->admin_address,
        .health = slice_empty(c->config->health) ? NULL
                                                 : &c->config->health_address,
        .registry = c->registry,
        .publisher = c->publisher,
        .ready = ready,
        .metrics = render_metrics,
        .proxies = write_proxies,
        .arg = c,
    };

    return admin_pages_start(&c->admin, &c->loop, &opt, e);
}

/* --- the start --- */

static void prepare(struct controller *c)
{
    const struct controller_config *cfg = c->config;
    struct session_limits lim = session_limits_default;

    lim.subscriptions = (uint32_t)cfg->max_subscriptions;
    if (lim.burst / 4 < lim.subscriptions)
        lim.burst = 4 * lim.subscriptions;
    c->metrics = controller_metrics_new();
    c->registry = registry_new();
    c->resolve = (struct resolve_settings){
        .trust_domain = cfg->trust_domain,
        .bundle = c->authority ? authority_bundle(c->authority) : SLICE_NONE,
        .default_mtls = cfg->default_mtls_mode,
    };
    c->publisher = publisher_new(&c->loop, c->registry, &c->resolve, &lim);
    c->issuer = (struct issuer){
        .authority = c->authority,
        .state = cfg->state,
        .rules = {.trust_domain = cfg->trust_domain,
                  .life = cfg->cert_life / NSEC_PER_SEC,
                  .renew_by_certificate = !slice_empty(cfg->source),
                  .registry = c->registry},
    };
    issue_rate_init(&c->issuer.rate, cfg->issue_rate, loop_now(&c->loop));
    timer_init(&c->renew, on_renew);
    timer_init(&c->drain, on_drain);
    timer_init(&c->retire, on_retire);
    text_init(&c->roots, ROOT_MARKS_MAX);
}

static enum status start_kube(struct controller *c, struct error *e)
{
    slice file = c->config->kubeconfig;
    struct kube_access *access = NULL;
    enum status rc = slice_empty(file)
                         ? kube_access_in_cluster(&access, e)
                         : kube_access_kubeconfig(&access, file, e);

    if (rc)
        return error_prefix(
            e, rc, "%s", slice_empty(file) ? "--kubernetes" : "--kubeconfig");
    log_info(&log_, "API server", "url=%.*s", FMT(kube_access_server(access)));
    return kube_start(&c->kube, &c->loop, access,
                      "tulle-controller/" TULLE_VERSION, e);
}

static enum status start_cluster(struct controller *c, struct error *e)
{
    static const struct cluster_events events = {on_authority, on_sure};
    struct cluster_options opt = {
        .config = c->config,
        .loop = &c->loop,
        .kube = c->kube,
        .registry = c->registry,
        .publisher = c->publisher,
        .resolve = &c->resolve,
    };
    enum status rc = cluster_start(&c->cluster, &opt, &events, c, e);

    c->issuer.kube = c->kube;
    c->issuer.may_sign = may_sign;
    c->issuer.arg = c;
    return rc;
}

static enum status start_source(struct controller *c, struct error *e)
{
    const struct controller_config *cfg = c->config;
    enum status rc;

    if (!slice_empty(cfg->source))
        return folder_start(&c->source, &c->loop, cfg->source, &source_events,
                            c, e);
    rc = start_kube(c, e);
    if (!rc)
        rc = kubernetes_start(&c->source, c->kube, &source_events, c, e);
    return rc ? rc : start_cluster(c, e);
}

static enum status start(struct controller *c, struct error *e)
{
    const struct controller_config *cfg = c->config;
    char old[STATE_PATH];
    enum status rc = signals_start(&c->signals, &c->loop, on_signal, c, e);

    /* What an earlier run left would say that we are ready. */
    if (!rc && !slice_to_cstr(cfg->ready_file, old, sizeof old) && old[0])
        (void)unlink(old);
    if (!rc)
        rc = start_admin(c, e);
    if (rc)
        return rc;
    return start_source(c, e);
}

/* In a cluster the root comes from a Secret, later. */
static enum status open_local_root(struct controller *c, struct error *e)
{
    const struct controller_config *cfg = c->config;
    struct ca *ca = NULL;
    enum status rc;

    if (slice_empty(cfg->source))
        return OK;
    rc = ca_store_open(&ca, cfg->state, cfg->trust_domain, today(),
                       cfg->root_life / NSEC_PER_SEC, e);
    if (!rc)
        c->authority = authority_of(ca);
    return rc;
}

enum status controller_run(const struct controller_config *config,
                           struct error *e)
{
    struct controller c = {.config = config, .e = e};
    enum status rc = loop_init(&c.loop, CHUNKS_KEPT, e);

    if (rc)
        return rc;
    rc = open_local_root(&c, e);
    if (rc)
        goto out;
    prepare(&c);
    rc = start(&c, e);
    if (rc) {
        stop(&c);
        goto out;
    }
    loop_run(&c.loop);
    rc = c.rc;
out:
    loop_fini(&c.loop);
    publisher_free(c.publisher);
    controller_metrics_free(c.metrics);
    registry_free(c.registry);
    authority_free(c.authority);
    text_fini(&c.roots);
    return rc;
}
