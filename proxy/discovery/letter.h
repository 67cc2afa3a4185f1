/* SPDX-License-Identifier: Apache-2.0 */
/* What lookup.c (workers) and store.c (main loop) write to each other. */
#ifndef TULLE_PROXY_DISCOVERY_LETTER_H
#define TULLE_PROXY_DISCOVERY_LETTER_H

#include "lib/mesh/views.h"
#include "lib/net/mail.h"

enum letter_type {
    /* worker to main */
    LETTER_SUBSCRIBE,
    LETTER_UNSUBSCRIBE, /* always answered by LETTER_GONE */
    /* main to worker */
    LETTER_VIEW,       /* `view` may be NULL: taken back */
    LETTER_OVER_LIMIT, /* cannot be asked about now: too many keys */
    LETTER_GONE, /* no more views of this key, until subscribed to again */
};

struct letter {
    struct mail mail;
    enum letter_type type;
    enum view_kind kind;
    struct view *view; /* a reference */
    size_t key_len;
    char key[];
};

/* Copies the key, shares the view (may be NULL). */
struct letter *letter_new(enum letter_type type, enum view_kind kind, slice key,
                          struct view *view);
void letter_free(struct letter *l);
static inline slice letter_key(const struct letter *l)
{
    return slice_of(l->key, l->key_len);
}

#endif
