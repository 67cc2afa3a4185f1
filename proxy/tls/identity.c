/* SPDX-License-Identifier: Apache-2.0 */
/* Each watch is a seat (lib/net/mail.h); each change a letter to each seat. */
#include "proxy/tls/identity.h"

#include <assert.h>

#include "lib/base/list.h"
#include "lib/base/mem.h"

struct identity {
    struct mail_hub hub;
    struct tls_identity *now; /* a reference, or NULL */
    struct list seats;        /* of struct seat */
};

/* The hub's side of a watch. */
struct seat {
    struct list node;
    struct mail_seat *mail;
};

struct identity_watch {
    struct mail_seat mail;
    identity_fn *fn;
    void *arg;
    identity_closed_fn *closed;
    void *closed_arg;
};

struct news {
    struct mail mail;
    struct tls_identity *now; /* a reference */
};

static void news_free(struct mail *m)
{
    struct news *n = CONTAINER_OF(m, struct news, mail);
    tls_identity_unref(n->now);
    mem_free(n);
}

/* ---- the main loop ---- */

static void tell(struct identity *id, struct mail_seat *s)
{
    struct news *n = MEM_NEW(struct news);
    n->mail.free = news_free;
    n->now = tls_identity_ref(id->now);
    mail_to_seat(s, &n->mail);
}

static void on_join(void *owner, struct mail_seat *s)
{
    struct identity *id = owner;
    struct seat *seat = MEM_NEW(struct seat);
    seat->mail = s;
    s->at_hub = seat;
    list_push_back(&id->seats, &seat->node);
    if (id->now)
        tell(id, s);
}

static void on_watch_mail(void *owner, struct mail_seat *s, struct mail *m)
{
    (void)owner, (void)s;
    m->free(m); /* watches only listen */
}

static void on_leave(void *owner, struct mail_seat *s)
{
    struct seat *seat = s->at_hub;
    (void)owner;
    list_remove(&seat->node);
    mem_free(seat);
}

static const struct mail_hub_events hub_events = {on_join, on_watch_mail,
                                                  on_leave};

struct identity *identity_new(struct loop *main)
{
    struct identity *id = MEM_NEW(struct identity);
    list_init(&id->seats);
    mail_hub_init(&id->hub, main, &hub_events, id);
    return id;
}

void identity_free(struct identity *id)
{
    assert(list_empty(&id->seats));
    tls_identity_unref(id->now);
    mem_free(id);
}

unsigned identity_watches(const struct identity *id)
{
    return id->hub.seats;
}

void identity_set(struct identity *id, struct tls_identity *now)
{
    struct tls_identity *old = id->now;
    id->now = tls_identity_ref(now);
    tls_identity_unref(old);
    LIST_EACH(node, &id->seats) {
        tell(id, CONTAINER_OF(node, struct seat, node)->mail);
    }
}

struct tls_identity *identity_now(const struct identity *id)
{
    return id->now;
}

/* ---- a watch ---- */

static void on_news(void *owner, struct mail *m)
{
    struct identity_watch *w = owner;
    w->fn(w->arg, CONTAINER_OF(m, struct news, mail)->now);
    news_free(m);
}

static void on_left(void *owner)
{
    struct identity_watch *w = owner;
    identity_closed_fn *closed = w->closed;
    void *arg = w->closed_arg;
    mem_free(w);
    if (closed)
        closed(arg);
}

static const struct mail_seat_events seat_events = {on_news, on_left};

struct identity_watch *identity_watch_new(struct identity *id, struct loop *l,
                                          identity_fn *fn, void *arg)
{
    struct identity_watch *w = MEM_NEW(struct identity_watch);
    w->fn = fn;
    w->arg = arg;
    mail_join(&w->mail, &id->hub, l, &seat_events, w);
    return w;
}

void identity_watch_close(struct identity_watch *w, identity_closed_fn *closed,
                          void *arg)
{
    w->closed = closed;
    w->closed_arg = arg;
    mail_leave(&w->mail);
}
