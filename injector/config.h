/* SPDX-License-Identifier: Apache-2.0 */
/* The injector's settings: flags over environment over defaults. */
#ifndef TULLE_INJECTOR_CONFIG_H
#define TULLE_INJECTOR_CONFIG_H

#include "injector/inject.h"
#include "lib/base/settings.h"
#include "lib/net/address.h"

struct injector_config {
#define X(kind, name, env, def, help) SETTINGS_FIELD_##kind(name)
#include "injector/config.def"
#undef X
    /* parsed from the above */
    struct address listen_address, admin_address, health_address;
    /* for pods; without bundle and controller address, which may change */
    struct inject_settings inject;
    struct arena arena; /* what that borrows */
};

extern const struct settings_row injector_rows[];
extern const size_t injector_rows_len;

struct injector_arguments {
    bool help; /* then nothing is checked */
    bool all;  /* --all, of `tulle-injector file` only */
    int files; /* arguments from here on are no settings; argc: none */
    bool file; /* given: it is that command */
};

/* Arguments are `--name value` or `--name=value`, from argv[1] on. Values borrow
 * from argv and the environment. ERR_INVALID with a sentence that names the
 * setting. Always injector_config_fini. */
CHECKED enum status injector_config_load(struct injector_config *c, int argc,
                                         char **argv,
                                         struct injector_arguments *args,
                                         struct error *e);
void injector_config_fini(struct injector_config *c);

#endif
