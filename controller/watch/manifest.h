/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a manifest file -> records. Pure. Objects of kinds that are not
 * watched are passed over; a List is its items. One mistake refuses the whole
 * file: half of what was written is not what was meant. */
#ifndef TULLE_CONTROLLER_WATCH_MANIFEST_H
#define TULLE_CONTROLLER_WATCH_MANIFEST_H

#include "controller/registry/record.h"
#include "lib/base/vec.h"

typedef VEC(struct record *) record_vec;

enum { MANIFEST_OBJECTS_MAX = 100000 };

/* `source` is the file's name for sentences: "mesh/cart.yaml:12: ...". Appends
 * references to `out` on OK, nothing else. */
CHECKED enum status manifest_read(slice text, slice source, record_vec *out,
                                  struct error *e);
/* Lets all go. */
void record_vec_fini(record_vec *v);

#endif
