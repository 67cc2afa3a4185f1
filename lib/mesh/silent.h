/* SPDX-License-Identifier: Apache-2.0 */
/* Undeclared ports whose connections began with silence, as messages have them:
 *     "silent":{"inbound":{"6000":3},"outbound":{"shop/db:6000":1}} */
#ifndef TULLE_MESH_SILENT_H
#define TULLE_MESH_SILENT_H

#include "lib/json/json.h"
#include "lib/json/json_write.h"
#include "lib/mesh/wire.h"

/* A member of the open object; nothing when there is none. */
void silent_write(const struct silent *at, uint32_t len, struct json_write *w);
/* What is beyond `max`, or has no name of a service, is left out. Names borrow
 * from the document. */
CHECKED enum status silent_read(struct json obj, struct silent *at,
                                uint32_t max, uint32_t *len, struct error *e);
/* One block of memory behind the names of `at`, which then borrow from it. NULL
 * without any. */
char *silent_own(struct silent *at, uint32_t len);

#endif
