/* SPDX-License-Identifier: Apache-2.0 */
/* P-256 public keys as DER SubjectPublicKeyInfo, in the one form that we take:
 * named curve, uncompressed point (RFC 5480 section 2). For lib/tls only. */
#ifndef TULLE_TLS_SPKI_H
#define TULLE_TLS_SPKI_H

#include <openssl/evp.h>

#include "lib/base/slice.h"

enum { SPKI_P256_LEN = 91 };

/* Only the form; whether the point is on the curve shows spki_key(). */
bool spki_is_p256(slice der);
/* The key, NULL when the form or the point is wrong. Gives a reference. */
EVP_PKEY *spki_key(slice der);

#endif
