/* SPDX-License-Identifier: Apache-2.0 */
/* The name of a content: equal content, equal name, in every process and
 * version. FNV-1a with 128 bits tells changes apart between peers that
 * have authenticated each other; it is no defence against one who searches for
 * collisions, and needs to be none: who may send a view may send any view. */
#ifndef TULLE_MESH_HASH_H
#define TULLE_MESH_HASH_H

#include "lib/mesh/views.h"

/* 32 lower case hex digits and a 0. */
void content_hash(slice content, char out[VIEW_HASH + 1]);

#endif
