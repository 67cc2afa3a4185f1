/* SPDX-License-Identifier: Apache-2.0 */
/*   waiting (for a certificate)
 *      |
 *   connecting --> hello --> in sync
 *      ^  |          |          |
 *      |  +----------+----------+--> backing off
 *      +------------------------------+
 *
 * hello: the request is sent and our hello in it; with the controller's 200
 * everything wanted is subscribed to. In sync: it has said something about our
 * workload. Whatever ends a session, at most one sentence is logged, the next
 * controller is tried after a while, and views stay as they are. */
#include "proxy/discovery/client.h"

#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/fsm.h"
#include "lib/base/mem.h"
#include "lib/http/client.h"
#include "proxy/discovery/apply.h"

enum {
    OUT_MAX = 16 << 20,   /* bytes on their way: the controller does not read */
    REPORT_MAX = 1 << 20, /* above it no report is added */
    LINE_KEEP = 64 << 10, /* larger line buffers are given back */
    FIELDS = 2,
};
static const int64_t CERT_MARGIN = 60; /* seconds */

enum state { WAITING, CONNECTING, HELLO, IN_SYNC, BACKING_OFF, CLOSED };

static const struct fsm_state states[] = {
    [WAITING] = {"waiting for a certificate", TO(CONNECTING) | TO(CLOSED)},
    [CONNECTING] = {"connecting", TO(HELLO) | TO(BACKING_OFF) | TO(CLOSED)},
    [HELLO] = {"hello", TO(IN_SYNC) | TO(BACKING_OFF) | TO(CLOSED)},
    [IN_SYNC] = {"in sync", TO(BACKING_OFF) | TO(CLOSED)},
    [BACKING_OFF] = {"backing off", TO(CONNECTING) | TO(CLOSED)},
    [CLOSED] = {"closed", 0},
};

static struct log_area area = LOG_AREA("discovery");

const struct discovery_client_options discovery_client_defaults = {
    .connect_timeout = 5 * NSEC_PER_SEC,
    .heartbeat = 10 * NSEC_PER_SEC,
    .silence = 30 * NSEC_PER_SEC,
    .backoff_min = 100 * NSEC_PER_MSEC,
    .backoff_max = 10 * NSEC_PER_SEC,
    .report_every = 5 * NSEC_PER_SEC,
    .age = 3600 * NSEC_PER_SEC,
};

struct discovery_client {
    struct loop *loop;
    struct discovery *d;
    struct discovery_client_options opt;
    char *expect, *name; /* what opt borrows */
    struct discovery_client_events ev;
    void *arg;
    struct log log;
    struct http_limits limits;
    unsigned state;
    struct tls_settings *tls;      /* for the next connection */
    struct tls_settings *tls_used; /* of this one */
    struct controllers_pick pick;  /* while connecting: to whom? */
    char to[ADDRESS_TEXT];         /* the controller, or what is known of it */
    struct http_client *dial;      /* then */
    struct http_conn *conn;
    struct exchange *x;
    int64_t peer_not_after;
    struct text line; /* what is incomplete */
    uint64_t sent, credited;
    int64_t heard, begun, beat_at, report_at;
    int64_t old_at;  /* looked at with each heartbeat; 0: never */
    int64_t backoff; /* what the next wait is drawn from */
    struct timer tick, retry;
    struct discovery_client_stats stats;
    struct reap reap;
};

static void move(struct discovery_client *c, enum state to)
{
    fsm_move(states, &c->state, to, &c->log);
}

static bool in_session(const struct discovery_client *c)
{
    return c->state == HELLO || c->state == IN_SYNC;
}

/* ---- the end of a session ---- */

/* Takes everything of the connection down; no event of it follows. */
static void tear_down(struct discovery_client *c)
{
    struct http_conn *conn = c->conn;
    struct exchange *x = c->x;
    c->conn = NULL;
    c->x = NULL;
    timer_stop(&c->loop->timers, &c->tick);
    discovery_set_session(c->d, NULL, NULL);
    controllers_cancel(&c->pick);
    if (c->dial)
        http_client_cancel(c->dial);
    c->dial = NULL;
    if (x)
        exchange_reset(x, RESET_CANCELED);
    if (conn)
        http_conn_close(conn, OK);
    text_fini(&c->line);
    text_init(&c->line, WIRE_LINE_MAX);
    tls_settings_unref(c->tls_used);
    c->tls_used = NULL;
}

static void back_off(struct discovery_client *c)
{
    bool synced = c->state == IN_SYNC;
    int64_t now = loop_now(c->loop);
    if (synced && now - c->begun >= c->opt.backoff_max)
        c->backoff = c->opt.backoff_min; /* it was a good one */
    int64_t wait = 1 +
                   (int64_t)rand_below(&c->loop->rand, (uint64_t)c->backoff);
    c->backoff = c->backoff > c->opt.backoff_max / 2 ? c->opt.backoff_max
                                                     : 2 * c->backoff;
    move(c, BACKING_OFF);
    tear_down(c);
    timer_set(&c->loop->timers, &c->retry, now + wait);
    if (synced && c->ev.on_sync)
        c->ev.on_sync(c->arg, false);
}

static void fail(struct discovery_client *c, const char *why)
{
    if (c->state != CONNECTING && !in_session(c))
        return;
    c->stats.failures++;
    log_warn(&c->log,
             in_session(c) ? "session with the controller ended"
                           : "controller not reached",
             "controller=%s why=" LOG_QUOTED, c->to, FMT(slice_str(why)));
    back_off(c);
}

/* ---- output ---- */

static void send_msg(struct discovery_client *c, const struct msg *m)
{
    struct text line;
    if (!c->x)
        return;
    text_init(&line, WIRE_LINE_MAX);
    msg_encode(m, &line);
    if (line.failed) { /* a report larger than any line: cannot be said */
        log_error(&c->log, "message too long, not sent", "type=%d", m->type);
    } else {
        c->sent += line.len;
        exchange_send_body(c->x, text_slice(&line), false);
    }
    text_fini(&line);
    if (c->sent - c->credited > OUT_MAX)
        fail(c, "it does not read what we send");
}

static void send_hello(struct discovery_client *c)
{
    slice capabilities[16];
    struct msg m = {.type = MSG_HELLO,
                    .version = SLICE(TULLE_VERSION),
                    .name = slice_str(c->name),
                    .capabilities = capabilities};
    while (wire_capabilities[m.capabilities_len] && m.capabilities_len < 16) {
        capabilities[m.capabilities_len] =
            slice_str(wire_capabilities[m.capabilities_len]);
        m.capabilities_len++;
    }
    send_msg(c, &m);
}

static void on_subscribe(void *arg, enum view_kind kind, slice key, slice hash)
{
    struct msg m = {
        .type = MSG_SUBSCRIBE, .kind = kind, .key = key, .hash = hash};
    send_msg(arg, &m);
}

static void on_unsubscribe(void *arg, enum view_kind kind, slice key)
{
    struct msg m = {.type = MSG_UNSUBSCRIBE, .kind = kind, .key = key};
    send_msg(arg, &m);
}

static const struct discovery_session store_session = {on_subscribe,
                                                       on_unsubscribe};

static void send_ack(struct discovery_client *c, const struct msg *about)
{
    struct msg m = {.type = MSG_ACK,
                    .kind = about->kind,
                    .key = about->key,
                    .hash = about->hash};
    send_msg(c, &m);
}

static void send_nack(struct discovery_client *c, const struct msg *about,
                      const struct error *why)
{
    struct msg m = {.type = MSG_NACK,
                    .kind = about->kind,
                    .key = about->key,
                    .hash = about->hash,
                    .reason = slice_str(why->text)};
    c->stats.nacks++;
    log_warn(&c->log, "view refused", "kind=%s key=%.*s why=" LOG_QUOTED,
             view_kind_name(about->kind), FMT(about->key),
             FMT(slice_str(why->text)));
    send_msg(c, &m);
}

/* ---- input ---- */

static void in_sync(struct discovery_client *c)
{
    if (c->state != HELLO)
        return;
    move(c, IN_SYNC);
    log_info(&c->log, "in sync with the controller", "controller=%s", c->to);
    if (c->ev.on_sync)
        c->ev.on_sync(c->arg, true);
}

static void put(struct discovery_client *c, const struct msg *m, struct view *v)
{
    struct error why;
    c->stats.views++;
    if (discovery_put(c->d, v)) {
        (void)error_set(&why, ERR_TOO_BIG, "too many keys are known here");
        send_nack(c, m, &why);
        return;
    }
    send_ack(c, m);
}

static void resubscribe(struct discovery_client *c, const struct msg *m,
                        const struct error *why)
{
    if (!discovery_wants(c->d, m->kind, m->key))
        return; /* crossed our unsubscribe */
    log_debug(&c->log, "asking for the whole view",
              "kind=%s key=%.*s why=" LOG_QUOTED, view_kind_name(m->kind),
              FMT(m->key), FMT(slice_str(why->text)));
    on_subscribe(c, m->kind, m->key, SLICE_NONE);
}

static void on_msg(struct discovery_client *c, struct msg *m)
{
    struct error why = {0};
    struct view *v;
    struct view *current = discovery_get(c->d, m->kind, m->key);
    switch (apply_message(m, current, &v, &why)) {
    case APPLY_PUT:
        put(c, m, v);
        break;
    case APPLY_KEEP:
        if (m->type != MSG_SAME) /* which is as good as an ack */
            send_ack(c, m);
        break;
    case APPLY_REMOVE:
        discovery_remove(c->d, m->kind, m->key);
        break;
    case APPLY_RESUBSCRIBE:
        resubscribe(c, m, &why);
        return;
    case APPLY_NACK:
        send_nack(c, m, &why);
        break;
    case APPLY_IGNORE:
        return;
    }
    if (m->kind == VIEW_WORKLOAD)
        in_sync(c);
}

static void on_line(struct discovery_client *c, slice line)
{
    struct msg m;
    struct error e = {0};
    if (slice_empty(slice_trim(line)))
        return;
    if (msg_decode(line, &m, &e) == OK)
        on_msg(c, &m);
    else if ((m.type == MSG_VIEW || m.type == MSG_DELTA) && m.hash.len)
        send_nack(c, &m, &e);
    else
        fail(c, e.text);
    msg_fini(&m);
}

/* The line that began before is complete. */
static void on_joined_line(struct discovery_client *c)
{
    struct text whole = c->line;
    text_init(&c->line, WIRE_LINE_MAX);
    on_line(c, text_slice(&whole));
    if (c->line.ptr || whole.cap > LINE_KEEP || !in_session(c)) {
        text_fini(&whole);
        return;
    }
    text_clear(&whole);
    c->line = whole;
}

static void on_bytes(struct discovery_client *c, slice data)
{
    ptrdiff_t at;
    while (in_session(c) && (at = slice_find(data, '\n')) >= 0) {
        slice line = slice_sub(data, 0, (size_t)at);
        data = slice_sub(data, (size_t)at + 1, data.len);
        if (c->line.len == 0) {
            on_line(c, line);
            continue;
        }
        text_add(&c->line, line);
        if (c->line.failed)
            fail(c, "a line is too long");
        else
            on_joined_line(c);
    }
    if (!in_session(c) || data.len == 0)
        return;
    text_add(&c->line, data);
    if (c->line.failed)
        fail(c, "a line is too long");
}

/* ---- the exchange ---- */

/* How many subscriptions the controller takes; 0: it does not say. */
static uint32_t session_limit(const struct head *h)
{
    const struct header *f =
        headers_find_name(&h->headers, SLICE(WIRE_SUBSCRIPTIONS_HEADER));
    uint64_t n;
    return f && slice_to_u64(f->value, UINT32_MAX, &n) == OK ? (uint32_t)n : 0;
}

static void on_head(struct exchange *x, const struct head *h, bool end)
{
    struct discovery_client *c = x->owner;
    char why[64];
    c->heard = loop_now(c->loop);
    if (h->status < 200)
        return;
    if (h->status != 200 || end) {
        snprintf(why, sizeof why, "it answered with status %u", h->status);
        fail(c, why);
        return;
    }
    discovery_set_limit(c->d, session_limit(h));
    discovery_set_session(c->d, &store_session, c);
}

static void on_body(struct exchange *x, slice data, bool end)
{
    struct discovery_client *c = x->owner;
    c->heard = loop_now(c->loop);
    on_bytes(c, data);
    if (!in_session(c))
        return;
    exchange_consumed(x, data.len);
    if (end)
        fail(c, "ended by the controller");
}

static void on_trailers(struct exchange *x, const struct headers *t)
{
    (void)t;
    fail(x->owner, "ended by the controller");
}

static void on_sent(struct exchange *x, size_t n)
{
    struct discovery_client *c = x->owner;
    c->credited += n;
}

static void on_reset(struct exchange *x, enum reset_why why)
{
    struct discovery_client *c = x->owner;
    c->x = NULL;
    fail(c, reset_why_name(why));
}

static void on_done(struct exchange *x)
{
    struct discovery_client *c = x->owner;
    c->x = NULL;
    fail(c, "ended by the controller");
}

static const struct exchange_events exchange_events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = on_sent,
    .on_reset = on_reset,
    .on_done = on_done,
};

/* ---- time ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void arm_tick(struct discovery_client *c)
{
    int64_t at = earlier(c->beat_at, c->heard + c->opt.silence);
    if (c->state == HELLO)
        at = earlier(at, c->begun + c->opt.connect_timeout);
    if (c->opt.report_every && c->ev.on_report)
        at = earlier(at, c->report_at);
    timer_set(&c->loop->timers, &c->tick, at);
}

static void send_report(struct discovery_client *c)
{
    struct msg m = {.type = MSG_REPORT};
    if (c->sent - c->credited < REPORT_MAX &&
        c->ev.on_report(c->arg, &m.report))
        send_msg(c, &m);
}

/* With a newer certificate at hand, or nothing to lose. */
static bool certificate_ends(const struct discovery_client *c)
{
    int64_t date = clock_real_ns() / NSEC_PER_SEC;
    struct tls_identity *id = c->tls_used ? tls_settings_identity(c->tls_used)
                                          : NULL;
    if (c->peer_not_after && date >= c->peer_not_after)
        return true;
    return id && c->tls != c->tls_used &&
           date >= tls_identity_not_after(id) - CERT_MARGIN;
}

static bool is_old(const struct discovery_client *c)
{
    return c->state == IN_SYNC && c->old_at && loop_now(c->loop) >= c->old_at;
}

static void on_tick(struct timer *t)
{
    struct discovery_client *c = CONTAINER_OF(t, struct discovery_client, tick);
    int64_t now = loop_now(c->loop);
    const struct msg beat = {.type = MSG_HEARTBEAT};
    if (now - c->heard >= c->opt.silence) {
        fail(c, "silence");
        return;
    }
    if (c->state == HELLO && now - c->begun >= c->opt.connect_timeout) {
        fail(c, "no answer to hello in time");
        return;
    }
    if (certificate_ends(c)) {
        log_info(&c->log, "new session for a new certificate", "");
        back_off(c);
        return;
    }
    if (is_old(c)) {
        log_info(&c->log, "new session, the old one has had its time", "");
        c->pick.begun = false; /* with any of the controllers */
        back_off(c);
        return;
    }
    if (now >= c->beat_at) {
        c->beat_at = now + c->opt.heartbeat;
        send_msg(c, &beat);
    }
    if (c->opt.report_every && c->ev.on_report && now >= c->report_at) {
        c->report_at = now + c->opt.report_every;
        if (c->state == IN_SYNC)
            send_report(c);
    }
    if (in_session(c))
        arm_tick(c);
}

/* ---- connecting ---- */

static void on_conn_closed(struct http_conn *conn, enum status why)
{
    struct discovery_client *c = conn->owner;
    if (c->conn != conn)
        return;
    c->conn = NULL;
    fail(c, status_name(why));
}

static const struct http_conn_events conn_events = {
    .on_closed = on_conn_closed};

static void begin_session(struct discovery_client *c)
{
    struct header fields[FIELDS];
    struct head h;
    int64_t now = loop_now(c->loop);
    c->x = http_conn_open(c->conn);
    if (!c->x) {
        fail(c, "it takes no request");
        return;
    }
    exchange_own(c->x, &exchange_events, c);
    move(c, HELLO);
    c->stats.sessions++;
    c->sent = c->credited = 0;
    c->heard = c->begun = now;
    c->beat_at = now + c->opt.heartbeat;
    c->report_at = now + c->opt.report_every;
    c->old_at = c->opt.age ? now + rand_jitter(&c->loop->rand, c->opt.age, 0.3)
                           : 0;
    head_init_request(&h, SLICE("POST"), SLICE("controller"),
                      SLICE("/v1/session"), fields, FIELDS);
    exchange_send_head(c->x, &h, false);
    send_hello(c);
    if (in_session(c))
        arm_tick(c);
}

static void on_connected(void *arg, enum status rc, struct http_conn *conn,
                         const struct tls_peer *peer, const char *reason)
{
    struct discovery_client *c = arg;
    c->dial = NULL;
    if (rc) {
        fail(c, reason);
        return;
    }
    c->conn = conn;
    conn->events = &conn_events;
    conn->owner = c;
    c->peer_not_after = peer->not_after;
    begin_session(c);
}

static void dial(struct discovery_client *c, const struct address *to)
{
    address_format(to, c->to);
    enum status rc = http_client_start(
        &c->dial, c->loop, to, c->tls_used, slice_str(c->expect),
        c->opt.connect_timeout, &c->limits, on_connected, c);
    if (rc)
        fail(c, status_name(rc));
}

static void on_picked(struct controllers_pick *p, const struct address *to)
{
    struct discovery_client *c = CONTAINER_OF(p, struct discovery_client, pick);
    if (to)
        dial(c, to);
    else
        fail(c, "its name does not resolve");
}

static void connect_next(struct discovery_client *c)
{
    struct address to;
    move(c, CONNECTING);
    c->tls_used = tls_settings_ref(c->tls);
    snprintf(c->to, sizeof c->to, "unresolved");
    if (controllers_next(c->opt.controllers, &c->pick, &to, on_picked) == OK)
        dial(c, &to);
}

static void on_retry(struct timer *t)
{
    connect_next(CONTAINER_OF(t, struct discovery_client, retry));
}

/* ---- life ---- */

struct discovery_client *discovery_client_new(
    struct loop *l, struct discovery *d,
    const struct discovery_client_options *opt,
    const struct discovery_client_events *ev, void *arg)
{
    struct discovery_client *c = MEM_NEW(struct discovery_client);
    c->loop = l;
    c->d = d;
    c->opt = *opt;
    c->expect = mem_str(opt->expect);
    c->name = mem_str(opt->name);
    c->ev = *ev;
    c->arg = arg;
    c->log.area = &area;
    c->limits = http_limits_default;
    c->backoff = opt->backoff_min;
    text_init(&c->line, WIRE_LINE_MAX);
    timer_init(&c->tick, on_tick);
    timer_init(&c->retry, on_retry);
    return c;
}

void discovery_client_set_tls(struct discovery_client *c,
                              struct tls_settings *tls)
{
    struct tls_settings *old = c->tls;
    c->tls = tls_settings_ref(tls);
    tls_settings_unref(old);
    if (c->state == WAITING && c->opt.controllers)
        connect_next(c);
}

static void free_client(struct reap *r)
{
    struct discovery_client *c = CONTAINER_OF(r, struct discovery_client, reap);
    text_fini(&c->line);
    tls_settings_unref(c->tls);
    mem_free(c->expect);
    mem_free(c->name);
    mem_free(c);
}

void discovery_client_close(struct discovery_client *c)
{
    if (c->state == CLOSED)
        return;
    move(c, CLOSED);
    timer_stop(&c->loop->timers, &c->retry);
    tear_down(c);
    loop_reap(c->loop, &c->reap, free_client);
}

bool discovery_client_in_sync(const struct discovery_client *c)
{
    return c->state == IN_SYNC;
}

const char *discovery_client_state(const struct discovery_client *c)
{
    return states[c->state].name;
}

struct discovery_client_stats discovery_client_stats(
    const struct discovery_client *c)
{
    return c->stats;
}
