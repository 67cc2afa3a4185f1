/* SPDX-License-Identifier: Apache-2.0 */
/* Digests that protocols prescribe; not for secrets. Pure. */
#ifndef TULLE_TLS_DIGEST_H
#define TULLE_TLS_DIGEST_H

#include "lib/base/slice.h"

enum { SHA1_BYTES = 20 };
void digest_sha1(slice bytes, uint8_t out[SHA1_BYTES]);

#endif
