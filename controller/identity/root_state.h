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
#define ROOT_MADE "tulle.dev/made-roots" /* marks of those that we made */
#define ROOT_OLD "tulle.dev/old-root"    /* retiring: its mark */
#define ROOT_OLD_UNTIL "tulle.dev/old-root-until"
#define ROOT_WANTED "tulle.dev/rotate-root" /* anything new begins a rotation */
#define ROOT_DONE "tulle.dev/rotated-root"  /* what of it was heard */

/* As many as a bundle may hold (certs_merge). */
enum { ROOT_MARK = 16, ROOT_MARKS_MAX = 64 * (ROOT_MARK + 1) };

enum root_phase {
    ROOT_AT_REST,
    ROOT_DISTRIBUTING,
    ROOT_RETIRING,
};

struct root_state {
    enum root_phase phase;
    int64_t since;  /* of the phase, seconds since 1970; 0 at rest */
    int64_t retire; /* retiring: when the old one may go, at the earliest */
    bool ours;      /* a root that we made; never touch another one */
    bool wanted;    /* somebody asks for another root */
    int64_t not_before, not_after; /* of the root that signs */
    int64_t next_from;             /* distributing: not_before of the next */
    char signs[ROOT_MARK + 1];     /* marks */
    char next[ROOT_MARK + 1];      /* "" unless distributing */
    char old[ROOT_MARK + 1];       /* "" unless retiring */
};

/* What is set, nanoseconds. */
struct root_times {
    int64_t life;        /* of a new root */
    int64_t settle;      /* for Secrets and ConfigMaps to reach everybody */
    int64_t deadline;    /* for proxies to have the next root */
    int64_t cert_life;   /* of a certificate */
    int64_t stale_after; /* a replica that hears nothing signs that long */
};

/* What follows, seconds. */
struct root_rules {
    int64_t life, deadline;
    int64_t settle; /* by then a replica that has not heard signs no more */
    int64_t retire; /* until the certificates of the old one have ended */
};

/* ERR_INVALID with a sentence: there would be no time for a rotation. */
CHECKED enum status root_rules_make(const struct root_times *t,
                                    struct root_rules *out, struct error *e);

/* What the leader sees. */
struct root_sight {
    int64_t now;     /* seconds since 1970 */
    int64_t led;     /* seconds since we lead: replicas and proxies tell then */
    int64_t written; /* seconds since when what is there of what we write has
                        held the next root, without a break; below 0: not now */
    bool missing;    /* some of it is not there: a namespace is new */
    int64_t stepped; /* seconds since our last step; below 0: none */
    unsigned unfinished; /* roots that we made and that did not get through */
    size_t replicas;     /* that do not say that they have the next root */
    size_t proxies;      /* that live */
    size_t behind;       /* of those: do not say that they have the next root */
    size_t old;          /* of those: their certificate may be of the old one */
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
/* ERR_INVALID with a sentence: it is of the future, so a clock is wrong; nothing
 * that has to do with time can be told from it. `now`: seconds since 1970. */
CHECKED enum status root_state_check(const struct root_state *s, int64_t now,
                                     struct error *e);
/* ERR_INVALID with a sentence: our clock, or that of the API server (0: not known),
 * is wrong. What we would write down by it could not be taken back. */
CHECKED enum status root_clock_check(int64_t now, int64_t theirs,
                                     struct error *e);
enum root_step root_next(const struct root_state *s, const struct root_rules *r,
                         const struct root_sight *see);
/* May a certificate issued then be one of the old root, while retiring? */
bool root_signed_by_old(const struct root_state *s, const struct root_rules *r,
                        int64_t issued);
/* When the old one may go, if the next one signs from `now` on. */
int64_t root_retire_at(const struct root_rules *r, int64_t now);
/* Is it long enough that it is waited for the others to tell people so? */
bool root_is_late(const struct root_state *s, const struct root_rules *r,
                  const struct root_sight *see);

/* A short mark of each certificate of a bundle, as certs_merge writes it, with
 * commas between. */
void root_marks(slice bundle, struct text *out);
/* Is it one of them? */
bool root_marked(slice marks, slice mark);
/* Of the first certificate of a PEM, as people may have written it. */
CHECKED enum status root_mark_of(slice pem, char out[ROOT_MARK + 1],
                                 struct error *e);
/* Appends a bundle, as certs_merge writes it, without the certificate that has
 * this mark. */
void root_bundle_without(slice bundle, slice mark, struct text *out);

#endif
