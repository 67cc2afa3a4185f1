/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/upstream/open_stream.h"

#include "lib/base/clock.h"
#include "lib/http/exchange_stream.h"
#include "lib/net/memory_stream.h"

enum { SELF_WINDOW = 65536 };
static const int64_t ANSWER_MARGIN = NSEC_PER_SEC;
/* The authority of every CONNECT between proxies: the destination is never named
 * in-band, it is the address that was dialled. */
#define LINK_AUTHORITY SLICE("tulle.link:1")

static void finish(struct open_stream *o, enum fault f, struct stream *s)
{
    struct endpoint *ep = o->ep;
    o->ep = NULL;
    timer_stop(&ep->up->loop->timers, &o->timeout);
    if (s && o->first.len)
        stream_write(s, o->first.ptr, o->first.len);
    o->done(o, f, s);
    endpoint_unref(ep);
}

static void on_dialled(void *arg, enum status rc, struct stream *s)
{
    struct open_stream *o = arg;
    o->dial = NULL;
    finish(o, rc ? fault_of_connect(rc) : FAULT_NONE, s);
}

/* The other proxy says in its refusal which fault it was. */
static enum fault fault_of_answer(const struct head *answer, enum reset_why why)
{
    if (!answer)
        return fault_of_reset(why);
    const struct header *h = headers_find_name(&answer->headers,
                                               SLICE(FAULT_HEADER));
    enum fault f = h ? fault_find(h->value) : FAULT_NONE;
    return f ? f : FAULT_UPSTREAM_PROTOCOL;
}

static void on_connected(void *arg, enum status rc, const struct head *answer,
                         enum reset_why why)
{
    struct open_stream *o = arg;
    struct stream *s = o->pending;
    o->pending = NULL;
    o->first = SLICE_NONE; /* went with the CONNECT */
    if (rc) {
        stream_close(s, STREAM_NOW);
        finish(o, fault_of_answer(answer, why), NULL);
        return;
    }
    finish(o, FAULT_NONE, s);
}

static void connect_over(struct open_stream *o, struct exchange *x)
{
    struct upstream *up = o->ep->up;
    /* The other proxy says best what is wrong with the application: let it. */
    timer_set(&up->loop->timers, &o->timeout,
              loop_now(up->loop) + up->connect_timeout + ANSWER_MARGIN);
    o->pending = exchange_stream_connect(x, LINK_AUTHORITY, on_connected, o);
    if (o->first.len)
        stream_write(o->pending, o->first.ptr, o->first.len);
}

static void on_acquired(struct acquire *a, enum fault f, struct exchange *x)
{
    struct open_stream *o = CONTAINER_OF(a, struct open_stream, acquire);
    if (f)
        finish(o, f, NULL);
    else
        connect_over(o, x);
}

static void stop(struct open_stream *o)
{
    acquire_cancel(&o->acquire);
    if (o->dial)
        tcp_dial_cancel(o->dial);
    if (o->pending)
        stream_close(o->pending, STREAM_RESET);
    o->dial = NULL;
    o->pending = NULL;
}

static void on_timeout(struct timer *t)
{
    struct open_stream *o = CONTAINER_OF(t, struct open_stream, timeout);
    /* With the CONNECT went the first bytes: who knows how far. */
    enum fault f = o->pending && o->first.len ? FAULT_UPSTREAM_TIMEOUT
                                              : FAULT_CONNECT_TIMEOUT;
    stop(o);
    finish(o, f, NULL);
}

/* What was there, or failed, at once is reported from the loop, too. */
static void on_self(struct timer *t)
{
    struct open_stream *o = CONTAINER_OF(t, struct open_stream, timeout);
    struct upstream *up = o->ep->up;
    struct stream *ours, *theirs;
    memory_stream_pair(up->loop, SELF_WINDOW, &ours, &theirs);
    up->deliver_self(up->owner, &o->ep->address, theirs);
    finish(o, FAULT_NONE, ours);
}

static void on_refused(struct timer *t)
{
    struct open_stream *o = CONTAINER_OF(t, struct open_stream, timeout);
    finish(o, o->ep->up->link.tls ? FAULT_TOO_MANY_PENDING : FAULT_NO_IDENTITY,
           NULL);
}

static void start_link(struct open_stream *o, int64_t now)
{
    struct upstream *up = o->ep->up;
    struct exchange *x;
    enum fault f;
    timer_init(&o->timeout, on_timeout);
    timer_set(&up->loop->timers, &o->timeout, now + up->link.dial_timeout);
    enum status rc = endpoint_acquire(o->ep, false, &o->acquire, on_acquired,
                                      &x, &f);
    if (rc == OK) {
        connect_over(o, x);
    } else if (rc != ERR_AGAIN) {
        timer_stop(&up->loop->timers, &o->timeout);
        timer_init(&o->timeout, on_refused);
        timer_set(&up->loop->timers, &o->timeout, now + 1);
    }
}

void open_stream_start(struct open_stream *o, struct endpoint *ep, slice first,
                       open_stream_fn *done)
{
    struct loop *l = ep->up->loop;
    int64_t now = loop_now(l);
    o->ep = endpoint_ref(ep);
    o->done = done;
    o->first = first;
    list_init(&o->acquire.node);
    if (ep->self) {
        timer_init(&o->timeout, on_self);
        timer_set(&l->timers, &o->timeout, now + 1);
        return;
    }
    if (ep->identity.len) {
        start_link(o, now);
        return;
    }
    timer_init(&o->timeout, on_timeout);
    timer_set(&l->timers, &o->timeout, now + ep->up->connect_timeout);
    endpoint_dial(ep, &o->dial, on_dialled, o);
}

void open_stream_cancel(struct open_stream *o)
{
    struct endpoint *ep = o->ep;
    if (!ep)
        return;
    stop(o);
    timer_stop(&ep->up->loop->timers, &o->timeout);
    o->ep = NULL;
    endpoint_unref(ep);
}
