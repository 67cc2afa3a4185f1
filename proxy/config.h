/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy's settings in force. Loaded once; passed, never reached for. */
#ifndef TULLE_PROXY_CONFIG_H
#define TULLE_PROXY_CONFIG_H

#include "lib/base/settings.h"

struct config {
#define X(kind, name, env, def, help) SETTINGS_FIELD_##kind(name)
#include "proxy/config.def"
#undef X
    char
        *joined[2]; /* behind `inbound` and `outbound`, where flags gave them */
};

extern const struct settings_row config_rows[];
extern const size_t config_rows_len;

/* Defaults, environment, then arguments (`--name value` or `--name=value`; the
 * list settings inbound and outbound may be repeated). Borrows argv. Checks what
 * depends on each other. ERR_NOT_FOUND with `e` empty: --help or --version was
 * asked for and answered on stdout. Always pair with config_fini. */
CHECKED enum status config_load(struct config *c, int argc, char **argv,
                                struct error *e);
void config_fini(struct config *c);

#endif
