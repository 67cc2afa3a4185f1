/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 with padding (RFC 4648, section 4): Secrets and kubeconfigs. */
#ifndef TULLE_BASE_BASE64_H
#define TULLE_BASE_BASE64_H

#include "lib/base/text.h"

void base64_encode(slice bytes, struct text *out);
/* Line breaks are passed over. ERR_INVALID: another character, wrong padding,
 * bits that mean nothing. On error what was appended stays. */
CHECKED enum status base64_decode(slice text, struct text *out);

#endif
