/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/token_command.h"

#include <stdio.h>

#include "controller/identity/join_token.h"
#include "controller/identity/state_file.h"
#include "lib/base/clock.h"
#include "lib/base/settings.h"

enum { ROWS = 5 };
#define TTL_MAX (24 * 3600 * NSEC_PER_SEC)

struct token_options {
    slice state, trust_domain, name, pod;
    int64_t ttl;
};

#define ROW(kind, name, env, def, help) \
    SETTINGS_ROW(struct token_options, kind, name, env, def, help)
static const struct settings_row rows[ROWS] = {
    ROW(TEXT, state, "TULLE_CONTROLLER_STATE", "tulle-state",
        "The controller's state folder.") ROW(TEXT, trust_domain,
                                              "TULLE_CONTROLLER_TRUST_DOMAIN",
                                              "cluster.local",
                                              "Trust domain of the mesh.")
        ROW(TEXT, name, "TULLE_TOKEN_NAME", "",
            "Whom it is for: namespace/service-account.")
            ROW(TEXT, pod, "TULLE_TOKEN_POD", "",
                "Its pod, namespace/pod: what it may see of itself follows from it.")
                ROW(MSEC, ttl, "TULLE_TOKEN_TTL", "10m",
                    "How long the token may be used, once.")};
#undef ROW

static void print_help(void)
{
    struct text help;

    text_init(&help, 1 << 14);
    text_add(&help, SLICE("tulle-controller token: prints a join token, good "
                          "for one certificate.\n\n"));
    settings_help(rows, ROWS, &help);
    fputs(text_cstr(&help), stdout);
    text_fini(&help);
}

static enum status load(struct token_options *o, int argc, char **argv,
                        bool *help, struct error *e)
{
    enum status rc = settings_load(rows, ROWS, o, NULL, e);

    for (int i = 1; i < argc && !rc; i++) {
        slice arg = slice_str(argv[i]), name, value;

        *help = slice_eq(arg, SLICE("--help"));
        if (*help)
            return OK;
        if (!slice_starts(arg, SLICE("--")))
            return error_set(e, ERR_INVALID, "token: '%s' is no setting",
                             argv[i]);
        arg = slice_sub(arg, 2, arg.len);
        if (!slice_cut(arg, '=', &name, &value)) {
            name = arg;
            if (++i == argc)
                return error_set(e, ERR_INVALID,
                                 "token: --%.*s: a value is missing",
                                 FMT(name));
            value = slice_str(argv[i]);
        }
        rc = settings_set(rows, ROWS, o, name, value, e);
        if (rc == ERR_NOT_FOUND)
            rc = error_set(e, ERR_INVALID,
                           "token: --%.*s: there is no such setting",
                           FMT(name));
    }
    return rc;
}

enum status token_command(int argc, char **argv, struct error *e)
{
    struct token_options o = {0};
    char token[JOIN_TOKEN_TEXT], dir[STATE_PATH];
    bool help = false;
    enum status rc = load(&o, argc, argv, &help, e);

    if (rc)
        return rc;
    if (help) {
        print_help();
        return OK;
    }
    if (slice_empty(o.name))
        return error_set(e, ERR_INVALID,
                         "token: --name: namespace/service-account is missing");
    if (o.ttl < NSEC_PER_SEC || o.ttl > TTL_MAX)
        return error_set(e, ERR_INVALID, "token: --ttl: from 1s to 24h");
    if (slice_to_cstr(o.state, dir, sizeof dir))
        return error_set(e, ERR_TOO_BIG, "token: --state: is too long");
    rc = state_dir(dir, 0755, e);
    if (!rc)
        rc = join_token_new(o.state, o.trust_domain, o.name, o.pod,
                            clock_real_ns() / NSEC_PER_SEC,
                            o.ttl / NSEC_PER_SEC, token, e);
    if (!rc)
        printf("%s\n", token);
    return rc;
}
