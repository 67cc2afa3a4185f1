/* SPDX-License-Identifier: Apache-2.0 */
/* Where a redirected connection was going. */
#ifndef TULLE_PROXY_ACCEPT_ORIG_DST_H
#define TULLE_PROXY_ACCEPT_ORIG_DST_H

#include "lib/net/address.h"

/* SO_ORIGINAL_DST or its IPv6 twin. ERR_NOT_FOUND: was not redirected.
 * ERR_DENIED: it leads back to the listener itself (`own` is its port): serving
 * it would loop. */
CHECKED enum status orig_dst(int fd, uint16_t own, struct address *out);

#endif
