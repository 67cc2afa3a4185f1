/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/live/gather.h"

#include "controller/identity/root_state.h"
#include "controller/live/replica_wire.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define LOOK NSEC_PER_SEC

struct gather {
    struct loop *loop;
    struct proxies *proxies;
    struct list replicas;
    unsigned last; /* number given out */
    struct timer look;
};

static void on_look(struct timer *t)
{
    struct gather *g = CONTAINER_OF(t, struct gather, look);
    int64_t now = loop_now(g->loop);

    LIST_EACH(node, &g->replicas) {
        struct replica *r = CONTAINER_OF(node, struct replica, node);

        if (now - r->heard > REPLICA_SILENCE)
            r->on_silent(r);
    }
    timer_set(&g->loop->timers, t, now + LOOK);
}

struct gather *gather_new(struct loop *l, struct proxies *p)
{
    struct gather *g = MEM_NEW(struct gather);

    g->loop = l;
    g->proxies = p;
    list_init(&g->replicas);
    timer_init(&g->look, on_look);
    timer_set(&l->timers, &g->look, loop_now(l) + LOOK);
    return g;
}

void gather_free(struct gather *g)
{
    if (!g)
        return;
    timer_stop(&g->loop->timers, &g->look);
    mem_free(g);
}

size_t gather_replicas(const struct gather *g)
{
    size_t n = 0;

    LIST_EACH(node, &g->replicas) {
        n++;
    }
    return n;
}

enum status gather_join(struct gather *g, struct replica *r)
{
    if (gather_replicas(g) >= GATHER_REPLICAS_MAX)
        return ERR_RESOURCES;
    r->gather = g;
    r->number = ++g->last;
    r->heard = loop_now(g->loop);
    text_init(&r->line, REPLICA_LINE_MAX);
    list_init(&r->node);
    list_push_back(&g->replicas, &r->node);
    return OK;
}

void gather_leave(struct replica *r)
{
    if (!r->gather)
        return;
    proxies_forget(r->gather->proxies, r->number);
    list_remove(&r->node);
    text_fini(&r->line);
    mem_free(r->pod);
    mem_free(r->roots);
    r->pod = r->roots = NULL;
    r->gather = NULL;
}

size_t gather_behind(const struct gather *g, slice mark)
{
    size_t n = 0;

    LIST_EACH(node, &g->replicas) {
        const struct replica *r = CONTAINER_OF(node, struct replica, node);

        n += !root_marked(slice_str(r->roots), mark);
    }
    return n;
}

bool gather_hears(const struct gather *g, slice pod)
{
    LIST_EACH(node, &g->replicas) {
        const struct replica *r = CONTAINER_OF(node, struct replica, node);

        if (slice_eq(slice_str(r->pod), pod))
            return true;
    }
    return false;
}

static void take_self(struct replica *r, const struct proxy_state *s)
{
    mem_free(r->pod);
    mem_free(r->roots);
    r->pod = mem_str(s->pod);
    r->roots = mem_str(s->roots);
}

static enum status take_line(struct replica *r, slice line, struct error *e)
{
    struct proxies *p = r->gather->proxies;
    struct replica_msg m;
    char buf[KEY_TEXT];
    enum status rc = replica_decode(line, &m, e);

    if (!rc && m.type == REPLICA_PROXY)
        proxies_put(p, r->number, &m.state);
    if (!rc && m.type == REPLICA_GONE)
        proxies_del(p, r->number, key_name(buf, m.state.ns, m.state.pod));
    if (!rc && m.type == REPLICA_HEARTBEAT)
        take_self(r, &m.state);
    replica_msg_fini(&m);
    return rc;
}

enum status gather_input(struct replica *r, slice bytes, struct error *e)
{
    r->heard = loop_now(r->gather->loop);
    while (bytes.len) {
        ptrdiff_t end = slice_find(bytes, '\n');
        size_t n = end < 0 ? bytes.len : (size_t)end;
        enum status rc;

        text_add(&r->line, slice_sub(bytes, 0, n));
        if (r->line.failed)
            return error_set(e, ERR_TOO_BIG, "a line is too long");
        if (end < 0)
            return OK;
        bytes = slice_sub(bytes, n + 1, bytes.len);
        rc = take_line(r, text_slice(&r->line), e);
        if (rc)
            return rc;
        text_clear(&r->line);
    }
    return OK;
}
