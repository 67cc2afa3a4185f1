/* SPDX-License-Identifier: Apache-2.0 */
/* The trust bundle, in a ConfigMap of every namespace that may have meshed pods:
 * `tulle-trust-bundle`, key `bundle.pem`. Written by the leader; put right when
 * somebody edits or deletes it. */
#ifndef TULLE_CONTROLLER_IDENTITY_BUNDLE_H
#define TULLE_CONTROLLER_IDENTITY_BUNDLE_H

#include "controller/registry/registry.h"
#include "controller/status/writes.h"

struct bundle_writer;

/* Borrows the registry. Gives it; writes nothing before it leads and has a
 * bundle. */
CHECKED enum status bundle_writer_start(struct bundle_writer **out,
                                        struct kube *k, struct registry *r,
                                        struct error *e);
/* Copies. */
void bundle_writer_set(struct bundle_writer *b, slice bundle);
void bundle_writer_lead(struct bundle_writer *b, bool leading);
/* Namespaces whose ConfigMap is not what it should be, as far as we know. */
size_t bundle_writer_behind(const struct bundle_writer *b);
/* Those that are there are what they should be, and the API server has said so since
 * `fresh` (monotonic ns). `*missing` becomes true when some are not there (yet). */
bool bundle_writer_written(const struct bundle_writer *b, int64_t fresh,
                           bool *missing);
/* NULL is ignored. */
void bundle_writer_close(struct bundle_writer *b);

#endif
