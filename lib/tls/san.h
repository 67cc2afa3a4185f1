/* SPDX-License-Identifier: Apache-2.0 */
/* Subject alternative names (RFC 5280 section 4.2.1.6), built from bytes and
 * never from OpenSSL's configuration syntax, in which text could add names.
 * For lib/tls only. */
#ifndef TULLE_TLS_SAN_H
#define TULLE_TLS_SAN_H

#include <openssl/x509v3.h>

#include "lib/base/slice.h"

/* GENERAL_NAMES_free() frees. */
GENERAL_NAMES *san_new(void);
/* `type`: GEN_URI or GEN_DNS. Copies `value`. */
bool san_add(GENERAL_NAMES *names, int type, slice value);
/* How many URIs there are; `*uri` borrows the last. `names` may be NULL. */
int san_uri(const GENERAL_NAMES *names, slice *uri);

#endif
