/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/subscribe/publish.h"

#include "lib/base/clock.h"
#include "lib/json/json_write.h"

#define QUIET (10 * NSEC_PER_MSEC)
#define MOST (100 * NSEC_PER_MSEC)
#define TICK NSEC_PER_SEC

struct publisher {
    struct loop *loop;
    struct registry *registry;
    struct registry_watch watch;
    struct session_limits limits;
    struct feeds *feeds;
    struct dirty dirty;
    struct timer due, tick;
    int64_t ticked; /* when last */
    struct list seats;
    uint64_t last_id;
};

void publisher_touch(struct publisher *p, slice topic)
{
    dirty_add(&p->dirty, topic, loop_now(p->loop));
    timer_set(&p->loop->timers, &p->due, dirty_due(&p->dirty));
}

static void on_topic(struct registry_watch *w, slice topic)
{
    publisher_touch(CONTAINER_OF(w, struct publisher, watch), topic);
}

static void on_feed_changed(void *arg, struct feed *f)
{
    (void)arg;
    feed_mark_subscribers(f);
}

static void on_due(struct timer *t)
{
    struct publisher *p = CONTAINER_OF(t, struct publisher, due);

    feeds_refresh(p->feeds, &p->dirty);
    dirty_clear(&p->dirty);
    LIST_EACH(node, &p->seats) {
        session_flush(CONTAINER_OF(node, struct seat, node)->session);
    }
}

static void on_tick(struct timer *t)
{
    struct publisher *p = CONTAINER_OF(t, struct publisher, tick);
    int64_t now = loop_now(p->loop);
    int64_t date = clock_real_ns() / NSEC_PER_SEC;
    int64_t late = now - p->ticked - TICK;

    p->ticked = now;
    LIST_EACH(node, &p->seats) {
        struct session *s = CONTAINER_OF(node, struct seat, node)->session;

        if (late > TICK)
            session_slept(s, late);
        session_tick(s, now, date);
    }
    timer_set(&p->loop->timers, &p->tick, now + TICK);
}

struct publisher *publisher_new(struct loop *l, struct registry *r,
                                const struct resolve_settings *settings,
                                const struct session_limits *lim)
{
    struct publisher *p = MEM_NEW(struct publisher);

    p->loop = l;
    p->registry = r;
    p->limits = *lim;
    p->feeds = feeds_new(r, settings, on_feed_changed, p);
    p->watch.on_topic = on_topic;
    registry_watch(r, &p->watch);
    dirty_init(&p->dirty, QUIET, MOST);
    list_init(&p->seats);
    timer_init(&p->due, on_due);
    timer_init(&p->tick, on_tick);
    p->ticked = loop_now(l);
    timer_set(&l->timers, &p->tick, p->ticked + TICK);
    return p;
}

void publisher_stop(struct publisher *p)
{
    registry_unwatch(&p->watch);
    timer_stop(&p->loop->timers, &p->due);
    timer_stop(&p->loop->timers, &p->tick);
}

void publisher_free(struct publisher *p)
{
    if (!p)
        return;
    dirty_fini(&p->dirty);
    feeds_free(p->feeds);
    mem_free(p);
}

void publisher_join(struct publisher *p, struct seat *seat,
                    const struct session_peer *peer,
                    const struct session_events *ev, void *owner)
{
    seat->session = session_new(p->feeds, peer, &p->limits, ev, owner,
                                ++p->last_id, loop_now(p->loop));
    list_push_back(&p->seats, &seat->node);
}

void publisher_leave(struct seat *seat)
{
    if (!seat->session)
        return;
    list_remove(&seat->node);
    session_free(seat->session);
    seat->session = NULL;
}

/* What a proxy has in force comes with its subscriptions: before, it would look
 * as if nothing were amiss. And a pod that was deleted by force leaves its proxy
 * running for a while: not the one that has its name now. */
static bool tells(const struct publisher *p, const struct session *s,
                  const struct proxy_state *state)
{
    const struct record *pod;

    if (session_subscriptions(s) == 0)
        return false;
    pod = registry_find(p->registry, RECORD_POD, state->ns, state->pod);
    return !pod || slice_empty(pod->pod.uid) || slice_empty(state->uid) ||
           slice_eq(pod->pod.uid, state->uid);
}

void publisher_states(const struct publisher *p,
                      void (*fn)(void *arg, const struct proxy_state *s),
                      void *arg)
{
    LIST_EACH(node, &p->seats) {
        const struct session *s =
            CONTAINER_OF(node, struct seat, node)->session;
        struct proxy_state state;

        session_state(s, &state);
        if (tells(p, s, &state))
            fn(arg, &state);
    }
}

size_t publisher_sessions(const struct publisher *p)
{
    size_t n = 0;

    LIST_EACH(node, &p->seats) {
        n++;
    }
    return n;
}

size_t publisher_in_sync(const struct publisher *p)
{
    size_t n = 0;

    LIST_EACH(node, &p->seats) {
        n += session_in_sync(CONTAINER_OF(node, struct seat, node)->session);
    }
    return n;
}

size_t publisher_feeds(const struct publisher *p)
{
    return feeds_count(p->feeds);
}

void publisher_json(const struct publisher *p, struct text *out)
{
    int64_t now = loop_now(p->loop);
    struct json_write w;

    json_write_init(&w, out);
    json_write_object(&w);
    json_member_u64(&w, "version", registry_version(p->registry));
    json_member_u64(&w, "feeds", feeds_count(p->feeds));
    json_write_name(&w, "sessions");
    json_write_array(&w);
    LIST_EACH(node, &p->seats) {
        struct text one;

        text_init(&one, 4 << 20);
        session_json(CONTAINER_OF(node, struct seat, node)->session, now, &one);
        json_write_raw(&w, text_slice(&one));
        text_fini(&one);
    }
    json_write_array_end(&w);
    json_write_object_end(&w);
}
