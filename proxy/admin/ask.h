/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the application one probe's question, once, as the kubelet would. */
#ifndef TULLE_PROXY_ADMIN_ASK_H
#define TULLE_PROXY_ADMIN_ASK_H

#include "lib/net/address.h"
#include "lib/net/loop.h"
#include "lib/tls/tls_settings.h"
#include "proxy/admin/probes.h"

struct ask;

/* `why`: one line without line breaks, also about a success. Borrows. */
typedef void ask_fn(void *arg, bool good, const char *why);

/* Dials the probe's port of `pod`. `tls` (an any_peer client) is
 * shared. `done` runs exactly once, later, within the probe's time-out, unless
 * canceled. `probe` must outlive that. */
void ask_start(struct ask **out, struct loop *l, const struct probe *probe,
               const struct address *pod, struct tls_settings *tls,
               ask_fn *done, void *arg);
/* Gives it away; `done` does not run any more. */
void ask_cancel(struct ask *a);

#endif
