/* SPDX-License-Identifier: Apache-2.0 */
/* Who wants an exchange gets one at once if there is a link or an idle
 * connection; else waits in line while one is dialled. A failed dial fails
 * everybody in line: they try another endpoint. */
#include "proxy/upstream/endpoint.h"

#include "lib/base/mem.h"

void upstream_init(struct upstream *up, struct loop *l)
{
    *up = (struct upstream){.loop = l};
    map_init(&up->endpoints);
}

void upstream_fini(struct upstream *up)
{
    map_fini(&up->endpoints);
    tls_settings_unref(up->link.tls);
    up->link.tls = NULL;
}

/* Calls may end endpoints and make new ones: walk a copy. */
static void each_endpoint(struct upstream *up, void (*fn)(struct endpoint *))
{
    struct endpoint **list = mem_array(up->endpoints.len + 1, sizeof *list);
    size_t n = 0, i = 0;
    slice key;
    void *value;
    while (map_next(&up->endpoints, &i, &key, &value))
        list[n++] = endpoint_ref(value);
    for (i = 0; i < n; i++) {
        fn(list[i]);
        endpoint_unref(list[i]);
    }
    mem_free(list);
}

void upstream_set_tls(struct upstream *up, struct tls_settings *tls)
{
    tls_settings_unref(up->link.tls);
    up->link.tls = tls_settings_ref(tls);
    each_endpoint(up, links_retire);
}

void upstream_close(struct upstream *up)
{
    each_endpoint(up, links_close);
    each_endpoint(up, pool_close);
}

static struct endpoint *new_endpoint(struct upstream *up, slice key,
                                     const struct address *at)
{
    struct endpoint *ep = MEM_NEW(struct endpoint);
    ep->up = up;
    ep->refs = 1;
    ep->address = *at;
    ep->key = mem_str(key);
    list_init(&ep->waiters);
    list_init(&ep->links);
    list_init(&ep->idle);
    list_init(&ep->busy);
    map_put(&up->endpoints, key, ep);
    return ep;
}

/* What is between address and identity in a key. */
enum endpoint_kind {
    PEER = '|',
    PEER_HTTP2 = '+',
    APP = '>',
    APP_HTTP2 = '}',
};

static struct endpoint *get(struct upstream *up, slice address, slice identity,
                            uint32_t weight, enum endpoint_kind kind)
{
    char key[ADDRESS_TEXT + 2100];
    bool app = kind == APP || kind == APP_HTTP2;
    struct address at;
    int n = snprintf(key, sizeof key, "%.*s%c%.*s", FMT(address), (char)kind,
                     FMT(identity));
    if (n < 0 || (size_t)n >= sizeof key || address_parse(address, &at))
        return NULL;
    struct endpoint *ep = map_get(&up->endpoints, slice_of(key, (size_t)n));
    if (ep)
        return endpoint_ref(ep);
    ep = new_endpoint(up, slice_of(key, (size_t)n), &at);
    ep->text = slice_of(ep->key, address.len);
    ep->identity = slice_of(ep->key + address.len + 1, identity.len);
    ep->app = app;
    ep->http2 = kind == PEER_HTTP2 || kind == APP_HTTP2;
    ep->self = !app && up->is_self && up->is_self(up->owner, &at);
    if (app && up->sibling && !up->sibling(up->owner, &at, &ep->sibling))
        ep->sibling.sa.sa_family = AF_UNSPEC;
    endpoint_load_init(&ep->load, weight);
    return ep;
}

struct endpoint *endpoint_get(struct upstream *up, slice address,
                              slice identity, uint32_t weight)
{
    return get(up, address, identity, weight, PEER);
}

struct endpoint *endpoint_of_app(struct upstream *up, slice address)
{
    return get(up, address, SLICE_NONE, 1, APP);
}

static struct endpoint *second_of(struct endpoint *ep)
{
    if (!ep->second)
        ep->second = get(ep->up, ep->text, SLICE_NONE, 1,
                         ep->app ? APP_HTTP2 : PEER_HTTP2);
    return ep->second;
}

struct endpoint *endpoint_ref(struct endpoint *ep)
{
    ep->refs++;
    return ep;
}

void endpoint_unref(struct endpoint *ep)
{
    if (!ep || --ep->refs)
        return;
    /* Links and connections hold references of their own: none is left. */
    endpoint_unref(ep->second);
    map_del(&ep->up->endpoints, slice_str(ep->key));
    mem_free(ep->key);
    mem_free(ep);
}

void endpoint_dial(const struct endpoint *ep, struct tcp_dial **out,
                   tcp_dial_fn *done, void *arg)
{
    const struct upstream *up = ep->up;
    enum status rc = tcp_dial_start(out, up->loop, &ep->address,
                                    up->connect_timeout, up->user_timeout, done,
                                    arg);
    (void)rc;
    if (ep->sibling.sa.sa_family != AF_UNSPEC)
        tcp_dial_or(*out, &ep->sibling);
}

/* ---- the line ---- */

/* Takes one out; its reference to the endpoint is the caller's now. */
static void leave_line(struct acquire *a)
{
    list_remove(&a->node);
    timer_stop(&a->ep->up->loop->timers, &a->patience);
    a->ep->waiting--;
    a->ep = NULL;
}

static void tell_pending(const struct endpoint *ep, bool late)
{
    if (ep->up->on_pending)
        ep->up->on_pending(ep->up->owner, ep->app, late);
}

static void on_impatient(struct timer *t)
{
    struct acquire *a = CONTAINER_OF(t, struct acquire, patience);
    struct endpoint *ep = a->ep;
    leave_line(a);
    tell_pending(ep, true);
    a->done(a, FAULT_TOO_MANY_PENDING, NULL);
    endpoint_unref(ep);
}

static void stand_in_line(struct endpoint *ep, struct acquire *a,
                          acquire_fn *done)
{
    struct loop *l = ep->up->loop;
    a->ep = endpoint_ref(ep);
    a->done = done;
    list_push_back(&ep->waiters, &a->node);
    ep->waiting++;
    timer_init(&a->patience, on_impatient);
    timer_set(&l->timers, &a->patience, loop_now(l) + ep->up->pending_timeout);
}

enum status endpoint_acquire(struct endpoint *ep, bool http2, struct acquire *a,
                             acquire_fn *done, struct exchange **x,
                             enum fault *f)
{
    bool by_link = ep->identity.len && !ep->self;
    *f = FAULT_NONE;
    if (http2 && !by_link)
        ep = second_of(ep);
    if (by_link && !ep->up->link.tls) {
        *f = FAULT_NO_IDENTITY;
        return ERR_DENIED;
    }
    if (ep->waiting == 0) { /* never overtake who waits */
        *x = by_link ? links_open(ep) : pool_open(ep);
        if (*x)
            return OK;
    }
    if (ep->waiting >= ep->up->max_pending) {
        tell_pending(ep, false);
        *f = FAULT_TOO_MANY_PENDING;
        return ERR_RESOURCES;
    }
    stand_in_line(ep, a, done);
    if (by_link)
        links_grow(ep);
    else
        pool_grow(ep);
    return ERR_AGAIN;
}

static struct acquire *next_waiter(struct endpoint *ep)
{
    struct acquire *a = CONTAINER_OF(ep->waiters.next, struct acquire, node);
    leave_line(a);
    return a;
}

void acquire_cancel(struct acquire *a)
{
    struct endpoint *ep = a->ep;
    if (!ep)
        return;
    leave_line(a);
    endpoint_unref(ep);
}

void endpoint_serve_waiters(struct endpoint *ep)
{
    bool by_link = ep->identity.len && !ep->self;
    endpoint_ref(ep);
    while (ep->waiting) {
        struct exchange *x = by_link ? links_open(ep) : pool_open(ep);
        if (!x)
            break;
        struct acquire *a = next_waiter(ep);
        a->done(a, FAULT_NONE, x);
        endpoint_unref(ep); /* the waiter's */
    }
    if (ep->waiting && by_link)
        links_grow(ep);
    else if (ep->waiting)
        pool_grow(ep);
    endpoint_unref(ep);
}

void endpoint_fail_waiters(struct endpoint *ep, enum fault f)
{
    /* Only those in line now: who fails may come back at once. */
    uint32_t n = ep->waiting;
    endpoint_ref(ep);
    while (n-- && ep->waiting) {
        struct acquire *a = next_waiter(ep);
        a->done(a, f, NULL);
        endpoint_unref(ep);
    }
    endpoint_unref(ep);
}
