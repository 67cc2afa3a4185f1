/* SPDX-License-Identifier: Apache-2.0 */
/* What this build is. */
#ifndef TULLE_ADMIN_BUILD_INFO_H
#define TULLE_ADMIN_BUILD_INFO_H

#include "lib/base/text.h"

slice build_version(void);  /* "0.1.0" */
slice build_compiler(void); /* "gcc 12.2.0" */
/* Appends {"program":"...","version":"...","compiler":"..."}. */
void build_info_json(struct text *t, slice program);

#endif
