/* SPDX-License-Identifier: Apache-2.0 */
/* Once a pass: over the budget? Then the most costly holders of this worker end,
 * until its share of what is too much is free, but never more than ROUND_MAX at
 * once: what they held is counted only when it was freed, and others work on the
 * same sum. The next round follows soon; where nobody holds anything worth it,
 * later.
 *
 * Sockets that were closed and still send hold bytes, too. */
#include "proxy/shed.h"

#include <malloc.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"

static struct log_area area = LOG_AREA("shed");
static const struct log log_ = {.area = &area};

enum {
    BURST = 4 << 20, /* bytes: less is kept for the next one */
    ROUND_MAX = 64,
    WORTH = 4096, /* bytes: below, ending it frees next to nothing */
    SPARE = 16,   /* below the budget by this part, or we would be back soon */
};
static const int64_t SOON = 10 * NSEC_PER_MSEC;
static const int64_t LATER = 100 * NSEC_PER_MSEC;
static const int64_t CALM = 2 * NSEC_PER_SEC; /* after a burst */
static const int64_t TELL_EVERY = 10 * NSEC_PER_SEC;

double shed_cost(size_t held, uint64_t gone, int64_t age, int64_t still)
{
    double by_pace = (double)held * (double)age / ((double)gone + 1);
    double wait = by_pace > (double)still ? by_pace : (double)still;
    return (double)held * (wait + NSEC_PER_MSEC) / NSEC_PER_SEC;
}

/* The most costly of them all; either kind, or none. */
struct worst {
    double cost;
    size_t held;
    struct holder *holder;
    struct lingerer *lingerer;
};

static void look_at_holders(struct worker *w, int64_t now, struct worst *out)
{
    LIST_EACH(node, &w->holders) {
        struct holder *h = CONTAINER_OF(node, struct holder, node);
        int64_t moved;
        size_t held = h->held(h, &moved);
        if (held < WORTH)
            continue;
        double cost = shed_cost(held, h->gone, now - h->began, now - moved);
        if (cost > out->cost)
            *out = (struct worst){.cost = cost, .held = held, .holder = h};
    }
}

static void look_at_lingerers(struct worker *w, int64_t now, struct worst *out)
{
    LIST_EACH(node, &w->loop.lingerers) {
        struct lingerer *g = CONTAINER_OF(node, struct lingerer, node);
        size_t held = g->queued(g);
        if (held < WORTH)
            continue;
        double cost = shed_cost(held, 0, 0, now - g->since);
        if (cost > out->cost)
            *out = (struct worst){.cost = cost, .held = held, .lingerer = g};
    }
}

/* What it held, or 0 when nobody holds anything worth it. */
static size_t shed_one(struct worker *w, int64_t now)
{
    struct worst worst = {0};
    look_at_holders(w, now, &worst);
    look_at_lingerers(w, now, &worst);
    if (worst.held == 0)
        return 0;
    /* Whose connection it was is forgotten: an answer, most likely. */
    bool inbound = worst.holder && worst.holder->inbound;
    telemetry_limit(w->telemetry, inbound, LIMIT_MEMORY);
    if (worst.holder)
        worst.holder->shed(worst.holder);
    else
        worst.lingerer->end(worst.lingerer);
    return worst.held;
}

static void tell(struct worker *w, int64_t now, unsigned ended, size_t freed)
{
    if (!ended || (w->shed_told && now - w->shed_told < TELL_EVERY))
        return;
    w->shed_told = now;
    log_warn(&log_, "over the memory budget, slow readers are cut",
             "used=%zu budget=%zu cut=%u held=%zu", mem_used(), mem_budget(),
             ended, freed);
}

static void shed_round(struct worker *w, int64_t now)
{
    size_t budget = mem_budget(), used = mem_used(), freed = 0, one = 1;
    size_t goal = budget - budget / SPARE;
    size_t need = used > goal ? (used - goal) / w->config->workers : 0;
    unsigned ended = 0;
    while (freed < need && ended < ROUND_MAX && (one = shed_one(w, now)) > 0) {
        freed += one;
        ended++;
    }
    w->shed_at = now + (ended ? SOON : LATER);
    tell(w, now, ended, freed);
}

void shed_on_pass(struct loop *l)
{
    struct worker *w = l->owner;
    if (!mem_over_budget())
        return;
    int64_t now = loop_now(l);
    if (now >= w->shed_at)
        shed_round(w, now);
}

/* Freed memory between what is in use stays the process's until it is asked for,
 * and in a container it is held against the limit. */
void shed_give_back(struct worker *w)
{
    size_t used = mem_used();
    int64_t now = loop_now(&w->loop);
    if (used > w->memory_peak)
        w->memory_peak = used;
    if (used > w->memory_peak / 2 || w->memory_peak - used < BURST) {
        w->memory_high = now;
        return;
    }
    if (now - w->memory_high < CALM)
        return;
    malloc_trim(0);
    w->memory_peak = used;
}
