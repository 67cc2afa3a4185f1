/* SPDX-License-Identifier: Apache-2.0 */
/* tulle-controller [settings]         runs
 * tulle-controller token [...]        makes a join token */
#include <stdio.h>

#include "controller/controller.h"
#include "controller/token_command.h"
#include "lib/base/log.h"
#include "lib/tls/tls_settings.h"

static void print_help(void)
{
    struct text help;

    text_init(&help, 1 << 16);
    text_add(&help, SLICE("tulle-controller: tells proxies what they need, "
                          "and who they are.\n\n"
                          "    tulle-controller --source FOLDER [settings]\n"
                          "    tulle-controller --kubernetes [settings]\n"
                          "    tulle-controller token --name NAMESPACE/ACCOUNT "
                          "[--pod NAMESPACE/POD] [--ttl 10m]\n\n"));
    settings_help(controller_rows, controller_rows_len, &help);
    fputs(text_cstr(&help), stdout);
    text_fini(&help);
}

static int complain(const struct error *e)
{
    fprintf(stderr, "tulle-controller: %s\n", e->text);
    return 1;
}

static int run(int argc, char **argv)
{
    struct controller_config config;
    struct error e = {""};
    bool help;

    if (controller_config_load(&config, argc, argv, &help, &e))
        return complain(&e);
    if (help) {
        print_help();
        return 0;
    }
    if (log_set_levels(config.log_level, &e))
        return complain(&e);
    log_set_json(config.log_json);
    return controller_run(&config, &e) ? complain(&e) : 0;
}

int main(int argc, char **argv)
{
    struct error e = {""};

    tls_library_init();
    if (argc > 1 && slice_eq(slice_str(argv[1]), SLICE("--version"))) {
        puts("tulle-controller " TULLE_VERSION);
        return 0;
    }
    if (argc > 1 && slice_eq(slice_str(argv[1]), SLICE("token")))
        return token_command(argc - 1, argv + 1, &e) ? complain(&e) : 0;
    return run(argc, argv);
}
