/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/redirect/config.h"

const struct settings_row init_rows[] = {
#define X(kind, name, env, def, help) \
    SETTINGS_ROW(struct init_config, kind, name, env, def, help)
#include "proxy/redirect/config.def"
#undef X
};
const size_t init_rows_len = sizeof init_rows / sizeof *init_rows;

static const int64_t TIMEOUT_MAX = INT64_C(600000000000);

/* ---- arguments ---- */

static bool take_switch(struct init_config *c, slice arg)
{
    if (slice_eq(arg, SLICE("--help")) || slice_eq(arg, SLICE("-h")))
        c->help = true;
    else if (slice_eq(arg, SLICE("--version")))
        c->version = true;
    else if (slice_eq(arg, SLICE("--print")))
        c->print = true;
    else
        return false;
    return true;
}

static enum status set(struct init_config *c, slice name, slice value,
                       struct error *e)
{
    enum status rc = settings_set(init_rows, init_rows_len, c, name, value, e);

    return rc == ERR_NOT_FOUND ? ERR_INVALID : rc;
}

static enum status take_arguments(struct init_config *c, int argc,
                                  const char *const *argv, struct error *e)
{
    for (int i = 1; i < argc; i++) {
        slice arg = slice_str(argv[i]), name, value;

        if (take_switch(c, arg))
            continue;
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
        enum status rc = set(c, name, value, e);
        if (rc)
            return rc;
    }
    return OK;
}

/* ---- meaning ---- */

static enum status take_id(uint64_t n, const char *name, uint32_t *out,
                           struct error *e)
{
    /* The highest is "none" for the kernel. */
    if (n == 0 || n >= UINT32_MAX)
        return error_set(e, ERR_INVALID,
                         "%s: %llu is not an id from 1 to 4294967294: the "
                         "proxy must be told from everybody else",
                         name, (unsigned long long)n);
    *out = (uint32_t)n;
    return OK;
}

static enum status take_port(uint64_t n, const char *name, uint16_t *out,
                             struct error *e)
{
    if (n == 0 || n > UINT16_MAX)
        return error_set(e, ERR_INVALID, "%s: from 1 to 65535", name);
    if (n == RULES_ADMIN_PORT || n == RULES_HEALTH_PORT)
        return error_set(e, ERR_INVALID,
                         "%s: %llu is the proxy's admin or health port", name,
                         (unsigned long long)n);
    *out = (uint16_t)n;
    return OK;
}

static enum status take_ids(struct init_config *c, struct error *e)
{
    struct rules *r = &c->rules;
    enum status rc = take_id(c->proxy_uid, "proxy-uid", &r->uid, e);

    if (!rc)
        rc = take_id(c->proxy_gid, "proxy-gid", &r->gid, e);
    if (!rc)
        rc = take_port(c->inbound_port, "inbound-port", &r->inbound_port, e);
    if (!rc)
        rc = take_port(c->outbound_port, "outbound-port", &r->outbound_port, e);
    if (!rc && r->inbound_port == r->outbound_port)
        rc = error_set(e, ERR_INVALID,
                       "inbound-port and outbound-port are both %u",
                       r->inbound_port);
    return rc;
}

static enum status take_lists(struct init_config *c, struct error *e)
{
    struct rules *r = &c->rules;
    enum status rc = port_set_parse(c->skip_inbound_ports, &r->skip_inbound, e);

    if (!rc)
        rc = port_set_add(&r->skip_inbound, RULES_ADMIN_PORT, RULES_HEALTH_PORT,
                          e);
    if (rc)
        return error_prefix(e, rc, "skip-inbound-ports");
    rc = port_set_parse(c->skip_outbound_ports, &r->skip_outbound, e);
    if (rc)
        return error_prefix(e, rc, "skip-outbound-ports");
    rc = subnet_set_parse(c->skip_subnets, &r->skip_subnets, e);
    if (rc)
        return error_prefix(e, rc, "skip-subnets");
    return OK;
}

static enum status take_controllers(struct init_config *c, struct error *e)
{
    slice list = slice_trim(c->controller), item;
    enum status rc = OK;

    if (slice_empty(list))
        return OK;
    while (!rc && slice_next(&list, ',', &item)) {
        if (c->controllers_len == INIT_CONTROLLERS_MAX)
            return error_set(e, ERR_TOO_BIG,
                             "controller: more than %d addresses",
                             INIT_CONTROLLERS_MAX);
        struct address *a = &c->controllers[c->controllers_len++];
        if (address_parse(slice_trim(item), a) || address_port(a) == 0)
            rc = error_set(e, ERR_INVALID,
                           "controller: '%.*s' is not IP:port like "
                           "10.96.0.5:8443 or [fd00::5]:8443",
                           FMT(item));
    }
    return rc;
}

enum status init_config_load(struct init_config *out, int argc,
                             const char *const *argv,
                             const char *(*env)(const char *name),
                             struct error *e)
{
    *out = (struct init_config){0};
    enum status rc = settings_load(init_rows, init_rows_len, out, env, e);
    if (!rc)
        rc = take_arguments(out, argc, argv, e);
    if (rc || out->help || out->version)
        return rc;
    if (out->timeout <= 0 || out->timeout > TIMEOUT_MAX)
        return error_set(e, ERR_INVALID, "timeout: more than 0, at most 10m");
    rc = take_ids(out, e);
    if (!rc)
        rc = take_lists(out, e);
    if (!rc)
        rc = take_controllers(out, e);
    return rc;
}
