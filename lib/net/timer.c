/* SPDX-License-Identifier: Apache-2.0 */
/* A binary heap ordered by the time an entry was queued under. Moving a timer
 * later only stores the new time; when the old one comes the entry sinks to its
 * place. Moving it earlier lifts it at once. */
#include "lib/net/timer.h"

#include <assert.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"

static void place(struct timers *ts, uint32_t i, struct timer *t)
{
    ts->heap[i] = t;
    t->index = i + 1;
}

static void lift(struct timers *ts, uint32_t i)
{
    struct timer *t = ts->heap[i];
    while (i > 0) {
        uint32_t parent = (i - 1) / 2;
        if (ts->heap[parent]->queued <= t->queued)
            break;
        place(ts, i, ts->heap[parent]);
        i = parent;
    }
    place(ts, i, t);
}

static void sink(struct timers *ts, uint32_t i)
{
    struct timer *t = ts->heap[i];
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= ts->len)
            break;
        if (child + 1 < ts->len &&
            ts->heap[child + 1]->queued < ts->heap[child]->queued)
            child++;
        if (t->queued <= ts->heap[child]->queued)
            break;
        place(ts, i, ts->heap[child]);
        i = child;
    }
    place(ts, i, t);
}

static void take_out(struct timers *ts, struct timer *t)
{
    uint32_t i = t->index - 1;
    struct timer *last = ts->heap[--ts->len];
    t->index = 0;
    if (last == t)
        return;
    place(ts, i, last);
    lift(ts, i);
    sink(ts, last->index - 1);
}

/* The loop's time, as loop_now() gives it: callbacks compute with it, so it must
 * be what decides here, or a timer set for "now" would be due again at once. */
static int64_t pass_now(const struct timers *ts)
{
    return (int64_t)uv_now(ts->uv.loop) * NSEC_PER_MSEC;
}

static void arm(struct timers *ts);

static void on_due(uv_timer_t *uv)
{
    struct timers *ts = uv->data;
    int64_t now = pass_now(ts);

    ts->armed = 0;
    /* A callback may set timers again, for any time: timer_set never queues at or
     * before this pass, so the walk ends. */
    while (ts->len > 0 && ts->heap[0]->queued <= now) {
        struct timer *t = ts->heap[0];
        if (t->at > now) {
            t->queued = t->at;
            sink(ts, 0);
            continue;
        }
        take_out(ts, t);
        t->at = 0;
        t->fire(t);
    }
    arm(ts);
}

static void arm(struct timers *ts)
{
    if (ts->len == 0 || uv_is_closing((uv_handle_t *)&ts->uv))
        return;
    int64_t first = ts->heap[0]->queued;
    if (ts->armed && ts->armed <= first)
        return;
    int64_t now = pass_now(ts);
    int64_t wait = first > now ? (first - now) / NSEC_PER_MSEC + 1 : 1;
    ts->armed = first;
    uv_timer_start(&ts->uv, on_due, (uint64_t)wait, 0);
}

void timers_init(struct timers *ts, uv_loop_t *uv)
{
    *ts = (struct timers){0};
    uv_timer_init(uv, &ts->uv);
    ts->uv.data = ts;
    /* A timer alone does not keep a loop alive: handles of connections do. */
    uv_unref((uv_handle_t *)&ts->uv);
}

void timers_close(struct timers *ts)
{
    for (uint32_t i = 0; i < ts->len; i++)
        ts->heap[i]->index = 0;
    ts->len = ts->cap = 0;
    mem_free(ts->heap);
    ts->heap = NULL;
    if (!uv_is_closing((uv_handle_t *)&ts->uv))
        uv_close((uv_handle_t *)&ts->uv, NULL);
}

void timer_set(struct timers *ts, struct timer *t, int64_t at)
{
    assert(at > 0);
    if (uv_is_closing((uv_handle_t *)&ts->uv))
        return;
    if (at <= pass_now(ts))
        at = pass_now(ts) + 1;
    t->at = at;
    if (t->index) {
        if (at >= t->queued)
            return;
        t->queued = at;
        lift(ts, t->index - 1);
        arm(ts);
        return;
    }
    if (ts->len == ts->cap) {
        ts->cap = ts->cap ? ts->cap * 2 : 64;
        ts->heap = mem_resize(ts->heap, ts->cap * sizeof *ts->heap);
    }
    t->queued = at;
    place(ts, ts->len++, t);
    lift(ts, ts->len - 1);
    arm(ts);
}

void timer_stop(struct timers *ts, struct timer *t)
{
    t->at = 0;
    if (t->index)
        take_out(ts, t);
}
