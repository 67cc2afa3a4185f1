/* SPDX-License-Identifier: Apache-2.0 */
/* tulle-injector file [--all] [settings] -|FILE|FOLDER ...
 * Manifests in, manifests with sidecars out. */
#ifndef TULLE_INJECTOR_FILE_COMMAND_H
#define TULLE_INJECTOR_FILE_COMMAND_H

#include "injector/config.h"

/* Writes to standard output when all went well, and what happened to each pod to
 * standard error. */
CHECKED enum status file_command(struct injector_config *config,
                                 const struct injector_arguments *args,
                                 int argc, char **argv, struct error *e);

#endif
