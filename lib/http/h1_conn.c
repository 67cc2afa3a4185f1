/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP/1 connection over a stream, either side.
 *
 *   HEAD -> BODY -> WAIT -> HEAD ...        one exchange after the other
 *     |       |       |
 *     |       |       +-> TUNNEL            after 101 or CONNECT
 *     |       +-> DISCARD                   answered, and the rest is unwanted
 *     +-> closed
 *
 * Bytes are parsed where they were read (the loop's lent buffer); only what is
 * left over (half a head, a pipelined request) is copied to `held`. A pipelined
 * request waits until the exchange before it is over and its answer is mostly
 * sent. Back-pressure: reading stops while more than limits->body_window bytes of
 * a body are owed, and credit for sent bytes is given when the stream's queue has
 * drained.
 *
 * A response that ends first ends nothing: the request goes on until it has
 * ended too, or the owner (server) or the peer (client) wants no more of it. Then
 * we end our side and read on for a while, so that no reset overtakes the
 * answer.
 *
 * Failures: a refused or late message is answered (400, 408, 431 ...) and the
 * connection closed; a broken connection breaks the exchange. */
#include "lib/http/h1_conn.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"

enum {
    ARENA_MAX = 256 *
                1024, /* of one exchange: two heads and what filters add */
    DISCARD_MAX = 1024 * 1024,
    SENT_LOW = 32 * 1024, /* queue below this: credit what was sent */
};
/* What comes after our end is read for so long in all, and ended by so much
 * silence. Beyond DISCARD_MAX it is not read, and whoever sends it has to wait
 * as long. */
static const int64_t DISCARD_TIME = 10 * NSEC_PER_SEC;
static const int64_t DISCARD_QUIET = 2 * NSEC_PER_SEC;
/* A request may be on its way to us when we are told to drain. */
static const int64_t GOODBYE_AFTER = NSEC_PER_SEC;

static struct h1_conn *self(struct http_conn *c)
{
    return CONTAINER_OF(c, struct h1_conn, c);
}

/* ---- life ---- */

static void free_exchange(struct reap *r)
{
    struct h1_exchange *hx = CONTAINER_OF(r, struct h1_exchange, reap);
    exchange_fini(&hx->x);
    mem_free(hx);
}

struct exchange *h1_exchange_new(struct h1_conn *h)
{
    struct h1_exchange *hx = mem_alloc(sizeof *hx);
    exchange_init(&hx->x, &h1_carrier, h->c.loop, h->c.server, ARENA_MAX);
    hx->h = h;
    list_init(&hx->reap.node);
    h->x = hx;
    h->c.running = 1;
    h->exchanges++;
    h->answered = h->asked = false;
    return &hx->x;
}

static void drop_exchange(struct h1_conn *h)
{
    loop_reap(h->c.loop, &h->x->reap, free_exchange);
    h->x = NULL;
    h->c.running = 0;
    h->owed = h->unsent = 0; /* nobody will give it back any more */
    bufq_drop(&h->early, h->early.len);
}

static void free_conn(struct reap *r)
{
    struct h1_conn *h = CONTAINER_OF(r, struct h1_conn, reap);
    bufq_fini(&h->early);
    mem_free(h->held);
    mem_free(h);
}

/* The response is complete: no more than the rest of a request can be lost. */
static bool answered_whole(const struct h1_conn *h, enum reset_why why)
{
    const struct exchange *x = &h->x->x;
    if (x->tunnel || (why != RESET_CONNECTION && why != RESET_TIMEOUT))
        return false;
    return h->c.server ? x->end_out && stream_queued(h->c.stream) == 0
                       : x->end_in;
}

/* Closed first, told then: who is told may close us again. */
static void end_conn(struct h1_conn *h, enum stream_close how,
                     enum reset_why why, enum status rc)
{
    struct h1_exchange *hx = h->x;
    if (h->c.closed)
        return;
    bool whole = hx && answered_whole(h, why);
    h->c.closed = true;
    timer_stop(&h->c.loop->timers, &h->timer);
    stream_close(h->c.stream, how);
    if (hx) {
        drop_exchange(h);
        if (whole)
            exchange_finish(&hx->x);
        else
            exchange_broke(&hx->x, why);
    }
    loop_reap(h->c.loop, &h->reap, free_conn);
    h->c.events->on_closed(&h->c, rc);
}

static void close_conn(struct h1_conn *h, enum stream_close how, enum status rc)
{
    end_conn(h, how, RESET_CONNECTION, rc);
}

void h1_break(struct h1_conn *h, enum reset_why why, enum status rc)
{
    /* A half-sent message must not look complete: reset, unless nothing of it
     * has gone out. */
    bool partial = h->x && h->x->x.head_out &&
                   !(h->c.server && answered_whole(h, why));
    end_conn(h, partial ? STREAM_RESET : STREAM_NOW, why, rc);
}

/* ---- time ---- */

static bool idle(const struct h1_conn *h)
{
    return !h->x && h->held_len == 0;
}

void h1_arm(struct h1_conn *h)
{
    const struct http_limits *lim = h->c.limits;
    int64_t wait = lim->body_timeout;
    if (h->c.closed || h->read_state == H1_READ_DISCARD)
        return;
    if (!h->x && h->read_state == H1_READ_HEAD)
        wait = h->held_len ? lim->head_timeout : lim->idle_timeout;
    if (h->c.draining && !h->x && (!wait || wait > GOODBYE_AFTER))
        wait = GOODBYE_AFTER;
    if (!wait) {
        timer_stop(&h->c.loop->timers, &h->timer);
        return;
    }
    timer_set(&h->c.loop->timers, &h->timer, loop_now(h->c.loop) + wait);
}

static void on_discard_timer(struct h1_conn *h)
{
    int64_t now = loop_now(h->c.loop), limit = h->c.limits->body_timeout;
    if (stream_queued(h->c.stream)) { /* the answer has not left yet */
        if (limit && now - h->progress >= limit) {
            http_limits_hit(h->c.limits, HTTP_LIMIT_BODY_TIMEOUT);
            close_conn(h, STREAM_RESET, ERR_TIMEOUT);
            return;
        }
        h->goodbye = now;
    } else if (now - h->progress >= DISCARD_QUIET ||
               now - h->goodbye >= DISCARD_TIME) {
        close_conn(h, STREAM_NOW, OK);
        return;
    }
    timer_set(&h->c.loop->timers, &h->timer, now + DISCARD_QUIET / 2);
}

static void on_timer(struct timer *t)
{
    struct h1_conn *h = CONTAINER_OF(t, struct h1_conn, timer);
    int64_t now = loop_now(h->c.loop);

    if (h->read_state == H1_READ_DISCARD) {
        on_discard_timer(h);
        return;
    }
    if (idle(h)) {
        if (h->c.server && !h->c.draining)
            http_limits_hit(h->c.limits, HTTP_LIMIT_IDLE_TIMEOUT);
        close_conn(h, STREAM_NOW, OK);
        return;
    }
    if (!h->x) {
        http_limits_hit(h->c.limits, HTTP_LIMIT_HEAD_TIMEOUT);
        h1_refuse_peer(h, 408, "head not complete in time");
        return;
    }
    if (!h->c.limits->body_timeout)
        return;
    /* Stuck only if something is owed by the peer: its body, or room for what
     * we have queued. Waiting for an answer is the business of policy. */
    bool wants_body = h->read_state == H1_READ_BODY &&
                      h->owed <= h->c.limits->body_window;
    bool stuck = wants_body || stream_queued(h->c.stream) > 0;
    if (h->read_state == H1_READ_TUNNEL || !stuck ||
        now - h->progress < h->c.limits->body_timeout) {
        timer_set(&h->c.loop->timers, &h->timer,
                  now + h->c.limits->body_timeout);
        return;
    }
    http_limits_hit(h->c.limits, HTTP_LIMIT_BODY_TIMEOUT);
    if (h->c.server && answered_whole(h, RESET_TIMEOUT)) {
        h->x->x.rest_wanted = false;
        h1_settle(h);
        return;
    }
    h1_break(h, RESET_TIMEOUT, ERR_TIMEOUT);
}

/* Unread input would turn a close into a reset that overtakes the answer: end our
 * side, read on for a moment, then close. */
static void say_goodbye(struct h1_conn *h)
{
    h->held_len = 0;
    if (h->input_ended) {
        close_conn(h, STREAM_FLUSH, OK);
        return;
    }
    h->read_state = H1_READ_DISCARD;
    stream_end(h->c.stream);
    stream_read(h->c.stream, true);
    h->discarded = 0;
    h->goodbye = h->progress = loop_now(h->c.loop);
    timer_set(&h->c.loop->timers, &h->timer, h->goodbye + DISCARD_QUIET);
}

/* ---- refusing ---- */

static void write_refusal(struct h1_conn *h, unsigned status,
                          const struct headers *fields)
{
    struct header storage[8];
    struct head head;
    head_init_response(&head, status, storage, 8);
    head.content_length = 0;
    for (uint32_t i = 0; fields && i < fields->len; i++)
        if (headers_add(&head.headers, fields->at[i].name, fields->at[i].value))
            break;
    struct bufq q;
    bufq_init(&q, &h->c.loop->chunks);
    h1_write_response(&q, &head, H1_LENGTH, true);
    slice front = bufq_front(&q);
    stream_write(h->c.stream, front.ptr, front.len);
    bufq_fini(&q);
}

void h1_refuse_peer(struct h1_conn *h, unsigned status, const char *why)
{
    enum reset_why broke = status == 431   ? RESET_LIMIT
                           : status == 408 ? RESET_TIMEOUT
                                           : RESET_PROTOCOL;
    const struct headers *fields = NULL;
    struct h1_exchange *hx;
    if (!h->c.server) {
        h1_break(h, broke, ERR_PROTOCOL);
        return;
    }
    if (h->c.events->on_refused)
        fields = h->c.events->on_refused(&h->c, NULL, status, why);
    if (h->c.closed)
        return;
    hx = h->x;
    if (hx && hx->x.head_out) { /* too late to answer */
        h1_break(h, broke, ERR_PROTOCOL);
        return;
    }
    write_refusal(h, status, fields);
    if (hx) {
        drop_exchange(h);
        exchange_broke(&hx->x, broke);
    }
    if (!h->c.closed)
        say_goodbye(h);
}

/* ---- the end of an exchange ---- */

static void next_exchange(struct h1_conn *h)
{
    h->read_state = H1_READ_HEAD;
    h->scanned = 0;
    if (h->c.server ? (h->input_ended && h->held_len == 0) : h->input_ended) {
        close_conn(h, STREAM_FLUSH, OK);
        return;
    }
    h1_arm(h);
    if (!h->c.server && h->c.events->on_ready)
        h->c.events->on_ready(&h->c);
    if (!h->c.closed)
        h1_resume(h);
}

void h1_settle(struct h1_conn *h)
{
    if (!h->x || h->c.closed)
        return;
    struct h1_exchange *hx = h->x;
    bool unwanted = !hx->x.rest_wanted || h->expecting;
    bool early = h->c.server && hx->x.end_out && !hx->x.end_in &&
                 !hx->x.tunnel && unwanted;
    if (!hx->x.end_out || (!hx->x.end_in && !early))
        return;
    bool tunnel = hx->x.tunnel;
    drop_exchange(h);
    exchange_finish(&hx->x);
    if (h->c.closed)
        return;
    if (early)
        say_goodbye(h);
    else if (tunnel || !h->keep_alive || (h->c.draining && !h->c.server))
        close_conn(h, STREAM_FLUSH, OK);
    else
        next_exchange(h);
}

/* ---- input ---- */

static void hold(struct h1_conn *h, slice rest)
{
    size_t need = h->held_len + rest.len;
    if (need > h->held_cap) {
        h->held_cap = need < 1024 ? 1024 : need;
        h->held = mem_resize(h->held, h->held_cap);
    }
    memcpy(h->held + h->held_len, rest.ptr, rest.len);
    h->held_len = need;
}

static void drop_held(struct h1_conn *h, size_t n)
{
    if (h->read_state == H1_READ_DISCARD || h->held_len < n)
        n = h->held_len;
    memmove(h->held, h->held + n, h->held_len - n);
    h->held_len -= n;
    if (h->held_len == 0) { /* an idle connection holds no buffer */
        mem_free(h->held);
        h->held = NULL;
        h->held_cap = 0;
    }
}

static void set_reading(struct h1_conn *h)
{
    bool on = !h->input_ended && h->owed <= h->c.limits->body_window &&
              h->held_len <= h->c.limits->head_bytes;
    if (h->c.server && h->read_state == H1_READ_HEAD && h1_backlogged(h))
        on = false;
    if (h->read_state == H1_READ_DISCARD)
        on = !h->input_ended && h->discarded <= DISCARD_MAX;
    if (on != h->c.stream->reading)
        stream_read(h->c.stream, on);
}

/* What the end of the connection means for the exchange on it. */
static enum reset_why why_lost(const struct h1_conn *h)
{
    if (h->c.server || h->answered)
        return RESET_CONNECTION;
    if (!h->asked)
        return RESET_REFUSED;
    return h->exchanges > 1 ? RESET_STALE : RESET_CONNECTION;
}

/* The peer ended its side and everything before was taken. */
static void input_end(struct h1_conn *h)
{
    struct h1_exchange *hx = h->x;
    if (!hx) {
        close_conn(h, STREAM_FLUSH, h->held_len ? ERR_EOF : OK);
        return;
    }
    switch (h->read_state) {
    case H1_READ_TUNNEL:
        exchange_got_body(&hx->x, SLICE_NONE, true);
        break;
    case H1_READ_BODY:
        if (h->body.framing != H1_UNTIL_CLOSE) {
            h1_break(h, RESET_CONNECTION, ERR_EOF);
            return;
        }
        h->read_state = H1_READ_WAIT;
        exchange_got_body(&hx->x, SLICE_NONE, true);
        break;
    case H1_READ_HEAD: /* client: no response came */
        h1_break(h, why_lost(h), ERR_EOF);
        return;
    default: /* a client that half-closed still gets its answer */
        h->keep_alive = false;
        break;
    }
    if (!h->c.closed)
        h1_settle(h);
    /* A server that has answered and closes reads no more of the request. */
    if (!h->c.closed && h->x && !h->c.server && h->read_state == H1_READ_WAIT)
        h1_break(h, RESET_CONNECTION, OK);
}

/* Works off held bytes; then says whether to read on. */
void h1_resume(struct h1_conn *h)
{
    if (h->c.closed || h->input_running)
        return;
    h->input_running = true;
    while (h->held_len && h1_may_take(h)) {
        size_t used = h1_take(h, slice_of(h->held, h->held_len));
        if (h->c.closed)
            return;
        if (used == 0)
            break;
        drop_held(h, used);
    }
    bool surplus = !h->c.server && h->read_state == H1_READ_WAIT;
    if (h->input_ended && (h->held_len == 0 || h1_may_take(h) || surplus) &&
        h->read_state != H1_READ_DISCARD)
        input_end(h);
    h->input_running = false;
    if (!h->c.closed)
        set_reading(h);
}

static void on_data(struct stream *s, const char *ptr, size_t len)
{
    struct h1_conn *h = s->owner;
    slice in = slice_of(ptr, len);

    h->progress = loop_now(h->c.loop);
    if (h->read_state == H1_READ_DISCARD) {
        h->discarded += (uint32_t)len;
        set_reading(h);
        return;
    }
    if (!h->c.server && (!h->x || !h->asked)) { /* nobody asked: never trust it
                                                   again */
        end_conn(h, STREAM_NOW, RESET_REFUSED, ERR_PROTOCOL);
        return;
    }
    h->answered = true;
    if (!h->c.server && h->read_state == H1_READ_WAIT)
        h->keep_alive = false; /* surplus after the response */
    size_t used = 0;
    if (h->held_len == 0) {
        h->input_running = true;
        used = h1_take(h, in);
        if (h->c.closed)
            return;
        h->input_running = false;
    }
    if (h->read_state == H1_READ_DISCARD)
        return;
    bool begins = h->held_len == 0;
    if (used < in.len)
        hold(h, slice_sub(in, used, in.len));
    if (h->held_len) {
        if (begins && !h->x)
            h1_arm(h); /* a head has begun */
        h1_resume(h);
        return;
    }
    set_reading(h);
}

static void on_end(struct stream *s)
{
    struct h1_conn *h = s->owner;
    h->input_ended = true;
    if (h->read_state == H1_READ_DISCARD) {
        close_conn(h, STREAM_FLUSH, OK);
        return;
    }
    h1_resume(h);
}

static void on_fail(struct stream *s, enum status why)
{
    struct h1_conn *h = s->owner;
    enum reset_why lost = why_lost(h);
    if (lost == RESET_CONNECTION && why == ERR_TIMEOUT)
        lost = RESET_TIMEOUT;
    h1_break(h, lost, why);
}

static void credit(struct h1_conn *h)
{
    uint32_t n = h->unsent;
    h->unsent = 0;
    if (h->x)
        exchange_got_sent(&h->x->x, n);
}

static void on_drained(struct stream *s)
{
    struct h1_conn *h = s->owner;
    h->progress = loop_now(h->c.loop);
    if (h->unsent && stream_queued(s) < SENT_LOW)
        credit(h);
    if (!h->c.closed && !s->reading && h->c.server)
        h1_resume(h);
}

static void on_fill(struct stream *s)
{
    struct h1_conn *h = s->owner;
    h->asked = h->x && h->x->x.head_out;
    if (h->unsent && stream_queued(s) == 0)
        credit(h); /* it went nowhere: nothing will drain */
    if (h->c.closed || !h->first_pending)
        return;
    h->first_pending = false;
    h1_resume(h);
}

static const struct stream_events stream_events = {
    .on_data = on_data,
    .on_end = on_end,
    .on_fail = on_fail,
    .on_drained = on_drained,
    .on_fill = on_fill,
};

/* ---- the connection ---- */

static struct exchange *h1_open(struct http_conn *c)
{
    struct h1_conn *h = self(c);
    if (c->closed || c->draining || h->x || h->input_ended || h->held_len ||
        h->read_state != H1_READ_HEAD)
        return NULL;
    h->keep_alive = true;
    h->progress = loop_now(c->loop);
    return h1_exchange_new(h);
}

static void h1_drain(struct http_conn *c)
{
    struct h1_conn *h = self(c);
    if (c->closed || c->draining)
        return;
    c->draining = true;
    if (h->x || h->read_state == H1_READ_DISCARD)
        return;
    if (!c->server)
        close_conn(h, STREAM_FLUSH, OK);
    else if (h->held_len == 0)
        timer_set(&c->loop->timers, &h->timer,
                  loop_now(c->loop) + GOODBYE_AFTER);
}

static void h1_close(struct http_conn *c, enum status why)
{
    if (!c->closed)
        h1_break(self(c), RESET_CONNECTION, why);
}

static size_t h1_held(const struct http_conn *c, int64_t *moved)
{
    const struct h1_conn *h = CONTAINER_OF(c, const struct h1_conn, c);
    *moved = h->progress;
    return h->held_cap + (h->x ? 0 : stream_queued(c->stream));
}

static const struct http_conn_type h1_type = {
    .name = "http/1.1",
    .open = h1_open,
    .drain = h1_drain,
    .close = h1_close,
    .held = h1_held,
};

static struct h1_conn *h1_new(struct loop *l, struct stream *s,
                              const struct http_limits *lim, bool server,
                              const struct http_conn_events *ev, void *owner)
{
    struct h1_conn *h = MEM_NEW(struct h1_conn);
    h->c.type = &h1_type;
    h->c.events = ev;
    h->c.owner = owner;
    h->c.loop = l;
    h->c.stream = s;
    h->c.limits = lim;
    h->c.server = server;
    h->peer_minor = 1;
    list_init(&h->reap.node);
    bufq_init(&h->early, &l->chunks);
    timer_init(&h->timer, on_timer);
    stream_own(s, &stream_events, h);
    h1_arm(h);
    stream_read(s, true);
    return h;
}

struct http_conn *h1_server_new(struct loop *l, struct stream *s,
                                const struct http_limits *lim, slice first,
                                const struct http_conn_events *ev, void *owner)
{
    struct h1_conn *h = h1_new(l, s, lim, true, ev, owner);
    if (first.len) {
        hold(h, first);
        h1_arm(h);
        h->first_pending = true;
        stream_wake(s);
    }
    return &h->c;
}

struct http_conn *h1_client_new(struct loop *l, struct stream *s,
                                const struct http_limits *lim,
                                const struct http_conn_events *ev, void *owner)
{
    return &h1_new(l, s, lim, false, ev, owner)->c;
}
