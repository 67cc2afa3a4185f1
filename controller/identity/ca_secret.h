/* SPDX-License-Identifier: Apache-2.0 */
/* The issuer of a cluster, in a Secret of type kubernetes.io/tls:
 *     tls.crt, tls.key   the issuer
 *     ca.crt             its root, when it is an intermediate (cert-manager
 *                        writes it so); roots that are trusted beside
 * Either our own Secret, made by whichever replica is first (the API server
 * lets one create it; the others read what it wrote), or one that somebody
 * gives us and renews. Our own is put back when somebody deletes it (never an older
 * one than the last), and changed by rotation.h. Followed for ever: whoever changes
 * it changes the issuer; a bad one is reported, and the last good one stays in
 * force. */
#ifndef TULLE_CONTROLLER_IDENTITY_CA_SECRET_H
#define TULLE_CONTROLLER_IDENTITY_CA_SECRET_H

#include "controller/identity/authority.h"
#include "controller/identity/root_state.h"
#include "lib/kube/kube.h"

struct ca_secret;

struct ca_secret_options {
    slice ns, name;      /* copied */
    bool given;          /* somebody else makes it */
    slice trust_domain;  /* borrowed */
    int64_t root_life;   /* seconds, of a root that we make */
    int64_t stale_after; /* ns: what we knew before is of the past */
};

struct ca_secret_events {
    /* The first issuer, or another one than before. Takes it. `ended`: the
     * roots that are gone from it have no certificates out there any more. */
    void (*on_authority)(void *owner, struct authority *a, bool ended);
    /* What is in the Secret cannot be used, or it is not there: a sentence for
     * people; empty when all is well again. Borrows. */
    void (*on_problem)(void *owner, slice why);
};

CHECKED enum status ca_secret_start(struct ca_secret **out, struct kube *k,
                                    const struct ca_secret_options *opt,
                                    const struct ca_secret_events *ev,
                                    void *owner, struct error *e);
/* Monotonic ns when we last knew what is in the Secret; 0: never. Who has not
 * known it for long must not sign: the issuer may have been replaced. */
int64_t ca_secret_heard(const struct ca_secret *s);
/* How far a root of our own is, as last seen; NULL: not known, or what the
 * Secret says makes no sense. Borrows until the loop turns. */
const struct root_state *ca_secret_root(const struct ca_secret *s);
/* Every second: notes that what we know still holds; on_problem follows when the
 * date of a phase has become sensible, or is not any more. */
void ca_secret_look(struct ca_secret *s);
/* No event follows. NULL is ignored. */
void ca_secret_close(struct ca_secret *s);

/* Pure. What a Secret holds -> an authority. */
CHECKED enum status ca_secret_decode(struct json secret, slice trust_domain,
                                     struct authority **out, struct error *e);
/* A member of `data`, decoded and appended; nothing when it is absent and not
 * `needed`. */
CHECKED enum status ca_secret_part(struct json secret, const char *name,
                                   bool needed, struct text *out,
                                   struct error *e);
/* The Secret of a root, and that we made it. Holds a key: `out` is a secret
 * text. */
CHECKED enum status ca_secret_encode(const struct ca *ca, slice ns, slice name,
                                     struct text *out, struct error *e);

#endif
