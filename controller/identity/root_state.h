/* SPDX-License-Identifier: Apache-2.0 */
/* Where a root of our own is on its way to the next one: what its Secret says of
 * it, and what comes next (docs/decisions/0018). Pure.
 *
 *     at rest -> distributing -> retiring -> at rest
 *
 * distributing: the next root is in ca.crt and, with its key, in next.crt and
 * next.key; the old one signs. retiring: the next one has become tls.crt and
 * tls.key; ca.crt holds both until what the old one signed has ended. */
#ifndef TULLE_CONTROLLER_IDENTITY_ROOT_STATE_H
#define TULLE_CONTROLLER_IDENTITY_ROOT_STATE_H

#include "lib/base/text.h"
#include "lib/json/json.h"

#define ROOT_PHASE "tulle.dev/root-phase" /* absent: at rest */
#define ROOT_PHASE_SINCE "tulle.dev/root-phase-since"
#define ROOT_WANTED "tulle.dev/rotate-root" /* anything new begins a rotation */
#define ROOT_DONE "tulle.dev/rotated-root"  /* what of it was heard */

enum { ROOT_MARK = 16, ROOT_MARKS_MAX = 64 * (ROOT_MARK + 1) };

enum root_phase {
    ROOT_AT_REST,
    ROOT_DISTRIBUTING,
    ROOT_RETIRING,
};

struct root_state {
    enum root_phase phase;
    int64_t since; /* of the phase, seconds since 1970; 0 at rest */
    bool ours;     /* a root that we made; never touch another one */
    bool wanted;   /* somebody asks for another root */
    int64_t not_before, not_after; /* of the root that signs */
    char signs[ROOT_MARK + 1];     /* marks */
    char next[ROOT_MARK + 1];      /* "" unless distributing */
};

/* Seconds. */
struct root_rules {
    int64_t life;     /* of a new root */
    int64_t settle;   /* for Secrets and ConfigMaps to reach everybody */
    int64_t deadline; /* for proxies to have the next root */
    int64_t retire;   /* until the certificates of the old one have ended */
};

enum root_step {
    ROOT_WAIT,
    ROOT_MAKE, /* make the next one, tell everybody to trust it */
    ROOT_SIGN, /* sign with it */
    ROOT_DROP, /* trust the old one no longer */
};

/* ERR_INVALID with a sentence when it makes no sense: then it is to be left
 * alone. Secrets are not in it. */
CHECKED enum status root_state_read(struct json secret, slice trust_domain,
                                    struct root_state *out, struct error *e);
/* `led`: seconds since we lead, as what replicas tell takes a while to come.
 * `everywhere`: all that we know of have the next root. */
enum root_step root_next(const struct root_state *s, const struct root_rules *r,
                         int64_t now, int64_t led, bool everywhere);

/* A short mark of each certificate of a bundle, as certs_merge writes it, with
 * commas between. */
void root_marks(slice bundle, struct text *out);
/* Is it one of them? */
bool root_marked(slice marks, slice mark);

#endif
