/* SPDX-License-Identifier: Apache-2.0 */
/* Where a redirected connection was going. */
#ifndef TULLE_PROXY_ACCEPT_ORIG_DST_H
#define TULLE_PROXY_ACCEPT_ORIG_DST_H

#include "lib/net/address.h"

/* SO_ORIGINAL_DST or its IPv6 twin. ERR_NOT_FOUND: the kernel does not know; of a
 * connection that was not redirected it gives the address it was accepted at. */
CHECKED enum status orig_dst_of(int fd, struct address *out);

/* The same; ERR_DENIED when it leads back to the listener (`own` is its port):
 * serving it would loop. */
CHECKED enum status orig_dst(int fd, uint16_t own, struct address *out);

/* Is it an address of this machine, other than loopback, at this moment? */
bool orig_dst_is_own(const struct address *to);

#endif
