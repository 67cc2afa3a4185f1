/* SPDX-License-Identifier: Apache-2.0 */
/* Does to a pod what a patch says. The API server does it by itself; files are
 * checked against this. Pure. */
#ifndef TULLE_INJECTOR_APPLY_H
#define TULLE_INJECTOR_APPLY_H

#include "injector/patch.h"

/* Gives a new document. ERR_NOT_FOUND when a path leads nowhere, ERR_TOO_BIG. */
CHECKED enum status patch_apply(const struct patch *p, struct json pod,
                                struct json_doc **out, struct error *e);

/* Takes the next part off the front of a JSON Pointer, without its escapes, into
 * `buf`; false when there is none, or when it does not fit. */
enum { POINTER_PART = 256 };
bool pointer_next(slice *pointer, char buf[POINTER_PART]);

#endif
