/* SPDX-License-Identifier: Apache-2.0 */
/* join, letters both ways, leave, left: each is a post, and posts to one loop
 * keep their order. So after "leave" the hub hears nothing of a seat, and after
 * "left" the seat nothing of the hub. */
#include "lib/net/mail.h"

#include <assert.h>

#include "lib/base/list.h"

/* ---- on the hub's loop ---- */

static void join_at_hub(struct post *p)
{
    struct mail_seat *s = CONTAINER_OF(p, struct mail_seat, join);
    s->hub->seats++;
    s->hub->events->on_join(s->hub->owner, s);
}

static void letter_at_hub(struct post *p)
{
    struct mail *m = CONTAINER_OF(p, struct mail, post);
    struct mail_hub *h = m->seat->hub;
    h->events->on_mail(h->owner, m->seat, m);
}

static void on_left(struct post *p)
{
    struct mail_seat *s = CONTAINER_OF(p, struct mail_seat, left);
    s->events->on_left(s->owner);
}

static void leave_at_hub(struct post *p)
{
    struct mail_seat *s = CONTAINER_OF(p, struct mail_seat, leave);
    s->hub->events->on_leave(s->hub->owner, s);
    s->hub->seats--;
    s->gone = true;
    s->left.run = on_left;
    loop_post(s->loop, &s->left);
}

/* ---- on the seat's loop ---- */

static void letter_at_seat(struct post *p)
{
    struct mail *m = CONTAINER_OF(p, struct mail, post);
    if (m->seat->leaving)
        m->free(m);
    else
        m->seat->events->on_mail(m->seat->owner, m);
}

/* ---- */

void mail_hub_init(struct mail_hub *h, struct loop *l,
                   const struct mail_hub_events *ev, void *owner)
{
    *h = (struct mail_hub){.loop = l, .events = ev, .owner = owner};
}

void mail_join(struct mail_seat *s, struct mail_hub *h, struct loop *l,
               const struct mail_seat_events *ev, void *owner)
{
    *s = (struct mail_seat){.hub = h, .loop = l, .events = ev, .owner = owner};
    s->join.run = join_at_hub;
    loop_post(h->loop, &s->join);
}

void mail_leave(struct mail_seat *s)
{
    if (s->leaving)
        return;
    s->leaving = true;
    s->leave.run = leave_at_hub;
    loop_post(s->hub->loop, &s->leave);
}

void mail_to_hub(struct mail_seat *s, struct mail *m)
{
    assert(!s->leaving);
    m->seat = s;
    m->post.run = letter_at_hub;
    loop_post(s->hub->loop, &m->post);
}

void mail_to_seat(struct mail_seat *s, struct mail *m)
{
    assert(!s->gone);
    m->seat = s;
    m->post.run = letter_at_seat;
    loop_post(s->loop, &m->post);
}
