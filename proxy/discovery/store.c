/* SPDX-License-Identifier: Apache-2.0 */
/* A key is wanted by workers (a bit each), by destinations that name it, or by
 * nobody: then it is kept for a short while and forgotten. What is wanted is
 * subscribed to, in every session, as far as that takes it.
 *
 * A destination that names backends which have not come yet is held back as
 * `next`; the one before it stays in force. With a destination a worker gets the
 * backends that it names, first: between the two it never has a gap. */
#include "proxy/discovery/store.h"

#include <assert.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "proxy/discovery/letter.h"

static struct log_area area = LOG_AREA("discovery");
static const struct log log_ = {.area = &area};

const struct discovery_options discovery_defaults = {
    .hold_back = NSEC_PER_SEC,
    .idle = 5 * NSEC_PER_SEC,
    .max_keys = 20000,
};

struct entry {
    struct discovery *d;
    struct list node;
    struct list pending; /* among destinations held back */
    struct timer hold;
    struct view *view; /* in force; a reference, or NULL */
    struct view *next; /* a destination held back, or NULL */
    uint64_t workers;  /* who gets it */
    uint32_t named;    /* by how many views of destinations */
    int64_t idle_since;
    enum view_kind kind;
    bool asked;    /* subscribed to, as far as there is a session */
    bool answered; /* the controller gave a view, or took it back */
    size_t key_len;
    char key[];
};

struct discovery {
    struct loop *loop;
    struct discovery_options opt;
    struct mail_hub hub;
    struct mail_seat *seats[DISCOVERY_WORKERS_MAX];
    struct map maps[VIEW_KINDS];
    struct list entries, pending;
    uint32_t keys, asked;
    uint32_t limit; /* of `asked`, as the session says; 0: none */
    bool warned;    /* that there are too many, in this session */
    struct timer sweep;
    const struct discovery_session *session;
    void *session_arg;
    discovery_workload_fn *on_workload;
    void *on_workload_arg;
};

static slice entry_key(const struct entry *e)
{
    return slice_of(e->key, e->key_len);
}

/* What the controller believes that we have. */
static struct view *latest(const struct entry *e)
{
    return e->next ? e->next : e->view;
}

/* ---- entries ---- */

static void on_hold_over(struct timer *t);

static struct entry *entry_find(const struct discovery *d, enum view_kind kind,
                                slice key)
{
    return map_get(&d->maps[kind], key);
}

/* NULL at the limit. */
static struct entry *entry_get(struct discovery *d, enum view_kind kind,
                               slice key)
{
    struct entry *e = entry_find(d, kind, key);
    if (e)
        return e;
    if (d->keys >= d->opt.max_keys)
        return NULL;
    e = mem_zalloc(sizeof *e + key.len);
    e->d = d;
    e->kind = kind;
    e->key_len = key.len;
    if (key.len)
        memcpy(e->key, key.ptr, key.len);
    list_init(&e->pending);
    timer_init(&e->hold, on_hold_over);
    e->idle_since = loop_now(d->loop);
    list_push_back(&d->entries, &e->node);
    map_put(&d->maps[kind], key, e);
    d->keys++;
    return e;
}

static void warn(struct discovery *d, uint32_t limit, const char *whose)
{
    if (!d->warned)
        log_warn(&log_, "too many addresses and backends: some are not known",
                 "limit=%u of=%s", limit, whose);
    d->warned = true;
}

/* May one more be asked about? */
static bool room(const struct discovery *d)
{
    return !d->limit || d->asked < d->limit;
}

static void subscribe(struct entry *e)
{
    struct discovery *d = e->d;
    struct view *v = latest(e);
    if (!e->asked && !room(d))
        return;
    d->asked += !e->asked;
    e->asked = true;
    if (d->session)
        d->session->subscribe(d->session_arg, e->kind, entry_key(e),
                              v ? slice_str(v->hash) : SLICE_NONE);
}

static bool entry_wanted(const struct entry *e)
{
    return e->workers || e->named || e->kind == VIEW_WORKLOAD;
}

static void entry_unwanted(struct entry *e)
{
    if (!entry_wanted(e))
        e->idle_since = loop_now(e->d->loop);
}

/* ---- what destinations name ---- */

static void name_backends(struct discovery *d, const struct view *v)
{
    for (uint32_t i = 0; v && i < v->destination.backends_len; i++) {
        struct entry *b = entry_get(d, VIEW_BACKEND,
                                    v->destination.backends[i].key);
        assert(b); /* put_destination has looked */
        b->named++;
        if (!b->asked)
            subscribe(b);
    }
}

static void unname_backends(struct discovery *d, const struct view *v)
{
    for (uint32_t i = 0; v && i < v->destination.backends_len; i++) {
        struct entry *b = entry_find(d, VIEW_BACKEND,
                                     v->destination.backends[i].key);
        assert(b && b->named);
        b->named--;
        entry_unwanted(b);
    }
}

static bool backends_answered(const struct discovery *d, const struct view *v)
{
    for (uint32_t i = 0; i < v->destination.backends_len; i++) {
        const struct entry *b = entry_find(d, VIEW_BACKEND,
                                           v->destination.backends[i].key);
        if (b && !b->answered)
            return false;
    }
    return true;
}

static void entry_free(struct entry *e)
{
    struct discovery *d = e->d;
    map_del(&d->maps[e->kind], entry_key(e));
    list_remove(&e->node);
    list_remove(&e->pending);
    timer_stop(&d->loop->timers, &e->hold);
    d->keys--;
    d->asked -= e->asked;
    if (e->kind == VIEW_DESTINATION) {
        unname_backends(d, e->view);
        unname_backends(d, e->next);
    }
    view_unref(e->view);
    view_unref(e->next);
    mem_free(e);
}

/* ---- telling workers ---- */

static void write_worker(struct discovery *d, unsigned worker,
                         enum letter_type type, const struct entry *e,
                         struct view *v)
{
    struct letter *l = letter_new(type, e->kind, entry_key(e), v);
    mail_to_seat(d->seats[worker], &l->mail);
}

/* Backends of `v` that these workers do not have yet. */
static void tell_backends(struct discovery *d, const struct view *v,
                          unsigned worker)
{
    uint64_t bit = UINT64_C(1) << worker;
    for (uint32_t i = 0; i < v->destination.backends_len; i++) {
        struct entry *b = entry_find(d, VIEW_BACKEND,
                                     v->destination.backends[i].key);
        if (!b || !b->view || (b->workers & bit))
            continue;
        b->workers |= bit;
        write_worker(d, worker, LETTER_VIEW, b, b->view);
    }
}

static void tell_worker(struct entry *e, unsigned worker)
{
    if (e->kind == VIEW_DESTINATION && e->view)
        tell_backends(e->d, e->view, worker);
    write_worker(e->d, worker, LETTER_VIEW, e, e->view);
}

static void tell_workers(struct entry *e)
{
    for (unsigned i = 0; i < DISCOVERY_WORKERS_MAX; i++)
        if (e->workers & (UINT64_C(1) << i))
            tell_worker(e, i);
    if (e->kind == VIEW_WORKLOAD && e->d->on_workload && e->view)
        e->d->on_workload(e->d->on_workload_arg, e->view);
}

/* Those who wait for it need not wait longer. */
static void tell_over_limit(struct discovery *d, unsigned worker,
                            enum view_kind kind, slice key)
{
    struct letter *l = letter_new(LETTER_OVER_LIMIT, kind, key, NULL);
    mail_to_seat(d->seats[worker], &l->mail);
}

/* ---- what workers write ---- */

static unsigned worker_of(const struct mail_seat *s)
{
    return (unsigned)(uintptr_t)s->at_hub;
}

static void on_join(void *owner, struct mail_seat *s)
{
    struct discovery *d = owner;
    unsigned i = 0;
    while (i < DISCOVERY_WORKERS_MAX && d->seats[i])
        i++;
    assert(i < DISCOVERY_WORKERS_MAX); /* workers are a setting of ours */
    d->seats[i] = s;
    s->at_hub = (void *)(uintptr_t)i;
}

static void on_subscribe(struct discovery *d, unsigned worker,
                         const struct letter *l)
{
    struct entry *e = entry_get(d, l->kind, letter_key(l));
    if (!e) {
        warn(d, d->opt.max_keys, "proxy");
        tell_over_limit(d, worker, l->kind, letter_key(l));
        return;
    }
    e->workers |= UINT64_C(1) << worker;
    if (!e->asked)
        subscribe(e);
    if (e->answered) {
        tell_worker(e, worker);
    } else if (!e->asked && !e->named) { /* what is named comes unasked */
        warn(d, d->limit, "controller");
        tell_over_limit(d, worker, l->kind, letter_key(l));
    }
}

static void on_unsubscribe(struct discovery *d, unsigned worker,
                           const struct letter *l)
{
    struct entry *e = entry_find(d, l->kind, letter_key(l));
    if (e) {
        e->workers &= ~(UINT64_C(1) << worker);
        entry_unwanted(e);
    }
    struct letter *gone = letter_new(LETTER_GONE, l->kind, letter_key(l), NULL);
    mail_to_seat(d->seats[worker], &gone->mail);
}

static void on_mail(void *owner, struct mail_seat *s, struct mail *m)
{
    struct letter *l = CONTAINER_OF(m, struct letter, mail);
    if (l->type == LETTER_SUBSCRIBE)
        on_subscribe(owner, worker_of(s), l);
    else
        on_unsubscribe(owner, worker_of(s), l);
    letter_free(l);
}

static void on_leave(void *owner, struct mail_seat *s)
{
    struct discovery *d = owner;
    unsigned worker = worker_of(s);
    d->seats[worker] = NULL;
    LIST_EACH(node, &d->entries) {
        struct entry *e = CONTAINER_OF(node, struct entry, node);
        if (!(e->workers & (UINT64_C(1) << worker)))
            continue;
        e->workers &= ~(UINT64_C(1) << worker);
        entry_unwanted(e);
    }
}

static const struct mail_hub_events hub_events = {on_join, on_mail, on_leave};

/* ---- what the controller says ---- */

/* Takes the reference. */
static void put_in_force(struct entry *e, struct view *v)
{
    struct view *old = e->view;
    e->view = v;
    e->answered = true;
    tell_workers(e);
    if (e->kind == VIEW_DESTINATION)
        unname_backends(e->d, old);
    view_unref(old);
}

static void drop_next(struct entry *e)
{
    struct view *next = e->next;
    if (!next)
        return;
    e->next = NULL;
    list_remove(&e->pending);
    timer_stop(&e->d->loop->timers, &e->hold);
    unname_backends(e->d, next);
    view_unref(next);
}

static void release_next(struct entry *e)
{
    struct view *next = e->next;
    e->next = NULL;
    list_remove(&e->pending);
    timer_stop(&e->d->loop->timers, &e->hold);
    put_in_force(e, next);
}

static void on_hold_over(struct timer *t)
{
    release_next(CONTAINER_OF(t, struct entry, hold));
}

static void release_ready(struct discovery *d)
{
    LIST_EACH(node, &d->pending) {
        struct entry *e = CONTAINER_OF(node, struct entry, pending);
        if (backends_answered(d, e->next))
            release_next(e);
    }
}

/* Backends that it names and that are not there yet. */
static uint32_t count_new(const struct discovery *d, const struct view *v)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->destination.backends_len; i++)
        n += !entry_find(d, VIEW_BACKEND, v->destination.backends[i].key);
    return n;
}

static enum status put_destination(struct entry *e, struct view *v)
{
    struct discovery *d = e->d;
    if (d->keys + count_new(d, v) > d->opt.max_keys) {
        view_unref(v);
        warn(d, d->opt.max_keys, "proxy");
        for (unsigned i = 0; i < DISCOVERY_WORKERS_MAX; i++)
            if (!e->answered && (e->workers & (UINT64_C(1) << i)))
                tell_over_limit(d, i, e->kind, entry_key(e));
        return ERR_TOO_BIG;
    }
    name_backends(d, v);
    drop_next(e);
    if (backends_answered(d, v)) {
        put_in_force(e, v);
        return OK;
    }
    e->next = v;
    list_push_back(&d->pending, &e->pending);
    timer_set(&d->loop->timers, &e->hold, loop_now(d->loop) + d->opt.hold_back);
    return OK;
}

enum status discovery_put(struct discovery *d, struct view *v)
{
    /* Only backends come unasked; anything else crossed our unsubscribe. */
    struct entry *e = v->kind == VIEW_BACKEND ? entry_get(d, v->kind, v->key)
                                              : entry_find(d, v->kind, v->key);
    if (!e) {
        enum status rc = v->kind == VIEW_BACKEND ? ERR_TOO_BIG : OK;
        view_unref(v);
        return rc;
    }
    if (v->kind == VIEW_DESTINATION)
        return put_destination(e, v);
    put_in_force(e, v);
    if (v->kind == VIEW_BACKEND)
        release_ready(d);
    return OK;
}

void discovery_remove(struct discovery *d, enum view_kind kind, slice key)
{
    struct entry *e = entry_find(d, kind, key);
    if (!e)
        return;
    /* The pod's own view stays: without it nothing would be let in. */
    if (kind == VIEW_WORKLOAD)
        return;
    drop_next(e);
    put_in_force(e, NULL);
    if (kind == VIEW_BACKEND)
        release_ready(d);
}

struct view *discovery_get(const struct discovery *d, enum view_kind kind,
                           slice key)
{
    struct entry *e = entry_find(d, kind, key);
    return e ? latest(e) : NULL;
}

bool discovery_wants(const struct discovery *d, enum view_kind kind, slice key)
{
    const struct entry *e = entry_find(d, kind, key);
    return e && entry_wanted(e);
}

/* ---- the session ---- */

void discovery_set_limit(struct discovery *d, uint32_t keys)
{
    d->limit = keys;
}

/* Chooses anew who is asked about, within the limit: those of one kind. */
static void choose(struct discovery *d, enum view_kind kind)
{
    LIST_EACH(node, &d->entries) {
        struct entry *e = CONTAINER_OF(node, struct entry, node);
        if (e->kind != kind || !(e->asked || entry_wanted(e)))
            continue;
        e->asked = room(d);
        d->asked += e->asked;
        if (!e->asked && kind == VIEW_DESTINATION)
            warn(d, d->limit, "controller");
    }
}

void discovery_set_session(struct discovery *d,
                           const struct discovery_session *s, void *arg)
{
    static const enum view_kind order[] = {VIEW_WORKLOAD, VIEW_BACKEND,
                                           VIEW_DESTINATION};
    d->session = s;
    d->session_arg = arg;
    if (!s)
        return;
    d->warned = false;
    d->asked = 0;
    choose(d, VIEW_WORKLOAD);
    choose(d, VIEW_DESTINATION);
    choose(d, VIEW_BACKEND);
    for (int i = 0; i < VIEW_KINDS; i++) {
        LIST_EACH(node, &d->entries) {
            struct entry *e = CONTAINER_OF(node, struct entry, node);
            if (e->kind == order[i] && e->asked && d->session == s)
                subscribe(e);
        }
    }
}

/* ---- letting go ---- */

/* There may be room now. */
static void ask_what_was_over(struct discovery *d)
{
    LIST_EACH(node, &d->entries) {
        struct entry *e = CONTAINER_OF(node, struct entry, node);
        if (!room(d))
            return;
        if (!e->asked && entry_wanted(e))
            subscribe(e);
    }
}

static void on_sweep(struct timer *t)
{
    struct discovery *d = CONTAINER_OF(t, struct discovery, sweep);
    int64_t now = loop_now(d->loop);
    LIST_EACH(node, &d->entries) {
        struct entry *e = CONTAINER_OF(node, struct entry, node);
        if (entry_wanted(e) || now - e->idle_since < d->opt.idle)
            continue;
        if (e->asked && d->session)
            d->session->unsubscribe(d->session_arg, e->kind, entry_key(e));
        entry_free(e);
    }
    ask_what_was_over(d);
    timer_set(&d->loop->timers, t, now + d->opt.idle / 2 + 1);
}

/* ---- life ---- */

struct discovery *discovery_new(struct loop *main,
                                const struct discovery_options *opt)
{
    struct discovery *d = MEM_NEW(struct discovery);
    d->loop = main;
    d->opt = opt ? *opt : discovery_defaults;
    for (int i = 0; i < VIEW_KINDS; i++)
        map_init(&d->maps[i]);
    list_init(&d->entries);
    list_init(&d->pending);
    mail_hub_init(&d->hub, main, &hub_events, d);
    timer_init(&d->sweep, on_sweep);
    timer_set(&main->timers, &d->sweep, loop_now(main) + d->opt.idle);
    subscribe(entry_get(d, VIEW_WORKLOAD, SLICE_NONE));
    return d;
}

void discovery_free(struct discovery *d)
{
    assert(d->hub.seats == 0);
    timer_stop(&d->loop->timers, &d->sweep);
    LIST_EACH(node, &d->entries) { /* they look for the backends they name */
        struct entry *e = CONTAINER_OF(node, struct entry, node);
        if (e->kind == VIEW_DESTINATION)
            entry_free(e);
    }
    while (!list_empty(&d->entries))
        entry_free(CONTAINER_OF(d->entries.next, struct entry, node));
    for (int i = 0; i < VIEW_KINDS; i++)
        map_fini(&d->maps[i]);
    mem_free(d);
}

unsigned discovery_workers(const struct discovery *d)
{
    return d->hub.seats;
}

struct mail_hub *discovery_hub(struct discovery *d)
{
    return &d->hub;
}

void discovery_on_workload(struct discovery *d, discovery_workload_fn *fn,
                           void *arg)
{
    d->on_workload = fn;
    d->on_workload_arg = arg;
    struct view *v = discovery_get(d, VIEW_WORKLOAD, SLICE_NONE);
    if (v && fn)
        fn(arg, v);
}

void discovery_each(const struct discovery *d, discovery_each_fn *fn, void *arg)
{
    LIST_EACH(node, &d->entries) {
        const struct entry *e = CONTAINER_OF(node, struct entry, node);
        fn(arg, e->kind, entry_key(e), e->view);
    }
}
