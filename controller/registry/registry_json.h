/* SPDX-License-Identifier: Apache-2.0 */
/* The registry for people and tests. Pure. */
#ifndef TULLE_CONTROLLER_REGISTRY_REGISTRY_JSON_H
#define TULLE_CONTROLLER_REGISTRY_REGISTRY_JSON_H

#include "controller/registry/registry.h"
#include "lib/base/text.h"

/* Everything as one JSON object, each kind sorted by name:
 * {"version":3,"synced":true,"Service":[{"name":"shop/cart",...}],...} */
void registry_json(const struct registry *r, struct text *out);
/* A change as one line:
 * {"version":4,"kind":"Service","name":"shop/cart","change":"put"} */
void registry_change_json(const struct registry_change *c, struct text *out);

#endif
