/* SPDX-License-Identifier: Apache-2.0 */
/* Two objects, each watched: what is there is judged when it changes, when the
 * issuer does, when half of a certificate's life is over, and every minute. */
#include "controller/identity/webhook_cert.h"

#include <stdio.h>

#include "controller/status/writes.h"
#include "lib/base/base64.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/json/json_write.h"
#include "lib/kube/watch.h"
#include "lib/mesh/labels.h"
#include "lib/tls/tls_settings.h"

static struct log_area area = LOG_AREA("webhook");
static struct log log_ = {&area, 0};

enum { PEM_MAX = 256 << 10, BACKDATE = 60, WEBHOOKS_MAX = 16 };
#define LOOK (60 * NSEC_PER_SEC)
#define KEY_SECRET SLICE("secret")
#define KEY_WEBHOOK SLICE("webhook")

struct webhook_cert {
    struct kube *kube;
    struct kube_watch *secret, *webhook;
    struct writes *writes;
    struct timer look;
    const struct authority *authority; /* NULL: not known yet */
    char *ns, *domain, *trust_domain, *name;
    int64_t life;
    bool leading;
    /* As last seen. */
    bool secret_there;
    uint64_t version; /* of the Secret */
    char
        *cert; /* PEM of the chain in the Secret; NULL: none that can be read */
    bool keyed;    /* the Secret holds its key, too */
    char *roots;   /* PEM of the Secret's ca.crt; NULL: none */
    char *bundles; /* caBundle of each webhook, base64, by line; NULL: no such
                      configuration */
    char *names;   /* their names, by line */
    struct reap reap;
};

static int64_t today(void)
{
    return clock_real_ns() / NSEC_PER_SEC;
}

/* --- is it right? --- */

/* When it is to be renewed, seconds since 1970; 0: now. One that ends with the
 * issuer cannot be had any longer. */
static int64_t renew_at(const struct webhook_cert *w)
{
    int64_t from, to;
    struct error e;

    if (!w->cert || cert_dates(slice_str(w->cert), &from, &to, &e) ||
        from > today())
        return 0;
    if (to < authority_not_after(w->authority))
        to -= w->life / 2;
    return to;
}

/* Believed by those who know the roots of today. */
static bool cert_good(const struct webhook_cert *w)
{
    slice bundle = authority_bundle(w->authority);
    struct error e;

    return w->keyed && slice_eq(slice_str(w->roots), bundle) &&
           chain_check(slice_str(w->cert), bundle, &e) == OK;
}

static bool cert_right(const struct webhook_cert *w)
{
    return today() < renew_at(w) && cert_good(w);
}

static bool bundles_right(const struct webhook_cert *w)
{
    slice rest = slice_str(w->bundles), one;
    struct text want;
    bool right = true;

    text_init(&want, 2 * PEM_MAX);
    base64_encode(authority_bundle(w->authority), &want);
    while (right && slice_next(&rest, '\n', &one))
        right = slice_eq(one, text_slice(&want));
    text_fini(&want);
    return right;
}

static void look_again(struct webhook_cert *w)
{
    struct loop *l = kube_loop(w->kube);
    int64_t in = (renew_at(w) - today()) * NSEC_PER_SEC;

    if (in > 0 && in < LOOK)
        timer_set(&l->timers, &w->look, loop_now(l) + in);
}

static void look(struct webhook_cert *w)
{
    if (!w->leading || !w->authority)
        return;
    if (kube_watch_synced(w->secret) && !cert_right(w))
        writes_add(w->writes, KEY_SECRET);
    else
        look_again(w);
    if (kube_watch_synced(w->webhook) && w->bundles && !bundles_right(w))
        writes_add(w->writes, KEY_WEBHOOK);
}

static void on_look(struct timer *t)
{
    struct webhook_cert *w = CONTAINER_OF(t, struct webhook_cert, look);
    struct loop *l = kube_loop(w->kube);

    timer_set(&l->timers, t, loop_now(l) + LOOK);
    look(w);
}

/* --- the Secret --- */

static void forget_secret(struct webhook_cert *w)
{
    mem_free(w->cert);
    mem_free(w->roots);
    w->cert = w->roots = NULL;
    w->keyed = false;
}

/* A text of the Secret, heap; NULL: there is none that can be read. */
static char *decoded(struct json obj, const char *name)
{
    slice encoded = SLICE_NONE;
    struct text pem;
    struct error e;
    char *out = NULL;

    text_init(&pem, PEM_MAX);
    if (json_opt_string(json_get(obj, "data"), name, &encoded, &e) == OK &&
        base64_decode(encoded, &pem) == OK && !pem.failed && pem.len)
        out = mem_str(text_slice(&pem));
    if (pem.ptr)
        mem_wipe(pem.ptr, pem.cap);
    text_fini(&pem);
    return out;
}

static bool is_pair(const char *cert, const char *key)
{
    struct tls_identity *id = NULL;
    struct error e;

    if (!cert || !key ||
        tls_identity_new_plain(&id, slice_str(cert), slice_str(key), &e))
        return false;
    tls_identity_unref(id);
    return true;
}

static void on_secret(void *owner, struct json obj)
{
    struct webhook_cert *w = owner;
    char *key = decoded(obj, "tls.key");

    forget_secret(w);
    w->secret_there = true;
    w->version = kube_version(obj);
    w->cert = decoded(obj, "tls.crt");
    w->roots = decoded(obj, "ca.crt");
    w->keyed = is_pair(w->cert, key);
    if (key)
        mem_wipe_free(key, strlen(key));
    look(w);
}

static void on_secret_gone(void *owner, slice ns, slice name)
{
    struct webhook_cert *w = owner;

    (void)ns;
    (void)name;
    forget_secret(w);
    w->secret_there = false;
    look(w);
}

static void on_synced(void *owner)
{
    look(owner);
}

static const struct kube_watch_events secret_events = {
    .on_object = on_secret,
    .on_gone = on_secret_gone,
    .on_synced = on_synced,
};

static enum status new_cert(const struct webhook_cert *w, char **key,
                            char **chain, struct error *e)
{
    struct cert_request r = {
        .not_before = today() - BACKDATE,
        .not_after = today() + w->life,
    };
    char names[4][300], uri[600];
    char *der = NULL;
    size_t len = 0;
    enum status rc = key_new(key, e);

    snprintf(names[0], sizeof names[0], "%s.%s.svc", WEBHOOK_SERVICE, w->ns);
    snprintf(names[1], sizeof names[1], "%s.%s.svc.%s", WEBHOOK_SERVICE, w->ns,
             w->domain);
    snprintf(names[2], sizeof names[2], "%s.%s", WEBHOOK_SERVICE, w->ns);
    for (unsigned i = 0; i < 3; i++)
        r.dns[i] = names[i];
    /* Every leaf carries a name of the mesh; this one is nobody's workload. */
    snprintf(uri, sizeof uri, "spiffe://%s/tulle/injector", w->trust_domain);
    if (!rc)
        rc = key_public_der(slice_str(*key), &der, &len, e);
    r.public_der = slice_of(der, len);
    r.name = slice_str(uri);
    if (!rc)
        rc = authority_sign(w->authority, &r, chain, e);
    mem_free(der);
    return rc;
}

static void write_secret(const struct webhook_cert *w, const char *key,
                         const char *chain, struct text *out)
{
    struct json_write j;

    json_write_init(&j, out);
    json_write_object(&j);
    json_member_string(&j, "apiVersion", SLICE("v1"));
    json_member_string(&j, "kind", SLICE("Secret"));
    json_member_string(&j, "type", SLICE("kubernetes.io/tls"));
    json_write_name(&j, "metadata");
    json_write_object(&j);
    json_member_string(&j, "name", SLICE(WEBHOOK_SECRET));
    json_member_string(&j, "namespace", slice_str(w->ns));
    json_write_object_end(&j);
    json_write_name(&j, "stringData");
    json_write_object(&j);
    json_member_string(&j, "tls.crt", slice_str(chain));
    json_member_string(&j, "tls.key", slice_str(key));
    json_member_string(&j, "ca.crt", authority_bundle(w->authority));
    json_write_object_end(&j);
    json_write_object_end(&j);
}

static bool build_secret(const struct webhook_cert *w, struct write_call *out)
{
    char *key = NULL, *chain = NULL;
    struct error e;
    enum status rc;

    if (cert_right(w))
        return false;
    rc = new_cert(w, &key, &chain, &e);
    if (rc) {
        log_error(&log_, "serving certificate not made", "why=" LOG_QUOTED,
                  FMT(slice_str(e.text)));
    } else {
        out->method = w->secret_there ? KUBE_PUT : KUBE_POST;
        text_printf(&out->path, "/api/v1/namespaces/%s/secrets%s", w->ns,
                    w->secret_there ? "/" WEBHOOK_SECRET : "");
        write_secret(w, key, chain, &out->body);
    }
    if (key)
        mem_wipe_free(key, strlen(key));
    mem_free(chain);
    return rc == OK; /* else the next look tries again */
}

/* --- the configuration --- */

static void forget_webhook(struct webhook_cert *w)
{
    mem_free(w->bundles);
    mem_free(w->names);
    w->bundles = w->names = NULL;
}

static void on_webhook(void *owner, struct json obj)
{
    struct webhook_cert *w = owner;
    struct json hooks = json_get(obj, "webhooks");
    struct text bundles, names;
    unsigned n = 0;

    forget_webhook(w);
    text_init(&bundles, WEBHOOKS_MAX * 2 * PEM_MAX);
    text_init(&names, 8192);
    for (struct json i = json_first(hooks); json_present(i) && n < WEBHOOKS_MAX;
         i = json_next(i)) {
        slice name = SLICE_NONE, bundle = SLICE_NONE;
        struct error e;

        if (json_string(i, "name", &name, &e) ||
            json_opt_string(json_get(i, "clientConfig"), "caBundle", &bundle,
                            &e))
            continue;
        text_printf(&bundles, "%s%.*s", n ? "\n" : "", FMT(bundle));
        text_printf(&names, "%s%.*s", n ? "\n" : "", FMT(name));
        n++;
    }
    if (n && !bundles.failed && !names.failed) {
        w->bundles = mem_str(text_slice(&bundles));
        w->names = mem_str(text_slice(&names));
    }
    text_fini(&bundles);
    text_fini(&names);
    look(w);
}

static void on_webhook_gone(void *owner, slice ns, slice name)
{
    (void)ns;
    (void)name;
    forget_webhook(owner);
}

static const struct kube_watch_events webhook_events = {
    .on_object = on_webhook,
    .on_gone = on_webhook_gone,
    .on_synced = on_synced,
};

static void write_webhooks(const struct webhook_cert *w, struct json_write *j)
{
    slice rest = slice_str(w->names), name;
    struct text bundle;

    text_init(&bundle, 2 * PEM_MAX);
    base64_encode(authority_bundle(w->authority), &bundle);
    json_write_array(j);
    while (slice_next(&rest, '\n', &name)) {
        json_write_object(j);
        json_member_string(j, "name", name);
        json_write_name(j, "clientConfig");
        json_write_object(j);
        json_member_string(j, "caBundle", text_slice(&bundle));
        json_write_object_end(j);
        json_write_object_end(j);
    }
    json_write_array_end(j);
    text_fini(&bundle);
}

static bool build_webhook(const struct webhook_cert *w, struct write_call *out)
{
    struct json_write j;

    if (!w->bundles || bundles_right(w))
        return false;
    out->method = KUBE_APPLY;
    text_printf(&out->path,
                "/apis/admissionregistration.k8s.io/v1/"
                "mutatingwebhookconfigurations/%s?fieldManager=%s&force=true",
                w->name, FIELD_MANAGER);
    json_write_init(&j, &out->body);
    json_write_object(&j);
    json_member_string(&j, "apiVersion",
                       SLICE("admissionregistration.k8s.io/v1"));
    json_member_string(&j, "kind", SLICE("MutatingWebhookConfiguration"));
    json_write_name(&j, "metadata");
    json_write_object(&j);
    json_member_string(&j, "name", slice_str(w->name));
    json_write_object_end(&j);
    json_write_name(&j, "webhooks");
    write_webhooks(w, &j);
    json_write_object_end(&j);
    return true;
}

/* --- writing --- */

static bool build(void *owner, slice key, struct write_call *out)
{
    struct webhook_cert *w = owner;

    if (!w->authority)
        return false;
    if (slice_eq(key, KEY_SECRET))
        return build_secret(w, out);
    return build_webhook(w, out);
}

static enum write_next answer(void *owner, slice key,
                              const struct kube_answer *a)
{
    struct webhook_cert *w = owner;

    if (!a->rc) {
        log_info(&log_, "written", "what=%.*s", FMT(key));
        /* The watch may know more already. */
        if (slice_eq(key, KEY_SECRET) && kube_version(a->body) > w->version)
            on_secret(w, a->body);
        return WRITE_DONE;
    }
    if (slice_eq(key, KEY_SECRET) && a->rc == ERR_EXISTS)
        w->secret_there = true;
    if (slice_eq(key, KEY_SECRET) && a->rc == ERR_NOT_FOUND)
        w->secret_there = false;
    log_warn(&log_, "not written", "what=%.*s why=" LOG_QUOTED, FMT(key),
             FMT(slice_str(a->e->text)));
    return WRITE_RETRY;
}

/* --- for the owner --- */

static enum status start_watches(struct webhook_cert *w, struct error *e)
{
    struct kube_watch_options secret = {0}, hook = {0};
    struct text path, query;
    enum status rc;

    text_init(&path, KUBE_PATH_MAX);
    text_init(&query, KUBE_PATH_MAX);
    text_printf(&path, "/api/v1/namespaces/%s/secrets", w->ns);
    secret.path = text_slice(&path);
    secret.query = SLICE("fieldSelector=metadata.name%3D" WEBHOOK_SECRET);
    text_printf(&query, "fieldSelector=metadata.name%%3D%s", w->name);
    hook.path = SLICE("/apis/admissionregistration.k8s.io/v1/"
                      "mutatingwebhookconfigurations");
    hook.query = text_slice(&query);
    rc = kube_watch_start(&w->secret, w->kube, &secret, &secret_events, w, e);
    if (!rc)
        rc = kube_watch_start(&w->webhook, w->kube, &hook, &webhook_events, w,
                              e);
    text_fini(&path);
    text_fini(&query);
    return rc;
}

enum status webhook_cert_start(struct webhook_cert **out, struct kube *k,
                               const struct webhook_cert_options *opt,
                               struct error *e)
{
    struct writes_options wo = {
        .name = "webhook",
        .per_second = 1,
        .burst = 4,
        .in_flight = 2,
        .build = build,
        .answer = answer,
    };
    struct webhook_cert *w = MEM_NEW(struct webhook_cert);
    struct loop *l = kube_loop(k);
    enum status rc;

    w->kube = k;
    w->ns = mem_str(opt->ns);
    w->domain = mem_str(opt->cluster_domain);
    w->trust_domain = mem_str(opt->trust_domain);
    w->name = mem_str(opt->webhook);
    w->life = opt->life;
    wo.owner = w;
    w->writes = writes_new(k, &wo);
    timer_init(&w->look, on_look);
    timer_set(&l->timers, &w->look, loop_now(l) + LOOK);
    rc = start_watches(w, e);
    if (rc) {
        webhook_cert_close(w);
        return rc;
    }
    *out = w;
    return OK;
}

void webhook_cert_set(struct webhook_cert *w, const struct authority *a)
{
    w->authority = a;
    look(w);
}

void webhook_cert_lead(struct webhook_cert *w, bool leading)
{
    w->leading = leading;
    writes_pause(w->writes, !leading);
    if (leading)
        look(w);
    else
        writes_clear(w->writes);
}

bool webhook_cert_written(const struct webhook_cert *w, int64_t fresh)
{
    return w->leading && w->authority && kube_watch_synced(w->secret) &&
           kube_watch_heard(w->secret) >= fresh &&
           kube_watch_synced(w->webhook) &&
           kube_watch_heard(w->webhook) >= fresh && cert_good(w) &&
           (!w->bundles || bundles_right(w));
}

static void webhook_cert_free(struct reap *r)
{
    struct webhook_cert *w = CONTAINER_OF(r, struct webhook_cert, reap);

    forget_secret(w);
    forget_webhook(w);
    mem_free(w->ns);
    mem_free(w->domain);
    mem_free(w->trust_domain);
    mem_free(w->name);
    mem_free(w);
}

void webhook_cert_close(struct webhook_cert *w)
{
    if (!w)
        return;
    kube_watch_close(w->secret);
    kube_watch_close(w->webhook);
    writes_close(w->writes);
    timer_stop(&kube_loop(w->kube)->timers, &w->look);
    loop_reap(kube_loop(w->kube), &w->reap, webhook_cert_free);
}
