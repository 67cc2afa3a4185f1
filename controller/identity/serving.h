/* SPDX-License-Identifier: Apache-2.0 */
/* The controller's own certificate: spiffe://<trust-domain>/tulle/controller,
 * the name that proxies pin. Made in process, key in memory only. */
#ifndef TULLE_CONTROLLER_IDENTITY_SERVING_H
#define TULLE_CONTROLLER_IDENTITY_SERVING_H

#include "controller/identity/authority.h"
#include "lib/tls/tls_settings.h"

/* A new key and certificate, as the settings of the Mesh API's listener: HTTP/2
 * (HTTP/1.1 for people), client certificates asked for and checked against
 * the authority's bundle, not required. Gives a reference. `not_after` tells its end. */
CHECKED enum status serving_new(struct tls_settings **out,
                                const struct authority *a, slice trust_domain,
                                int64_t date, int64_t life, int64_t *not_after,
                                struct error *e);
/* The same certificate, to call other replicas with. Gives a reference. */
CHECKED enum status serving_client(struct tls_settings **out,
                                   const struct tls_settings *serving,
                                   slice bundle, struct error *e);

#endif
