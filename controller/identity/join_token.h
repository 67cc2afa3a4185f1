/* SPDX-License-Identifier: Apache-2.0 */
/* Join tokens of local mode: a secret that is good for one certificate of one
 * name, for some minutes. A file each in <state>/tokens, named by the SHA-256 of
 * the token, so that who reads the folder has no token. */
#ifndef TULLE_CONTROLLER_IDENTITY_JOIN_TOKEN_H
#define TULLE_CONTROLLER_IDENTITY_JOIN_TOKEN_H

#include "lib/base/text.h"
#include "lib/mesh/identity.h"

enum { JOIN_TOKEN_TEXT = 128, JOIN_POD_TEXT = 400 };

struct join_token {
    char name[WORKLOAD_NAME_MAX + 1]; /* spiffe://... */
    char pod[JOIN_POD_TEXT];          /* "ns/pod/" or empty */
    int64_t expires;                  /* seconds since 1970 */
};

/* `name` is "ns/service-account", `pod` "ns/pod" or empty. Writes the file and
 * the token's text. Expired tokens are removed meanwhile. */
CHECKED enum status join_token_new(slice state, slice trust_domain, slice name,
                                   slice pod, int64_t now, int64_t ttl,
                                   char out[JOIN_TOKEN_TEXT], struct error *e);
/* What a token says. ERR_DENIED when there is none such. */
CHECKED enum status join_token_read(slice state, slice token,
                                    struct join_token *out, struct error *e);
/* Uses it up. Of two callers exactly one gets OK, the other ERR_DENIED. */
CHECKED enum status join_token_consume(slice state, slice token,
                                       struct error *e);

#endif
