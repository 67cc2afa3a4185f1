/* SPDX-License-Identifier: Apache-2.0 */
/* Hands the rules to the kernel, through nft. */
#ifndef TULLE_PROXY_REDIRECT_APPLY_H
#define TULLE_PROXY_REDIRECT_APPLY_H

#include "lib/base/slice.h"

/* Runs `nft -f -` with `script` as its input; all of it or nothing is set. On
 * error the sentence has what nft said: ERR_NOT_FOUND (no such program),
 * ERR_DENIED (not permitted), ERR_INVALID (it refused), ERR_TIMEOUT (killed after
 * `timeout` nanoseconds), ERR_IO. Blocks. */
CHECKED enum status apply_rules(slice nft, slice script, int64_t timeout,
                                struct error *e);

#endif
