/* SPDX-License-Identifier: Apache-2.0 */
/* When the watch says that a step is due, read the Secret, decide again, and patch
 * it under the resourceVersion that was read. When somebody else was faster, that
 * fails, and the next look sees what they did. */
#include "controller/identity/rotation.h"

#include <stdio.h>

#include "controller/identity/ca_secret.h"
#include "lib/base/base64.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/json/json_write.h"
#include "lib/tls/cert.h"

static struct log_area area = LOG_AREA("rotation");
static struct log log_ = {&area, 0};

enum { PATCH_MAX = 1 << 20, PART_MAX = 256 << 10, NAMES_MAX = 400 };
#define RETRY (30 * NSEC_PER_SEC)

static const struct {
    const char *log, *reason, *note;
} steps[] = {
    [ROOT_MAKE] =
        {"next root made: proxies are told to trust it", "RootDistributing",
         "The next root was made. Proxies are told to trust it beside "
         "the old one, which signs until all do."},
    [ROOT_SIGN] = {"the next root signs: the old one is trusted for a while",
                   "RootRetiring",
                   "The next root signs. The old one is trusted until its "
                   "certificates have ended."},
    [ROOT_DROP] = {"the old root is trusted no longer", "RootRotated",
                   "The old root is trusted no longer: the rotation is done."},
};

struct rotation {
    struct kube *kube;
    struct kube_request *request; /* NULL: none is under way */
    struct rotation_options opt;
    char *ns, *name;
    bool leading;
    int64_t led, retry; /* since; not before; monotonic ns */
    /* The step under way. */
    enum root_step step;
    size_t behind;
    char names[NAMES_MAX];
    struct reap reap;
};

/* --- what is due --- */

static enum root_step decide(struct rotation *r, const struct root_state *s)
{
    int64_t led = (loop_now(kube_loop(r->kube)) - r->led) / NSEC_PER_SEC;
    struct text names;

    r->behind = 0;
    r->names[0] = 0;
    if (s->phase == ROOT_DISTRIBUTING) {
        text_init(&names, NAMES_MAX - 1);
        r->behind = r->opt.behind(r->opt.arg, slice_str(s->next), &names);
        snprintf(r->names, sizeof r->names, "%s", text_cstr(&names));
        text_fini(&names);
    }
    return root_next(s, &r->opt.rules, clock_real_ns() / NSEC_PER_SEC, led,
                     r->behind == 0);
}

static void post_event(struct rotation *r, bool warning, const char *reason,
                       const char *note)
{
    const struct kube_object on = {
        .api_version = SLICE("v1"),
        .kind = SLICE("Secret"),
        .ns = slice_str(r->ns),
        .name = slice_str(r->name),
    };

    kube_events_post(r->opt.events, &on, warning, slice_str(reason),
                     slice_str(note));
}

static void later(struct rotation *r, const char *why)
{
    log_warn(&log_, "root not rotated, tried again",
             "secret=%s/%s why=" LOG_QUOTED, r->ns, r->name,
             FMT(slice_str(why)));
    post_event(r, true, "RootNotRotated", why);
    r->retry = loop_now(kube_loop(r->kube)) + RETRY;
}

/* --- the patch --- */

static void add_base64(struct json_write *w, const char *name, slice bytes)
{
    struct text t;

    text_init(&t, 2 * PART_MAX);
    base64_encode(bytes, &t);
    json_member_string(w, name, text_slice(&t));
    if (t.ptr)
        mem_wipe(t.ptr, t.cap);
    text_fini(&t);
}

static void remove_member(struct json_write *w, const char *name)
{
    json_write_name(w, name);
    json_write_null(w);
}

/* The old root, whatever is trusted beside, and the next one. */
static enum status add_all_roots(struct json secret, slice next,
                                 struct json_write *w, struct error *e)
{
    struct text cert, roots;
    char *all = NULL;
    enum status rc;

    text_init(&cert, PART_MAX);
    text_init(&roots, PART_MAX);
    rc = ca_secret_part(secret, "tls.crt", true, &cert, e);
    if (!rc)
        rc = ca_secret_part(secret, "ca.crt", false, &roots, e);
    if (!rc) {
        slice pems[] = {text_slice(&cert), text_slice(&roots), next};

        rc = certs_merge(pems, 3, &all, e);
    }
    if (!rc)
        add_base64(w, "ca.crt", slice_str(all));
    mem_free(all);
    text_fini(&cert);
    text_fini(&roots);
    return rc;
}

static enum status make_next(const struct rotation *r, struct json secret,
                             struct json_write *w, struct error *e)
{
    struct ca *ca = NULL;
    enum status rc = ca_new(&ca, r->opt.trust_domain,
                            clock_real_ns() / NSEC_PER_SEC, r->opt.rules.life,
                            e);

    if (rc)
        return rc;
    rc = add_all_roots(secret, ca_cert_pem(ca), w, e);
    add_base64(w, "next.crt", ca_cert_pem(ca));
    add_base64(w, "next.key", ca_key_pem(ca));
    ca_free(ca);
    return rc;
}

/* With this the key of the old one is gone. */
static enum status sign_with_next(struct json data, struct json_write *w,
                                  struct error *e)
{
    slice cert = SLICE_NONE, key = SLICE_NONE;
    enum status rc = json_string(data, "next.crt", &cert, e);

    if (!rc)
        rc = json_string(data, "next.key", &key, e);
    json_member_string(w, "tls.crt", cert);
    json_member_string(w, "tls.key", key);
    remove_member(w, "next.crt");
    remove_member(w, "next.key");
    return rc;
}

static enum status drop_old(struct json data, struct json_write *w,
                            struct error *e)
{
    slice cert = SLICE_NONE;
    enum status rc = json_string(data, "tls.crt", &cert, e);

    json_member_string(w, "ca.crt", cert);
    return rc;
}

static void add_phase(const struct rotation *r, struct json annotations,
                      struct json_write *w)
{
    slice wanted = SLICE_NONE;
    char since[21];
    struct error e;

    if (r->step == ROOT_DROP) {
        remove_member(w, ROOT_PHASE);
        remove_member(w, ROOT_PHASE_SINCE);
        return;
    }
    clock_format_rfc3339(clock_real_ns() / NSEC_PER_SEC, since);
    json_member_string(
        w, ROOT_PHASE,
        slice_str(r->step == ROOT_MAKE ? "distributing" : "retiring"));
    json_member_string(w, ROOT_PHASE_SINCE, slice_str(since));
    /* What is asked for from now on is another rotation. */
    if (r->step == ROOT_MAKE &&
        json_opt_string(annotations, ROOT_WANTED, &wanted, &e) == OK)
        json_member_text(w, ROOT_DONE, wanted);
}

static enum status build(const struct rotation *r, struct json secret,
                         struct text *out, struct error *e)
{
    struct json meta = json_get(secret, "metadata");
    struct json data = json_get(secret, "data");
    slice version = SLICE_NONE;
    struct json_write w;
    enum status rc = json_string(meta, "resourceVersion", &version, e);

    if (rc)
        return rc;
    json_write_init(&w, out);
    json_write_object(&w);
    json_write_name(&w, "metadata");
    json_write_object(&w);
    json_member_string(&w, "resourceVersion", version);
    json_write_name(&w, "annotations");
    json_write_object(&w);
    add_phase(r, json_get(meta, "annotations"), &w);
    json_write_object_end(&w);
    json_write_object_end(&w);
    json_write_name(&w, "data");
    json_write_object(&w);
    if (r->step == ROOT_MAKE)
        rc = make_next(r, secret, &w, e);
    else if (r->step == ROOT_SIGN)
        rc = sign_with_next(data, &w, e);
    else
        rc = drop_old(data, &w, e);
    json_write_object_end(&w);
    json_write_object_end(&w);
    if (!rc && out->failed)
        rc = error_set(e, ERR_TOO_BIG, "the Secret would be too long");
    return rc;
}

/* --- the requests --- */

static enum status ask(struct rotation *r, enum kube_method method, slice body,
                       kube_done_fn *done, struct error *e)
{
    struct kube_call call = {.method = method, .body = body};
    struct text path;
    enum status rc;

    text_init(&path, KUBE_PATH_MAX);
    text_printf(&path, "/api/v1/namespaces/%s/secrets/%s", r->ns, r->name);
    call.path = text_slice(&path);
    rc = kube_send(r->kube, &call, done, r, &r->request);
    if (rc)
        error_set(e, rc, "not asked: %s", status_name(rc));
    text_fini(&path);
    return rc;
}

static void on_patched(void *owner, const struct kube_answer *a)
{
    struct rotation *r = owner;
    char note[NAMES_MAX + 200];

    r->request = NULL;
    if (a->rc == ERR_AGAIN) {
        log_info(&log_, "somebody else changed the Secret: read again", "%s",
                 "");
        return;
    }
    if (a->rc) {
        later(r, a->e->text);
        return;
    }
    log_info(&log_, steps[r->step].log, "secret=%s/%s", r->ns, r->name);
    post_event(r, false, steps[r->step].reason, steps[r->step].note);
    if (r->step != ROOT_SIGN || !r->behind)
        return;
    log_warn(&log_, "not everybody had the next root in time",
             "behind=%zu some=" LOG_QUOTED, r->behind,
             FMT(slice_str(r->names)));
    snprintf(note, sizeof note,
             "%zu did not have the next root in time, and may be cut off until "
             "they are restarted: %s",
             r->behind, r->names);
    post_event(r, true, "RootNotEverywhere", note);
}

static void patch(struct rotation *r, struct json secret)
{
    struct text body;
    struct error e;
    enum status rc;

    text_init(&body, PATCH_MAX);
    rc = build(r, secret, &body, &e);
    if (!rc)
        rc = ask(r, KUBE_MERGE_PATCH, text_slice(&body), on_patched, &e);
    if (rc)
        later(r, e.text);
    if (body.ptr)
        mem_wipe(body.ptr, body.cap);
    text_fini(&body);
}

static void on_read(void *owner, const struct kube_answer *a)
{
    struct rotation *r = owner;
    struct root_state s;
    struct error e;

    r->request = NULL;
    if (a->rc) {
        later(r, a->e->text);
    } else if (root_state_read(a->body, r->opt.trust_domain, &s, &e)) {
        later(r, e.text);
    } else {
        r->step = decide(r, &s);
        if (r->step != ROOT_WAIT)
            patch(r, a->body);
    }
}

void rotation_look(struct rotation *r, const struct root_state *seen)
{
    struct error e;

    if (!r->leading || r->request || !seen ||
        loop_now(kube_loop(r->kube)) < r->retry || decide(r, seen) == ROOT_WAIT)
        return;
    if (ask(r, KUBE_GET, SLICE_NONE, on_read, &e))
        later(r, e.text);
}

/* --- life --- */

struct rotation *rotation_new(struct kube *k,
                              const struct rotation_options *opt)
{
    struct rotation *r = MEM_NEW(struct rotation);

    r->kube = k;
    r->opt = *opt;
    r->ns = mem_str(opt->ns);
    r->name = mem_str(opt->name);
    return r;
}

static void stop(struct rotation *r)
{
    if (r->request)
        kube_cancel(r->request);
    r->request = NULL;
}

void rotation_lead(struct rotation *r, bool leading)
{
    r->leading = leading;
    r->led = loop_now(kube_loop(r->kube));
    r->retry = 0;
    if (!leading)
        stop(r);
}

static void rotation_free(struct reap *reap)
{
    struct rotation *r = CONTAINER_OF(reap, struct rotation, reap);

    mem_free(r->ns);
    mem_free(r->name);
    mem_free(r);
}

void rotation_close(struct rotation *r)
{
    if (!r)
        return;
    stop(r);
    loop_reap(kube_loop(r->kube), &r->reap, rotation_free);
}
