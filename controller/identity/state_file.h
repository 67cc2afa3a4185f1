/* SPDX-License-Identifier: Apache-2.0 */
/* Small files of the state folder: read whole, written so that a reader sees
 * either the old content or the new, also after a crash. */
#ifndef TULLE_CONTROLLER_IDENTITY_STATE_FILE_H
#define TULLE_CONTROLLER_IDENTITY_STATE_FILE_H

#include <sys/types.h>

#include "lib/base/text.h"

enum { STATE_PATH = 4096, STATE_FILE_MAX = 1 << 20 };

/* "dir/name" with a final 0. ERR_TOO_BIG. */
CHECKED enum status state_path(char out[STATE_PATH], slice dir,
                               const char *name, struct error *e);
/* Makes the folder (not its parents) when it is missing. */
CHECKED enum status state_dir(const char *path, mode_t mode, struct error *e);
/* Appends the content. ERR_NOT_FOUND; ERR_TOO_BIG over the text's limit or
 * STATE_FILE_MAX; with `secret` ERR_DENIED when others than the owner may read
 * or write it. */
CHECKED enum status state_read(const char *path, bool secret, struct text *out,
                               struct error *e);
/* Puts the content in place, whether the file is there or not. */
CHECKED enum status state_write(const char *path, mode_t mode, slice content,
                                struct error *e);
/* The same for a file that must not be there yet: ERR_EXISTS. */
CHECKED enum status state_create(const char *path, mode_t mode, slice content,
                                 struct error *e);

#endif
