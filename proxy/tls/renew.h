/* SPDX-License-Identifier: Apache-2.0 */
/* Gets the first certificate and every later one, on the main loop. The key is
 * made here, lives in memory only, and is new with every certificate.
 *
 *   asking -> (answer) -> in force -> at renew_at -> asking ...
 *      |
 *      +-> failed: waits, longer each time, with jitter; the old one stays
 *
 * Proof of who we are: the token from its file, read again each time; with a join
 * token (one use) only the first time, later the certificate in force.
 *
 * A controller that is not believed: perhaps the root was changed while we were
 * frozen or cut off. Then every other try goes by the roots in the file, as a start
 * does, until one succeeds. */
#ifndef TULLE_PROXY_TLS_RENEW_H
#define TULLE_PROXY_TLS_RENEW_H

#include "proxy/discovery/controllers.h"
#include "proxy/tls/identity.h"

struct renew;

struct renew_options {
    struct controllers *controllers; /* borrowed until renew_close */
    slice bundle_pem;                /* roots for first contact; copied */
    slice bundle_file;  /* where roots of today may be; may be empty; copied */
    slice trust_domain; /* empty: of the bundle's first root; copied */
    slice name;         /* the SPIFFE name to ask for, may be empty; copied */
    slice token_file;   /* copied */
    bool join_token;    /* the token is for one use */
    int64_t timeout;    /* of one try; 10 s */
    int64_t backoff_min, backoff_max; /* 500 ms, 60 s */
};
extern const struct renew_options renew_defaults;

/* ERR_INVALID with a sentence: bundle unreadable, no trust domain ... Each new
 * certificate is given to identity_set(id). */
CHECKED enum status renew_start(struct renew **out, struct loop *l,
                                const struct renew_options *opt,
                                struct identity *id, struct error *e);
/* Roots in force from now on (PEM, copied; from the workload view): the identity
 * is made anew with them. Later answers may add to them, and not take away. Ignored
 * when unreadable or the same. */
void renew_set_bundle(struct renew *r, slice bundle_pem);
/* Roots in force, PEM. On loan until the next change. */
slice renew_bundle(const struct renew *r);
/* spiffe://<trust domain>/tulle/controller. On loan. */
slice renew_controller(const struct renew *r);
void renew_close(struct renew *r);

struct renew_stats {
    uint64_t issued, failures;
    int64_t renew_at; /* seconds since 1970, 0 before the first */
};
struct renew_stats renew_stats(const struct renew *r);

#endif
