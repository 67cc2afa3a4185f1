/* SPDX-License-Identifier: Apache-2.0 */
/* Issues certificates: proof, grant, signature. */
#ifndef TULLE_CONTROLLER_IDENTITY_ISSUER_H
#define TULLE_CONTROLLER_IDENTITY_ISSUER_H

#include "controller/identity/issue.h"
#include "lib/mesh/wire.h"
#include "lib/tls/cert.h"
#include "lib/tls/tls_stream.h"

struct issuer {
    const struct ca *ca;
    slice state;  /* folder with the join tokens */
    slice bundle; /* PEM that callers get */
    struct issue_rules rules;
    struct issue_rate rate;
    uint64_t issued, refused, limited;
};

struct issued {
    char *leaf; /* PEM, heap; mem_free */
    struct grant grant;
};

/* Answers one request. `peer`: who TLS says the caller is; NULL or without name
 * when it showed no certificate. `now` monotonic ns, `date` seconds since 1970.
 * ERR_DENIED: it may not; ERR_INVALID: the request is no request;
 * ERR_RESOURCES: too many at once; anything else is our own failure. Each with a
 * sentence for the caller. A token is used up only when all else was right. */
CHECKED enum status issuer_issue(struct issuer *i,
                                 const struct certificate_request *req,
                                 const struct tls_peer *peer, int64_t now,
                                 int64_t date, struct issued *out,
                                 struct error *e);

#endif
