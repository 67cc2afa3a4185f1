/* SPDX-License-Identifier: Apache-2.0 */
/* Whole small files, read and written. Blocking: for start-up and for what is
 * rare. */
#ifndef TULLE_BASE_FILE_H
#define TULLE_BASE_FILE_H

#include <sys/types.h>

#include "lib/base/slice.h"

/* Reads all of it; `*out` is a heap copy (mem_free its ptr) with a final 0 that is
 * not counted. ERR_TOO_BIG beyond `max`; the sentence names the file. */
CHECKED enum status file_read(slice path, size_t max, slice *out,
                              struct error *e);
/* Writes a file beside it, syncs, and renames it over: readers see the old or the
 * new content, never a part. */
CHECKED enum status file_write_atomic(slice path, slice content, mode_t mode,
                                      struct error *e);

#endif
