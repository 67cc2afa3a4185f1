/* SPDX-License-Identifier: Apache-2.0 */
/* tulle-injector [settings]                        serves the webhook
 * tulle-injector file [--all] [settings] PATH...   the same to manifests */
#include <stdio.h>

#include "injector/file_command.h"
#include "injector/injector.h"
#include "lib/base/log.h"
#include "lib/tls/tls_settings.h"

static void print_help(void)
{
    struct text help;

    text_init(&help, 1 << 16);
    text_add(&help,
             SLICE("tulle-injector: gives pods their sidecar.\n\n"
                   "    tulle-injector [settings]\n"
                   "    tulle-injector file [--all] [settings] -|PATH...\n\n"
                   "file writes manifests with sidecars to standard output; "
                   "pods that did not ask\nfor one stay as they are, unless "
                   "--all.\n\n"));
    settings_help(injector_rows, injector_rows_len, &help);
    fputs(text_cstr(&help), stdout);
    text_fini(&help);
}

static int complain(const struct error *e)
{
    fprintf(stderr, "tulle-injector: %s\n", e->text);
    return 1;
}

static enum status run(struct injector_config *config,
                       const struct injector_arguments *args, int argc,
                       char **argv, struct error *e)
{
    enum status rc = log_set_levels(config->log_level, e);

    if (rc)
        return rc;
    log_set_json(config->log_json);
    if (args->file)
        return file_command(config, args, argc, argv, e);
    return injector_run(config, e);
}

int main(int argc, char **argv)
{
    struct injector_arguments args = {0};
    struct injector_config config;
    struct error e = {""};
    enum status rc;

    tls_library_init();
    if (argc > 1 && slice_eq(slice_str(argv[1]), SLICE("--version"))) {
        puts("tulle-injector " TULLE_VERSION);
        return 0;
    }
    if (argc > 1 && slice_eq(slice_str(argv[1]), SLICE("file"))) {
        args.file = true;
        argc--;
        argv++;
    }
    rc = injector_config_load(&config, argc, argv, &args, &e);
    if (!rc && args.help)
        print_help();
    else if (!rc)
        rc = run(&config, &args, argc, argv, &e);
    injector_config_fini(&config);
    return rc ? complain(&e) : 0;
}
