/* SPDX-License-Identifier: Apache-2.0 */
/* One watch a row of watches.c; each object becomes a record and is forgotten.
 * When every watch has told its list, all is told.
 *
 * An object that cannot be read is reported once (and again when it is wrong in
 * another way); what was told of it before holds. One that is gone, or right
 * again, is forgotten there. */
#include "controller/watch/source.h"

#include <malloc.h>

#include "controller/watch/watches.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/kube/watch.h"

enum { COMPLAINTS_MAX = 10000 };

static struct log_area area = LOG_AREA("watch");
static struct log log_ = {&area, 0};

struct kubernetes;

struct kind_watch {
    struct kubernetes *all;
    const struct watched *row;
    struct kube_watch *watch; /* NULL: not started */
    struct map complaints;    /* "ns/name" -> hash of what is wrong */
};

struct kubernetes {
    struct source source;
    struct loop *loop;
    struct kind_watch kinds[RECORD_KINDS];
    struct reap reap;
    bool synced, closed;
};

/* --- objects --- */

static void complain(struct kind_watch *kw, const char *what, slice ns,
                     slice name, slice why)
{
    char buf[KEY_TEXT];
    slice key = key_name(buf, ns, name);
    void *hash = (void *)(uintptr_t)(slice_hash(why) | 1);

    if (map_get(&kw->complaints, key) == hash ||
        kw->complaints.len >= COMPLAINTS_MAX)
        return;
    (void)map_put(&kw->complaints, key, hash);
    log_error(&log_, what, "object=\"%s %.*s\" why=" LOG_QUOTED, kw->row->kind,
              FMT(key), FMT(why));
}

static void withdraw(struct kind_watch *kw, slice ns, slice name)
{
    char buf[KEY_TEXT];

    if (kw->complaints.len)
        (void)map_del(&kw->complaints, key_name(buf, ns, name));
}

static void on_object(void *owner, struct json obj)
{
    struct kind_watch *kw = owner;
    struct source *s = &kw->all->source;
    struct record *rec = NULL;
    struct error e;

    if (kw->row->decode(obj, &rec, &e)) {
        slice ns = SLICE_NONE, name = SLICE_NONE;

        if (decode_names(obj, kw->row->record != RECORD_NAMESPACE, &ns, &name,
                         NULL))
            name = SLICE("?");
        complain(kw, "object not taken, what it said before holds", ns, name,
                 slice_str(e.text));
        return;
    }
    if (slice_empty(rec->problem))
        withdraw(kw, rec->ns, rec->name);
    else
        complain(kw, "bad annotation", rec->ns, rec->name, rec->problem);
    s->events->on_put(s->owner, rec);
}

static void on_gone(void *owner, slice ns, slice name)
{
    struct kind_watch *kw = owner;
    struct source *s = &kw->all->source;

    withdraw(kw, ns, name);
    s->events->on_gone(s->owner, kw->row->record, ns, name);
}

static void on_synced(void *owner)
{
    struct kind_watch *kw = owner;
    struct kubernetes *all = kw->all;

    log_debug(&log_, "listed", "path=%s", kw->row->path);
    if (all->synced)
        return;
    for (int k = 0; k < RECORD_KINDS; k++)
        if (!kube_watch_synced(all->kinds[k].watch))
            return;
    all->synced = true;
    /* Lists leave holes behind: give them back before the long time of
     * following. */
    malloc_trim(0);
    all->source.events->on_synced(all->source.owner);
}

static void on_absent(void *owner, bool absent)
{
    struct kind_watch *kw = owner;

    if (absent)
        log_error(&log_, "the API server does not know this resource",
                  "path=%s", kw->row->path);
}

static const struct kube_watch_events watch_events = {
    on_object, on_gone, on_synced, on_absent, NULL};

/* --- life --- */

static void kubernetes_free(struct reap *r)
{
    struct kubernetes *all = CONTAINER_OF(r, struct kubernetes, reap);

    for (int k = 0; k < RECORD_KINDS; k++)
        map_fini(&all->kinds[k].complaints);
    mem_free(all);
}

static void kubernetes_close(struct source *s)
{
    struct kubernetes *all = CONTAINER_OF(s, struct kubernetes, source);

    if (all->closed)
        return;
    all->closed = true;
    for (int k = 0; k < RECORD_KINDS; k++)
        kube_watch_close(all->kinds[k].watch);
    loop_reap(all->loop, &all->reap, kubernetes_free);
}

/* Changes come by themselves. */
static void kubernetes_refresh(struct source *s)
{
    (void)s;
}

static void kubernetes_health(const struct source *s, enum record_kind kind,
                              struct source_health *out)
{
    const struct kubernetes *all = CONTAINER_OF(s, struct kubernetes, source);
    const struct kube_watch *w = all->kinds[kind].watch;

    *out = (struct source_health){kube_watch_synced(w), kube_watch_heard(w),
                                  kube_watch_interruptions(w)};
}

static const struct source_type kubernetes_type = {
    "kubernetes", kubernetes_health, kubernetes_refresh, kubernetes_close};

enum status kubernetes_start(struct source **out, struct kube *k,
                             const struct source_events *ev, void *owner,
                             struct error *e)
{
    struct kubernetes *all = MEM_NEW(struct kubernetes);
    enum status rc = OK;

    all->source = (struct source){&kubernetes_type, ev, owner};
    all->loop = kube_loop(k);
    for (int i = 0; i < RECORD_KINDS && !rc; i++) {
        struct kind_watch *kw = &all->kinds[i];
        struct kube_watch_options opt = {.path = slice_str(watches[i].path)};

        kw->all = all;
        kw->row = &watches[i];
        map_init(&kw->complaints);
        rc = kube_watch_start(&kw->watch, k, &opt, &watch_events, kw, e);
    }
    if (rc) {
        kubernetes_close(&all->source);
        return rc;
    }
    *out = &all->source;
    return OK;
}
