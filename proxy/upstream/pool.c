/* SPDX-License-Identifier: Apache-2.0 */
/* Plain connections to one address: the application behind us, or an unmeshed
 * endpoint. Of one version: an HTTP/1 connection carries one exchange, an HTTP/2
 * connection as many as the other end allows, and another is dialled when it is
 * full. The youngest with room is used first, so that old ones time out. */
#include "lib/base/mem.h"
#include "lib/http/conn.h"
#include "lib/net/memory_stream.h"
#include "proxy/upstream/endpoint.h"

enum { SELF_WINDOW = 65536 };

struct pooled {
    struct list node;
    struct endpoint *ep;
    struct tcp_dial *dial;
    struct http_conn *conn; /* NULL while dialling */
    bool ready; /* connected; of HTTP/2 also: its SETTINGS have come, so we know
                   what it takes. Until then those in line wait for it */
    struct timer patience; /* from connected to ready */
};

static void forget(struct pooled *p)
{
    struct endpoint *ep = p->ep;
    list_remove(&p->node);
    ep->pool_len--;
    ep->up->pool_open--;
    if (!p->ready)
        ep->pool_dialling--;
    timer_stop(&ep->up->loop->timers, &p->patience);
    mem_free(p);
    endpoint_unref(ep);
}

static void on_ready(struct http_conn *c)
{
    struct pooled *p = c->owner;
    if (!p->ready)
        p->ep->pool_dialling--;
    p->ready = true;
    timer_stop(&p->ep->up->loop->timers, &p->patience);
    list_remove(&p->node);
    list_push_front(&p->ep->idle, &p->node);
    if (p->ep->waiting)
        endpoint_serve_waiters(p->ep);
}

static void on_closed(struct http_conn *c, enum status why)
{
    struct pooled *p = c->owner;
    struct endpoint *ep = endpoint_ref(p->ep);
    bool was_ready = p->ready;
    forget(p);
    if (!was_ready) /* the next one would not do better */
        endpoint_fail_waiters(ep, why == ERR_PROTOCOL ? FAULT_UPSTREAM_PROTOCOL
                                                      : fault_of_connect(why));
    else if (ep->waiting)
        pool_grow(ep);
    endpoint_unref(ep);
}

static void on_impatient(struct timer *t)
{
    http_conn_close(CONTAINER_OF(t, struct pooled, patience)->conn,
                    ERR_TIMEOUT);
}

static const struct http_conn_events conn_events = {
    .on_ready = on_ready,
    .on_closed = on_closed,
};

static void connected(struct pooled *p, struct stream *s)
{
    struct endpoint *ep = p->ep;
    p->conn = (ep->http2 ? h2_client_new : h1_client_new)(
        ep->up->loop, s, ep->app ? &ep->up->app_limits : &ep->up->plain_limits,
        &conn_events, p);
    if (ep->http2)
        timer_set(&ep->up->loop->timers, &p->patience,
                  loop_now(ep->up->loop) + ep->up->connect_timeout);
    else
        on_ready(p->conn);
}

static void on_dialled(void *arg, enum status rc, struct stream *s)
{
    struct pooled *p = arg;
    struct endpoint *ep = endpoint_ref(p->ep);
    p->dial = NULL;
    if (rc == OK) {
        connected(p, s);
    } else {
        forget(p);
        /* The others in line have dials of their own, but the same fate. */
        endpoint_fail_waiters(ep, fault_of_connect(rc));
    }
    endpoint_unref(ep);
}

/* Bodies that nobody takes fill the window that all its streams share: a new one
 * would wait for their readers. */
static bool crowded(const struct pooled *p)
{
    return p->ep->http2 && p->ep->pool_len < p->ep->up->max_pool &&
           h2_conn_held(p->conn) > p->conn->limits->session_window / 2;
}

struct exchange *pool_open(struct endpoint *ep)
{
    LIST_EACH(node, &ep->idle) {
        struct pooled *p = CONTAINER_OF(node, struct pooled, node);
        if (crowded(p))
            continue;
        struct exchange *x = http_conn_open(p->conn);
        if (x && ep->http2)
            return x; /* there may be room for more */
        list_remove(&p->node);
        list_push_back(&ep->busy, &p->node);
        if (x)
            return x;
    }
    return NULL;
}

static void dial_self(struct pooled *p)
{
    struct endpoint *ep = p->ep;
    struct stream *ours, *theirs;
    memory_stream_pair(ep->up->loop, SELF_WINDOW, &ours, &theirs);
    ep->up->deliver_self(ep->up->owner, &ep->address, theirs);
    connected(p, ours);
}

/* An HTTP/2 connection is for all in line, as far as one can know. */
static uint32_t dials_wanted(const struct endpoint *ep)
{
    return ep->http2 && ep->waiting ? 1 : ep->waiting;
}

void pool_grow(struct endpoint *ep)
{
    struct upstream *up = ep->up;
    if (ep->pool_dialling >= dials_wanted(ep) || ep->pool_len >= up->max_pool)
        return;
    struct pooled *p = MEM_NEW(struct pooled);
    p->ep = endpoint_ref(ep);
    timer_init(&p->patience, on_impatient);
    list_push_back(&ep->busy, &p->node);
    ep->pool_len++;
    ep->pool_dialling++;
    up->pool_open++;
    if (ep->self) {
        dial_self(p);
        return;
    }
    endpoint_dial(ep, &p->dial, on_dialled, p);
}

void pool_drain(struct endpoint *ep)
{
    struct list *node;
    endpoint_ref(ep);
    while ((node = list_pop_front(&ep->idle)) != NULL) {
        struct pooled *p = CONTAINER_OF(node, struct pooled, node);
        list_push_back(&ep->busy, &p->node); /* forget() takes it out */
        http_conn_drain(p->conn);
    }
    endpoint_unref(ep);
}

void pool_close(struct endpoint *ep)
{
    endpoint_ref(ep);
    pool_drain(ep);
    while (!list_empty(&ep->busy)) {
        struct pooled *p = CONTAINER_OF(ep->busy.next, struct pooled, node);
        if (p->conn) {
            http_conn_close(p->conn, ERR_CANCELED); /* forgets it */
            continue;
        }
        tcp_dial_cancel(p->dial);
        forget(p);
    }
    endpoint_unref(ep);
}
