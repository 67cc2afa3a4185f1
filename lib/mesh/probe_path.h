/* SPDX-License-Identifier: Apache-2.0 */
/* A probe's path as the kubelet sends it, from what its manifest says: who asks in
 * its stead, and who lets it in, must mean the same. */
#ifndef TULLE_MESH_PROBE_PATH_H
#define TULLE_MESH_PROBE_PATH_H

#include "lib/base/text.h"

enum { PROBE_TARGET_MAX = 8192 };

/* Appends it: with a slash before it, without a fragment, and every byte that a
 * request line cannot hold as %XX. */
void probe_path_write(slice path, struct text *out);

#endif
