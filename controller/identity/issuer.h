/* SPDX-License-Identifier: Apache-2.0 */
/* Issues certificates: proof, grant, signature. The proof is a join token or the
 * certificate in force (local mode), or a token that the API server reviews
 * (cluster): then the answer comes later. */
#ifndef TULLE_CONTROLLER_IDENTITY_ISSUER_H
#define TULLE_CONTROLLER_IDENTITY_ISSUER_H

#include "controller/identity/authority.h"
#include "controller/identity/issue.h"
#include "lib/mesh/wire.h"
#include "lib/tls/tls_stream.h"

struct kube;
struct kube_request;

/* Reviews at the API server at once; more callers are told to come later. The
 * lease and what we write need requests, too (KUBE_IN_FLIGHT_MAX). */
enum { ISSUER_REVIEWS_MAX = 32 };

struct issuer {
    /* NULL: none yet, nothing is issued. */
    const struct authority *authority;
    struct kube *kube; /* NULL: local mode, join tokens */
    slice state;       /* local mode: folder with the join tokens */
    /* Is the authority surely the one in force? NULL: yes. */
    bool (*may_sign)(void *arg);
    void *arg;
    struct issue_rules rules;
    struct issue_rate rate;
    unsigned reviews; /* under way */
    uint64_t issued, refused, limited;
};

struct issued {
    char *chain; /* PEM, leaf first */
    struct grant grant;
};

/* One request on its way. Embed. */
struct issue_job;
/* ERR_DENIED: it may not; ERR_INVALID: the request is no request;
 * ERR_RESOURCES: too many at once; anything else is our own failure or the API
 * server's. Each with a sentence for the caller. `is` only on OK; its memory is
 * the job's. */
typedef void issue_done_fn(struct issue_job *job, enum status rc,
                           const struct issued *is, const struct error *e);
struct issue_job {
    struct issuer *issuer;
    struct certificate_request req;
    struct kube_request *review; /* NULL: none is under way */
    int64_t now, date;
    char *public_der, *asked;
    size_t public_len;
    issue_done_fn *done;
};

/* Answers one request: `done` runs exactly once, maybe before this returns,
 * unless it is cancelled. `req` borrows until then. `peer`: who TLS says the
 * caller is; NULL or without name when it showed no certificate. `now` monotonic
 * ns, `date` seconds since 1970. A token is used up only when all else was right. */
void issuer_begin(struct issuer *i, struct issue_job *job,
                  const struct certificate_request *req,
                  const struct tls_peer *peer, int64_t now, int64_t date,
                  issue_done_fn *done);
/* `done` does not run. Idempotent, also on a zeroed job. */
void issuer_cancel(struct issue_job *job);

#endif
