/* SPDX-License-Identifier: Apache-2.0 */
/* One reading of a request's path, before anything decides by it. What comes out
 * is what is matched, what is authorized and what is forwarded. Pure.
 *
 * The rule (docs/protocols.md says it for people), in this order:
 *  1. Spelling (RFC 3986 sections 6.2.2.1, 6.2.2.2 and 3.3): a triplet of an
 *     unreserved character becomes the character, every other triplet gets
 *     capitals, a visible character that no path may hold becomes a triplet.
 *  2. Segments "." and ".." are removed (sections 6.2.2.3 and 5.2.4).
 *  3. Slashes behind one another become one.
 * Refused is what one server reads so and the next one otherwise:
 *  - a '%' that no two digits follow, a NUL, a backslash, and every byte that no
 *    target may hold;
 *  - UTF-8 in more bytes than it takes, which a lax decoder reads as '/' or '.';
 *  - ".." above the root;
 *  - "." and ".." that show only after another reading: behind or before an
 *    encoded slash or backslash, or with parameters ("..;x").
 * Other encoded slashes and backslashes are data of their segment and stay. The
 * query is not read. Whatever does not begin with '/' ("*") is left alone.
 *
 * The normal form of a normal form is itself, so that it makes no difference how
 * many proxies apply it. */
#ifndef TULLE_HTTP_PATH_H
#define TULLE_HTTP_PATH_H

#include "lib/base/slice.h"

enum path_rule {
    PATH_NONE,   /* as it came: nothing is changed, nothing refused */
    PATH_BASE,   /* 1 and 2 */
    PATH_MERGE,  /* 1, 2 and 3 */
    PATH_STRICT, /* as PATH_MERGE; an encoded slash, backslash or '%', an encoded
                    control byte and ';', encoded or not, are refused, too */
};

/* "none", "base", "merge-slashes", "strict"; ERR_INVALID: another word. */
CHECKED enum status path_rule_find(slice word, enum path_rule *out);

/* 0 when `path` (with its query) is normal as it is; else how many bytes
 * path_normalise wants for it: at most three times its length. */
size_t path_room(enum path_rule rule, slice path);

/* Writes the normal form to `room`, of path_room() bytes, which `*out` then
 * borrows. ERR_INVALID: refused, and `*out` is untouched. */
CHECKED enum status path_normalise(enum path_rule rule, slice path, char *room,
                                   slice *out);

#endif
