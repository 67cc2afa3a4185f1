/* SPDX-License-Identifier: Apache-2.0 */
/* One request at a time: read, or write what lease_rules.c allows. A write is a
 * merge patch with the version that was read: of two who try, one fails, reads,
 * and waits. Whatever goes wrong with a request leads to a read soon after.
 *
 * We lead from the answer to a write on, and until two thirds of the duration
 * after the last good write was sent: a timer of its own says when that ends, so
 * that a server that does not answer cannot make two leaders. */
#include "lib/kube/lease.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/json/json_write.h"
#include "lib/kube/lease_rules.h"
#include "lib/kube/request.h"

#define DURATION (15 * NSEC_PER_SEC)
#define RELEASED_SECONDS 1

enum { BODY_MAX = 4096 };

static struct log_area area = LOG_AREA("lease");
static struct log log_ = {&area, 0};

struct kube_lease {
    struct kube *kube;
    struct loop *loop;
    char *ns, *name, *identity;
    int64_t duration, renew;
    void (*on_leading)(void *owner, bool on);
    void *owner;
    struct lease_seen seen;
    struct kube_request *request;
    struct timer step, end;
    struct reap reap;
    int64_t sent;       /* the write under way */
    int64_t good_until; /* we lead until then; 0: we do not */
    bool writing, closed;
};

static void set_step(struct kube_lease *l, int64_t delay)
{
    if (!l->closed)
        timer_set(&l->loop->timers, &l->step,
                  loop_now(l->loop) + rand_jitter(&l->loop->rand, delay, 0.1));
}

/* --- leading --- */

static void lead(struct kube_lease *l)
{
    bool was = l->good_until != 0;

    l->good_until = lease_good_until(l->sent, l->duration);
    timer_set(&l->loop->timers, &l->end, l->good_until);
    if (was)
        return;
    log_info(&log_, "leading", "lease=%s/%s", l->ns, l->name);
    l->on_leading(l->owner, true);
}

static void stop_leading(struct kube_lease *l, const char *why)
{
    if (!l->good_until)
        return;
    l->good_until = 0;
    timer_stop(&l->loop->timers, &l->end);
    log_info(&log_, "leading no longer", "lease=%s/%s why=\"%s\"", l->ns,
             l->name, why);
    l->on_leading(l->owner, false);
}

static void on_end(struct timer *t)
{
    stop_leading(CONTAINER_OF(t, struct kube_lease, end),
                 "not renewed in time");
}

/* --- requests --- */

/* MicroTime, for people: nobody decides by it. */
static void write_time(struct json_write *w, const char *name)
{
    int64_t now = clock_real_ns();
    char seconds[21];
    struct text t;

    clock_format_rfc3339(now / NSEC_PER_SEC, seconds);
    text_init(&t, 64);
    text_printf(&t, "%.19s.%06uZ", seconds,
                (unsigned)(now % NSEC_PER_SEC / NSEC_PER_USEC));
    json_member_string(w, name, text_slice(&t));
    text_fini(&t);
}

static void write_spec(struct kube_lease *l, struct json_write *w,
                       enum lease_step step)
{
    bool taken = step != LEASE_RENEW;
    int64_t seconds = (l->duration + NSEC_PER_SEC - 1) / NSEC_PER_SEC;

    json_write_name(w, "spec");
    json_write_object(w);
    json_member_string(w, "holderIdentity", slice_str(l->identity));
    json_member_int(w, "leaseDurationSeconds", seconds);
    write_time(w, "renewTime");
    if (taken)
        write_time(w, "acquireTime");
    json_member_int(w, "leaseTransitions",
                    l->seen.transitions + (step == LEASE_TAKE));
    json_write_object_end(w);
}

static void write_body(struct kube_lease *l, struct text *out,
                       enum lease_step step)
{
    struct json_write w;

    json_write_init(&w, out);
    json_write_object(&w);
    json_member_string(&w, "apiVersion", SLICE("coordination.k8s.io/v1"));
    json_member_string(&w, "kind", SLICE("Lease"));
    json_write_name(&w, "metadata");
    json_write_object(&w);
    json_member_string(&w, "name", slice_str(l->name));
    json_member_string(&w, "namespace", slice_str(l->ns));
    json_member_text(&w, "resourceVersion", text_slice(&l->seen.version));
    json_write_object_end(&w);
    write_spec(l, &w, step);
    json_write_object_end(&w);
}

static void add_collection(const struct kube_lease *l, struct text *path)
{
    text_add(path, SLICE("/apis/coordination.k8s.io/v1/namespaces/"));
    kube_path_add(path, slice_str(l->ns));
    text_add(path, SLICE("/leases"));
}

static void add_path(const struct kube_lease *l, struct text *path)
{
    add_collection(l, path);
    text_add_char(path, '/');
    kube_path_add(path, slice_str(l->name));
}

static void on_answer(void *owner, const struct kube_answer *a);

static void send_call(struct kube_lease *l, enum kube_method method, slice body)
{
    /* A write that is lost leaves time for a second one. */
    struct kube_call call = {
        .method = method, .body = body, .timeout = l->renew / 2};
    struct text path;
    enum status rc;

    text_init(&path, KUBE_PATH_MAX);
    if (method == KUBE_POST)
        add_collection(l, &path);
    else
        add_path(l, &path);
    call.path = text_slice(&path);
    l->writing = method != KUBE_GET;
    l->sent = loop_now(l->loop);
    rc = kube_send(l->kube, &call, on_answer, l, &l->request);
    text_fini(&path);
    if (rc && rc != ERR_CANCELED)
        set_step(l, l->renew);
}

static void write_lease(struct kube_lease *l, enum lease_step step)
{
    struct text body;

    text_init(&body, BODY_MAX);
    write_body(l, &body, step);
    send_call(l, step == LEASE_CREATE ? KUBE_POST : KUBE_MERGE_PATCH,
              text_slice(&body));
    text_fini(&body);
}

static void on_step(struct timer *t)
{
    struct kube_lease *l = CONTAINER_OF(t, struct kube_lease, step);
    enum lease_step step = lease_next(&l->seen, slice_str(l->identity),
                                      loop_now(l->loop));

    if (step == LEASE_WAIT || step == LEASE_READ)
        send_call(l, KUBE_GET, SLICE_NONE);
    else
        write_lease(l, step);
}

/* --- answers --- */

/* True when it is known now what the lease says. */
static bool see(struct kube_lease *l, const struct kube_answer *a)
{
    struct lease_record r;
    struct error e;

    if (a->rc == ERR_NOT_FOUND && !l->writing) {
        lease_see(&l->seen, NULL, loop_now(l->loop));
        return true;
    }
    if (a->rc || lease_read(a->body, &r, &e)) {
        /* Somebody else was quicker: nothing to tell. */
        if (a->rc != ERR_AGAIN && a->rc != ERR_EXISTS)
            log_warn(&log_, "lease not read or written",
                     "lease=%s/%s why=" LOG_QUOTED, l->ns, l->name,
                     FMT(slice_str(a->rc ? a->e->text : e.text)));
        lease_doubt(&l->seen);
        return false;
    }
    lease_see(&l->seen, &r, loop_now(l->loop));
    return true;
}

/* How long to wait before the next step. */
static int64_t pause_before(const struct kube_lease *l)
{
    int64_t now = loop_now(l->loop);
    int64_t left = l->seen.changed + l->seen.duration - now + NSEC_PER_MSEC;

    if (!l->seen.read)
        return l->renew / 5;
    if (lease_next(&l->seen, slice_str(l->identity), now) != LEASE_WAIT)
        return 0;
    return left < l->renew ? left : l->renew;
}

static void on_answer(void *owner, const struct kube_answer *a)
{
    struct kube_lease *l = owner;
    bool known, ours;

    l->request = NULL;
    if (a->rc == ERR_CANCELED)
        return; /* the timer `end` still ends what we lead */
    known = see(l, a);
    ours = known &&
           slice_eq(text_slice(&l->seen.holder), slice_str(l->identity));
    if (ours && l->writing) {
        set_step(l, l->renew);
        lead(l);
        return;
    }
    /* Ours, but read: from an earlier life, to be renewed. */
    set_step(l, pause_before(l));
    if (known && !ours)
        stop_leading(l, "it is not ours any more");
}

/* --- life --- */

enum status kube_lease_start(struct kube_lease **out, struct kube *k,
                             const struct kube_lease_options *opt,
                             void (*on_leading)(void *owner, bool on),
                             void *owner, struct error *e)
{
    struct kube_lease *l;

    if (slice_empty(opt->identity) || opt->identity.len > 200)
        return error_set(e, ERR_INVALID,
                         "a lease needs an identity of at most 200 bytes");
    l = MEM_NEW(struct kube_lease);
    l->kube = k;
    kube_ref(k);
    l->loop = kube_loop(k);
    l->ns = mem_str(opt->ns);
    l->name = mem_str(opt->name);
    l->identity = mem_str(opt->identity);
    l->duration = opt->duration ? opt->duration : DURATION;
    l->renew = opt->renew ? opt->renew : l->duration / 3;
    l->on_leading = on_leading;
    l->owner = owner;
    lease_seen_init(&l->seen);
    timer_init(&l->step, on_step);
    timer_init(&l->end, on_end);
    timer_set(&l->loop->timers, &l->step, loop_now(l->loop));
    *out = l;
    return OK;
}

bool kube_lease_leading(const struct kube_lease *l)
{
    /* A process that was frozen finds its timers late. */
    return l->good_until && clock_mono_ns() < l->good_until;
}

slice kube_lease_holder(const struct kube_lease *l)
{
    return text_slice(&l->seen.holder);
}

static void on_released(void *owner, const struct kube_answer *a)
{
    (void)owner;
    (void)a;
}

/* Nobody need wait for it to expire. A renewal may be under way, so that we do
 * not know its version: what must hold is that it is ours. */
static void release(struct kube_lease *l)
{
    struct kube_call call = {.method = KUBE_JSON_PATCH};
    struct text path, body;

    text_init(&path, KUBE_PATH_MAX);
    text_init(&body, BODY_MAX);
    add_path(l, &path);
    text_add(&body, SLICE("[{\"op\":\"test\",\"path\":"
                          "\"/spec/holderIdentity\",\"value\":\""));
    text_add_json(&body, slice_str(l->identity));
    text_printf(&body,
                "\"},{\"op\":\"remove\",\"path\":\"/spec/holderIdentity\"},"
                "{\"op\":\"add\",\"path\":\"/spec/leaseDurationSeconds\","
                "\"value\":%d}]",
                RELEASED_SECONDS);
    call.path = text_slice(&path);
    call.body = text_slice(&body);
    if (kube_send(l->kube, &call, on_released, NULL, NULL))
        log_debug(&log_, "lease not given back", "");
    text_fini(&path);
    text_fini(&body);
}

static void lease_free(struct reap *r)
{
    struct kube_lease *l = CONTAINER_OF(r, struct kube_lease, reap);

    lease_seen_fini(&l->seen);
    mem_free(l->ns);
    mem_free(l->name);
    mem_free(l->identity);
    mem_free(l);
}

void kube_lease_close(struct kube_lease *l)
{
    bool taking;

    if (!l || l->closed)
        return;
    l->closed = true;
    timer_stop(&l->loop->timers, &l->step);
    timer_stop(&l->loop->timers, &l->end);
    /* Under way: perhaps it is ours by now. */
    taking = l->request && l->writing;
    if (l->request)
        kube_cancel(l->request);
    if (l->good_until || taking)
        release(l);
    kube_unref(l->kube);
    loop_reap(l->loop, &l->reap, lease_free);
}
