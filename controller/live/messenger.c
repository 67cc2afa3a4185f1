/* SPDX-License-Identifier: Apache-2.0 */
/*        messenger_to              connected           200
 *   IDLE ---------> CONNECTING -----------> ASKING -------> TELLING
 *    ^ messenger_to(NULL)   | failed               | other, late   | end, silence
 *    +------------------+---> BACKING_OFF <----+---------------+
 *
 * What has to be told is a set of pods; a line is made of what holds when it is
 * sent. While much is on its way nothing is added. */
#include "controller/live/messenger.h"

#include "controller/live/gather.h"
#include "controller/live/replica_wire.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/http/client.h"

static struct log_area area = LOG_AREA("messenger");
static struct log log_ = {&area, 0};

enum { WATERMARK = 256 << 10 }; /* bytes on their way before it waits */
#define CONNECT_TIMEOUT (5 * NSEC_PER_SEC)
#define BACKOFF_FIRST (200 * NSEC_PER_MSEC)
#define BACKOFF_MOST (5 * NSEC_PER_SEC)
#define ANSWER_TIMEOUT (5 * NSEC_PER_SEC)
#define TICK (500 * NSEC_PER_MSEC)

enum state {
    IDLE,
    CONNECTING,
    ASKING, /* does it lead? */
    TELLING,
    BACKING_OFF,
};

struct messenger {
    struct loop *loop;
    const struct proxies *proxies;
    char *expect;
    char *pod, *roots; /* our own; marks of those that we trust */
    struct tls_settings *tls;
    struct http_limits limits;
    struct address leader;
    bool known; /* who leads */
    enum state state;
    struct http_client *dial;
    struct http_conn *conn;
    struct exchange *x;
    struct map dirty; /* pods to tell of */
    size_t on_way;
    int64_t beat_at, heard, backoff;
    struct timer
        timer; /* the tick while telling, the retry while backing off */
    struct reap reap;
};

static void connect_to_leader(struct messenger *r);

static void set_timer(struct messenger *r, int64_t in)
{
    timer_set(&r->loop->timers, &r->timer, loop_now(r->loop) + in);
}

static void tear_down(struct messenger *r)
{
    struct http_client *dial = r->dial;
    struct http_conn *conn = r->conn;
    struct exchange *x = r->x;

    r->dial = NULL;
    r->conn = NULL;
    r->x = NULL;
    timer_stop(&r->loop->timers, &r->timer);
    map_fini(&r->dirty);
    map_init(&r->dirty);
    if (dial)
        http_client_cancel(dial);
    if (x)
        exchange_reset(x, RESET_CANCELED);
    if (conn)
        http_conn_close(conn, ERR_CANCELED);
}

static void fail(struct messenger *r, const char *why)
{
    log_at(&log_, r->state == TELLING ? LOG_WARN : LOG_DEBUG,
           "the leader cannot be told", "why=" LOG_QUOTED, FMT(slice_str(why)));
    tear_down(r);
    r->state = BACKING_OFF;
    set_timer(r, rand_jitter(&r->loop->rand, r->backoff, 0.3));
    r->backoff = r->backoff * 2 < BACKOFF_MOST ? r->backoff * 2 : BACKOFF_MOST;
}

/* --- telling --- */

static void send_line(struct messenger *r, enum replica_type type,
                      const struct proxy_state *s)
{
    struct text line;

    text_init(&line, REPLICA_LINE_MAX);
    replica_encode(type, s, &line);
    if (!line.failed) {
        r->on_way += line.len;
        exchange_send_body(r->x, text_slice(&line), false);
    }
    text_fini(&line);
}

static void tell(struct messenger *r, slice pod)
{
    const struct proxy_state *s = proxies_at(r->proxies, 0, pod);
    struct proxy_state gone = {0};

    if (s) {
        send_line(r, REPLICA_PROXY, s);
        return;
    }
    if (slice_cut(pod, '/', &gone.ns, &gone.pod))
        send_line(r, REPLICA_GONE, &gone);
}

static void flush_dirty(struct messenger *r)
{
    void *value;
    slice pod;
    size_t i = 0;

    while (r->x && r->on_way < WATERMARK &&
           map_next(&r->dirty, &i, &pod, &value)) {
        char buf[KEY_TEXT];
        slice copy = slice_of(buf, pod.len);

        memcpy(buf, pod.ptr, pod.len);
        (void)map_del(&r->dirty, copy);
        tell(r, copy);
    }
}

void messenger_touch(struct messenger *r, slice pod)
{
    if (r->state == TELLING && pod.len < KEY_TEXT)
        (void)map_put(&r->dirty, pod, r);
}

static void touch_all(struct messenger *r)
{
    const struct proxy_state *s;
    char buf[KEY_TEXT];
    size_t i = 0;

    while (proxies_next(r->proxies, 0, &i, &s))
        messenger_touch(r, key_name(buf, s->ns, s->pod));
}

static void beat(struct messenger *r, int64_t now)
{
    const struct proxy_state self = {.pod = slice_str(r->pod),
                                     .roots = slice_str(r->roots)};

    r->beat_at = now + REPLICA_BEAT;
    send_line(r, REPLICA_HEARTBEAT, &self);
}

static void tick(struct messenger *r)
{
    int64_t now = loop_now(r->loop);

    if (now - r->heard > REPLICA_SILENCE) {
        fail(r, "silence");
        return;
    }
    if (now >= r->beat_at) {
        beat(r, now);
    }
    flush_dirty(r);
    if (r->state == TELLING)
        set_timer(r, TICK);
}

static void on_timer(struct timer *t)
{
    struct messenger *r = CONTAINER_OF(t, struct messenger, timer);

    if (r->state == BACKING_OFF)
        connect_to_leader(r);
    else if (r->state == TELLING)
        tick(r);
    else if (r->state == ASKING)
        fail(r, "no answer");
}

/* --- the stream --- */

static void on_head(struct exchange *x, const struct head *h, bool end)
{
    struct messenger *r = x->owner;

    r->heard = loop_now(r->loop);
    if (h->status / 100 == 1)
        return;
    if (h->status != 200 || end) {
        fail(r, "it does not lead, or does not know us");
        return;
    }
    r->backoff = BACKOFF_FIRST;
    r->state = TELLING;
    r->beat_at = r->heard;
    touch_all(r);
    tick(r);
}

/* Nothing but heartbeats so far. */
static void on_body(struct exchange *x, slice data, bool end)
{
    struct messenger *r = x->owner;

    r->heard = loop_now(r->loop);
    exchange_consumed(x, data.len);
    if (end)
        fail(r, "it ended the stream");
}

static void on_trailers(struct exchange *x, const struct headers *t)
{
    (void)t;
    on_body(x, SLICE_NONE, true);
}

static void on_sent(struct exchange *x, size_t n)
{
    struct messenger *r = x->owner;

    r->on_way -= n < r->on_way ? n : r->on_way;
    flush_dirty(r);
}

static void on_reset(struct exchange *x, enum reset_why why)
{
    struct messenger *r = x->owner;

    r->x = NULL;
    fail(r, reset_why_name(why));
}

static void on_done(struct exchange *x)
{
    struct messenger *r = x->owner;

    r->x = NULL;
    fail(r, "it ended the stream");
}

static const struct exchange_events exchange_events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = on_sent,
    .on_reset = on_reset,
    .on_done = on_done,
};

/* --- connecting --- */

static void on_conn_closed(struct http_conn *conn, enum status why)
{
    struct messenger *r = conn->owner;

    if (r->conn != conn)
        return;
    r->conn = NULL;
    fail(r, status_name(why));
}

static const struct http_conn_events conn_events = {
    .on_closed = on_conn_closed,
};

static void begin(struct messenger *r)
{
    struct header fields[8];
    struct head h;

    r->x = http_conn_open(r->conn);
    if (!r->x) {
        fail(r, "it takes no request");
        return;
    }
    exchange_own(r->x, &exchange_events, r);
    r->state = ASKING;
    r->on_way = 0;
    set_timer(r, ANSWER_TIMEOUT);
    head_init_request(&h, SLICE("POST"), SLICE("controller"),
                      SLICE("/v1/replica"), fields, 8);
    exchange_send_head(r->x, &h, false);
}

static void on_connected(void *arg, enum status rc, struct http_conn *conn,
                         const struct tls_peer *peer, const char *reason)
{
    struct messenger *r = arg;

    (void)peer;
    r->dial = NULL;
    if (rc) {
        fail(r, reason);
        return;
    }
    r->conn = conn;
    conn->events = &conn_events;
    conn->owner = r;
    begin(r);
}

static void connect_to_leader(struct messenger *r)
{
    enum status rc;

    r->state = CONNECTING;
    rc = http_client_start(&r->dial, r->loop, &r->leader, r->tls,
                           slice_str(r->expect), CONNECT_TIMEOUT, &r->limits,
                           on_connected, r);
    if (rc)
        fail(r, status_name(rc));
}

/* --- for the owner --- */

struct messenger *messenger_new(struct loop *l, const struct proxies *p,
                                slice expect, slice pod)
{
    struct messenger *r = MEM_NEW(struct messenger);

    r->loop = l;
    r->proxies = p;
    r->expect = mem_str(expect);
    r->pod = mem_str(pod);
    r->roots = mem_str(SLICE_NONE);
    r->limits = http_limits_default;
    r->backoff = BACKOFF_FIRST;
    map_init(&r->dirty);
    timer_init(&r->timer, on_timer);
    return r;
}

void messenger_set_roots(struct messenger *r, slice roots)
{
    mem_free(r->roots);
    r->roots = mem_str(roots);
    if (r->state == TELLING)
        beat(r, loop_now(r->loop));
}

void messenger_set_tls(struct messenger *r, struct tls_settings *tls)
{
    struct tls_settings *old = r->tls;

    r->tls = tls_settings_ref(tls);
    tls_settings_unref(old);
    if (!r->known)
        return;
    /* A stream does not outlive the certificate that opened it. */
    tear_down(r);
    connect_to_leader(r);
}

void messenger_to(struct messenger *r, const struct address *leader)
{
    if (leader && r->known && address_eq(leader, &r->leader))
        return;
    tear_down(r);
    r->state = IDLE;
    r->backoff = BACKOFF_FIRST;
    r->known = leader != NULL;
    if (!leader)
        return;
    r->leader = *leader;
    if (r->tls)
        connect_to_leader(r);
}

bool messenger_connected(const struct messenger *r)
{
    return r->state == TELLING;
}

static void messenger_free(struct reap *reap)
{
    struct messenger *r = CONTAINER_OF(reap, struct messenger, reap);

    map_fini(&r->dirty);
    tls_settings_unref(r->tls);
    mem_free(r->expect);
    mem_free(r->pod);
    mem_free(r->roots);
    mem_free(r);
}

void messenger_close(struct messenger *r)
{
    if (!r)
        return;
    r->state = IDLE;
    tear_down(r);
    loop_reap(r->loop, &r->reap, messenger_free);
}
