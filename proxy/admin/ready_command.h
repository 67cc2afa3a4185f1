/* SPDX-License-Identifier: Apache-2.0 */
/* `tulle-proxy ready [IP:port]`: asks a running proxy whether it is ready. The
 * image has no shell that could; `helm test` and people need it. */
#ifndef TULLE_PROXY_ADMIN_READY_COMMAND_H
#define TULLE_PROXY_ADMIN_READY_COMMAND_H

/* `argv[0]` is "ready". Asks at the address given, else at that in TULLE_ADMIN,
 * else at its default. Prints the answer; returns the exit code: 0 only when
 * ready. */
int ready_command(int argc, char **argv);

#endif
