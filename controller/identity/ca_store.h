/* SPDX-License-Identifier: Apache-2.0 */
/* The root of local mode, in a folder: ca-key.pem (0600), ca.pem, and
 * bundle.pem, which is what proxies are given. Made on first start; several
 * programs may start at once: one makes it, the others wait and read. In a
 * cluster a Secret takes this place. */
#ifndef TULLE_CONTROLLER_IDENTITY_CA_STORE_H
#define TULLE_CONTROLLER_IDENTITY_CA_STORE_H

#include "lib/tls/cert.h"

/* Gives a ca. `now` in seconds since 1970; `life` of a new root in seconds.
 * Refused: a key that others may read, half a root, a root of another trust
 * domain, one that has expired. */
CHECKED enum status ca_store_open(struct ca **out, slice dir,
                                  slice trust_domain, int64_t now, int64_t life,
                                  struct error *e);

#endif
