/* SPDX-License-Identifier: Apache-2.0 */
/* Asks a page of a running program, as a program of its own: blocking, without a
 * loop. For commands like `tulle-proxy ready`, where an image has no shell. */
#ifndef TULLE_ADMIN_ASK_H
#define TULLE_ADMIN_ASK_H

#include "lib/base/text.h"
#include "lib/net/address.h"

enum { ASK_PAGE_MAX = 64 << 10 };

/* GET `path` at `at`; waits `seconds` at most for each step. Appends the page to
 * `body`. ERR_IO: nobody answers, or not in HTTP; ERR_TIMEOUT; ERR_TOO_BIG: a page
 * above ASK_PAGE_MAX. */
CHECKED enum status admin_ask(const struct address *at, const char *path,
                              unsigned seconds, unsigned *http_status,
                              struct text *body, struct error *e);

#endif
