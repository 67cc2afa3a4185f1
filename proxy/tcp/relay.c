/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/tcp/relay.h"

#include "lib/base/mem.h"

enum { HIGH = 262144, LOW = 65536 }; /* bytes queued at the sink */

struct side {
    struct stream *s;
    struct relay *relay;
    struct side *other;
    bool ended; /* its input has ended */
};

struct relay {
    struct loop *loop;
    struct side down, up;
    struct timer idle;
    int64_t idle_timeout;
    int64_t last;  /* loop time of the last byte in, or out */
    int64_t moved; /* out */
    struct traffic *traffic;
    uint64_t in, out; /* bytes, seen from the pod */
    relay_watch_fn *watch;
    bool inbound, closed;
    relay_fn *done;
    void *arg;
    struct reap reap;
};

static void free_relay(struct reap *r)
{
    mem_free(CONTAINER_OF(r, struct relay, reap));
}

/* A plain end would tell whoever has not got all that it has. */
static void close_side(struct stream *s, enum stream_close how)
{
    stream_close(s, stream_queued(s) ? STREAM_RESET : how);
}

static void finish(struct relay *r, enum stream_close how, enum fault f)
{
    if (r->closed)
        return;
    r->closed = true;
    timer_stop(&r->loop->timers, &r->idle);
    close_side(r->down.s, how);
    close_side(r->up.s, how);
    traffic_tcp_close(r->traffic, f);
    traffic_unref(r->traffic);
    loop_reap(r->loop, &r->reap, free_relay);
    if (r->done)
        r->done(r->arg, f);
}

static void count(struct relay *r, const struct side *from, size_t n)
{
    bool towards_pod = (from == &r->down) == r->inbound;
    *(towards_pod ? &r->in : &r->out) += n;
    traffic_tcp_bytes(r->traffic, towards_pod ? n : 0, towards_pod ? 0 : n);
}

/* Both directions have ended and nothing is queued. A slow reader has until then
 * the time of an idle connection, not that of a closed one. */
static void settle(struct relay *r)
{
    if (r->down.ended && r->up.ended && !stream_queued(r->down.s) &&
        !stream_queued(r->up.s))
        finish(r, STREAM_FLUSH, FAULT_NONE);
}

static void take(struct side *from, const char *ptr, size_t len)
{
    struct stream *to = from->other->s;
    struct relay *r = from->relay;
    r->last = loop_now(to->loop);
    count(r, from, len);
    if (r->watch && from == &r->down && !r->watch(r->arg, slice_of(ptr, len)))
        r->watch = NULL;
    stream_write(to, ptr, len);
    if (stream_queued(to) > HIGH)
        stream_read(from->s, false);
}

static void take_end(struct side *from)
{
    from->ended = true;
    stream_end(from->other->s);
    settle(from->relay);
}

static void on_data(struct stream *s, const char *ptr, size_t len)
{
    take(s->owner, ptr, len);
}

static void on_drained(struct stream *s)
{
    struct side *to = s->owner;
    to->relay->last = to->relay->moved = loop_now(s->loop);
    struct side *from = to->other;
    if (!from->ended && !from->s->reading && stream_queued(s) <= LOW)
        stream_read(from->s, true);
    settle(to->relay);
}

static void on_end(struct stream *s)
{
    take_end(s->owner);
}

static void on_fail(struct stream *s, enum status why)
{
    struct side *from = s->owner;
    struct relay *r = from->relay;
    enum fault f = from == &r->down
                       ? FAULT_CLIENT_GONE
                       : (why == ERR_TIMEOUT ? FAULT_UPSTREAM_TIMEOUT
                                             : FAULT_UPSTREAM_RESET);
    finish(r, STREAM_RESET, f);
}

static const struct stream_events events = {
    .on_data = on_data,
    .on_end = on_end,
    .on_fail = on_fail,
    .on_drained = on_drained,
};

/* An end, which a link has only where there is time for it. */
static void give_up(struct relay *r)
{
    traffic_limit(r->traffic, LIMIT_TCP_IDLE_TIMEOUT);
    finish(r, STREAM_FLUSH, FAULT_UPSTREAM_TIMEOUT);
}

static void on_idle(struct timer *t)
{
    struct relay *r = CONTAINER_OF(t, struct relay, idle);
    int64_t due = r->last + r->idle_timeout;
    if (loop_now(r->loop) < due)
        timer_set(&r->loop->timers, t, due);
    else
        give_up(r);
}

static void side_init(struct side *side, struct side *other, struct relay *r,
                      struct stream *s)
{
    side->s = s;
    side->relay = r;
    side->other = other;
    stream_own(s, &events, side);
}

struct relay *relay_start(struct loop *l, struct stream *down,
                          struct stream *up, int64_t idle_timeout, bool inbound,
                          struct traffic *tr, relay_fn *done, void *arg)
{
    struct relay *r = MEM_NEW(struct relay);
    r->loop = l;
    r->idle_timeout = idle_timeout;
    r->inbound = inbound;
    r->traffic = traffic_ref(tr);
    r->done = done;
    r->arg = arg;
    r->last = r->moved = loop_now(l);
    side_init(&r->down, &r->up, r, down);
    side_init(&r->up, &r->down, r, up);
    timer_init(&r->idle, on_idle);
    timer_set(&l->timers, &r->idle, r->last + idle_timeout);
    traffic_tcp_open(tr);
    stream_read(down, true);
    stream_read(up, true);
    return r;
}

void relay_watch(struct relay *r, relay_watch_fn *watch)
{
    r->watch = watch;
}

void relay_bytes(const struct relay *r, uint64_t *in, uint64_t *out)
{
    *in = r->in;
    *out = r->out;
}

void relay_down_ended(struct relay *r)
{
    take_end(&r->down);
}

void relay_up_data(struct relay *r, const char *ptr, size_t len)
{
    take(&r->up, ptr, len);
}

void relay_up_ended(struct relay *r)
{
    take_end(&r->up);
}

size_t relay_held(const struct relay *r, int64_t *moved)
{
    *moved = r->moved;
    return stream_queued(r->down.s) + stream_kept(r->down.s) +
           stream_queued(r->up.s) + stream_kept(r->up.s);
}

void relay_shed(struct relay *r)
{
    finish(r, STREAM_RESET, FAULT_SHED);
}

void relay_close(struct relay *r)
{
    r->done = NULL;
    finish(r, STREAM_NOW, FAULT_DRAINING);
}
