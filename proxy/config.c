/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/config.h"

#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/http/limits.h"
#include "lib/http/path.h"
#include "lib/net/address.h"
#include "proxy/balance/balancer.h"

const struct settings_row config_rows[] = {
#define X(kind, name, env, def, help) \
    SETTINGS_ROW(struct config, kind, name, env, def, help)
#include "proxy/config.def"
#undef X
};
const size_t config_rows_len = sizeof config_rows / sizeof *config_rows;

enum { HELP_MAX = 65536, LIST_MAX = 65536, ATTEMPTS_MAX = 8 };

static void print_help(void)
{
    struct text t;
    text_init(&t, HELP_MAX);
    text_add(&t, SLICE("tulle-proxy: the sidecar of the Tulle mesh.\n\n"
                       "    tulle-proxy [settings]\n"
                       "    tulle-proxy ready [IP:port]   is it ready?\n\n"
                       "Each setting is a flag and an environment "
                       "variable.\n\n"));
    settings_help(config_rows, config_rows_len, &t);
    fputs(text_cstr(&t), stdout);
    text_fini(&t);
}

/* A list flag: the first replaces what the environment said, more of them are
 * joined with commas. */
static enum status join(char **joined, slice *list, slice value,
                        struct error *e)
{
    struct text t;
    size_t len;

    text_init(&t, LIST_MAX);
    if (*joined)
        text_printf(&t, "%s,", *joined);
    text_add(&t, value);
    if (t.failed) {
        text_fini(&t);
        return error_set(e, ERR_TOO_BIG, "a list of more than %d bytes",
                         LIST_MAX);
    }
    mem_free(*joined);
    *joined = text_take(&t, &len);
    *list = slice_of(*joined, len);
    return OK;
}

static bool is_list(slice name)
{
    return slice_eq(name, SLICE("inbound")) ||
           slice_eq(name, SLICE("outbound"));
}

static enum status set(struct config *c, slice name, slice value,
                       struct error *e)
{
    if (slice_eq(name, SLICE("inbound")))
        return join(&c->joined[0], &c->inbound, value, e);
    if (slice_eq(name, SLICE("outbound")))
        return join(&c->joined[1], &c->outbound, value, e);
    enum status rc = settings_set(config_rows, config_rows_len, c, name, value,
                                  e);
    if (rc == ERR_NOT_FOUND)
        return error_set(e, ERR_INVALID, "--%.*s: no such setting", FMT(name));
    return rc;
}

static enum status take_arguments(struct config *c, int argc, char **argv,
                                  struct error *e)
{
    for (int i = 1; i < argc; i++) {
        slice arg = slice_str(argv[i]), name, value;
        if (slice_eq(arg, SLICE("--help"))) {
            print_help();
            return ERR_NOT_FOUND;
        }
        if (slice_eq(arg, SLICE("--version"))) {
            puts("tulle-proxy " TULLE_VERSION);
            return ERR_NOT_FOUND;
        }
        if (!slice_starts(arg, SLICE("--")))
            return error_set(e, ERR_INVALID, "unexpected argument '%s'",
                             argv[i]);
        name = slice_sub(arg, 2, arg.len);
        if (!slice_cut(name, '=', &name, &value) ||
            is_list(slice_sub(arg, 2, arg.len))) {
            if (i + 1 == argc)
                return error_set(e, ERR_INVALID, "%s: a value is missing",
                                 argv[i]);
            value = slice_str(argv[++i]);
        }
        enum status rc = set(c, name, value, e);
        if (rc)
            return rc;
    }
    return OK;
}

static enum status check(const struct config *c, struct error *e)
{
    struct address a;
    enum path_rule rule;
    if (c->workers < 1 || c->workers > 64)
        return error_set(e, ERR_INVALID, "workers: from 1 to 64");
    if (c->attempts < 1 || c->attempts > ATTEMPTS_MAX)
        return error_set(e, ERR_INVALID, "attempts: from 1 to %d",
                         ATTEMPTS_MAX);
    if (c->max_connections < c->workers || c->max_requests < c->workers)
        return error_set(e, ERR_INVALID,
                         "max-connections and max-requests: at "
                         "least one for each worker");
    if (c->max_headers < 1 || c->max_headers > HTTP_HEADERS_MAX - 8)
        return error_set(e, ERR_INVALID, "max-headers: from 1 to %d",
                         HTTP_HEADERS_MAX - 8);
    if (c->max_head_bytes < 1024 || c->max_head_bytes > 1 << 20)
        return error_set(e, ERR_INVALID, "max-head-bytes: from 1Ki to 1Mi");
    if (c->max_trailer_bytes < 256 || c->max_trailer_bytes > 1 << 20)
        return error_set(e, ERR_INVALID, "max-trailer-bytes: from 256 to 1Mi");
    if (c->max_chunk_line < 32 || c->max_chunk_line > 65536)
        return error_set(e, ERR_INVALID, "max-chunk-line: from 32 to 64Ki");
    if (c->stream_window < 65535 || c->stream_window_max < c->stream_window ||
        c->link_window < c->stream_window_max || c->link_window > INT32_MAX)
        return error_set(e, ERR_INVALID,
                         "64Ki <= stream-window <= stream-window-max <= "
                         "link-window <= 2Gi must hold");
    if (c->connection_window < c->stream_window_max ||
        c->connection_window > INT32_MAX)
        return error_set(e, ERR_INVALID,
                         "stream-window-max <= connection-window <= 2Gi must "
                         "hold");
    if (c->body_window < 16384 || c->body_window > 1 << 30)
        return error_set(e, ERR_INVALID, "body-window: from 16Ki to 1Gi");
    if (c->replay_bytes > 192 * 1024)
        return error_set(e, ERR_INVALID, "replay-bytes: at most 192Ki");
    if (c->link_dead <= c->link_ping)
        return error_set(e, ERR_INVALID, "link-dead must be above link-ping");
    if (!balancer_find(c->balancer))
        return error_set(e, ERR_INVALID, "balancer: no '%.*s'",
                         FMT(c->balancer));
    if (path_rule_find(c->path_rule, &rule))
        return error_set(e, ERR_INVALID,
                         "path-rule: '%.*s' is none of none, base, "
                         "merge-slashes, strict",
                         FMT(c->path_rule));
    if (address_parse(c->admin, &a))
        return error_set(e, ERR_INVALID, "admin: '%.*s' is not IP:port",
                         FMT(c->admin));
    if (!address_is_loopback(&a))
        return error_set(e, ERR_INVALID,
                         "admin: %.*s is not a loopback address",
                         FMT(c->admin));
    if (slice_empty(c->controller) ||
        (slice_empty(c->bundle) && slice_empty(c->bundle_pem)))
        return error_set(e, ERR_INVALID,
                         "--controller and --bundle are needed");
    if (slice_empty(c->join_token_file) == slice_empty(c->token_file))
        return error_set(e, ERR_INVALID,
                         "one of --join-token-file and --token-file is needed");
    return OK;
}

enum status config_load(struct config *c, int argc, char **argv,
                        struct error *e)
{
    *c = (struct config){0};
    enum status rc = settings_load(config_rows, config_rows_len, c, NULL, e);
    if (!rc)
        rc = take_arguments(c, argc, argv, e);
    if (!rc)
        rc = check(c, e);
    return rc;
}

void config_fini(struct config *c)
{
    for (int i = 0; i < 2; i++) {
        mem_free(c->joined[i]);
        c->joined[i] = NULL;
    }
}
