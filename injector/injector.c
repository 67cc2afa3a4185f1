/* SPDX-License-Identifier: Apache-2.0 */
/* Start: pages (not ready) -> what there is to know, from the API server or from
 * files. With a certificate the webhook listens; with everything it is ready.
 *
 * A review: the namespace is looked up (asked for, when its watch has not told of
 * it yet), the pure part decides, the answer goes out, then Events.
 *
 * End, at SIGTERM: not ready, but serving, until those who choose by readiness
 * have noticed; then no new connections, and those that are open end when they
 * are idle. A second signal ends at once. */
#include "injector/injector.h"

#include <stdio.h>
#include <unistd.h>

#include "injector/admin.h"
#include "injector/cluster.h"
#include "injector/serving_cert.h"
#include "injector/telemetry/metrics.h"
#include "injector/webhook.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/mesh/labels.h"
#include "lib/net/signals.h"
#include "lib/yaml/yaml.h"

static struct log_area area = LOG_AREA("injector");
static struct log log_ = {&area, 0};

enum { CHUNKS_KEPT = 64, PATH_BYTES = 4096, IP_MAX = 64 };

struct injector {
    const struct injector_config *config;
    struct inject_settings settings; /* the config's, and what may change */
    struct loop loop;
    struct signals *signals;
    struct injector_pages *pages;
    struct webhook *webhook; /* NULL until there is a certificate */
    struct serving_files *files;
    struct cluster *cluster; /* NULL: without */
    struct spaces spaces;
    char *bundle, controller_ip[IP_MAX];
    struct injector_metrics *metrics;
    uint64_t verdicts[VERDICTS];
    int64_t not_after;
    struct timer linger, drain, drain_check;
    bool draining;
    enum status rc; /* of what failed after the start */
    struct error *e;
};

/* --- the end --- */

static void stop(struct injector *in)
{
    signals_close(in->signals);
    in->signals = NULL;
    serving_files_close(in->files);
    in->files = NULL;
    cluster_close(in->cluster); /* answers what waits for it */
    in->cluster = NULL;
    webhook_close(in->webhook);
    in->webhook = NULL;
    injector_pages_close(in->pages);
    in->pages = NULL;
    timer_stop(&in->loop.timers, &in->linger);
    timer_stop(&in->loop.timers, &in->drain);
    timer_stop(&in->loop.timers, &in->drain_check);
    loop_stop(&in->loop);
}

static void fail(struct injector *in, enum status rc)
{
    in->rc = rc;
    stop(in);
}

static void on_drain(struct timer *t)
{
    stop(CONTAINER_OF(t, struct injector, drain));
}

static void on_drain_check(struct timer *t)
{
    struct injector *in = CONTAINER_OF(t, struct injector, drain_check);

    if (webhook_connections(in->webhook) == 0)
        stop(in);
    else
        timer_set(&in->loop.timers, t,
                  loop_now(&in->loop) + 20 * NSEC_PER_MSEC);
}

static void on_lingered(struct timer *t)
{
    struct injector *in = CONTAINER_OF(t, struct injector, linger);
    int64_t now = loop_now(&in->loop);

    webhook_drain(in->webhook);
    timer_set(&in->loop.timers, &in->drain, now + in->config->drain);
    timer_set(&in->loop.timers, &in->drain_check, now + NSEC_PER_MSEC);
}

static void on_signal(void *arg, int signum)
{
    struct injector *in = arg;

    if (signum == SIGHUP) {
        if (in->files)
            serving_files_refresh(in->files);
        return;
    }
    if (in->draining || !in->webhook) {
        stop(in);
        return;
    }
    in->draining = true;
    log_info(&log_, "draining", "connections=%u",
             webhook_connections(in->webhook));
    timer_set(&in->loop.timers, &in->linger,
              loop_now(&in->loop) + in->config->linger);
}

/* --- ready --- */

static bool ready(void *arg, struct text *why)
{
    const struct injector *in = arg;

    if (in->draining) {
        text_add(why, SLICE("draining"));
        return false;
    }
    if (in->cluster && !cluster_synced(in->cluster, why))
        return false;
    if (!in->webhook)
        text_add(why, SLICE("the serving certificate is not there yet"));
    else if (in->cluster && !in->bundle)
        text_add(why, SLICE("the trust bundle is not there yet"));
    return in->webhook && (in->bundle || !in->cluster);
}

static enum status write_ready_file(struct injector *in, struct error *e)
{
    const struct address *health = injector_pages_health(in->pages);
    char at[ADDRESS_TEXT], admin[ADDRESS_TEXT], kubelet[ADDRESS_TEXT];
    struct text t;
    enum status rc;

    text_init(&t, 1024);
    text_printf(&t, "{\"listen\":\"%.*s\",\"admin\":\"%.*s\"",
                FMT(address_format(webhook_address(in->webhook), at)),
                FMT(address_format(injector_pages_address(in->pages), admin)));
    if (health)
        text_printf(&t, ",\"health\":\"%.*s\"",
                    FMT(address_format(health, kubelet)));
    text_add(&t, SLICE("}\n"));
    rc = file_write_atomic(in->config->ready_file, text_slice(&t), 0644, e);
    text_fini(&t);
    return rc;
}

/* Once: the webhook listens. */
static void tell_listening(struct injector *in)
{
    char at[ADDRESS_TEXT];

    log_info(&log_, "listening", "at=%.*s",
             FMT(address_format(webhook_address(in->webhook), at)));
    if (!slice_empty(in->config->ready_file) && write_ready_file(in, in->e))
        fail(in, ERR_IO);
}

/* --- reviews --- */

struct asking { /* a review that waits for its namespace */
    struct injector *in;
    struct webhook_call *call;
    const struct review *review;
};

/* The pod has no name yet when another gives it; then what makes it is told. */
static void object_of(const struct review *r, struct kube_object *out)
{
    struct json meta = json_get(r->pod, "metadata");
    struct json owner = json_first(json_get(meta, "ownerReferences"));
    struct error ignored;

    *out = (struct kube_object){SLICE("v1"), SLICE("Pod"), r->ns, r->name,
                                SLICE_NONE};
    if (!slice_empty(out->name))
        return;
    if (json_opt_string(owner, "apiVersion", &out->api_version, &ignored) ||
        json_opt_string(owner, "kind", &out->kind, &ignored) ||
        json_opt_string(owner, "name", &out->name, &ignored) ||
        json_opt_string(owner, "uid", &out->uid, &ignored) ||
        slice_empty(out->name))
        out->name = SLICE_NONE;
}

static void write_events(struct injector *in, const struct review *r,
                         const struct inject_result *result)
{
    struct kube_object pod, space = {SLICE("v1"), SLICE("Namespace"),
                                     SLICE_NONE, r->ns, SLICE_NONE};

    if (!in->cluster || r->dry_run)
        return;
    object_of(r, &pod);
    for (unsigned i = 0; i < result->notes.len; i++) {
        const struct note *n = &result->notes.at[i];

        if (n->kind == NOTE_NAMESPACE)
            cluster_event(in->cluster, &space, SLICE("BadSetting"), n->text);
        else if (n->kind == NOTE_POD && !slice_empty(pod.name))
            cluster_event(in->cluster, &pod, SLICE("NotInjected"), n->text);
    }
    if (result->verdict == VERDICT_REFUSE && !slice_empty(pod.name))
        cluster_event(in->cluster, &pod, SLICE("InjectionRefused"),
                      slice_str(result->why.text));
}

static const char *word_of(enum verdict v)
{
    static const char *const words[] = {"injected", "left", "told", "refused"};

    return words[v];
}

static void decide(struct injector *in, struct webhook_call *call,
                   const struct review *r)
{
    struct inject_input input = {.settings = &in->settings,
                                 .pod = r->pod,
                                 .ns = r->ns,
                                 /* or the API server had not asked us */
                                 .asked = true};
    struct inject_result result;
    struct space space;

    (void)spaces_get(&in->spaces, r->ns, &space);
    input.ns_labels = space.labels;
    input.ns_annotations = space.annotations;
    inject(&input, &result);
    in->verdicts[result.verdict]++;
    log_info(&log_, "pod", "ns=%.*s name=%.*s verdict=%s why=" LOG_QUOTED,
             FMT(r->ns), FMT(r->name), word_of(result.verdict),
             FMT(result.verdict == VERDICT_INJECT
                     ? SLICE_NONE
                     : slice_str(result.why.text)));
    write_events(in, r, &result);
    webhook_answer(call, &result);
    inject_fini(&result);
}

static void on_space(void *arg)
{
    struct asking *a = arg;

    decide(a->in, a->call, a->review);
    mem_free(a);
}

static void on_review(void *owner, struct webhook_call *call,
                      const struct review *review)
{
    struct injector *in = owner;
    struct asking *a;
    struct space space;

    if (!in->cluster || spaces_get(&in->spaces, review->ns, &space)) {
        decide(in, call, review);
        return;
    }
    a = MEM_NEW(struct asking);
    *a = (struct asking){in, call, review};
    if (cluster_ask_space(in->cluster, review->ns, on_space, a))
        on_space(a);
}

/* --- what there is to know --- */

static enum status serve(struct injector *in, struct tls_settings *tls,
                         struct error *e)
{
    const struct webhook_options opt = {
        .at = in->config->listen_address,
        .tls = tls,
        .max_connections = (unsigned)in->config->max_connections,
        .fn = on_review,
        .owner = in,
    };

    if (in->webhook) {
        webhook_set_tls(in->webhook, tls);
        return OK;
    }
    return webhook_start(&in->webhook, &in->loop, &opt, e);
}

static void on_serving(void *owner, struct tls_settings *tls, int64_t not_after)
{
    struct injector *in = owner;
    bool first = !in->webhook;
    char until[21];

    clock_format_rfc3339(not_after, until);
    log_info(&log_, "serving certificate", "until=%s", until);
    in->not_after = not_after;
    in->rc = serve(in, tls, in->e);
    if (in->rc)
        fail(in, in->rc);
    else if (first)
        tell_listening(in);
}

static void on_certificate(void *owner, slice chain, slice key)
{
    struct tls_settings *tls = NULL;
    struct error e;
    int64_t not_after;

    if (serving_cert_make(&tls, chain, key, &not_after, &e)) {
        log_error(&log_, "serving certificate not taken", "why=" LOG_QUOTED,
                  FMT(slice_str(e.text)));
        return;
    }
    on_serving(owner, tls, not_after);
    tls_settings_unref(tls);
}

static void on_bundle(void *owner, slice pem)
{
    struct injector *in = owner;

    if (slice_empty(pem) || pem.len > SIDECAR_BUNDLE_MAX) {
        log_error(&log_, "trust bundle not taken", "bytes=%zu", pem.len);
        return;
    }
    mem_free(in->bundle);
    in->bundle = mem_str(pem);
    in->settings.site.bundle_pem = slice_str(in->bundle);
    log_info(&log_, "trust bundle", "bytes=%zu", pem.len);
}

static void on_controller_ip(void *owner, slice ip)
{
    struct injector *in = owner;

    if (!slice_empty(in->config->controller_ip) ||
        slice_to_cstr(ip, in->controller_ip, sizeof in->controller_ip))
        return;
    in->settings.site.controller_ip = slice_str(in->controller_ip);
    log_info(&log_, "controller's address", "ip=%.*s", FMT(ip));
}

static const struct cluster_events cluster_events = {on_certificate, on_bundle,
                                                     on_controller_ip};

static enum status read_namespaces(struct injector *in, struct error *e)
{
    slice path = in->config->namespaces, text = SLICE_NONE;
    struct yaml_documents docs;
    enum status rc;

    if (slice_empty(path))
        return OK;
    rc = file_read(path, YAML_BYTES_MAX, &text, e);
    if (rc)
        return rc;
    rc = yaml_read(text, path, &docs, e);
    mem_free((void *)text.ptr);
    if (rc)
        return rc;
    for (size_t i = 0; i < docs.len; i++)
        spaces_put(&in->spaces, json_root(docs.at[i]));
    yaml_documents_fini(&docs);
    return OK;
}

static enum status from_files(struct injector *in, struct error *e)
{
    const struct injector_config *cfg = in->config;
    slice bundle = SLICE_NONE;
    enum status rc = read_namespaces(in, e);

    if (!rc && !slice_empty(cfg->bundle))
        rc = file_read(cfg->bundle, SIDECAR_BUNDLE_MAX, &bundle, e);
    if (!rc && bundle.len)
        on_bundle(in, bundle);
    mem_free((void *)bundle.ptr);
    if (rc)
        return rc;
    rc = serving_files_start(&in->files, &in->loop, cfg->cert, cfg->key,
                             on_serving, in, e);
    return rc ? rc : in->rc;
}

static enum status from_cluster(struct injector *in, struct error *e)
{
    const struct cluster_options opt = {
        .kubeconfig = in->config->kubeconfig,
        .ns = in->config->namespace,
        .controller = in->settings.site.controller,
        .spaces = &in->spaces,
        .events = &cluster_events,
        .owner = in,
    };

    return cluster_start(&in->cluster, &in->loop, &opt, e);
}

/* --- the start --- */

static enum status render_metrics(void *arg, struct text *out)
{
    const struct injector *in = arg;
    struct injector_numbers n = {
        .namespaces = spaces_count(&in->spaces),
        .bundle = in->settings.site.bundle_pem.len,
        .not_after = in->not_after,
    };

    memcpy(n.verdicts, in->verdicts, sizeof n.verdicts);
    if (in->webhook) {
        n.reviews = webhook_numbers(in->webhook)->reviews;
        n.bad = webhook_numbers(in->webhook)->bad;
        n.running = webhook_numbers(in->webhook)->running;
    }
    if (in->cluster)
        n.events_dropped = cluster_events_dropped(in->cluster);
    return injector_metrics_render(in->metrics, &n, out);
}

static enum status start(struct injector *in, struct error *e)
{
    const struct injector_config *cfg = in->config;
    const struct injector_pages_options pages = {
        .at = cfg->admin_address,
        .health = slice_empty(cfg->health) ? NULL : &cfg->health_address,
        .ready = ready,
        .metrics = render_metrics,
        .arg = in,
    };
    char old[PATH_BYTES];
    enum status rc = signals_start(&in->signals, &in->loop, on_signal, in, e);

    /* What an earlier run left would say that we listen. */
    if (!rc && !slice_to_cstr(cfg->ready_file, old, sizeof old) && old[0])
        (void)unlink(old);
    if (!rc)
        rc = injector_pages_start(&in->pages, &in->loop, &pages, e);
    if (rc)
        return rc;
    return slice_empty(cfg->cert) ? from_cluster(in, e) : from_files(in, e);
}

enum status injector_run(const struct injector_config *config, struct error *e)
{
    struct injector in = {.config = config, .settings = config->inject, .e = e};
    enum status rc = loop_init(&in.loop, CHUNKS_KEPT, e);

    if (rc)
        return rc;
    spaces_init(&in.spaces);
    in.metrics = injector_metrics_new();
    timer_init(&in.linger, on_lingered);
    timer_init(&in.drain, on_drain);
    timer_init(&in.drain_check, on_drain_check);
    rc = start(&in, e);
    if (rc)
        stop(&in);
    else
        loop_run(&in.loop);
    loop_fini(&in.loop);
    spaces_fini(&in.spaces);
    injector_metrics_free(in.metrics);
    mem_free(in.bundle);
    return rc ? rc : in.rc;
}
