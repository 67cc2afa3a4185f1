/* SPDX-License-Identifier: Apache-2.0 */
/* When the watch says that a step is due, read the Secret, decide again, and patch
 * it under the resourceVersion that was read. When somebody else was faster, that
 * fails, and the next look sees what they did. */
#include "controller/identity/rotation.h"

#include <stdio.h>

#include "controller/identity/root_patch.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

static struct log_area area = LOG_AREA("rotation");
static struct log log_ = {&area, 0};

enum { PATCH_MAX = 1 << 20, NAMES_MAX = 400 };
#define RETRY_FIRST NSEC_PER_SEC
#define RETRY_MOST (3600 * NSEC_PER_SEC)
#define REMIND (60 * NSEC_PER_SEC)

/* The texts do not vary: what is the same Event is counted, not written anew. */
struct said {
    const char *log, *reason, *note;
};
static const struct said steps[] = {
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
static const struct said
    waits = {"the rotation of the root waits", "RootWaiting",
             "The rotation of the root waits for replicas, proxies or objects "
             "that do not have the next root, or still need the old one. The "
             "log of the controller that leads says how many, and names some."},
    not_everywhere =
        {"not everybody had the next root in time", "RootNotEverywhere",
         "Some proxies did not have the next root in time, and may "
         "be cut off until they reach a controller, or are restarted. "
         "The controller's log names some."},
    not_rotated = {"root not rotated, tried again", "RootNotRotated",
                   "A step of the rotation of the root failed, and is tried "
                   "again. The controller's log says why."};

struct rotation {
    struct kube *kube;
    struct kube_request *request; /* NULL: none is under way */
    struct rotation_options opt;
    char *ns, *name;
    bool leading;
    /* Monotonic ns. */
    int64_t led;     /* since when */
    int64_t retry;   /* not before */
    int64_t wait;    /* how long after the next failure */
    int64_t written; /* since when all objects hold the next root; 0: not */
    int64_t stepped; /* when our last step was; 0: none */
    int64_t remind;  /* not before */
    unsigned unfinished;
    char next[ROOT_MARK + 1]; /* which one `written` is about */
    /* The step under way. */
    enum root_step step;
    struct root_sight sight;
    char names[NAMES_MAX];
    struct reap reap;
};

/* --- what is due --- */

static int64_t seconds_since(const struct rotation *r, int64_t then)
{
    return (loop_now(kube_loop(r->kube)) - then) / NSEC_PER_SEC;
}

/* Whatever breaks off begins anew. */
static void note_written(struct rotation *r, const struct root_state *s,
                         bool written)
{
    if (!written || strcmp(r->next, s->next) != 0)
        r->written = 0;
    memcpy(r->next, s->next, sizeof r->next);
    if (written && !r->written)
        r->written = loop_now(kube_loop(r->kube));
}

static void see(struct rotation *r, const struct root_state *s)
{
    struct root_sight *out = &r->sight;
    struct text names;
    bool written;

    *out = (struct root_sight){.written = -1, .stepped = -1};
    text_init(&names, NAMES_MAX - 1);
    written = s->phase != ROOT_AT_REST &&
              r->opt.see(r->opt.arg, s, out, &names);
    note_written(r, s, written && s->phase == ROOT_DISTRIBUTING);
    snprintf(r->names, sizeof r->names, "%s", text_cstr(&names));
    text_fini(&names);
    out->now = clock_real_ns() / NSEC_PER_SEC;
    out->led = seconds_since(r, r->led);
    out->unfinished = r->unfinished;
    if (r->written)
        out->written = seconds_since(r, r->written);
    if (r->stepped)
        out->stepped = seconds_since(r, r->stepped);
}

static enum root_step decide(struct rotation *r, const struct root_state *s)
{
    see(r, s);
    return root_next(s, &r->opt.rules, &r->sight);
}

/* --- what people are told --- */

static void post_event(struct rotation *r, bool warning,
                       const struct said *said)
{
    const struct kube_object on = {
        .api_version = SLICE("v1"),
        .kind = SLICE("Secret"),
        .ns = slice_str(r->ns),
        .name = slice_str(r->name),
    };

    kube_events_post(r->opt.events, &on, warning, slice_str(said->reason),
                     slice_str(said->note));
}

static void warn_of_sight(struct rotation *r, const struct said *said)
{
    const struct root_sight *s = &r->sight;

    log_warn(&log_, said->log,
             "written=%s replicas=%zu proxies=%zu of=%zu old=%zu "
             "some=" LOG_QUOTED,
             r->written && !s->missing ? "yes" : "no", s->replicas, s->behind,
             s->proxies, s->old, FMT(slice_str(r->names)));
    post_event(r, true, said);
}

static void remind(struct rotation *r, const struct root_state *s)
{
    int64_t now = loop_now(kube_loop(r->kube));

    if (now < r->remind || !root_is_late(s, &r->opt.rules, &r->sight))
        return;
    r->remind = now + REMIND;
    warn_of_sight(r, &waits);
}

static void back_off(struct rotation *r)
{
    r->retry = loop_now(kube_loop(r->kube)) + r->wait;
    r->wait = r->wait < RETRY_MOST / 2 ? 2 * r->wait : RETRY_MOST;
}

static void later(struct rotation *r, const char *why)
{
    log_warn(&log_, not_rotated.log, "secret=%s/%s why=" LOG_QUOTED, r->ns,
             r->name, FMT(slice_str(why)));
    post_event(r, true, &not_rotated);
    back_off(r);
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

    r->request = NULL;
    if (a->rc == ERR_AGAIN) {
        log_info(&log_, "somebody else changed the Secret: read again", "%s",
                 "");
        back_off(r);
        return;
    }
    if (a->rc) {
        later(r, a->e->text);
        return;
    }
    r->wait = RETRY_FIRST;
    r->stepped = loop_now(kube_loop(r->kube));
    r->unfinished = r->step == ROOT_MAKE   ? r->unfinished + 1
                    : r->step == ROOT_DROP ? 0
                                           : r->unfinished;
    log_info(&log_, steps[r->step].log, "secret=%s/%s", r->ns, r->name);
    post_event(r, false, &steps[r->step]);
    if (r->step == ROOT_SIGN && (r->sight.behind || r->sight.replicas))
        warn_of_sight(r, &not_everywhere);
}

static void patch(struct rotation *r, const struct root_state *s,
                  struct json secret)
{
    const struct root_change change = {
        .step = r->step,
        .state = s,
        .rules = &r->opt.rules,
        .trust_domain = r->opt.trust_domain,
        .now = clock_real_ns() / NSEC_PER_SEC,
    };
    struct text body;
    struct error e;
    enum status rc;

    text_init_secret(&body, PATCH_MAX);
    rc = root_patch(&change, secret, &body, &e);
    if (!rc)
        rc = ask(r, KUBE_MERGE_PATCH, text_slice(&body), on_patched, &e);
    if (rc)
        later(r, e.text);
    text_fini(&body);
}

static void on_read(void *owner, const struct kube_answer *a)
{
    struct rotation *r = owner;
    int64_t now = clock_real_ns() / NSEC_PER_SEC;
    struct root_state s;
    struct error e;

    r->request = NULL;
    if (a->rc) {
        later(r, a->e->text);
    } else if (root_clock_check(now, a->date, &e) ||
               root_state_read(a->body, r->opt.trust_domain, &s, &e) ||
               root_state_check(&s, now, &e)) {
        later(r, e.text);
    } else {
        r->step = decide(r, &s);
        if (r->step != ROOT_WAIT)
            patch(r, &s, a->body);
    }
}

void rotation_look(struct rotation *r, const struct root_state *seen)
{
    struct error e;

    if (!r->leading || !seen) {
        r->written = 0;
        return;
    }
    if (r->request)
        return;
    if (decide(r, seen) == ROOT_WAIT) {
        remind(r, seen);
        return;
    }
    if (loop_now(kube_loop(r->kube)) >= r->retry &&
        ask(r, KUBE_GET, SLICE_NONE, on_read, &e))
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
    r->wait = RETRY_FIRST;
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
    r->retry = r->written = r->stepped = 0;
    r->unfinished = 0;
    r->wait = RETRY_FIRST;
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
