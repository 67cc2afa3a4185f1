/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/http: what heads and trailer sections are read with. */
#ifndef TULLE_HTTP_H1_FIELDS_H
#define TULLE_HTTP_H1_FIELDS_H

#include "lib/http/h1_parse.h"

/* Where a reader stands. Never moves beyond `end`. */
struct h1_cursor {
    const char *at, *end;
};

/* Write the reason (borrowed for ever: a literal) and return the status. */
CHECKED enum status h1_refuse(struct h1_error *err, unsigned status,
                              const char *why);
CHECKED enum status h1_too_big(struct h1_error *err, unsigned status,
                               enum http_limit limit, const char *why);

/* Takes the CRLF at the cursor: RFC 9112 section 2.2, no bare CR or LF.
 * ERR_AGAIN when it is not all there (the cursor may have moved). */
CHECKED enum status h1_end_line(struct h1_cursor *c, struct h1_error *err);

/* Takes one field line, CRLF included (RFC 9112 section 5), and appends it.
 * ERR_AGAIN when the bytes ran out: the cursor may have moved, nothing was
 * appended. */
CHECKED enum status h1_field_line(struct h1_cursor *c, struct headers *out,
                                  struct h1_error *err);

#endif
