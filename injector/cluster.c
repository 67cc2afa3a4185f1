/* SPDX-License-Identifier: Apache-2.0 */
/* Four watches: all Namespaces (their metadata alone), and three objects of our
 * own namespace by name. An object that is gone leaves what it said: a certificate
 * or a bundle that was deleted will be written again. */
#include "injector/cluster.h"

#include <stdio.h>

#include "lib/base/base64.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/kube/watch.h"
#include "lib/mesh/labels.h"

enum { SECRET_MAX = 64 << 10, PATH_TEXT = 512 };

static struct log_area area = LOG_AREA("cluster");
static struct log log_ = {&area, 0};

enum watched { NAMESPACES, BUNDLE, SERVICE, SECRET, WATCHES };

struct cluster {
    struct loop *loop;
    struct kube *kube;
    struct kube_events *events;
    struct kube_watch *watches[WATCHES];
    struct spaces *spaces;
    const struct cluster_events *to;
    void *owner;
    struct reap reap;
};

/* --- objects --- */

static void on_namespace(void *owner, struct json obj)
{
    struct cluster *c = owner;

    spaces_put(c->spaces, obj);
}

static void on_namespace_gone(void *owner, slice ns, slice name)
{
    struct cluster *c = owner;

    (void)ns;
    spaces_del(c->spaces, name);
}

static void on_bundle(void *owner, struct json obj)
{
    struct cluster *c = owner;
    struct error e;
    slice pem;

    if (json_string(json_get(obj, "data"), TRUST_BUNDLE_KEY, &pem, &e)) {
        log_warn(&log_, "trust bundle not read", "why=" LOG_QUOTED,
                 FMT(slice_str(e.text)));
        return;
    }
    c->to->on_bundle(c->owner, pem);
}

/* A Service without an address of its own ("None") has none that could be
 * proved. */
static void on_service(void *owner, struct json obj)
{
    struct cluster *c = owner;
    struct error ignored;
    slice ip = SLICE_NONE;

    if (json_opt_string(json_get(obj, "spec"), "clusterIP", &ip, &ignored) ||
        slice_eq(ip, SLICE("None")))
        ip = SLICE_NONE;
    c->to->on_controller_ip(c->owner, ip);
}

static enum status decode(struct json data, const char *name, struct text *out,
                          struct error *e)
{
    slice coded;
    enum status rc = json_string(data, name, &coded, e);

    if (!rc && base64_decode(coded, out))
        rc = json_error(json_get(data, name), ERR_INVALID, e, "not base64");
    if (!rc && out->failed)
        rc = json_error(json_get(data, name), ERR_TOO_BIG, e,
                        "more than %d bytes", SECRET_MAX);
    return rc;
}

static void wipe(struct text *t)
{
    if (t->ptr)
        mem_wipe(t->ptr, t->cap);
    text_fini(t);
}

static void on_secret(void *owner, struct json obj)
{
    struct json data = json_get(obj, "data");
    struct cluster *c = owner;
    struct text chain, key;
    struct error e;
    enum status rc;

    text_init(&chain, SECRET_MAX);
    text_init(&key, SECRET_MAX);
    rc = decode(data, "tls.crt", &chain, &e);
    if (!rc)
        rc = decode(data, "tls.key", &key, &e);
    if (rc)
        log_warn(&log_, "serving certificate not read", "why=" LOG_QUOTED,
                 FMT(slice_str(e.text)));
    else
        c->to->on_certificate(c->owner, text_slice(&chain), text_slice(&key));
    text_fini(&chain);
    wipe(&key);
}

static void on_gone(void *owner, slice ns, slice name)
{
    (void)owner;
    log_warn(&log_, "deleted; what it said holds", "object=%.*s/%.*s", FMT(ns),
             FMT(name));
}

static void on_synced(void *owner)
{
    (void)owner;
}

/* --- watches --- */

struct row {
    const char *what; /* for people */
    const char *resource, *name;
    struct kube_watch_events events;
};

static const struct row rows[WATCHES] = {
    [NAMESPACES] = {"namespaces",
                    "namespaces",
                    NULL,
                    {on_namespace, on_namespace_gone, on_synced, NULL, NULL}},
    [BUNDLE] = {"the trust bundle",
                "configmaps",
                TRUST_BUNDLE_NAME,
                {on_bundle, on_gone, on_synced, NULL, NULL}},
    [SERVICE] = {"the controller's address",
                 "services",
                 NULL,
                 {on_service, on_gone, on_synced, NULL, NULL}},
    [SECRET] = {"the serving certificate",
                "secrets",
                WEBHOOK_SECRET,
                {on_secret, on_gone, on_synced, NULL, NULL}},
};

static enum status watch(struct cluster *c, enum watched which,
                         const struct cluster_options *opt, struct error *e)
{
    const struct row *r = &rows[which];
    struct kube_watch_options wo = {.metadata_only = which == NAMESPACES};
    char path[PATH_TEXT], query[PATH_TEXT];
    slice name = which == SERVICE ? opt->controller : slice_str(r->name);

    if (which == NAMESPACES) {
        wo.path = SLICE("/api/v1/namespaces");
    } else {
        int n = snprintf(path, sizeof path, "/api/v1/namespaces/%.*s/%s",
                         FMT(opt->ns), r->resource);
        int q = snprintf(query, sizeof query,
                         "fieldSelector=metadata.name%%3D%.*s", FMT(name));

        if (n >= PATH_TEXT || q >= PATH_TEXT)
            return error_set(e, ERR_TOO_BIG, "the names are too long");
        wo.path = slice_str(path);
        wo.query = slice_str(query);
    }
    return kube_watch_start(&c->watches[which], c->kube, &wo, &r->events, c, e);
}

bool cluster_synced(const struct cluster *c, struct text *why)
{
    for (int i = 0; i < WATCHES; i++) {
        if (kube_watch_synced(c->watches[i]))
            continue;
        text_printf(why, "%s: not read yet", rows[i].what);
        return false;
    }
    return true;
}

/* --- one namespace --- */

struct question {
    struct cluster *cluster;
    void (*done)(void *arg);
    void *arg;
};

static void on_answer(void *owner, const struct kube_answer *a)
{
    struct question *q = owner;

    if (!a->rc)
        spaces_put(q->cluster->spaces, a->body);
    else if (a->rc != ERR_CANCELED)
        log_warn(&log_, "namespace not read", "why=" LOG_QUOTED,
                 FMT(slice_str(a->e->text)));
    q->done(q->arg);
    mem_free(q);
}

enum status cluster_ask_space(struct cluster *c, slice name,
                              void (*done)(void *arg), void *arg)
{
    /* API servers wait five seconds for us. */
    struct kube_call call = {.method = KUBE_GET, .timeout = 3 * NSEC_PER_SEC};
    struct question *q = MEM_NEW(struct question);
    struct text path;
    enum status rc;

    *q = (struct question){c, done, arg};
    text_init(&path, KUBE_PATH_MAX);
    text_add(&path, SLICE("/api/v1/namespaces/"));
    kube_path_add(&path, name);
    call.path = text_slice(&path);
    rc = path.failed ? ERR_TOO_BIG
                     : kube_send(c->kube, &call, on_answer, q, NULL);
    text_fini(&path);
    if (rc)
        mem_free(q);
    return rc;
}

/* --- events --- */

void cluster_event(struct cluster *c, const struct kube_object *on,
                   slice reason, slice note)
{
    kube_events_post(c->events, on, true, reason, note);
}

uint64_t cluster_events_dropped(const struct cluster *c)
{
    return kube_events_dropped(c->events);
}

/* --- life --- */

static void cluster_free(struct reap *r)
{
    mem_free(CONTAINER_OF(r, struct cluster, reap));
}

void cluster_close(struct cluster *c)
{
    if (!c)
        return;
    for (int i = 0; i < WATCHES; i++)
        kube_watch_close(c->watches[i]);
    if (c->events)
        kube_events_free(c->events);
    kube_close(c->kube);
    loop_reap(c->loop, &c->reap, cluster_free);
}

enum status cluster_start(struct cluster **out, struct loop *l,
                          const struct cluster_options *opt, struct error *e)
{
    struct cluster *c = MEM_NEW(struct cluster);
    struct kube_access *access = NULL;
    enum status rc;

    c->loop = l;
    c->spaces = opt->spaces;
    c->to = opt->events;
    c->owner = opt->owner;
    rc = slice_empty(opt->kubeconfig)
             ? kube_access_in_cluster(&access, e)
             : kube_access_kubeconfig(&access, opt->kubeconfig, e);
    if (!rc)
        rc = kube_start(&c->kube, l, access, "tulle-injector/" TULLE_VERSION,
                        e);
    if (!rc)
        c->events = kube_events_new(c->kube, SLICE("tulle-injector"));
    for (int i = 0; i < WATCHES && !rc; i++)
        rc = watch(c, (enum watched)i, opt, e);
    if (rc) {
        cluster_close(c);
        return rc;
    }
    *out = c;
    return OK;
}
