/* SPDX-License-Identifier: Apache-2.0 */
/* tulle-proxy [settings]           runs
 * tulle-proxy ready [IP:port]      is the one that runs ready? */
#include <stdio.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/tls/tls_settings.h"
#include "proxy/admin/ready_command.h"
#include "proxy/proxy.h"

int main(int argc, char **argv)
{
    struct config config;
    struct error e = {{0}};

    if (argc > 1 && slice_eq(slice_str(argv[1]), SLICE("ready")))
        return ready_command(argc - 1, argv + 1);
    tls_library_init(); /* before OpenSSL allocates anything */
    enum status rc = config_load(&config, argc, argv, &e);
    if (rc == ERR_NOT_FOUND) /* --help, --version */
        goto out;
    if (!rc)
        rc = log_set_levels(config.log_level, &e);
    if (!rc) {
        log_set_json(config.log_json);
        mem_set_budget(config.memory_budget);
        rc = proxy_run(&config, &e);
    }
    if (rc) {
        fprintf(stderr, "tulle-proxy: %s\n", e.text);
        _exit(1); /* no exit handlers: a worker may run already */
    }
out:
    config_fini(&config);
    return 0;
}
