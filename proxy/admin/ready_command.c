/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/admin/ready_command.h"

#include <stdio.h>

#include "lib/admin/ask.h"
#include "proxy/config.h"

enum { PATIENCE = 5 /* seconds */ };

static int complain(const char *sentence)
{
    fprintf(stderr, "tulle-proxy ready: %s\n", sentence);
    return 1;
}

int ready_command(int argc, char **argv)
{
    struct config config = {0};
    struct error e = {{0}};
    struct address at;
    slice where;
    struct text body;
    unsigned http = 0;
    int code = 1;

    if (settings_load(config_rows, config_rows_len, &config, NULL, &e))
        return complain(e.text);
    where = argc > 1 ? slice_str(argv[1]) : config.admin;
    if (argc > 2 || address_parse(where, &at))
        return complain("one argument at most, an address as IP:port");
    text_init(&body, ASK_PAGE_MAX);
    if (admin_ask(&at, "/ready", PATIENCE, &http, &body, &e)) {
        (void)complain(e.text);
        goto out;
    }
    fputs(text_cstr(&body), stdout);
    code = http == 200 ? 0 : 1;
out:
    text_fini(&body);
    return code;
}
