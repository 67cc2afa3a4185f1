/* SPDX-License-Identifier: Apache-2.0 */
/* What a projected service account token proves, asked of the API server
 * (authentication.k8s.io/v1 TokenReview). Pure: the request's body, and the
 * answer to a proof. */
#ifndef TULLE_CONTROLLER_IDENTITY_TOKEN_REVIEW_H
#define TULLE_CONTROLLER_IDENTITY_TOKEN_REVIEW_H

#include "lib/base/text.h"
#include "lib/json/json.h"
#include "lib/mesh/identity.h"

#define TOKEN_REVIEW_PATH "/apis/authentication.k8s.io/v1/tokenreviews"

enum {
    TOKEN_REVIEW_TOKEN_MAX = 16 << 10,
    TOKEN_REVIEW_POD = 400,
};

struct token_review {
    char name[WORKLOAD_NAME_MAX + 1]; /* spiffe://... */
    char pod[TOKEN_REVIEW_POD];       /* "ns/pod/uid"; never empty */
};

/* Asks for the audience `tulle`. Holds a secret: wipe it. */
void token_review_request(slice token, struct text *out);

/* `body` is the TokenReview that came back. ERR_DENIED with a sentence for the
 * caller when the token is not authenticated, not for us (status.audiences must
 * hold our audience: a server that ignores audiences returns none), not a
 * service account's, or not bound to a pod. ERR_INVALID when it is no
 * TokenReview. */
CHECKED enum status token_review_read(struct json body, slice trust_domain,
                                      struct token_review *out,
                                      struct error *e);

#endif
