/* SPDX-License-Identifier: Apache-2.0 */
#include "injector/config.h"

#include <stdio.h>

#include "lib/mesh/identity.h"

enum { CONTROLLER_PORT = 8443, KEPT_MAX = 64 << 10 };

const struct settings_row injector_rows[] = {
#define X(kind, name, env, def, help) \
    SETTINGS_ROW(struct injector_config, kind, name, env, def, help)
#include "injector/config.def"
#undef X
};
const size_t injector_rows_len = sizeof injector_rows / sizeof *injector_rows;

/* --- arguments --- */

static enum status set(struct injector_config *c, slice name, slice value,
                       struct error *e)
{
    enum status rc = settings_set(injector_rows, injector_rows_len, c, name,
                                  value, e);

    if (rc == ERR_NOT_FOUND)
        return error_set(e, ERR_INVALID, "--%.*s: there is no such setting",
                         FMT(name));
    return rc;
}

/* One setting; `*i` moves over its value. */
static enum status take_one(struct injector_config *c, int argc, char **argv,
                            int *i, struct error *e)
{
    slice arg = slice_str(argv[*i]), name, value;

    if (!slice_starts(arg, SLICE("--")) || arg.len == 2)
        return error_set(e, ERR_INVALID, "'%s' is no setting", argv[*i]);
    arg = slice_sub(arg, 2, arg.len);
    if (!slice_cut(arg, '=', &name, &value)) {
        name = arg;
        if (++*i == argc)
            return error_set(e, ERR_INVALID, "--%.*s: a value is missing",
                             FMT(name));
        value = slice_str(argv[*i]);
    }
    return set(c, name, value, e);
}

static enum status take_arguments(struct injector_config *c, int argc,
                                  char **argv, struct injector_arguments *args,
                                  struct error *e)
{
    enum status rc = OK;

    args->files = argc;
    for (int i = 1; i < argc && !rc; i++) {
        slice arg = slice_str(argv[i]);
        bool path = !slice_starts(arg, SLICE("-")) || arg.len == 1;

        if (slice_eq(arg, SLICE("--help")) || slice_eq(arg, SLICE("-h"))) {
            args->help = true;
            return OK;
        }
        if (args->file && slice_eq(arg, SLICE("--all"))) {
            args->all = true;
            continue;
        }
        if (args->file && path) {
            args->files = i;
            return OK;
        }
        rc = take_one(c, argc, argv, &i, e);
    }
    return rc;
}

/* --- checks --- */

static enum status check_address(slice text, const char *name,
                                 struct address *out, struct error *e)
{
    if (address_parse(text, out))
        return error_set(e, ERR_INVALID, "--%s: '%.*s' is not IP:port", name,
                         FMT(text));
    return OK;
}

static enum status check_addresses(struct injector_config *c, struct error *e)
{
    struct address ip;
    char text[80];
    enum status rc = check_address(c->listen, "listen", &c->listen_address, e);

    if (!rc)
        rc = check_address(c->admin, "admin", &c->admin_address, e);
    if (!rc && !slice_empty(c->health))
        rc = check_address(c->health, "health", &c->health_address, e);
    if (rc)
        return rc;
    /* The admin pages ask nobody who he is. */
    if (!address_is_loopback(&c->admin_address))
        return error_set(e, ERR_INVALID,
                         "--admin: '%.*s' is not a loopback address",
                         FMT(c->admin));
    if (slice_empty(c->controller_ip))
        return OK;
    snprintf(text, sizeof text,
             slice_find(c->controller_ip, ':') >= 0 ? "[%.*s]:1" : "%.*s:1",
             FMT(slice_sub(c->controller_ip, 0, 60)));
    if (address_parse(slice_str(text), &ip))
        return error_set(e, ERR_INVALID, "--controller-ip: '%.*s' is not an IP",
                         FMT(c->controller_ip));
    return OK;
}

static enum status check_names(const struct injector_config *c, struct error *e)
{
    static const char *const policies[] = {"IfNotPresent", "Always", "Never"};

    if (!dns_label_valid(c->namespace))
        return error_set(e, ERR_INVALID, "--namespace: '%.*s' is not a name",
                         FMT(c->namespace));
    if (!dns_subdomain_valid(c->cluster_domain))
        return error_set(e, ERR_INVALID,
                         "--cluster-domain: '%.*s' is not a DNS name in lower "
                         "case",
                         FMT(c->cluster_domain));
    if (!dns_subdomain_valid(c->trust_domain))
        return error_set(e, ERR_INVALID,
                         "--trust-domain: '%.*s' is not a DNS name in lower "
                         "case",
                         FMT(c->trust_domain));
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++)
        if (slice_eq(c->proxy_pull_policy, slice_str(policies[i])))
            return OK;
    return error_set(e, ERR_INVALID,
                     "--proxy-pull-policy: '%.*s' is none of IfNotPresent, "
                     "Always and Never",
                     FMT(c->proxy_pull_policy));
}

static enum status check_numbers(const struct injector_config *c,
                                 struct error *e)
{
    /* 0 is root, whose traffic is the application's. */
    if (c->proxy_uid == 0 || c->proxy_uid > INT32_MAX || c->proxy_gid == 0 ||
        c->proxy_gid > INT32_MAX)
        return error_set(e, ERR_INVALID,
                         "--proxy-uid, --proxy-gid: must be from 1 to %d",
                         INT32_MAX);
    if (c->max_connections == 0 || c->max_connections > 100000)
        return error_set(e, ERR_INVALID,
                         "--max-connections: must be from 1 to 100000");
    if (slice_empty(c->cert) != slice_empty(c->key))
        return error_set(e, ERR_INVALID,
                         "--cert, --key: one without the other");
    return OK;
}

#define DEFAULT_SIDECAR(field) .field = c->field,
#define DEFAULT_MESH(field)

static enum status make_inject(struct injector_config *c, struct error *e)
{
    enum status rc;

    c->inject = (struct inject_settings){
        .site = {.version = SLICE(TULLE_VERSION),
                 .pull_policy = c->proxy_pull_policy,
                 .ns = c->namespace,
                 .cluster_domain = c->cluster_domain,
                 .controller = SLICE("tulle-controller"),
                 .controller_ip = c->controller_ip,
                 .controller_port = CONTROLLER_PORT,
                 .trust_domain = c->trust_domain,
                 .uid = (uint32_t)c->proxy_uid,
                 .gid = (uint32_t)c->proxy_gid,
                 .log_json = c->proxy_log_json},
        .defaults = {
#define X(kind, field, annotation, whose, expects, help) DEFAULT_##whose(field)
#include "injector/annotations.def"
#undef X
        }};
    if (slice_empty(c->proxy_image))
        c->inject.defaults.proxy_image = SLICE("tulle/proxy:" TULLE_VERSION);
    rc = overrides_check(&c->inject.defaults, &c->arena, e);
    return rc ? error_prefix(e, rc, "settings") : OK;
}

static enum status check(struct injector_config *c, struct error *e)
{
    enum status rc = check_addresses(c, e);

    if (!rc)
        rc = check_names(c, e);
    if (!rc)
        rc = check_numbers(c, e);
    return rc ? rc : make_inject(c, e);
}

enum status injector_config_load(struct injector_config *c, int argc,
                                 char **argv, struct injector_arguments *args,
                                 struct error *e)
{
    enum status rc;

    *c = (struct injector_config){0};
    arena_init(&c->arena, KEPT_MAX);
    rc = settings_load(injector_rows, injector_rows_len, c, NULL, e);
    if (!rc)
        rc = take_arguments(c, argc, argv, args, e);
    if (rc || args->help)
        return rc;
    return check(c, e);
}

void injector_config_fini(struct injector_config *c)
{
    arena_reset(&c->arena);
}
