/* SPDX-License-Identifier: Apache-2.0 */
/* Small files of the state folder that hold secrets, or must be made exactly
 * once. For all others there is lib/base/file.h. */
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
/* Appends the content of a file that only its owner may read or write, else
 * ERR_DENIED. ERR_NOT_FOUND; ERR_TOO_BIG over the text's limit or
 * STATE_FILE_MAX. */
CHECKED enum status state_read_secret(const char *path, struct text *out,
                                      struct error *e);
/* Puts the content in a file that must not be there yet: ERR_EXISTS. Readers see
 * all of it or no file; it survives a crash. */
CHECKED enum status state_create(const char *path, mode_t mode, slice content,
                                 struct error *e);

#endif
