/* SPDX-License-Identifier: Apache-2.0 */
/* Who may have which certificate. Pure. The caller has proven something (a
 * token, or the certificate in force); a grant is what follows from that proof,
 * never from what the signing request asks for. */
#ifndef TULLE_CONTROLLER_IDENTITY_ISSUE_H
#define TULLE_CONTROLLER_IDENTITY_ISSUE_H

#include "controller/registry/registry.h"
#include "lib/mesh/identity.h"

enum proof_kind {
    PROOF_TOKEN,       /* a join token (a TokenReview, in a cluster) */
    PROOF_CERTIFICATE, /* mTLS with the certificate in force */
};

/* What was proven. Borrows. */
struct proof {
    enum proof_kind kind;
    slice name; /* spiffe://... */
    slice pod;  /* "ns/pod/uid" ("ns/pod/": UID not known); may be empty */
    int64_t not_after; /* of the token or certificate, seconds since 1970 */
};

/* Clocks of nodes differ a little: a certificate is valid from so many seconds
 * before it was issued. */
enum { ISSUE_BACKDATE = 60 };

struct issue_rules {
    slice trust_domain;
    int64_t life;              /* of a certificate, seconds */
    bool renew_by_certificate; /* local mode; a cluster asks for a token */
    /* Pods that are known must run as the account of the name. */
    const struct registry *registry;
};

struct grant {
    char name_text[WORKLOAD_NAME_MAX + 1];
    char pod_text[KEY_TEXT + NAME_MAX_BYTES];
    slice name, pod; /* point into the above */
    int64_t not_before, not_after, renew_at;
};

/* ERR_DENIED with a sentence that may be told to the caller. `asked` is the name
 * in the signing request, or empty. `now` in seconds since 1970. */
CHECKED enum status issue_grant(const struct issue_rules *rules,
                                const struct proof *p, slice asked, int64_t now,
                                struct grant *out, struct error *e);

/* "ns/pod/uid" -> parts (they borrow); false when it is not that. */
bool pod_proof_parse(slice text, slice *ns, slice *pod, slice *uid);

/* So many a second, and as many at once: a bucket. */
struct issue_rate {
    uint64_t per_second;
    double left;
    int64_t last; /* ns */
};
void issue_rate_init(struct issue_rate *r, uint64_t per_second, int64_t now);
/* False: too many, come back later. `now` monotonic ns. */
bool issue_rate_take(struct issue_rate *r, int64_t now);

#endif
