/* SPDX-License-Identifier: Apache-2.0 */
/* hello --> serving <--> behind --> over
 *
 * The proxy says hello, then subscribes; each view is answered by ack or nack.
 * It ends when the proxy breaks the protocol, is silent, or shows a certificate
 * that has expired meanwhile; a proxy simply comes again. */
#include "controller/subscribe/session.h"

#include "controller/subscribe/session_parts.h"
#include "lib/base/clock.h"
#include "lib/mesh/silent.h"

static struct log_area area = LOG_AREA("session");

const struct fsm_state session_states[] = {
    [SESSION_HELLO] = {"hello", TO(SESSION_SERVING) | TO(SESSION_OVER)},
    [SESSION_SERVING] = {"serving", TO(SESSION_BEHIND) | TO(SESSION_OVER)},
    [SESSION_BEHIND] = {"behind", TO(SESSION_SERVING) | TO(SESSION_OVER)},
    [SESSION_OVER] = {"over", 0},
};

const struct session_limits session_limits_default = {
    .subscriptions = 10000,
    .watermark = 256 << 10,
    .line = 2 << 20,
    .rate = 500,
    .burst = 40000, /* all subscriptions anew, and their acks */
    .hello = 10 * NSEC_PER_SEC,
    .beat = 10 * NSEC_PER_SEC,
    .silence = 30 * NSEC_PER_SEC,
};

/* --- life --- */

static slice place(char **at, slice text)
{
    slice out = slice_of(*at, text.len);

    if (text.len)
        memcpy(*at, text.ptr, text.len);
    *at += text.len;
    return out;
}

static void keep_peer(struct session *s, const struct session_peer *p)
{
    const struct client *c = &p->client;
    char *at;

    s->name = mem_str(p->name);
    at = s->names =
        mem_alloc(c->ns.len + c->service_account.len + c->pod.len + c->uid.len);
    s->client.ns = place(&at, c->ns);
    s->client.service_account = place(&at, c->service_account);
    s->client.pod = place(&at, c->pod);
    s->client.uid = place(&at, c->uid);
    s->cert_issued = p->issued;
    s->cert_not_after = p->not_after;
}

struct session *session_new(struct feeds *fs, const struct session_peer *peer,
                            const struct session_limits *lim,
                            const struct session_events *ev, void *owner,
                            uint64_t id, int64_t now)
{
    struct session *s = MEM_NEW(struct session);

    s->log = (struct log){&area, id};
    s->feeds = fs;
    s->lim = *lim;
    s->ev = ev;
    s->owner = owner;
    keep_peer(s, peer);
    map_init(&s->subs);
    for (int i = 0; i < RANKS; i++)
        list_init(&s->dirty[i]);
    text_init(&s->line, lim->line);
    s->tokens = lim->burst;
    s->tokens_at = s->started = s->heard = s->beat_at = now;
    return s;
}

static void subscription_free(struct subscription *sub)
{
    list_remove(&sub->in_feed);
    list_remove(&sub->in_dirty);
    view_unref(sub->sent_view);
    feed_drop(sub->feed);
    mem_free(sub->nack);
    mem_free(sub);
}

void session_free(struct session *s)
{
    void *value;
    slice key;

    for (size_t i = 0; map_next(&s->subs, &i, &key, &value);)
        subscription_free(value);
    map_fini(&s->subs);
    text_fini(&s->line);
    mem_free(s->report.memory);
    mem_free(s->name);
    mem_free(s->names);
    mem_free(s);
}

void session_end(struct session *s, const char *why)
{
    if (s->state == SESSION_OVER)
        return;
    fsm_move(session_states, &s->state, SESSION_OVER, &s->log);
    s->ev->on_over(s->owner, why);
}

bool session_is_over(const struct session *s)
{
    return s->state == SESSION_OVER;
}

/* --- subscriptions --- */

static slice sub_id(struct text *id, enum view_kind kind, slice key)
{
    text_init(id, 2 * WIRE_KEY_MAX);
    text_printf(id, "%s %.*s", view_kind_name(kind), FMT(key));
    return text_slice(id);
}

struct subscription *session_find(const struct session *s, enum view_kind kind,
                                  slice key)
{
    struct subscription *sub;
    struct text id;

    sub = map_get(&s->subs, sub_id(&id, kind, key));
    text_fini(&id);
    return sub;
}

enum status session_open(struct session *s, enum view_kind kind, slice key,
                         struct subscription **out, struct error *e)
{
    struct subscription *sub = session_find(s, kind, key);
    struct feed *f;
    struct text id;
    enum status rc;

    if (sub) {
        *out = sub;
        return OK;
    }
    rc = feeds_take(s->feeds, kind, &s->client, key, &f, e);
    if (rc)
        return rc;
    sub = MEM_NEW(struct subscription);
    sub->session = s;
    sub->feed = f;
    list_init(&sub->in_dirty);
    list_push_back(&f->subscribers, &sub->in_feed);
    (void)map_put(&s->subs, sub_id(&id, kind, key), sub);
    text_fini(&id);
    *out = sub;
    return OK;
}

void session_drop(struct subscription *sub)
{
    struct session *s = sub->session;
    struct text id;

    (void)map_del(&s->subs, sub_id(&id, sub->feed->kind, sub->feed->key));
    text_fini(&id);
    subscription_free(sub);
}

uint32_t session_subscriptions(const struct session *s)
{
    return (uint32_t)s->subs.len;
}

uint32_t session_max_subscriptions(const struct session *s)
{
    return s->lim.subscriptions;
}

bool session_in_sync(const struct session *s)
{
    void *value;
    slice key;

    for (size_t i = 0; map_next(&s->subs, &i, &key, &value);) {
        const struct subscription *sub = value;
        const struct view *v = sub->feed->view;

        if (!list_empty(&sub->in_dirty) ||
            (v && strcmp(sub->acked, v->hash) != 0))
            return false;
    }
    return s->state == SESSION_SERVING;
}

/* --- messages --- */

static void on_hello(struct session *s, const struct msg *m)
{
    if (s->state != SESSION_HELLO)
        return;
    for (uint32_t i = 0; i < m->capabilities_len; i++)
        s->deltas |= slice_eq(m->capabilities[i], SLICE("backend-delta/1"));
    if (slice_to_cstr(slice_sub(m->version, 0, sizeof s->version - 1),
                      s->version, sizeof s->version) ||
        slice_to_cstr(slice_sub(m->name, 0, sizeof s->pod - 1), s->pod,
                      sizeof s->pod))
        s->pod[0] = 0;
    log_info(&s->log, "proxy joined",
             "identity=%s pod=%.*s version=" LOG_QUOTED, s->name,
             FMT(s->client.pod), FMT(slice_str(s->version)));
    fsm_move(session_states, &s->state, SESSION_SERVING, &s->log);
}

static void copy_hash(char out[VIEW_HASH + 1], slice hash)
{
    if (slice_to_cstr(hash, out, VIEW_HASH + 1))
        out[0] = 0; /* no hash of ours: as if it had none */
}

/* What the proxy says that it has is taken at its word: a wrong hash only
 * harms itself. */
static void on_subscribe(struct session *s, const struct msg *m)
{
    struct subscription *sub = session_find(s, m->kind, m->key);
    struct error e;

    /* One that a destination implies is told anyway: no remove. */
    if (!sub && s->asked >= s->lim.subscriptions) {
        log_warn(&s->log, "subscription over the limit", "key=" LOG_QUOTED,
                 FMT(m->key));
        session_send_remove(s, m->kind, m->key);
        return;
    }
    if (m->kind == VIEW_WORKLOAD && !slice_empty(m->key)) {
        /* Only its own: the certificate says which. */
        session_send_remove(s, m->kind, m->key);
        return;
    }
    if (session_open(s, m->kind, m->key, &sub, &e)) {
        log_warn(&s->log, "subscription refused", "why=" LOG_QUOTED,
                 FMT(slice_str(e.text)));
        session_send_remove(s, m->kind, m->key);
        return;
    }
    s->asked += !sub->asked;
    sub->asked = true;
    copy_hash(sub->sent, m->hash);
    sub->acked[0] = 0;
    sub->told = false;
    session_mark(sub);
}

static void on_unsubscribe(struct session *s, const struct msg *m)
{
    struct subscription *sub = session_find(s, m->kind, m->key);

    if (!sub || !sub->asked)
        return;
    sub->asked = false;
    s->asked--;
    session_mark(sub); /* goes, unless a destination needs it */
}

static void on_ack(struct session *s, const struct msg *m)
{
    struct subscription *sub = session_find(s, m->kind, m->key);

    s->acks++;
    if (!sub)
        return;
    copy_hash(sub->acked, m->hash);
    mem_free(sub->nack);
    sub->nack = NULL;
}

/* A delta that did not apply is followed by the whole view, once. A whole view
 * that was refused is not sent again: the next change may be better. */
static void on_nack(struct session *s, const struct msg *m)
{
    struct subscription *sub = session_find(s, m->kind, m->key);

    s->nacks++;
    log_warn(&s->log, "view refused by proxy",
             "identity=%s kind=%s key=%.*s why=" LOG_QUOTED, s->name,
             view_kind_name(m->kind), FMT(m->key), FMT(m->reason));
    if (!sub)
        return;
    mem_free(sub->nack);
    sub->nack = mem_str(m->reason);
    if (!sub->by_delta || !slice_eq(m->hash, slice_str(sub->sent)))
        return;
    sub->sent[0] = 0;
    sub->by_delta = false;
    session_mark(sub);
}

static void on_report(struct session *s, const struct report *r, int64_t now)
{
    struct report_summary *sum = &s->report;

    mem_free(sum->memory);
    *sum = (struct report_summary){
        .any = true,
        .sequence = r->sequence,
        .at = now,
        .detect_timeouts = r->detect_timeouts,
        .rss = r->rss_bytes,
        .rows = r->rows_len,
        .cert_not_after = r->cert_not_after,
        .silent_len = r->silent_len,
    };
    memcpy(sum->silent, r->silent, sizeof sum->silent);
    sum->memory = silent_own(sum->silent, sum->silent_len);
    if (slice_to_cstr(slice_sub(r->epoch, 0, sizeof sum->epoch - 1), sum->epoch,
                      sizeof sum->epoch))
        sum->epoch[0] = 0;
    for (uint32_t i = 0; i < r->rows_len; i++) {
        sum->requests += r->rows[i].requests;
        sum->failures += r->rows[i].failures;
        sum->connections += r->rows[i].connections;
        sum->secured += r->rows[i].secured;
    }
}

static void on_msg(struct session *s, const struct msg *m, int64_t now)
{
    if (s->state == SESSION_HELLO && m->type != MSG_HELLO) {
        session_end(s, "the first message is not hello");
        return;
    }
    switch (m->type) {
    case MSG_HELLO:
        on_hello(s, m);
        break;
    case MSG_SUBSCRIBE:
        on_subscribe(s, m);
        break;
    case MSG_UNSUBSCRIBE:
        on_unsubscribe(s, m);
        break;
    case MSG_ACK:
        on_ack(s, m);
        break;
    case MSG_NACK:
        on_nack(s, m);
        break;
    case MSG_REPORT:
        on_report(s, &m->report, now);
        break;
    default:
        break; /* heartbeat; what later versions say */
    }
}

static bool may_speak(struct session *s, int64_t now)
{
    double passed = (double)(now - s->tokens_at) / (double)NSEC_PER_SEC;

    s->tokens_at = now;
    s->tokens += passed * s->lim.rate;
    if (s->tokens > s->lim.burst)
        s->tokens = s->lim.burst;
    s->tokens -= 1;
    return s->tokens >= 0;
}

static void on_line(struct session *s, slice line, int64_t now)
{
    struct msg m;
    struct error e;

    if (!may_speak(s, now)) {
        session_end(s, "too many messages");
        return;
    }
    if (msg_decode(line, &m, &e)) {
        log_warn(&s->log, "message refused", "identity=%s why=" LOG_QUOTED,
                 s->name, FMT(slice_str(e.text)));
        session_end(s, "a message cannot be read");
    } else {
        on_msg(s, &m, now);
    }
    msg_fini(&m);
}

/* Adds to what is incomplete. */
static void hold(struct session *s, slice bytes)
{
    text_add(&s->line, bytes);
    if (s->line.failed)
        session_end(s, "a message is too long");
}

void session_input(struct session *s, slice bytes, int64_t now)
{
    ptrdiff_t at;

    s->heard = now;
    while (s->state != SESSION_OVER && (at = slice_find(bytes, '\n')) >= 0) {
        slice line = slice_sub(bytes, 0, (size_t)at);

        bytes = slice_sub(bytes, (size_t)at + 1, bytes.len);
        if (s->line.len == 0) {
            on_line(s, line, now);
            continue;
        }
        hold(s, line);
        if (s->state != SESSION_OVER)
            on_line(s, text_slice(&s->line), now);
        text_fini(&s->line);
        text_init(&s->line, s->lim.line);
    }
    if (s->state != SESSION_OVER && bytes.len)
        hold(s, bytes);
    session_flush(s);
}

void session_slept(struct session *s, int64_t ns)
{
    s->heard += ns;
    s->started += ns;
}

void session_tick(struct session *s, int64_t now, int64_t date)
{
    struct msg beat = {.type = MSG_HEARTBEAT};

    if (s->state == SESSION_OVER)
        return;
    if (s->state == SESSION_HELLO && now - s->started > s->lim.hello)
        session_end(s, "no hello in time");
    else if (now - s->heard > s->lim.silence)
        session_end(s, "silence");
    else if (date > s->cert_not_after)
        session_end(s, "the certificate has expired");
    if (s->state == SESSION_OVER || now - s->beat_at < s->lim.beat)
        return;
    s->beat_at = now;
    session_send_msg(s, &beat);
}
