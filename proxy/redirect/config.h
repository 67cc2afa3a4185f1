/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of tulle-init, and what they mean together. */
#ifndef TULLE_PROXY_REDIRECT_CONFIG_H
#define TULLE_PROXY_REDIRECT_CONFIG_H

#include "lib/base/settings.h"
#include "lib/net/address.h"
#include "proxy/redirect/rules.h"

enum { INIT_CONTROLLERS_MAX = 8 };

struct init_config {
#define X(kind, name, env, def, help) SETTINGS_FIELD_##kind(name)
#include "proxy/redirect/config.def"
#undef X
    struct rules rules;
    struct address controllers[INIT_CONTROLLERS_MAX];
    unsigned controllers_len;
    bool help, version, print; /* asked for: nothing else is done */
};

extern const struct settings_row init_rows[];
extern const size_t init_rows_len;

/* Defaults, environment (`env` as in settings.h), arguments; then checked and
 * parsed. ERR_INVALID or ERR_TOO_BIG with a sentence that names the setting.
 * `out` borrows from both. */
CHECKED enum status init_config_load(struct init_config *out, int argc,
                                     const char *const *argv,
                                     const char *(*env)(const char *name),
                                     struct error *e);

#endif
