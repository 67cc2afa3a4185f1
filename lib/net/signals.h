/* SPDX-License-Identifier: Apache-2.0 */
/* SIGTERM, SIGINT and SIGHUP as calls on a loop; SIGPIPE is ignored from the
 * first start on, in the whole process. */
#ifndef TULLE_NET_SIGNALS_H
#define TULLE_NET_SIGNALS_H

#include <signal.h>

#include "lib/net/loop.h"

struct signals;
typedef void signals_fn(void *arg, int signum);

/* Gives it. `fn` may close it. */
CHECKED enum status signals_start(struct signals **out, struct loop *l,
                                  signals_fn *fn, void *arg, struct error *e);
/* No call follows; memory ends by itself. NULL is ignored. */
void signals_close(struct signals *s);

#endif
