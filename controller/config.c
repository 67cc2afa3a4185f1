/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/config.h"

#include "lib/base/clock.h"
#include "lib/mesh/identity.h"

const struct settings_row controller_rows[] = {
#define X(kind, name, env, def, help) \
    SETTINGS_ROW(struct controller_config, kind, name, env, def, help)
#include "controller/config.def"
#undef X
};
const size_t controller_rows_len = sizeof controller_rows /
                                   sizeof *controller_rows;

static enum status set(struct controller_config *c, slice name, slice value,
                       struct error *e)
{
    enum status rc = settings_set(controller_rows, controller_rows_len, c, name,
                                  value, e);

    if (rc == ERR_NOT_FOUND)
        return error_set(e, ERR_INVALID, "--%.*s: there is no such setting",
                         FMT(name));
    return rc;
}

static enum status take_arguments(struct controller_config *c, int argc,
                                  char **argv, bool *help, struct error *e)
{
    for (int i = 1; i < argc; i++) {
        slice arg = slice_str(argv[i]), name, value;
        enum status rc;

        if (slice_eq(arg, SLICE("--help")) || slice_eq(arg, SLICE("-h"))) {
            *help = true;
            return OK;
        }
        if (!slice_starts(arg, SLICE("--")) || arg.len == 2)
            return error_set(e, ERR_INVALID, "'%s' is no setting", argv[i]);
        arg = slice_sub(arg, 2, arg.len);
        if (!slice_cut(arg, '=', &name, &value)) {
            name = arg;
            if (++i == argc)
                return error_set(e, ERR_INVALID, "--%.*s: a value is missing",
                                 FMT(name));
            value = slice_str(argv[i]);
        }
        rc = set(c, name, value, e);
        if (rc)
            return rc;
    }
    return OK;
}

static enum status check_addresses(struct controller_config *c, struct error *e)
{
    if (address_parse(c->listen, &c->listen_address))
        return error_set(e, ERR_INVALID, "--listen: '%.*s' is not IP:port",
                         FMT(c->listen));
    if (address_parse(c->admin, &c->admin_address))
        return error_set(e, ERR_INVALID, "--admin: '%.*s' is not IP:port",
                         FMT(c->admin));
    if (!slice_empty(c->health) && address_parse(c->health, &c->health_address))
        return error_set(e, ERR_INVALID, "--health: '%.*s' is not IP:port",
                         FMT(c->health));
    /* The admin pages show everything and ask nobody who he is. */
    if (!address_is_loopback(&c->admin_address))
        return error_set(e, ERR_INVALID,
                         "--admin: '%.*s' is not a loopback address",
                         FMT(c->admin));
    return OK;
}

static enum status check(struct controller_config *c, struct error *e)
{
    if (slice_empty(c->state))
        return error_set(e, ERR_INVALID, "--state: must not be empty");
    if (!dns_subdomain_valid(c->trust_domain))
        return error_set(e, ERR_INVALID,
                         "--trust-domain: '%.*s' is not a DNS name in lower "
                         "case",
                         FMT(c->trust_domain));
    if (slice_eq(c->default_mtls, SLICE("strict")))
        c->default_mtls_mode = MTLS_STRICT;
    else if (slice_eq(c->default_mtls, SLICE("permissive")))
        c->default_mtls_mode = MTLS_PERMISSIVE;
    else
        return error_set(e, ERR_INVALID,
                         "--default-mtls: '%.*s' is neither permissive nor "
                         "strict",
                         FMT(c->default_mtls));
    if (c->cert_life < 2 * NSEC_PER_SEC || c->root_life < c->cert_life)
        return error_set(e, ERR_INVALID,
                         "--cert-life: must be at least 2s and at most "
                         "--root-life");
    if (c->issue_rate == 0 || c->issue_rate > 1000000)
        return error_set(e, ERR_INVALID,
                         "--issue-rate: must be from 1 to 1000000");
    if (c->max_subscriptions == 0 || c->max_subscriptions > 1000000 ||
        c->max_connections == 0 || c->max_connections > 1000000)
        return error_set(e, ERR_INVALID,
                         "--max-subscriptions, --max-connections: must be "
                         "from 1 to 1000000");
    return check_addresses(c, e);
}

enum status controller_config_load(struct controller_config *c, int argc,
                                   char **argv, bool *help, struct error *e)
{
    enum status rc;

    *help = false;
    *c = (struct controller_config){0};
    rc = settings_load(controller_rows, controller_rows_len, c, NULL, e);
    if (!rc)
        rc = take_arguments(c, argc, argv, help, e);
    if (rc || *help)
        return rc;
    return check(c, e);
}
