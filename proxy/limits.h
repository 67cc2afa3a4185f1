/* SPDX-License-Identifier: Apache-2.0 */
/* What peers may make large, many, slow or frequent: the settings, as the HTTP
 * connections of either side, of links and of applications keep them, each of which
 * counts what is hit as its side's. */
#ifndef TULLE_PROXY_LIMITS_H
#define TULLE_PROXY_LIMITS_H

#include "proxy/worker.h"

/* Of `w`, which has its configuration and telemetry. */
void limits_set(struct worker *w);

#endif
