/* SPDX-License-Identifier: Apache-2.0 */
/* Owns all of the serving injector, from start to end. */
#ifndef TULLE_INJECTOR_INJECTOR_H
#define TULLE_INJECTOR_INJECTOR_H

#include "injector/config.h"

/* Runs until a signal ends it, or what it cannot go on without fails. */
CHECKED enum status injector_run(const struct injector_config *config,
                                 struct error *e);

#endif
