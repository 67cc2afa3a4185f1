/* SPDX-License-Identifier: Apache-2.0 */
/* Tells that something in one folder has changed (not below it). It may tell too
 * often, and on some file systems not at all: who depends on it also looks from
 * time to time. */
#ifndef TULLE_NET_FS_WATCH_H
#define TULLE_NET_FS_WATCH_H

#include "lib/net/loop.h"

struct fs_watch;
typedef void fs_watch_fn(void *arg);

/* `path` is copied. Gives a watch. `fn` may close it. */
CHECKED enum status fs_watch_open(struct fs_watch **out, struct loop *l,
                                  const char *path, fs_watch_fn *fn, void *arg,
                                  struct error *e);
/* No call follows; memory ends by itself. NULL is ignored. */
void fs_watch_close(struct fs_watch *w);

#endif
