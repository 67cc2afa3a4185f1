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
    struct text kept; /* the Secret of a root of our own, to be put back */
    int64_t kept_at;  /* when it was so at last, monotonic ns */
    int64_t wait;     /* it is gone: others may know more until then */
    bool given, present, putting_back;
    bool deleted;  /* its end was seen */
    bool outdated; /* it is gone, and `kept` may be older than what was there */
    struct root_state root;     /* a root of our own */
    bool root_read, root_known; /* it can be read; it makes sense */
    slice trust_domain;
    int64_t root_life, stale_after;
    struct ca_secret_events events;
    void *owner;
    struct reap reap;
};

static int64_t now_of(const struct ca_secret *s)
{
    return loop_now(kube_loop(s->kube));
}

static void retry_at(struct ca_secret *s, int64_t at)
{
    timer_set(&kube_loop(s->kube)->timers, &s->retry, at);
}

/* --- what a Secret holds --- */

enum status ca_secret_part(struct json secret, const char *name, bool needed,
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
    text_init_secret(&key, PART_MAX);
    text_init(&roots, PART_MAX);
    rc = ca_secret_part(secret, "tls.crt", true, &cert, e);
    if (!rc)
        rc = ca_secret_part(secret, "tls.key", true, &key, e);
    if (!rc)
        rc = ca_secret_part(secret, "ca.crt", false, &roots, e);
    if (!rc) {
        struct authority_parts p = {text_slice(&cert), text_slice(&key),
                                    text_slice(&roots)};

        rc = authority_new(out, &p, trust_domain, e);
    }
    text_fini(&cert);
    text_fini(&key);
    text_fini(&roots);
    return rc;
}

/* Up to and into its annotations. */
static void secret_begin(struct json_write *w, slice ns, slice name)
{
    json_write_object(w);
    json_member_string(w, "apiVersion", SLICE("v1"));
    json_member_string(w, "kind", SLICE("Secret"));
    json_member_string(w, "type", SLICE("kubernetes.io/tls"));
    json_write_name(w, "metadata");
    json_write_object(w);
    json_member_string(w, "name", name);
    json_member_string(w, "namespace", ns);
    json_write_name(w, "annotations");
    json_write_object(w);
}

static void annotations_end(struct json_write *w)
{
    json_write_object_end(w);
    json_write_object_end(w);
}

enum status ca_secret_encode(const struct ca *ca, slice ns, slice name,
                             struct text *out, struct error *e)
{
    char mark[ROOT_MARK + 1];
    struct json_write w;
    enum status rc = root_mark_of(ca_cert_pem(ca), mark, e);

    if (rc)
        return rc;
    json_write_init(&w, out);
    secret_begin(&w, ns, name);
    json_member_string(&w, ROOT_MADE, slice_str(mark));
    annotations_end(&w);
    json_write_name(&w, "stringData");
    json_write_object(&w);
    json_member_string(&w, "tls.crt", ca_cert_pem(ca));
    json_member_string(&w, "tls.key", ca_key_pem(ca));
    json_write_object_end(&w);
    json_write_object_end(&w);
    return OK;
}

static void copy_texts(struct json from, const char *const *names, size_t n,
                       struct json_write *w)
{
    struct error e;

    for (size_t i = 0; i < n; i++) {
        slice value = SLICE_NONE;

        if (json_opt_string(from, names[i], &value, &e) == OK)
            json_member_text(w, names[i], value);
    }
}

/* As it is, to be put back. */
static void keep(struct ca_secret *s, struct json secret)
{
    static const char *const notes[] = {
        ROOT_PHASE,     ROOT_PHASE_SINCE, ROOT_MADE, ROOT_OLD,
        ROOT_OLD_UNTIL, ROOT_WANTED,      ROOT_DONE};
    static const char *const parts[] = {"tls.crt", "tls.key", "ca.crt",
                                        "next.crt", "next.key"};
    struct json_write w;

    text_fini(&s->kept);
    json_write_init(&w, &s->kept);
    secret_begin(&w, slice_str(s->ns), slice_str(s->name));
    copy_texts(json_get(json_get(secret, "metadata"), "annotations"), notes,
               sizeof notes / sizeof *notes, &w);
    annotations_end(&w);
    json_write_name(&w, "data");
    json_write_object(&w);
    copy_texts(json_get(secret, "data"), parts, sizeof parts / sizeof *parts,
               &w);
    json_write_object_end(&w);
    json_write_object_end(&w);
    s->kept_at = now_of(s);
    if (!s->kept.failed)
        return;
    log_warn(&log_, "too long to be put back if it is deleted", "secret=%s/%s",
             s->ns, s->name);
    s->outdated = true; /* half of it is no copy */
}

/* --- making one --- */

static void on_created(void *owner, const struct kube_answer *a)
{
    struct ca_secret *s = owner;

    s->create = NULL;
    if (!a->rc)
        log_info(&log_, s->putting_back ? "root put back" : "new root made",
                 "secret=%s/%s", s->ns, s->name);
    else if (a->rc != ERR_EXISTS) /* else another replica was first */
        s->events.on_problem(s->owner, slice_str(a->e->text));
    /* The watch tells; unless it is deleted by now, or was not written. */
    retry_at(s, now_of(s) + RETRY);
}

static enum status post(struct ca_secret *s, slice body, struct error *e)
{
    struct kube_call call = {.method = KUBE_POST, .body = body};
    struct text path;
    enum status rc;

    text_init(&path, KUBE_PATH_MAX);
    text_printf(&path, "/api/v1/namespaces/%s/secrets", s->ns);
    call.path = text_slice(&path);
    rc = kube_send(s->kube, &call, on_created, s, &s->create);
    if (rc)
        error_set(e, rc, "the root was not written: %s", status_name(rc));
    text_fini(&path);
    return rc;
}

static enum status post_new(struct ca_secret *s, struct error *e)
{
    struct ca *ca = NULL;
    struct text body;
    enum status rc = ca_new(&ca, s->trust_domain,
                            clock_real_ns() / NSEC_PER_SEC, s->root_life, e);

    if (rc)
        return rc;
    text_init_secret(&body, SECRET_MAX);
    rc = ca_secret_encode(ca, slice_str(s->ns), slice_str(s->name), &body, e);
    if (!rc)
        rc = post(s, text_slice(&body), e);
    text_fini(&body);
    ca_free(ca);
    return rc;
}

static void make_root(struct ca_secret *s)
{
    struct error e;
    enum status rc;

    s->putting_back = s->kept.len > 0;
    rc = s->putting_back ? post(s, text_slice(&s->kept), &e) : post_new(s, &e);
    if (!rc)
        return;
    s->events.on_problem(s->owner, slice_str(e.text));
    retry_at(s, now_of(s) + RETRY);
}

static void look(struct ca_secret *s)
{
    struct error e;

    if (s->present || s->create || !kube_watch_synced(s->watch))
        return;
    if (s->given)
        error_set(&e, ERR_NOT_FOUND, "the issuer Secret %s/%s is not there",
                  s->ns, s->name);
    else if (s->outdated)
        error_set(&e, ERR_NOT_FOUND,
                  "the issuer Secret %s/%s was deleted while this controller "
                  "did not hear of it, and what it knows may be older: restore "
                  "it, or restart the controllers to make a new root",
                  s->ns, s->name);
    else {
        if (now_of(s) < s->wait)
            retry_at(s, s->wait);
        else
            make_root(s);
        return;
    }
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

/* The certificates of a root that was retired have ended. */
static bool retired(const struct ca_secret *s, const struct root_state *before,
                    bool known)
{
    return known && s->root_known && before->phase == ROOT_RETIRING &&
           s->root.phase == ROOT_AT_REST &&
           slice_eq(slice_str(before->signs), slice_str(s->root.signs));
}

/* Reports, and tells whether the root may be gone by. */
static bool judge(struct ca_secret *s, enum status rc, struct error *e)
{
    if (!rc)
        rc = root_state_check(&s->root, clock_real_ns() / NSEC_PER_SEC, e);
    if (rc)
        error_prefix(e, rc, "Secret %s/%s", s->ns, s->name);
    /* What signs is good all the same. */
    s->events.on_problem(s->owner, rc ? slice_str(e->text) : SLICE_NONE);
    return rc == OK;
}

static void on_own(struct ca_secret *s, struct json obj, struct authority *a)
{
    struct root_state before = s->root;
    bool known = s->root_known;
    struct error e;
    enum status rc = root_state_read(obj, s->trust_domain, &s->root, &e);

    s->root_read = rc == OK;
    s->root_known = judge(s, rc, &e);
    s->outdated = s->deleted = false;
    keep(s, obj);
    s->events.on_authority(s->owner, a, retired(s, &before, known));
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
        s->root_read = s->root_known = false;
        error_prefix(&e, rc, "Secret %s/%s", s->ns, s->name);
        s->events.on_problem(s->owner, slice_str(e.text));
        return;
    }
    if (!s->given) {
        on_own(s, obj, a);
        return;
    }
    s->events.on_problem(s->owner, SLICE_NONE);
    s->events.on_authority(s->owner, a, false);
}

static void on_deleted(void *owner, struct json obj)
{
    struct ca_secret *s = owner;
    struct authority *a = NULL;
    struct error e;

    if (s->given)
        return;
    s->deleted = true;
    /* When it was of no use at last, the one before still signs. */
    if (ca_secret_decode(obj, s->trust_domain, &a, &e) == OK) {
        s->outdated = false;
        keep(s, obj);
    }
    authority_free(a);
}

/* Deleted by somebody: the issuer that we have stays in force here. A root of our
 * own is put back, or a replica that starts would make another one, while the
 * certificates of this one are still out there. At once when we have seen its end,
 * as it was then. Else there may have been a later one than ours: first those put
 * it back who have seen that (a sixth of the time after which we count as outdated,
 * up to a third: 30 to 60 s), and what we knew long ago is put back by nobody. */
static void on_gone(void *owner, slice ns, slice name)
{
    struct ca_secret *s = owner;
    int64_t now = now_of(s), part = s->stale_after / 6;
    struct error e;

    (void)ns;
    (void)name;
    s->present = s->root_read = s->root_known = false;
    error_set(&e, ERR_NOT_FOUND, "the issuer Secret %s/%s was deleted", s->ns,
              s->name);
    s->events.on_problem(s->owner, slice_str(e.text));
    if (s->given)
        return;
    s->wait = now;
    if (!s->deleted) {
        s->wait += part + (int64_t)(rand_unit(&kube_loop(s->kube)->rand) *
                                    (double)part);
        s->outdated = s->outdated || now - s->kept_at > s->stale_after;
    }
    s->deleted = false;
    look(s);
}

static void on_synced(void *owner)
{
    look(owner);
}

static const struct kube_watch_events watch_events = {
    .on_object = on_object,
    .on_gone = on_gone,
    .on_deleted = on_deleted,
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
    s->stale_after = opt->stale_after;
    s->events = *ev;
    s->owner = owner;
    text_init_secret(&s->kept, SECRET_MAX);
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
        text_fini(&s->kept);
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

const struct root_state *ca_secret_root(const struct ca_secret *s)
{
    return s->root_known ? &s->root : NULL;
}

void ca_secret_look(struct ca_secret *s)
{
    int64_t heard = kube_watch_heard(s->watch);
    struct error e;

    if (s->present && heard > s->kept_at)
        s->kept_at = heard;
    if (s->root_read)
        s->root_known = judge(s, OK, &e);
}

static void ca_secret_free(struct reap *r)
{
    struct ca_secret *s = CONTAINER_OF(r, struct ca_secret, reap);

    text_fini(&s->kept);
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
