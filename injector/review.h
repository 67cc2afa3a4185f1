/* SPDX-License-Identifier: Apache-2.0 */
/* AdmissionReview v1, in and out. Pure.
 * https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/ */
#ifndef TULLE_INJECTOR_REVIEW_H
#define TULLE_INJECTOR_REVIEW_H

#include "injector/inject.h"

enum { REVIEW_BYTES_MAX = 3 << 20 };

struct review {
    struct json_doc *doc;
    slice uid, ns, name; /* of the request; the name may be empty */
    struct json pod;     /* absent: nothing for us, let it pass */
    bool dry_run;        /* nothing outside of the answer may change */
};

/* ERR_INVALID, ERR_TOO_BIG with a sentence: an answer is not possible, the caller
 * did not speak as an API server does. review_fini always. */
CHECKED enum status review_read(slice body, struct review *out,
                                struct error *e);
void review_fini(struct review *r);

/* Appends the AdmissionReview that answers. `result` NULL: let it pass. */
void review_answer(const struct review *r, const struct inject_result *result,
                   struct text *out);

#endif
