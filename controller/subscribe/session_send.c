/* SPDX-License-Identifier: Apache-2.0 */
/* Output of a session: dirty subscriptions, by rank. */
#include "controller/subscribe/session_parts.h"

static void send_line(struct session *s, slice line)
{
    s->on_way += line.len;
    s->ev->on_send(s->owner, line);
}

void session_send_msg(struct session *s, const struct msg *m)
{
    struct text line;

    if (s->state == SESSION_OVER)
        return;
    text_init(&line, 64 << 10);
    msg_encode(m, &line);
    if (!line.failed)
        send_line(s, text_slice(&line));
    text_fini(&line);
}

void session_send_remove(struct session *s, enum view_kind kind, slice key)
{
    struct msg m = {.type = MSG_REMOVE, .kind = kind, .key = key};

    session_send_msg(s, &m);
}

static enum rank rank_of(const struct subscription *sub)
{
    const struct view *v = sub->feed->view;

    if (!sub->asked && sub->implied == 0)
        return RANK_BREAK;
    if (sub->feed->kind == VIEW_DESTINATION)
        return RANK_NAME;
    if (!v || (v->kind == VIEW_BACKEND && v->backend.endpoints_len == 0))
        return sub->told ? RANK_BREAK : RANK_MAKE;
    return RANK_MAKE;
}

void session_mark(struct subscription *sub)
{
    list_remove(&sub->in_dirty);
    list_push_back(&sub->session->dirty[rank_of(sub)], &sub->in_dirty);
}

void feed_mark_subscribers(struct feed *f)
{
    LIST_EACH(node, &f->subscribers) {
        session_mark(CONTAINER_OF(node, struct subscription, in_feed));
    }
}

/* --- what a destination names --- */

static void imply(struct session *s, slice key, bool more)
{
    struct subscription *sub = NULL;
    struct error e;

    if (more && session_open(s, VIEW_BACKEND, key, &sub, &e)) {
        log_error(&s->log, "backend cannot be told", "why=" LOG_QUOTED,
                  FMT(slice_str(e.text)));
        return;
    }
    if (!more)
        sub = session_find(s, VIEW_BACKEND, key);
    if (!sub)
        return;
    sub->implied += more ? 1 : -1u;
    if (more ? !sub->told : !sub->asked && sub->implied == 0)
        session_mark(sub);
}

static void imply_all(struct session *s, const struct view *v, bool more)
{
    for (uint32_t i = 0; v && i < v->destination.backends_len; i++)
        imply(s, v->destination.backends[i].key, more);
}

/* --- one subscription --- */

static void tell(struct subscription *sub);

/* Backends that the destination names and the proxy was told nothing about. */
static void tell_backends_first(struct session *s, const struct view *v)
{
    for (uint32_t i = 0; v && i < v->destination.backends_len; i++) {
        struct subscription *sub = session_find(s, VIEW_BACKEND,
                                                v->destination.backends[i].key);

        if (sub && !sub->told) {
            list_remove(&sub->in_dirty);
            tell(sub);
        }
    }
}

static void send_view(struct subscription *sub)
{
    struct session *s = sub->session;
    struct view *v = sub->feed->view;
    struct msg same = {.type = MSG_SAME,
                       .kind = v->kind,
                       .key = v->key,
                       .hash = slice_str(v->hash)};
    slice delta = SLICE_NONE;

    if (!sub->told && strcmp(sub->sent, v->hash) == 0) {
        session_send_msg(s, &same);
        /* Only what it applied has a hash: as good as an ack. */
        memcpy(sub->acked, v->hash, sizeof sub->acked);
        return;
    }
    if (strcmp(sub->sent, v->hash) == 0)
        return; /* there and back again while it waited */
    if (s->deltas)
        delta = feed_delta(sub->feed, slice_str(sub->sent));
    sub->by_delta = !slice_empty(delta);
    send_line(s, sub->by_delta ? delta : feed_snapshot(sub->feed));
    s->sent_deltas += sub->by_delta;
    s->sent_views += !sub->by_delta;
    memcpy(sub->sent, v->hash, sizeof sub->sent);
}

/* A destination: first the backends that it names, then itself; those that it
 * named before and no longer does go in their turn. */
static void tell_destination(struct subscription *sub)
{
    struct session *s = sub->session;
    struct view *now = sub->feed->view;
    struct view *before = sub->sent_view;

    imply_all(s, now, true);
    tell_backends_first(s, now);
    send_view(sub);
    sub->sent_view = view_ref(now);
    imply_all(s, before, false);
    view_unref(before);
}

static void tell(struct subscription *sub)
{
    struct session *s = sub->session;

    if (!sub->feed->view) {
        session_send_remove(s, sub->feed->kind, sub->feed->key);
        sub->sent[0] = sub->acked[0] = 0;
    } else if (sub->feed->kind == VIEW_DESTINATION) {
        tell_destination(sub);
    } else {
        send_view(sub);
    }
    sub->told = true;
}

/* Nobody wants it any more: the proxy asked for that, or a destination stopped
 * naming it; only then must it be told. */
static void let_go(struct subscription *sub)
{
    struct session *s = sub->session;
    struct view *named = sub->sent_view;

    if (sub->feed->kind == VIEW_BACKEND && sub->told)
        session_send_remove(s, sub->feed->kind, sub->feed->key);
    sub->sent_view = NULL;
    session_drop(sub);
    imply_all(s, named, false);
    view_unref(named);
}

/* --- */

static struct subscription *next_dirty(struct session *s)
{
    for (int i = 0; i < RANKS; i++) {
        struct list *node = list_pop_front(&s->dirty[i]);

        if (node)
            return CONTAINER_OF(node, struct subscription, in_dirty);
    }
    return NULL;
}

static bool dirty(const struct session *s)
{
    for (int i = 0; i < RANKS; i++)
        if (!list_empty(&s->dirty[i]))
            return true;
    return false;
}

void session_flush(struct session *s)
{
    struct subscription *sub;

    if (s->state != SESSION_SERVING && s->state != SESSION_BEHIND)
        return;
    while (s->on_way < s->lim.watermark && (sub = next_dirty(s))) {
        if (!sub->asked && sub->implied == 0)
            let_go(sub);
        else
            tell(sub);
    }
    if (s->state == SESSION_SERVING && dirty(s))
        fsm_move(session_states, &s->state, SESSION_BEHIND, &s->log);
    else if (s->state == SESSION_BEHIND && !dirty(s))
        fsm_move(session_states, &s->state, SESSION_SERVING, &s->log);
}

void session_sent(struct session *s, size_t n)
{
    s->on_way -= n < s->on_way ? n : s->on_way;
    if (s->state == SESSION_BEHIND && s->on_way < s->lim.watermark / 2)
        session_flush(s);
}
