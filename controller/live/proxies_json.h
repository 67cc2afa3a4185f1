/* SPDX-License-Identifier: Apache-2.0 */
/* The proxies for people and programs (GET /v1/proxies): one JSON object each. */
#ifndef TULLE_CONTROLLER_LIVE_PROXIES_JSON_H
#define TULLE_CONTROLLER_LIVE_PROXIES_JSON_H

#include "controller/live/proxies.h"
#include "lib/json/json_write.h"

void proxy_state_json(const struct proxy_state *s, struct json_write *w);
/* Items of the open array: every pod once, also those of other replicas, as far as
 * these tell us. */
void proxies_json(const struct proxies *p, struct json_write *w);

#endif
