/* SPDX-License-Identifier: Apache-2.0 */
/* The controller's settings: flags over environment over defaults. */
#ifndef TULLE_CONTROLLER_CONFIG_H
#define TULLE_CONTROLLER_CONFIG_H

#include "controller/identity/root_state.h"
#include "lib/base/settings.h"
#include "lib/mesh/views.h"
#include "lib/net/address.h"

struct controller_config {
#define X(kind, name, env, def, help) SETTINGS_FIELD_##kind(name)
#include "controller/config.def"
#undef X
    /* parsed from the above */
    struct address listen_address, admin_address, health_address;
    char host_name[256];
    enum mtls_mode default_mtls_mode;
};

extern const struct settings_row controller_rows[];
extern const size_t controller_rows_len;

/* What the settings say of changing a root of our own. ERR_INVALID with a
 * sentence. */
CHECKED enum status controller_root_rules(const struct controller_config *c,
                                          struct root_rules *out,
                                          struct error *e);
/* Arguments are `--name value` or `--name=value`, from argv[1] on. `*help` when
 * --help is among them: then nothing is checked. Values borrow from argv and the
 * environment. ERR_INVALID with a sentence that names the setting. */
CHECKED enum status controller_config_load(struct controller_config *c,
                                           int argc, char **argv, bool *help,
                                           struct error *e);

#endif
