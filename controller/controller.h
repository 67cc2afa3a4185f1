/* SPDX-License-Identifier: Apache-2.0 */
/* The controller: owns all, in start and drain order. */
#ifndef TULLE_CONTROLLER_CONTROLLER_H
#define TULLE_CONTROLLER_CONTROLLER_H

#include "controller/config.h"

/* Runs until SIGTERM or SIGINT; the second one does not wait for anybody.
 * `config` is borrowed. On error nothing is left running. */
CHECKED enum status controller_run(const struct controller_config *config,
                                   struct error *e);

#endif
