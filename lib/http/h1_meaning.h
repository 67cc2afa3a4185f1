/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/http: what the fields of one head mean together: framing,
 * connection, host, upgrade, expectations. Pure. */
#ifndef TULLE_HTTP_H1_MEANING_H
#define TULLE_HTTP_H1_MEANING_H

#include "lib/http/h1_parse.h"

/* The start line and the fields of `head` were read; sets all the rest. */
CHECKED enum status h1_request_meaning(struct head *head, struct h1_error *err);
CHECKED enum status h1_response_meaning(struct head *head,
                                        enum http_method request,
                                        struct h1_error *err);

#endif
