/* SPDX-License-Identifier: Apache-2.0 */
/* asked -> known <-> taken back
 *   |        |
 *   |        +-> idle: leaving -> gone, or asked again
 *   +-> answered "unknown" at the deadline, or when the main loop says that it is
 *       over a limit; a later answer still makes it known
 *
 * A key that nobody holds and nobody asked about for a while is let go: we write
 * "unsubscribe" and keep the entry until the main loop answers "gone". Views come
 * in the order they were written, so after "gone" none is under way; whoever
 * wants the key meanwhile makes us subscribe again. */
#include "proxy/discovery/lookup.h"

#include <assert.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "proxy/discovery/letter.h"
#include "proxy/discovery/store.h"

static struct log_area area = LOG_AREA("lookup");
static const struct log log_ = {.area = &area};

const struct lookup_options lookup_defaults = {
    .wait = NSEC_PER_SEC,
    .idle = 60 * NSEC_PER_SEC,
    .max_keys = 10000,
};

/* A key over a limit is tried again when it is used so much later. */
static const int64_t AGAIN_AFTER = 5 * NSEC_PER_SEC;

struct lookup_entry {
    struct lookup *lk;
    struct list node;
    struct list waits, watches;
    struct timer deadline; /* while somebody waits for the first answer */
    struct view *view;     /* a reference, or NULL */
    int64_t used;          /* loop time of the last question or release */
    int64_t until;         /* when "unknown" is the answer */
    enum view_kind kind;
    bool leaving; /* unsubscribed, "gone" has not come yet */
    bool wanted;  /* used while leaving: subscribe again */
    bool over;    /* over a limit, since `until` */
    size_t key_len;
    char key[];
};

struct lookup {
    struct loop *loop;
    struct lookup_options opt;
    struct mail_seat seat;
    struct map maps[VIEW_KINDS];
    struct list entries;
    struct lookup_entry *workload; /* never let go */
    struct view *unknown, *over;   /* answers: cannot say, over a limit */
    struct timer sweep;
    struct lookup_stats stats;
    bool warned; /* that there are too many; until one is let go */
    lookup_closed_fn *closed;
    void *closed_arg;
};

static slice entry_key(const struct lookup_entry *e)
{
    return slice_of(e->key, e->key_len);
}

static void write_main(struct lookup *lk, enum letter_type type,
                       enum view_kind kind, slice key)
{
    mail_to_hub(&lk->seat, &letter_new(type, kind, key, NULL)->mail);
}

/* ---- entries ---- */

static void on_deadline(struct timer *t);

static struct lookup_entry *entry_find(const struct lookup *lk,
                                       enum view_kind kind, slice key)
{
    return map_get(&lk->maps[kind], key);
}

static struct lookup_entry *entry_add(struct lookup *lk, enum view_kind kind,
                                      slice key)
{
    struct lookup_entry *e = mem_zalloc(sizeof *e + key.len);
    e->lk = lk;
    e->kind = kind;
    e->key_len = key.len;
    if (key.len)
        memcpy(e->key, key.ptr, key.len);
    list_init(&e->waits);
    list_init(&e->watches);
    timer_init(&e->deadline, on_deadline);
    e->used = loop_now(lk->loop);
    e->until = e->used + lk->opt.wait;
    list_push_back(&lk->entries, &e->node);
    map_put(&lk->maps[kind], key, e);
    lk->stats.keys += kind != VIEW_WORKLOAD;
    return e;
}

static void entry_free(struct lookup_entry *e)
{
    struct lookup *lk = e->lk;
    map_del(&lk->maps[e->kind], entry_key(e));
    list_remove(&e->node);
    timer_stop(&lk->loop->timers, &e->deadline);
    view_unref(e->view);
    lk->stats.keys -= e->kind != VIEW_WORKLOAD;
    lk->warned = false;
    mem_free(e);
}

static void refuse(struct lookup *lk)
{
    lk->stats.refused++;
    if (!lk->warned)
        log_warn(&log_, "too many addresses and backends: some are not known",
                 "limit=%u of=worker", lk->opt.max_keys);
    lk->warned = true;
}

/* The entry of a key that somebody uses now; NULL beyond the limit. */
static struct lookup_entry *entry_use(struct lookup *lk, enum view_kind kind,
                                      slice key)
{
    struct lookup_entry *e = entry_find(lk, kind, key);
    if (e) {
        e->used = loop_now(lk->loop);
        if (e->leaving && !e->wanted) {
            e->wanted = true;
            e->until = e->used + lk->opt.wait;
        }
        if (e->over && !e->leaving && e->used - e->until >= AGAIN_AFTER) {
            e->until = e->used;
            write_main(lk, LETTER_SUBSCRIBE, kind, key);
        }
        return e;
    }
    if (lk->stats.keys >= lk->opt.max_keys || key.len > WIRE_KEY_MAX) {
        refuse(lk);
        return NULL;
    }
    e = entry_add(lk, kind, key);
    write_main(lk, LETTER_SUBSCRIBE, kind, key);
    return e;
}

static bool entry_held(const struct lookup_entry *e)
{
    return e == e->lk->workload || !list_empty(&e->watches) ||
           !list_empty(&e->waits);
}

/* ---- answers ---- */

static void answer_waits(struct lookup_entry *e, struct view *v)
{
    struct list *node;
    timer_stop(&e->lk->loop->timers, &e->deadline);
    while ((node = list_pop_front(&e->waits)) != NULL) {
        struct lookup_wait *w = CONTAINER_OF(node, struct lookup_wait, node);
        w->entry = NULL;
        w->done(w, v);
    }
}

static void on_deadline(struct timer *t)
{
    struct lookup_entry *e = CONTAINER_OF(t, struct lookup_entry, deadline);
    e->lk->stats.timeouts++;
    e->until = loop_now(e->lk->loop);
    answer_waits(e, e->lk->unknown);
}

static void tell_watches(struct lookup_entry *e)
{
    struct list now, *node;
    list_take(&now, &e->watches);
    while ((node = list_pop_front(&now)) != NULL) {
        struct lookup_watch *w = CONTAINER_OF(node, struct lookup_watch, node);
        list_push_back(&e->watches, node);
        if (w->changed)
            w->changed(w, e->view);
    }
}

static void entry_set(struct lookup_entry *e, struct view *v)
{
    struct view *old = e->view;
    e->view = v ? view_ref(v) : NULL;
    e->over = false;
    e->until = loop_now(e->lk->loop);
    answer_waits(e, v ? v : e->lk->unknown);
    tell_watches(e);
    view_unref(old);
}

static void on_view(struct lookup *lk, const struct letter *l)
{
    slice key = letter_key(l);
    struct lookup_entry *e = entry_find(lk, l->kind, key);
    if (e) {
        entry_set(e, l->view);
        return;
    }
    /* A backend that comes before the destination that names it. */
    if (lk->stats.keys >= lk->opt.max_keys) {
        refuse(lk);
        write_main(lk, LETTER_UNSUBSCRIBE, l->kind, key);
        return;
    }
    e = entry_add(lk, l->kind, key);
    entry_set(e, l->view);
}

static void on_over_limit(struct lookup *lk, const struct letter *l)
{
    struct lookup_entry *e = entry_find(lk, l->kind, letter_key(l));
    if (!e || e->view)
        return;
    e->over = true;
    e->until = loop_now(lk->loop);
    answer_waits(e, lk->over);
}

static void on_gone(struct lookup *lk, const struct letter *l)
{
    struct lookup_entry *e = entry_find(lk, l->kind, letter_key(l));
    if (!e || !e->leaving)
        return;
    e->leaving = false;
    if (!e->wanted && !entry_held(e)) {
        entry_free(e);
        return;
    }
    e->wanted = false;
    write_main(lk, LETTER_SUBSCRIBE, e->kind, entry_key(e));
}

static void on_mail(void *owner, struct mail *m)
{
    struct letter *l = CONTAINER_OF(m, struct letter, mail);
    if (l->type == LETTER_VIEW)
        on_view(owner, l);
    else if (l->type == LETTER_OVER_LIMIT)
        on_over_limit(owner, l);
    else
        on_gone(owner, l);
    letter_free(l);
}

/* ---- letting go ---- */

static void on_sweep(struct timer *t)
{
    struct lookup *lk = CONTAINER_OF(t, struct lookup, sweep);
    int64_t now = loop_now(lk->loop);
    LIST_EACH(node, &lk->entries) {
        struct lookup_entry *e = CONTAINER_OF(node, struct lookup_entry, node);
        if (e->leaving || entry_held(e) || now - e->used < lk->opt.idle)
            continue;
        e->leaving = true;
        e->wanted = false;
        write_main(lk, LETTER_UNSUBSCRIBE, e->kind, entry_key(e));
    }
    timer_set(&lk->loop->timers, t, now + lk->opt.idle / 4 + 1);
}

/* ---- life ---- */

static void on_left(void *owner)
{
    struct lookup *lk = owner;
    while (!list_empty(&lk->entries))
        entry_free(CONTAINER_OF(lk->entries.next, struct lookup_entry, node));
    for (int i = 0; i < VIEW_KINDS; i++)
        map_fini(&lk->maps[i]);
    view_unref(lk->unknown);
    view_unref(lk->over);
    lookup_closed_fn *closed = lk->closed;
    void *arg = lk->closed_arg;
    mem_free(lk);
    if (closed)
        closed(arg);
}

static const struct mail_seat_events seat_events = {on_mail, on_left};

struct lookup *lookup_new(struct discovery *d, struct loop *l,
                          const struct lookup_options *opt)
{
    struct lookup *lk = MEM_NEW(struct lookup);
    lk->loop = l;
    lk->opt = opt ? *opt : lookup_defaults;
    for (int i = 0; i < VIEW_KINDS; i++)
        map_init(&lk->maps[i]);
    list_init(&lk->entries);
    lk->unknown = view_new(VIEW_DESTINATION, SLICE_NONE);
    lk->unknown->destination.resolution = RESOLUTION_UNKNOWN;
    lk->over = view_new(VIEW_DESTINATION, SLICE_NONE);
    lk->over->destination.resolution = RESOLUTION_UNKNOWN;
    timer_init(&lk->sweep, on_sweep);
    mail_join(&lk->seat, discovery_hub(d), l, &seat_events, lk);
    lk->workload = entry_add(lk, VIEW_WORKLOAD, SLICE_NONE);
    write_main(lk, LETTER_SUBSCRIBE, VIEW_WORKLOAD, SLICE_NONE);
    timer_set(&l->timers, &lk->sweep, loop_now(l) + lk->opt.idle / 4 + 1);
    return lk;
}

void lookup_close(struct lookup *lk, lookup_closed_fn *closed, void *arg)
{
    LIST_EACH(node, &lk->entries) {
        struct lookup_entry *e = CONTAINER_OF(node, struct lookup_entry, node);
        assert(list_empty(&e->waits) && list_empty(&e->watches));
        (void)e;
    }
    timer_stop(&lk->loop->timers, &lk->sweep);
    lk->closed = closed;
    lk->closed_arg = arg;
    mail_leave(&lk->seat);
}

/* ---- questions ---- */

enum status lookup_destination(struct lookup *lk, slice key, struct view **out,
                               struct lookup_wait *w, lookup_wait_fn *done,
                               void *arg)
{
    struct lookup_entry *e = entry_use(lk, VIEW_DESTINATION, key);
    *out = e && e->view ? e->view : !e || e->over ? lk->over : lk->unknown;
    if (!e || e->view || loop_now(lk->loop) >= e->until)
        return OK;
    if (!w)
        return ERR_AGAIN;
    *w = (struct lookup_wait){.entry = e, .done = done, .arg = arg};
    list_push_back(&e->waits, &w->node);
    if (!timer_is_set(&e->deadline))
        timer_set(&lk->loop->timers, &e->deadline, e->until);
    return ERR_AGAIN;
}

void lookup_wait_cancel(struct lookup_wait *w)
{
    if (!w->entry)
        return;
    list_remove(&w->node);
    w->entry = NULL;
}

bool lookup_over_limit(const struct lookup *lk, const struct view *answer)
{
    return answer == lk->over;
}

struct view *lookup_hold(struct lookup *lk, enum view_kind kind, slice key,
                         struct lookup_watch *w, lookup_watch_fn *changed,
                         void *arg)
{
    struct lookup_entry *e = entry_use(lk, kind, key);
    *w = (struct lookup_watch){.entry = e, .changed = changed, .arg = arg};
    list_init(&w->node);
    if (!e)
        return NULL;
    list_push_back(&e->watches, &w->node);
    return e->view;
}

void lookup_release(struct lookup_watch *w)
{
    if (!w->entry)
        return;
    w->entry->used = loop_now(w->entry->lk->loop);
    list_remove(&w->node);
    w->entry = NULL;
}

struct view *lookup_held(const struct lookup_watch *w)
{
    return w->entry ? w->entry->view : NULL;
}

bool lookup_held_over_limit(const struct lookup_watch *w)
{
    return !w->entry || (!w->entry->view && w->entry->over);
}

struct view *lookup_workload(const struct lookup *lk)
{
    return lk->workload->view;
}

struct lookup_stats lookup_stats(const struct lookup *lk)
{
    return lk->stats;
}
