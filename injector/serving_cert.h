/* SPDX-License-Identifier: Apache-2.0 */
/* The certificate that the webhook shows: PEM -> TLS settings, and from files
 * that are followed. In a cluster it comes from a Secret instead (cluster.h). */
#ifndef TULLE_INJECTOR_SERVING_CERT_H
#define TULLE_INJECTOR_SERVING_CERT_H

#include "lib/net/loop.h"
#include "lib/tls/tls_settings.h"

/* Gives the settings; `not_after` in seconds since 1970. */
CHECKED enum status serving_cert_make(struct tls_settings **out, slice chain,
                                      slice key, int64_t *not_after,
                                      struct error *e);

struct serving_files;

/* `tls` is borrowed for the call. */
typedef void serving_fn(void *owner, struct tls_settings *tls,
                        int64_t not_after);

/* Reads both files now, and calls `fn` before it returns; again whenever what
 * they hold has changed and fits together. Paths are copied. */
CHECKED enum status serving_files_start(struct serving_files **out,
                                        struct loop *l, slice cert, slice key,
                                        serving_fn *fn, void *owner,
                                        struct error *e);
/* Looks now. */
void serving_files_refresh(struct serving_files *f);
/* No call follows; memory ends by itself. NULL is ignored. */
void serving_files_close(struct serving_files *f);

#endif
