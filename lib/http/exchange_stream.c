/* SPDX-License-Identifier: Apache-2.0 */
/* Body bytes in are data, body bytes out are writes; end is half-close; reset is
 * reset. Bytes that come while the owner does not read are kept, unconsumed, so
 * the carrier's window bounds them. */
#include "lib/http/exchange_stream.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"

static const int64_t LINGER = 5 * NSEC_PER_SEC;

struct exchange_stream {
    struct stream s;
    struct exchange *x; /* NULL once it is over */
    struct bufq in;     /* came while not reading */
    size_t queued;      /* sent and not yet credited */
    struct flush flush;
    struct reap reap;
    struct timer linger;
    exchange_stream_fn *connected;
    void *arg;
    enum reset_why why; /* it broke before the caller had the stream */
    bool starting;      /* exchange_stream_connect is on the stack */
    bool in_ended, told_end, dead, lingering;
};

static struct exchange_stream *self(struct stream *s)
{
    return CONTAINER_OF(s, struct exchange_stream, s);
}

static void free_stream(struct reap *r)
{
    struct exchange_stream *e = CONTAINER_OF(r, struct exchange_stream, reap);
    bufq_fini(&e->in);
    mem_free(e);
}

static void release(struct exchange_stream *e)
{
    flush_cancel(&e->flush);
    timer_stop(&e->s.loop->timers, &e->linger);
    loop_reap(e->s.loop, &e->reap, free_stream);
}

static void fail(struct exchange_stream *e, enum status why)
{
    e->dead = true;
    e->x = NULL;
    if (e->lingering) {
        release(e);
        return;
    }
    if (!e->s.closed && e->s.events)
        e->s.events->on_fail(&e->s, why);
}

/* ---- input ---- */

static void deliver(struct exchange_stream *e)
{
    while (e->in.len && e->s.reading && !e->s.closed) {
        slice front = bufq_front(&e->in);
        memcpy(e->s.loop->lent_wire, front.ptr, front.len);
        size_t n = front.len;
        bufq_drop(&e->in, n);
        e->s.events->on_data(&e->s, e->s.loop->lent_wire, n);
        if (e->x)
            exchange_consumed(e->x, n);
    }
    if (e->in.len || !e->in_ended || e->told_end || !e->s.reading ||
        e->s.closed)
        return;
    e->told_end = true;
    e->s.reading = false;
    e->s.events->on_end(&e->s);
}

static void tell_connected(struct exchange_stream *e, enum status rc,
                           const struct head *answer, enum reset_why why)
{
    exchange_stream_fn *fn = e->connected;
    e->connected = NULL;
    fn(e->arg, rc, answer, why);
}

static void on_flush(struct flush *f)
{
    struct exchange_stream *e = CONTAINER_OF(f, struct exchange_stream, flush);
    if (e->dead && e->connected) {
        tell_connected(e, ERR_REFUSED, NULL, e->why);
        return;
    }
    if (e->s.closed || e->dead || !e->s.events)
        return;
    deliver(e);
    if (!e->s.closed && !e->dead && e->s.events->on_fill)
        e->s.events->on_fill(&e->s);
}

static void on_body(struct exchange *x, slice data, bool end)
{
    struct exchange_stream *e = x->owner;
    if (end)
        e->in_ended = true;
    if (e->lingering) {
        exchange_consumed(x, data.len);
        return;
    }
    if (e->s.reading && e->in.len == 0 && data.len) {
        e->s.events->on_data(&e->s, data.ptr, data.len);
        if (e->x)
            exchange_consumed(e->x, data.len);
    } else if (data.len) {
        bufq_add(&e->in, data.ptr, data.len);
    }
    if (e->in_ended && !e->s.closed)
        loop_flush_later(e->s.loop, &e->flush);
}

static void on_trailers(struct exchange *x, const struct headers *trailers)
{
    (void)trailers;
    on_body(x, SLICE_NONE, true);
}

static void on_sent(struct exchange *x, size_t n)
{
    struct exchange_stream *e = x->owner;
    e->queued -= n < e->queued ? n : e->queued;
    if (!e->s.closed && e->s.events && e->s.events->on_drained)
        e->s.events->on_drained(&e->s);
}

/* ---- end ---- */

static void on_reset(struct exchange *x, enum reset_why why)
{
    struct exchange_stream *e = x->owner;
    if (e->connected && !e->s.closed) {
        e->dead = true;
        e->x = NULL;
        e->why = why;
        if (e->starting)
            loop_flush_later(e->s.loop, &e->flush);
        else
            tell_connected(e, ERR_REFUSED, NULL, why);
        return;
    }
    fail(e, why == RESET_TIMEOUT ? ERR_TIMEOUT : ERR_RESET);
}

static void on_done(struct exchange *x)
{
    struct exchange_stream *e = x->owner;
    e->x = NULL;
    if (e->lingering)
        release(e);
    else if (!e->in_ended)
        fail(e, ERR_RESET);
    else if (!e->s.closed)
        loop_flush_later(e->s.loop, &e->flush);
}

static void on_head(struct exchange *x, const struct head *head, bool end)
{
    struct exchange_stream *e = x->owner;
    if (x->server || head->status < 200)
        return;
    if (x->tunnel) {
        if (end)
            on_body(x, SLICE_NONE, true);
        if (e->connected)
            tell_connected(e, OK, head, RESET_CANCELED);
        return;
    }
    e->dead = true;
    e->x = NULL;
    if (e->connected && !e->s.closed)
        tell_connected(e, ERR_REFUSED, head, RESET_CANCELED);
    exchange_reset(x, RESET_CANCELED);
    if (e->lingering)
        release(e);
}

static const struct exchange_events events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = on_sent,
    .on_reset = on_reset,
    .on_done = on_done,
};

/* ---- the stream ---- */

static void xs_read(struct stream *s, bool on)
{
    struct exchange_stream *e = self(s);
    if (s->closed || e->dead || e->told_end)
        return;
    s->reading = on;
    if (on)
        loop_flush_later(s->loop, &e->flush);
}

static void xs_write(struct stream *s, const void *ptr, size_t len)
{
    struct exchange_stream *e = self(s);
    if (s->closed || s->ended_out || e->dead || !e->x || len == 0)
        return;
    e->queued += len;
    exchange_send_body(e->x, slice_of(ptr, len), false);
}

static char *xs_room(struct stream *s, size_t want, size_t *room)
{
    (void)want;
    *room = LOOP_LENT;
    return s->loop->lent_plain;
}

static void xs_wrote(struct stream *s, size_t n)
{
    xs_write(s, s->loop->lent_plain, n);
}

static size_t xs_queued(const struct stream *s)
{
    return self((struct stream *)(uintptr_t)s)->queued;
}

static void xs_wake(struct stream *s)
{
    if (!s->closed)
        loop_flush_later(s->loop, &self(s)->flush);
}

static void xs_end(struct stream *s)
{
    struct exchange_stream *e = self(s);
    if (s->closed || s->ended_out)
        return;
    s->ended_out = true;
    if (e->x)
        exchange_send_body(e->x, SLICE_NONE, true);
}

static void on_linger(struct timer *t)
{
    struct exchange_stream *e = CONTAINER_OF(t, struct exchange_stream, linger);
    if (e->x)
        exchange_reset(e->x, RESET_CANCELED);
    release(e);
}

static void xs_close(struct stream *s, enum stream_close how)
{
    struct exchange_stream *e = self(s);
    if (s->closed)
        return;
    bool ended = s->ended_out;
    s->closed = s->ended_out = true;
    s->reading = false;
    e->connected = NULL;
    if (e->x && how == STREAM_FLUSH && e->x->head_out) {
        e->lingering = true; /* what is queued still goes */
        timer_set(&s->loop->timers, &e->linger, loop_now(s->loop) + LINGER);
        exchange_consumed(e->x, e->in.len);
        bufq_drop(&e->in, e->in.len);
        if (!ended && e->x)
            exchange_send_body(e->x, SLICE_NONE, true);
        return;
    }
    struct exchange *x = e->x;
    e->x = NULL;
    if (x)
        exchange_reset(x, RESET_CANCELED);
    release(e);
}

static const struct stream_type xs_type = {
    .name = "exchange",
    .read = xs_read,
    .write = xs_write,
    .room = xs_room,
    .wrote = xs_wrote,
    .queued = xs_queued,
    .wake = xs_wake,
    .end = xs_end,
    .close = xs_close,
};

static struct exchange_stream *new_stream(struct exchange *x)
{
    struct exchange_stream *e = MEM_NEW(struct exchange_stream);
    e->s.type = &xs_type;
    e->s.loop = x->loop;
    e->x = x;
    e->in_ended = x->end_in;
    bufq_init(&e->in, &x->loop->chunks);
    flush_init(&e->flush, on_flush);
    timer_init(&e->linger, on_linger);
    exchange_own(x, &events, e);
    return e;
}

struct stream *exchange_stream_connect(struct exchange *x, slice authority,
                                       exchange_stream_fn *connected, void *arg)
{
    struct exchange_stream *e = new_stream(x);
    struct head head;
    head_init_request(&head, SLICE("CONNECT"), authority, SLICE_NONE, NULL, 0);
    head.opaque = true;
    e->connected = connected;
    e->arg = arg;
    e->starting = true;
    exchange_send_head(x, &head, false);
    e->starting = false;
    return &e->s;
}

struct stream *exchange_stream_accept(struct exchange *x)
{
    return &new_stream(x)->s;
}

void exchange_stream_confirm(struct stream *s)
{
    struct exchange_stream *e = self(s);
    struct head head;
    head_init_response(&head, 200, NULL, 0);
    if (e->x)
        exchange_send_head(e->x, &head, false);
    if (e->x && s->ended_out) /* before it could be said */
        exchange_send_body(e->x, SLICE_NONE, true);
}

void exchange_stream_refuse(struct stream *s, unsigned status,
                            const struct headers *fields)
{
    struct exchange_stream *e = self(s);
    struct exchange *x = e->x;
    if (x)
        exchange_reply(x, status, SLICE_NONE, SLICE_NONE, fields);
    /* The reply has ended our side; what still comes is dropped. */
    stream_close(s, STREAM_FLUSH);
}
