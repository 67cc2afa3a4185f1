/* SPDX-License-Identifier: Apache-2.0 */
/* The links of one endpoint: share one, start another beside one that is full or
 * carries bulk, forget the retired when they end. When one cannot be started all
 * who wait are told: they try elsewhere, or here once more, beside bulk. */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "proxy/upstream/endpoint.h"

struct endpoint_link {
    struct list node;
    struct endpoint *ep;
    struct link *link;
    bool up, retired;
    bool old; /* being dialled with an identity that was replaced meanwhile */
};

/* For so long after a failed dial bulk is shared rather than dialled beside. */
static const int64_t SHARE_BULK = 5 * NSEC_PER_SEC;

static void retired(struct endpoint_link *el)
{
    if (!el->retired)
        el->ep->links_len--;
    el->retired = true;
}

static void forget(struct endpoint_link *el)
{
    struct endpoint *ep = el->ep;
    list_remove(&el->node);
    retired(el);
    if (el->up)
        ep->up->links_up--;
    else
        ep->links_dialling--;
    mem_free(el);
    endpoint_unref(ep);
}

static void on_up(struct link *l)
{
    struct endpoint_link *el = link_owner(l);
    el->up = true;
    el->ep->links_dialling--;
    el->ep->up->links_up++;
    el->ep->up->on_handshake(el->ep->up->owner, true);
    if (el->old)
        link_retire(l); /* who waits gets another: see on_retired */
    else
        endpoint_serve_waiters(el->ep);
}

static void on_room(struct link *l)
{
    struct endpoint_link *el = link_owner(l);
    if (el->ep->waiting)
        endpoint_serve_waiters(el->ep);
}

static void on_retired(struct link *l)
{
    struct endpoint_link *el = link_owner(l);
    retired(el);
    if (el->ep->waiting)
        links_grow(el->ep);
}

static void on_down(struct link *l, enum status why, const char *reason)
{
    static struct log_area area = LOG_AREA("upstream");
    static const struct log log = {.area = &area};
    struct endpoint_link *el = link_owner(l);
    struct endpoint *ep = endpoint_ref(el->ep);
    bool never_up = !el->up;
    forget(el);
    if (never_up) {
        ep->dial_failed = loop_now(ep->up->loop);
        if (why == ERR_TLS)
            ep->up->on_handshake(ep->up->owner, false);
        log_warn(&log, "link failed",
                 "to=%.*s identity=%.*s why=%s reason=\"%s\"", FMT(ep->text),
                 FMT(ep->identity), status_name(why), reason ? reason : "");
        endpoint_fail_waiters(ep, fault_of_connect(why));
    } else if (ep->waiting) {
        links_grow(ep);
    }
    endpoint_unref(ep);
}

static const struct link_events events = {
    .on_up = on_up,
    .on_room = on_room,
    .on_retired = on_retired,
    .on_down = on_down,
};

/* May a stream be put beside bulk, where it has to wait for it? */
static bool may_share_bulk(const struct endpoint *ep)
{
    return ep->links_len >= ep->up->max_links ||
           (ep->dial_failed &&
            loop_now(ep->up->loop) - ep->dial_failed < SHARE_BULK);
}

struct exchange *links_open(struct endpoint *ep)
{
    struct endpoint_link *bulky = NULL;
    LIST_EACH(node, &ep->links) {
        struct endpoint_link *el = CONTAINER_OF(node, struct endpoint_link,
                                                node);
        if (!el->up || el->retired)
            continue;
        if (link_is_bulky(el->link)) {
            bulky = el;
            continue;
        }
        struct exchange *x = link_open(el->link);
        if (x)
            return x;
    }
    return bulky && may_share_bulk(ep) ? link_open(bulky->link) : NULL;
}

void links_grow(struct endpoint *ep)
{
    struct upstream *up = ep->up;
    if (ep->links_dialling || ep->links_len >= up->max_links || !up->link.tls)
        return;
    struct endpoint_link *el = MEM_NEW(struct endpoint_link);
    el->ep = endpoint_ref(ep);
    list_push_front(&ep->links, &el->node);
    ep->links_len++;
    ep->links_dialling++;
    el->link = link_start(up->loop, &ep->address, ep->identity, &up->link,
                          &events, el);
}

void links_retire(struct endpoint *ep)
{
    endpoint_ref(ep);
    LIST_EACH(node, &ep->links) {
        struct endpoint_link *el = CONTAINER_OF(node, struct endpoint_link,
                                                node);
        el->old = true;
        if (!el->up || el->retired)
            continue;
        retired(el);
        link_retire(el->link); /* may end it, and free el */
    }
    if (ep->waiting)
        links_grow(ep);
    endpoint_unref(ep);
}

void links_close(struct endpoint *ep)
{
    struct list *node;
    endpoint_ref(ep);
    while (!list_empty(&ep->links)) {
        node = ep->links.next;
        struct endpoint_link *el = CONTAINER_OF(node, struct endpoint_link,
                                                node);
        struct link *l = el->link;
        forget(el);
        link_close(l); /* its exchanges break; no event comes here */
    }
    endpoint_unref(ep);
}
