/* SPDX-License-Identifier: Apache-2.0 */
/* Watch; when the first list is told and there is no Secret, make a root and
 * create it; who loses that race hears of the winner's through the watch. */
#include "controller/identity/ca_secret.h"

#include "lib/base/base64.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/json/json_write.h"
#include "lib/kube/watch.h"

static struct log_area area = LOG_AREA("ca");
static struct log log_ = {&area, 0};

enum { PART_MAX = 256 << 10, SECRET_MAX = 1 << 20 };
#define RETRY (5 * NSEC_PER_SEC)

struct ca_secret {
    struct kube *kube;
    struct kube_watch *watch;
    struct kube_request *create;
    struct timer retry;
    char *ns, *name;
    bool given, present;
    slice trust_domain;
    int64_t root_life;
    struct ca_secret_events events;
    void *owner;
    struct reap reap;
};

/* --- what a Secret holds --- */

/* A member of `data`, decoded; empty when absent and not `needed`. */
static enum status part(struct json secret, const char *name, bool needed,
                        struct text *out, struct error *e)
{
    struct json data = {0};
    slice encoded = SLICE_NONE;
    enum status rc = json_object(secret, "data", &data, e);

    if (!rc)
        rc = needed ? json_string(data, name, &encoded, e)
                    : json_opt_string(data, name, &encoded, e);
    if (rc)
        return rc;
    if (encoded.len > PART_MAX)
        return error_set(e, ERR_TOO_BIG, "data.%s: is too long", name);
    if (base64_decode(encoded, out) || out->failed)
        return error_set(e, ERR_INVALID, "data.%s: is not base64", name);
    return OK;
}

enum status ca_secret_decode(struct json secret, slice trust_domain,
                             struct authority **out, struct error *e)
{
    struct text cert, key, roots;
    enum status rc;

    text_init(&cert, PART_MAX);
    text_init(&key, PART_MAX);
    text_init(&roots, PART_MAX);
    rc = part(secret, "tls.crt", true, &cert, e);
    if (!rc)
        rc = part(secret, "tls.key", true, &key, e);
    if (!rc)
        rc = part(secret, "ca.crt", false, &roots, e);
    if (!rc) {
        struct authority_parts p = {text_slice(&cert), text_slice(&key),
                                    text_slice(&roots)};

        rc = authority_new(out, &p, trust_domain, e);
    }
    if (key.ptr)
        mem_wipe(key.ptr, key.len);
    text_fini(&cert);
    text_fini(&key);
    text_fini(&roots);
    return rc;
}

void ca_secret_encode(const struct ca *ca, slice ns, slice name,
                      struct text *out)
{
    struct json_write w;

    json_write_init(&w, out);
    json_write_object(&w);
    json_member_string(&w, "apiVersion", SLICE("v1"));
    json_member_string(&w, "kind", SLICE("Secret"));
    json_member_string(&w, "type", SLICE("kubernetes.io/tls"));
    json_write_name(&w, "metadata");
    json_write_object(&w);
    json_member_string(&w, "name", name);
    json_member_string(&w, "namespace", ns);
    json_write_object_end(&w);
    json_write_name(&w, "stringData");
    json_write_object(&w);
    json_member_string(&w, "tls.crt", ca_cert_pem(ca));
    json_member_string(&w, "tls.key", ca_key_pem(ca));
    json_write_object_end(&w);
    json_write_object_end(&w);
}

/* --- making one --- */

static void on_created(void *owner, const struct kube_answer *a)
{
    struct ca_secret *s = owner;

    s->create = NULL;
    if (!a->rc) {
        log_info(&log_, "new root made", "secret=%s/%s", s->ns, s->name);
        return; /* the watch tells */
    }
    if (a->rc == ERR_EXISTS)
        return; /* another replica was first: the watch tells */
    s->events.on_problem(s->owner, slice_str(a->e->text));
    timer_set(&kube_loop(s->kube)->timers, &s->retry,
              loop_now(kube_loop(s->kube)) + RETRY);
}

static enum status post(struct ca_secret *s, const struct ca *ca,
                        struct error *e)
{
    struct kube_call call = {.method = KUBE_POST};
    struct text path, body;
    enum status rc;

    text_init(&path, KUBE_PATH_MAX);
    text_init(&body, SECRET_MAX);
    text_printf(&path, "/api/v1/namespaces/%s/secrets", s->ns);
    ca_secret_encode(ca, slice_str(s->ns), slice_str(s->name), &body);
    call.path = text_slice(&path);
    call.body = text_slice(&body);
    rc = kube_send(s->kube, &call, on_created, s, &s->create);
    if (rc)
        error_set(e, rc, "the root was not written: %s", status_name(rc));
    mem_wipe(body.ptr, body.len);
    text_fini(&body);
    text_fini(&path);
    return rc;
}

static void make_root(struct ca_secret *s)
{
    struct ca *ca = NULL;
    struct error e;
    enum status rc = ca_new(&ca, s->trust_domain,
                            clock_real_ns() / NSEC_PER_SEC, s->root_life, &e);

    if (!rc)
        rc = post(s, ca, &e);
    ca_free(ca);
    if (!rc)
        return;
    s->events.on_problem(s->owner, slice_str(e.text));
    timer_set(&kube_loop(s->kube)->timers, &s->retry,
              loop_now(kube_loop(s->kube)) + RETRY);
}

static void look(struct ca_secret *s)
{
    struct error e;

    if (s->present || s->create || !kube_watch_synced(s->watch))
        return;
    if (!s->given) {
        make_root(s);
        return;
    }
    error_set(&e, ERR_NOT_FOUND, "the issuer Secret %s/%s is not there", s->ns,
              s->name);
    s->events.on_problem(s->owner, slice_str(e.text));
}

static void on_retry(struct timer *t)
{
    look(CONTAINER_OF(t, struct ca_secret, retry));
}

/* --- the watch --- */

/* What has ended signs nothing that anybody believes. */
static enum status check_dates(const struct authority *a, struct error *e)
{
    char until[21];

    if (authority_not_after(a) > clock_real_ns() / NSEC_PER_SEC)
        return OK;
    clock_format_rfc3339(authority_not_after(a), until);
    return error_set(e, ERR_INVALID, "the certificate has expired at %s",
                     until);
}

static void on_object(void *owner, struct json obj)
{
    struct ca_secret *s = owner;
    struct authority *a = NULL;
    struct error e;
    enum status rc = ca_secret_decode(obj, s->trust_domain, &a, &e);

    s->present = true;
    if (!rc)
        rc = check_dates(a, &e);
    if (rc) {
        authority_free(a);
        error_prefix(&e, rc, "Secret %s/%s", s->ns, s->name);
        s->events.on_problem(s->owner, slice_str(e.text));
        return;
    }
    s->events.on_problem(s->owner, SLICE_NONE);
    s->events.on_authority(s->owner, a);
}

/* Deleted by somebody: the issuer that we have stays in force here, but a
 * replica that starts now has none. A root of our own is not made again by
 * itself: the certificates of the old one are still out there. */
static void on_gone(void *owner, slice ns, slice name)
{
    struct ca_secret *s = owner;
    struct error e;

    (void)ns;
    (void)name;
    error_set(&e, ERR_NOT_FOUND, "the issuer Secret %s/%s was deleted", s->ns,
              s->name);
    s->events.on_problem(s->owner, slice_str(e.text));
}

static void on_synced(void *owner)
{
    look(owner);
}

static const struct kube_watch_events watch_events = {
    .on_object = on_object,
    .on_gone = on_gone,
    .on_synced = on_synced,
};

enum status ca_secret_start(struct ca_secret **out, struct kube *k,
                            const struct ca_secret_options *opt,
                            const struct ca_secret_events *ev, void *owner,
                            struct error *e)
{
    struct ca_secret *s = MEM_NEW(struct ca_secret);
    struct kube_watch_options wo = {0};
    struct text path, query;
    enum status rc;

    s->kube = k;
    s->ns = mem_str(opt->ns);
    s->name = mem_str(opt->name);
    s->given = opt->given;
    s->trust_domain = opt->trust_domain;
    s->root_life = opt->root_life;
    s->events = *ev;
    s->owner = owner;
    timer_init(&s->retry, on_retry);
    text_init(&path, KUBE_PATH_MAX);
    text_init(&query, KUBE_PATH_MAX);
    text_printf(&path, "/api/v1/namespaces/%s/secrets", s->ns);
    text_printf(&query, "fieldSelector=metadata.name%%3D%s", s->name);
    wo.path = text_slice(&path);
    wo.query = text_slice(&query);
    rc = kube_watch_start(&s->watch, k, &wo, &watch_events, s, e);
    text_fini(&path);
    text_fini(&query);
    if (rc) {
        mem_free(s->ns);
        mem_free(s->name);
        mem_free(s);
        return rc;
    }
    *out = s;
    return OK;
}

int64_t ca_secret_heard(const struct ca_secret *s)
{
    return kube_watch_heard(s->watch);
}

static void ca_secret_free(struct reap *r)
{
    struct ca_secret *s = CONTAINER_OF(r, struct ca_secret, reap);

    mem_free(s->ns);
    mem_free(s->name);
    mem_free(s);
}

void ca_secret_close(struct ca_secret *s)
{
    struct loop *l;

    if (!s)
        return;
    l = kube_loop(s->kube);
    kube_watch_close(s->watch);
    if (s->create)
        kube_cancel(s->create);
    timer_stop(&l->timers, &s->retry);
    loop_reap(l, &s->reap, ca_secret_free);
}
