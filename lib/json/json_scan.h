/* SPDX-License-Identifier: Apache-2.0 */
/* Is this text exactly one JSON value (RFC 8259), within the limits? Takes no
 * memory, so that a hostile text is refused before a tree is built of it. */
#ifndef TULLE_JSON_JSON_SCAN_H
#define TULLE_JSON_JSON_SCAN_H

#include "lib/json/json.h"

/* ERR_INVALID, ERR_TOO_BIG with a sentence that starts with line and column. */
CHECKED enum status json_scan(slice text, const struct json_limits *limits,
                              struct error *e);

#endif
