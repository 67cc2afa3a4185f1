/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/http: what a request is for. Pure. */
#ifndef TULLE_HTTP_H1_TARGET_H
#define TULLE_HTTP_H1_TARGET_H

#include "lib/http/h1_parse.h"

/* Of RFC 3986 section 3.1. */
bool http_scheme_valid(slice scheme);

/* host [":" port] of RFC 3986 section 3.2.2: a name, an IPv4 address or a
 * bracketed IPv6 address that is not empty, at most one port that is not above
 * 65535 (an empty one is allowed), no user. */
bool http_authority_valid(slice authority);

/* Reads head->target (checked byte by byte before) in the form that the method
 * allows: RFC 9112 section 3.2. Sets path; authority for the absolute and the
 * authority form; scheme and absolute for the former. */
CHECKED enum status h1_read_target(struct head *head, struct h1_error *err);

#endif
