/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 with the standard alphabet and padding (RFC 4648 section 4), as
 * Kubernetes writes bytes into JSON. */
#ifndef TULLE_BASE_BASE64_H
#define TULLE_BASE_BASE64_H

#include "lib/base/text.h"

/* Appends the encoding of `bytes`, in one line. */
void base64_encode(slice bytes, struct text *out);
/* Appends the bytes. Strict: no white space, no missing padding, no stray bits,
 * as there is one spelling only. ERR_INVALID (then `out` is as before). */
CHECKED enum status base64_decode(slice text, struct text *out);

#endif
