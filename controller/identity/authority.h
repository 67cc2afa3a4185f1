/* SPDX-License-Identifier: Apache-2.0 */
/* Who signs here, and whom everybody trusts. Made from the root of local mode,
 * or from the Secret of a cluster: a root of our own, or the issuer that somebody
 * gave us, which may be an intermediate below a root that we have no key of. */
#ifndef TULLE_CONTROLLER_IDENTITY_AUTHORITY_H
#define TULLE_CONTROLLER_IDENTITY_AUTHORITY_H

#include "lib/tls/cert.h"

struct authority;

struct authority_parts {
    slice cert;  /* PEM: the issuer; below it, if it is no root, its own issuers
                    up to a root, the root left out or not */
    slice key;   /* PEM */
    slice roots; /* PEM: the root of an intermediate, and roots that are trusted
                    beside; may be empty when the issuer is a root */
};

/* Copies. ERR_INVALID with a sentence: halves that do not match, an issuer that
 * does not lead to one of the roots, a root of another trust domain. */
CHECKED enum status authority_new(struct authority **out,
                                  const struct authority_parts *parts,
                                  slice trust_domain, struct error *e);
/* Takes the ca: a root of our own. */
struct authority *authority_of(struct ca *ca);
/* NULL is ignored. */
void authority_free(struct authority *a);

/* The leaf, and after it what leads to a root. Heap. */
CHECKED enum status authority_sign(const struct authority *a,
                                   const struct cert_request *r, char **chain,
                                   struct error *e);
/* PEM of all roots in force. Borrows until that is another one. */
slice authority_bundle(const struct authority *a);
/* Trusts these roots (PEM), too: those of the issuer before, whose certificates
 * are still out there. */
CHECKED enum status authority_keep(struct authority *a, slice roots,
                                   struct error *e);
/* Not any more. True: the bundle has become another one; else it stays where it
 * is. */
bool authority_let_go(struct authority *a);
/* End of the issuer, seconds since 1970. */
int64_t authority_not_after(const struct authority *a);
/* The same issuer and the same roots, but for those that are kept. */
bool authority_eq(const struct authority *a, const struct authority *b);

#endif
