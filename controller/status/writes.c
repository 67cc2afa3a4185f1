/* SPDX-License-Identifier: Apache-2.0 */
/* A key is in one of three places: the line (due as soon as the budget allows),
 * the waiting room (failed, due later), or under way. The map finds it. */
#include "controller/status/writes.h"

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"

static struct log_area area = LOG_AREA("writes");
static struct log log_ = {&area, 0};

#define BACKOFF_FIRST NSEC_PER_SEC
#define BACKOFF_MOST (60 * NSEC_PER_SEC)

enum place {
    IN_LINE,
    IN_WAITING_ROOM,
    UNDER_WAY,
};

struct entry {
    struct list node;
    struct writes *of;
    char *key;
    enum place place;
    bool again;   /* added while under way */
    bool dropped; /* cleared while under way */
    unsigned failures;
    int64_t due; /* in the waiting room */
    struct kube_request *request;
};

struct writes {
    struct kube *kube;
    struct writes_options opt;
    struct map entries;
    struct list line, waiting, under_way;
    uint32_t under_way_len;
    double budget;
    int64_t filled; /* when the budget was last filled, ns */
    struct timer timer;
    bool paused;
    uint64_t done, failed;
    struct reap reap;
};

static void run(struct writes *w);

static struct loop *loop_of(const struct writes *w)
{
    return kube_loop(w->kube);
}

static void entry_free(struct entry *en)
{
    (void)map_del(&en->of->entries, slice_str(en->key));
    list_remove(&en->node);
    mem_free(en->key);
    mem_free(en);
}

static void put(struct entry *en, enum place place, struct list *where)
{
    list_remove(&en->node);
    list_push_back(where, &en->node);
    en->place = place;
}

/* --- what came of a write --- */

static int64_t backoff(struct writes *w, unsigned failures)
{
    int64_t d = BACKOFF_FIRST;

    for (unsigned i = 1; i < failures && d < BACKOFF_MOST; i++)
        d *= 2;
    if (d > BACKOFF_MOST)
        d = BACKOFF_MOST;
    return rand_jitter(&loop_of(w)->rand, d, 0.2);
}

static enum write_next judge(struct writes *w, const struct entry *en,
                             const struct kube_answer *a)
{
    if (w->opt.answer)
        return w->opt.answer(w->opt.owner, slice_str(en->key), a);
    if (a->rc == OK || a->rc == ERR_NOT_FOUND)
        return WRITE_DONE;
    log_warn(&log_, "write failed", "what=%s key=%s why=" LOG_QUOTED,
             w->opt.name, en->key, FMT(slice_str(a->e->text)));
    return WRITE_RETRY;
}

static void settle(struct entry *en, enum write_next next,
                   const struct kube_answer *a)
{
    struct writes *w = en->of;

    if (en->dropped) {
        entry_free(en);
        return;
    }
    if (next == WRITE_RETRY) {
        en->failures++;
        en->due = loop_now(loop_of(w)) + (a->retry_after > 0
                                              ? a->retry_after
                                              : backoff(w, en->failures));
        en->again = false;
        put(en, IN_WAITING_ROOM, &w->waiting);
        return;
    }
    en->failures = 0;
    if (!en->again) {
        entry_free(en);
        return;
    }
    en->again = false;
    put(en, IN_LINE, &w->line);
}

static void on_written(void *owner, const struct kube_answer *a)
{
    struct entry *en = owner;
    struct writes *w = en->of;

    en->request = NULL;
    w->under_way_len--;
    w->done += a->rc == OK;
    w->failed += a->rc != OK;
    settle(en, en->dropped ? WRITE_DONE : judge(w, en, a), a);
    run(w);
}

/* --- writing --- */

static void fill_budget(struct writes *w, int64_t now)
{
    double passed = (double)(now - w->filled) / (double)NSEC_PER_SEC;

    w->filled = now;
    w->budget += passed * w->opt.per_second;
    if (w->budget > w->opt.burst)
        w->budget = w->opt.burst;
}

static void write_one(struct writes *w, struct entry *en)
{
    struct write_call c = {.method = KUBE_APPLY};
    struct kube_call call = {0};

    text_init(&c.path, KUBE_PATH_MAX);
    text_init(&c.body, KUBE_BODY_MAX);
    if (!w->opt.build(w->opt.owner, slice_str(en->key), &c)) {
        entry_free(en);
        goto out;
    }
    call.method = c.method;
    call.path = text_slice(&c.path);
    call.body = text_slice(&c.body);
    w->budget -= 1;
    if (c.path.failed || c.body.failed ||
        kube_send(w->kube, &call, on_written, en, &en->request)) {
        log_warn(&log_, "not sent", "what=%s key=%s", w->opt.name, en->key);
        w->failed++;
        en->failures++;
        en->due = loop_now(loop_of(w)) + backoff(w, en->failures);
        put(en, IN_WAITING_ROOM, &w->waiting);
        goto out;
    }
    put(en, UNDER_WAY, &w->under_way);
    w->under_way_len++;
out:
    text_fini(&c.path);
    text_fini(&c.body);
}

/* Back in line, who has waited long enough; returns when the next has. */
static int64_t call_in(struct writes *w, int64_t now)
{
    int64_t next = INT64_MAX;

    LIST_EACH(node, &w->waiting) {
        struct entry *en = CONTAINER_OF(node, struct entry, node);

        if (en->due <= now)
            put(en, IN_LINE, &w->line);
        else if (en->due < next)
            next = en->due;
    }
    return next;
}

static void run(struct writes *w)
{
    struct loop *l = loop_of(w);
    int64_t now = loop_now(l), next;

    timer_stop(&l->timers, &w->timer);
    if (w->paused)
        return;
    fill_budget(w, now);
    next = call_in(w, now);
    while (!list_empty(&w->line) && w->under_way_len < w->opt.in_flight &&
           w->budget >= 1)
        write_one(w, CONTAINER_OF(w->line.next, struct entry, node));
    if (!list_empty(&w->line) && w->under_way_len < w->opt.in_flight)
        next = now + NSEC_PER_SEC / w->opt.per_second;
    if (next != INT64_MAX)
        timer_set(&l->timers, &w->timer, next);
}

static void on_timer(struct timer *t)
{
    run(CONTAINER_OF(t, struct writes, timer));
}

/* --- for the owner --- */

struct writes *writes_new(struct kube *k, const struct writes_options *opt)
{
    struct writes *w = MEM_NEW(struct writes);

    w->kube = k;
    w->opt = *opt;
    map_init(&w->entries);
    list_init(&w->line);
    list_init(&w->waiting);
    list_init(&w->under_way);
    w->budget = opt->burst;
    w->filled = loop_now(loop_of(w));
    w->paused = true;
    timer_init(&w->timer, on_timer);
    return w;
}

void writes_add(struct writes *w, slice key)
{
    struct entry *en = map_get(&w->entries, key);

    if (en) {
        en->again = en->place == UNDER_WAY;
        en->dropped = false;
        return;
    }
    en = MEM_NEW(struct entry);
    en->of = w;
    en->key = mem_str(key);
    list_init(&en->node);
    put(en, IN_LINE, &w->line);
    (void)map_put(&w->entries, key, en);
    /* Not from inside of the caller: it may be about to add more. */
    if (!w->paused)
        timer_set(&loop_of(w)->timers, &w->timer, loop_now(loop_of(w)) + 1);
}

void writes_pause(struct writes *w, bool paused)
{
    w->paused = paused;
    run(w);
}

static void drop_all(struct list *l)
{
    LIST_EACH(node, l)
        entry_free(CONTAINER_OF(node, struct entry, node));
}

void writes_clear(struct writes *w)
{
    drop_all(&w->line);
    drop_all(&w->waiting);
    LIST_EACH(node, &w->under_way)
        CONTAINER_OF(node, struct entry, node)->dropped = true;
}

size_t writes_waiting(const struct writes *w)
{
    return w->entries.len;
}

uint64_t writes_done(const struct writes *w)
{
    return w->done;
}

uint64_t writes_failed(const struct writes *w)
{
    return w->failed;
}

static void writes_free(struct reap *r)
{
    mem_free(CONTAINER_OF(r, struct writes, reap));
}

void writes_close(struct writes *w)
{
    if (!w)
        return;
    timer_stop(&loop_of(w)->timers, &w->timer);
    LIST_EACH(node, &w->under_way)
        kube_cancel(CONTAINER_OF(node, struct entry, node)->request);
    drop_all(&w->under_way);
    writes_clear(w);
    map_fini(&w->entries);
    loop_reap(loop_of(w), &w->reap, writes_free);
}
