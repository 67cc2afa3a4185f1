/* SPDX-License-Identifier: Apache-2.0 */
/* Each end has the bytes that the other wrote and it has not read yet. Delivery
 * happens in the flush at the end of a pass, never inside a write. The pair is
 * one allocation that ends when both ends are closed. */
#include "lib/net/memory_stream.h"

#include "lib/base/mem.h"

struct pair;

struct end {
    struct stream s;
    struct flush flush;
    struct pair *pair;
    struct end *peer;
    struct bufq in; /* bytes for our owner */
    bool got_end;   /* the peer ended; told after the last byte */
    bool told_end;
    bool told_fail;
    bool failed;
    bool refused; /* wrote to an end that was closed: fails after its input */
    bool flushed; /* closed with a flush: what comes is read away */
    enum status why;
    bool fault; /* scripted */
    size_t fault_after;
    size_t slice_max;
    unsigned fault_at; /* scripted: operations left, 0: none fails */
};

struct pair {
    struct end a, b;
    size_t window;
    struct reap reap;
};

static struct end *self(struct stream *s)
{
    return CONTAINER_OF(s, struct end, s);
}

static void free_pair(struct reap *r)
{
    struct pair *p = CONTAINER_OF(r, struct pair, reap);
    bufq_fini(&p->a.in);
    bufq_fini(&p->b.in);
    mem_free(p);
}

static void tell_fail(struct end *e, enum status why)
{
    if (e->s.closed || e->told_fail)
        return;
    e->told_fail = true;
    e->s.reading = false;
    e->s.events->on_fail(&e->s, why);
}

static void deliver_some(struct end *e)
{
    slice front = bufq_front(&e->in);
    if (e->slice_max && front.len > e->slice_max)
        front.len = e->slice_max;
    if (e->fault && front.len > e->fault_after)
        front.len = e->fault_after;
    if (front.len) {
        /* Lent from a copy: the owner may write, which must not move it. */
        memcpy(e->s.loop->lent_wire, front.ptr, front.len);
        bufq_drop(&e->in, front.len);
        if (e->fault)
            e->fault_after -= front.len;
        loop_flush_later(e->s.loop, &e->peer->flush);
        e->s.events->on_data(&e->s, e->s.loop->lent_wire, front.len);
    }
    if (e->fault && e->fault_after == 0) {
        e->fault = false;
        tell_fail(e, e->why);
    }
}

static void on_flush(struct flush *f)
{
    struct end *e = CONTAINER_OF(f, struct end, flush);
    if (e->s.closed || e->told_fail || !e->s.events)
        return;
    if (e->failed || (e->refused && e->in.len == 0)) {
        tell_fail(e, e->failed ? e->why : ERR_RESET);
        return;
    }
    if (e->s.events->on_fill)
        e->s.events->on_fill(&e->s);
    if (e->s.closed || e->told_fail)
        return;
    if (e->peer->in.len < e->pair->window && e->s.events->on_drained)
        e->s.events->on_drained(&e->s);
    if (e->s.closed || !e->s.reading)
        return;
    if (e->in.len || (e->fault && e->fault_after == 0)) {
        deliver_some(e);
        if (!e->s.closed && e->s.reading)
            loop_flush_later(e->s.loop, &e->flush);
        return;
    }
    if (e->got_end && !e->told_end) {
        e->told_end = true;
        e->s.reading = false;
        e->s.events->on_end(&e->s);
    }
}

static void wake(struct end *e)
{
    if (!e->s.closed)
        loop_flush_later(e->s.loop, &e->flush);
}

/* Another operation of the owner: maybe the one that was to fail. */
static void operate(struct end *e)
{
    if (e->fault_at == 0 || --e->fault_at > 0)
        return;
    e->failed = true;
    wake(e);
}

static void memory_read(struct stream *s, bool on)
{
    struct end *e = self(s);
    operate(e);
    if (s->closed || e->told_fail || e->told_end)
        return;
    s->reading = on;
    if (on)
        wake(e);
}

/* As TCP: bytes for a socket that was closed are answered with a reset. */
static void nobody_there(struct end *e)
{
    if (e->peer->flushed)
        return;
    e->refused = true;
    wake(e);
}

static void memory_write(struct stream *s, const void *ptr, size_t len)
{
    struct end *e = self(s);
    operate(e);
    if (s->closed || s->ended_out || e->told_fail || len == 0)
        return;
    if (e->peer->s.closed) {
        nobody_there(e);
        return;
    }
    bufq_add(&e->peer->in, ptr, len);
    wake(e->peer);
    wake(e);
}

static char *memory_room(struct stream *s, size_t want, size_t *room)
{
    operate(self(s));
    return bufq_room(&self(s)->peer->in, want, room);
}

static void memory_wrote(struct stream *s, size_t n)
{
    struct end *e = self(s);
    bufq_wrote(&e->peer->in, n);
    if (e->peer->s.closed) {
        bufq_drop(&e->peer->in, e->peer->in.len);
        if (!s->closed)
            nobody_there(e);
        return;
    }
    wake(e->peer);
    wake(e);
}

/* What the other end has taken up to its window counts as sent. */
static size_t memory_queued(const struct stream *s)
{
    const struct end *e = self((struct stream *)s);
    size_t in = e->peer->in.len;
    return in > e->pair->window ? in - e->pair->window : 0;
}

static void memory_wake(struct stream *s)
{
    operate(self(s));
    wake(self(s));
}

static void memory_end(struct stream *s)
{
    struct end *e = self(s);
    operate(e);
    if (s->closed || s->ended_out)
        return;
    s->ended_out = true;
    e->peer->got_end = true;
    wake(e->peer);
}

static void memory_close(struct stream *s, enum stream_close how)
{
    struct end *e = self(s);
    struct end *peer = e->peer;
    if (s->closed)
        return;
    s->closed = true;
    s->reading = false;
    flush_cancel(&e->flush);
    if (peer->s.closed) {
        loop_reap(s->loop, &e->pair->reap, free_pair);
        return;
    }
    e->flushed = how == STREAM_FLUSH;
    bool dropped = e->in.len > 0;
    bufq_drop(&e->in, e->in.len);
    /* As TCP: unread bytes reset, unless we flush: then they are read away. */
    if (how == STREAM_RESET || (dropped && how == STREAM_NOW)) {
        peer->failed = true;
        peer->why = ERR_RESET;
    }
    peer->got_end = true;
    wake(peer);
}

static const struct stream_type memory_type = {
    .name = "memory",
    .read = memory_read,
    .write = memory_write,
    .room = memory_room,
    .wrote = memory_wrote,
    .queued = memory_queued,
    .wake = memory_wake,
    .end = memory_end,
    .close = memory_close,
};

static void end_init(struct end *e, struct end *peer, struct pair *p,
                     struct loop *l)
{
    e->s.type = &memory_type;
    e->s.loop = l;
    e->pair = p;
    e->peer = peer;
    bufq_init(&e->in, &l->chunks);
    flush_init(&e->flush, on_flush);
}

void memory_stream_pair(struct loop *l, size_t window, struct stream **a,
                        struct stream **b)
{
    struct pair *p = MEM_NEW(struct pair);
    p->window = window;
    end_init(&p->a, &p->b, p, l);
    end_init(&p->b, &p->a, p, l);
    *a = &p->a.s;
    *b = &p->b.s;
}

void memory_stream_fail_after(struct stream *s, size_t bytes, enum status why)
{
    struct end *e = self(s);
    e->fault = true;
    e->fault_after = bytes;
    e->why = why;
    wake(e);
}

void memory_stream_fail_at(struct stream *s, unsigned n, enum status why)
{
    struct end *e = self(s);
    e->fault_at = n;
    e->why = why;
}

void memory_stream_slice(struct stream *s, size_t n)
{
    self(s)->slice_max = n;
}
