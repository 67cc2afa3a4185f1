/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of namespaces: of their labels and annotations those that are
 * ours. */
#ifndef TULLE_INJECTOR_SPACES_H
#define TULLE_INJECTOR_SPACES_H

#include "lib/base/map.h"
#include "lib/json/json.h"

struct spaces {
    struct map by_name;
};

struct space { /* borrows until the next change of this namespace */
    struct json labels, annotations;
};

void spaces_init(struct spaces *s);
void spaces_fini(struct spaces *s);
/* A Namespace object, or its metadata alone; copies what counts. One without a
 * name is ignored. */
void spaces_put(struct spaces *s, struct json object);
void spaces_del(struct spaces *s, slice name);
/* False when it is not known. */
bool spaces_get(const struct spaces *s, slice name, struct space *out);
size_t spaces_count(const struct spaces *s);

#endif
