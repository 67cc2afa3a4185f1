/* SPDX-License-Identifier: Apache-2.0 */
/* The settings inbound, outbound and their transparent twins as a list. Pure. */
#ifndef TULLE_PROXY_LISTEN_H
#define TULLE_PROXY_LISTEN_H

#include "proxy/worker.h"

/* At most `max`. ERR_INVALID with a sentence naming the part that is wrong. */
CHECKED enum status listen_specs(const struct config *c,
                                 struct listen_spec *out, size_t max, size_t *n,
                                 struct error *e);

#endif
