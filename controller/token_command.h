/* SPDX-License-Identifier: Apache-2.0 */
/* `tulle-controller token`: prints a join token. */
#ifndef TULLE_CONTROLLER_TOKEN_COMMAND_H
#define TULLE_CONTROLLER_TOKEN_COMMAND_H

#include "lib/base/slice.h"

/* argv[0] is "token". Writes the token and a newline to standard output. */
CHECKED enum status token_command(int argc, char **argv, struct error *e);

#endif
