/* SPDX-License-Identifier: Apache-2.0 */
/* Which protocols a request may ask to be upgraded to (RFC 9110 section 7.8).
 * Any but those that carry requests themselves, HTTP and TLS: they would take
 * requests past whoever looks at requests. Pure. */
#ifndef TULLE_HTTP_UPGRADE_H
#define TULLE_HTTP_UPGRADE_H

#include "lib/base/slice.h"

/* What may be offered of the `value` of an Upgrade field: all of it, or the
 * first protocol of the list that may be, if another may not; or nothing.
 * Borrows from `value`. */
slice upgrade_offer(slice value);

#endif
