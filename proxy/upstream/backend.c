/* SPDX-License-Identifier: Apache-2.0 */
/* A view comes -> the list of endpoints is built anew; endpoints that stay keep
 * their links, connections and latency. Those that left are let go: they end with
 * what they carry. Draining endpoints are used only when none is ready. */
#include "proxy/upstream/backend.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"

static const int64_t IDLE = 60 * NSEC_PER_SEC;

struct backends {
    struct upstream *up;
    struct lookup *lookup;
    const struct balancer *balancer;
    struct map by_key;
};

struct backend {
    struct backends *all;
    unsigned refs;
    char *key;
    struct lookup_watch watch;
    struct timer idle;
    struct balancer_state state;
    struct endpoint **endpoints;
    struct endpoint_load **loads;
    bool *tried; /* scratch for one pick */
    size_t len;
    bool known;
};

struct backends *backends_new(struct upstream *up, struct lookup *lk,
                              const struct balancer *balancer)
{
    struct backends *bs = MEM_NEW(struct backends);
    bs->up = up;
    bs->lookup = lk;
    bs->balancer = balancer;
    map_init(&bs->by_key);
    return bs;
}

static void drop_list(struct backend *b)
{
    for (size_t i = 0; i < b->len; i++)
        endpoint_unref(b->endpoints[i]);
    mem_free(b->endpoints);
    mem_free(b->loads);
    mem_free(b->tried);
    b->endpoints = NULL;
    b->loads = NULL;
    b->tried = NULL;
    b->len = 0;
}

static void backend_free(struct backend *b)
{
    map_del(&b->all->by_key, slice_str(b->key));
    timer_stop(&b->all->up->loop->timers, &b->idle);
    lookup_release(&b->watch);
    drop_list(b);
    mem_free(b->key);
    mem_free(b);
}

void backends_free(struct backends *bs)
{
    size_t i = 0;
    slice key;
    void *value;
    while (map_next(&bs->by_key, &i, &key, &value))
        backend_free(value);
    map_fini(&bs->by_key);
    mem_free(bs);
}

static size_t count_state(const struct backend_view *v, enum endpoint_state st)
{
    size_t n = 0;
    for (uint32_t i = 0; i < v->endpoints_len; i++)
        n += v->endpoints[i].state == st;
    return n;
}

static void set_list(struct backend *b, const struct backend_view *v)
{
    size_t ready = count_state(v, ENDPOINT_READY);
    enum endpoint_state use = ready ? ENDPOINT_READY : ENDPOINT_DRAINING;
    struct endpoint **old = b->endpoints;
    size_t old_len = b->len;

    b->endpoints = mem_array(v->endpoints_len + 1, sizeof *b->endpoints);
    mem_free(b->loads);
    b->loads = mem_array(v->endpoints_len + 1, sizeof *b->loads);
    mem_free(b->tried);
    b->tried = mem_array(v->endpoints_len + 1, sizeof *b->tried);
    b->len = 0;
    for (uint32_t i = 0; i < v->endpoints_len; i++) {
        const struct backend_endpoint *be = &v->endpoints[i];
        if (be->state != use)
            continue;
        struct endpoint *ep = endpoint_get(b->all->up, be->address,
                                           be->identity, be->weight);
        if (!ep)
            continue; /* decode has checked: cannot be */
        ep->load.weight = be->weight;
        b->loads[b->len] = &ep->load;
        b->endpoints[b->len++] = ep;
    }
    for (size_t i = 0; i < old_len; i++)
        endpoint_unref(old[i]);
    mem_free(old);
    balancer_state_update(&b->state, b->loads, b->len);
    b->known = true;
}

static void on_view(struct lookup_watch *w, struct view *v)
{
    struct backend *b = CONTAINER_OF(w, struct backend, watch);
    if (v)
        set_list(b, &v->backend);
    else
        drop_list(b); /* taken back: nobody is behind it */
}

static void on_idle(struct timer *t)
{
    backend_free(CONTAINER_OF(t, struct backend, idle));
}

static void hold(struct backend *b)
{
    struct view *v = lookup_hold(b->all->lookup, VIEW_BACKEND,
                                 slice_str(b->key), &b->watch, on_view, b);
    if (v)
        set_list(b, &v->backend);
}

struct backend *backend_get(struct backends *bs, slice key)
{
    struct backend *b = map_get(&bs->by_key, key);
    if (b) {
        if (b->refs++ == 0)
            timer_stop(&bs->up->loop->timers, &b->idle);
        if (!b->watch.entry) /* too many were known: maybe no longer */
            hold(b);
        return b;
    }
    b = MEM_NEW(struct backend);
    b->all = bs;
    b->refs = 1;
    b->key = mem_str(key);
    timer_init(&b->idle, on_idle);
    balancer_state_init(&b->state, &bs->up->loop->rand);
    map_put(&bs->by_key, key, b);
    hold(b);
    return b;
}

void backend_unref(struct backend *b)
{
    if (b && --b->refs == 0)
        timer_set(&b->all->up->loop->timers, &b->idle,
                  loop_now(b->all->up->loop) + IDLE);
}

bool backend_known(const struct backend *b)
{
    return b->known;
}

bool backend_over_limit(const struct backend *b)
{
    return lookup_held_over_limit(&b->watch);
}

slice backend_key(const struct backend *b)
{
    return slice_str(b->key);
}

void tried_add(struct tried *t, struct endpoint *ep)
{
    if (t->len < sizeof t->at / sizeof *t->at)
        t->at[t->len++] = endpoint_ref(ep);
}

void tried_clear(struct tried *t)
{
    for (unsigned i = 0; i < t->len; i++)
        endpoint_unref(t->at[i]);
    t->len = 0;
}

struct endpoint *backend_pick(struct backend *b, const struct tried *tried,
                              int64_t now)
{
    const bool *flags = NULL;
    if (tried->len) {
        for (size_t i = 0; i < b->len; i++) {
            b->tried[i] = false;
            for (unsigned k = 0; k < tried->len; k++)
                if (tried->at[k] == b->endpoints[i])
                    b->tried[i] = true;
        }
        flags = b->tried;
    }
    ptrdiff_t i = balancer_pick(b->all->balancer, &b->state, b->loads, b->len,
                                flags, &b->all->up->loop->rand, now);
    return i < 0 ? NULL : endpoint_ref(b->endpoints[i]);
}
