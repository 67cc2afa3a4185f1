/* SPDX-License-Identifier: Apache-2.0 */
/* A hub on one loop (the main one) and seats on others (the workers'): they send
 * each other letters, in order, and part in an orderly way. Nothing but what
 * letters carry is shared. The hub's loop may be a seat's loop too. */
#ifndef TULLE_NET_MAIL_H
#define TULLE_NET_MAIL_H

#include "lib/net/loop.h"

struct mail_seat;

/* Embed first in what is sent; heap. The receiver's on_mail takes it. */
struct mail {
    struct post post;
    struct mail_seat *seat;
    void (*free)(struct mail *m); /* when nobody is there any more */
};

/* All run on the hub's loop. */
struct mail_hub_events {
    /* A seat was taken: set seat->at_hub to what you know it by. */
    void (*on_join)(void *owner, struct mail_seat *s);
    void (*on_mail)(void *owner, struct mail_seat *s, struct mail *m);
    /* The last event of this seat: do not use it again. */
    void (*on_leave)(void *owner, struct mail_seat *s);
};

struct mail_hub {
    struct loop *loop;
    const struct mail_hub_events *events;
    void *owner;
    unsigned seats; /* joined and not left; of the hub's thread */
};

/* Both run on the seat's loop. */
struct mail_seat_events {
    void (*on_mail)(void *owner, struct mail *m);
    /* After mail_leave, when no letter can come any more: the memory of the seat
     * may go. */
    void (*on_left)(void *owner);
};

struct mail_seat {
    struct mail_hub *hub;
    struct loop *loop;
    const struct mail_seat_events *events;
    void *owner;
    void *at_hub; /* the hub's */
    struct post join, leave, left;
    bool leaving; /* of the seat's thread */
    bool gone;    /* of the hub's thread */
};

/* The hub must outlive every seat: ask them to leave first, run the loop until
 * `seats` is 0. */
void mail_hub_init(struct mail_hub *h, struct loop *l,
                   const struct mail_hub_events *ev, void *owner);
/* On the thread of `l`, or before that thread runs. */
void mail_join(struct mail_seat *s, struct mail_hub *h, struct loop *l,
               const struct mail_seat_events *ev, void *owner);
/* On the seat's thread: no on_mail follows; on_left comes later, once, while both
 * loops run. Idempotent. */
void mail_leave(struct mail_seat *s);
/* Take the letter. From the seat's thread / from the hub's thread. */
void mail_to_hub(struct mail_seat *s, struct mail *m);
void mail_to_seat(struct mail_seat *s, struct mail *m);

#endif
