/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/config.h"

#include <unistd.h>

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

/* `--kubernetes` alone is a switch that is on. */
static bool is_switch(slice name)
{
    return slice_eq(name, SLICE("kubernetes")) ||
           slice_eq(name, SLICE("log-json"));
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
            bool last = i + 1 == argc ||
                        slice_starts(slice_str(argv[i + 1]), SLICE("--"));

            name = arg;
            if (is_switch(name) && last)
                value = SLICE("true");
            else if (++i == argc)
                return error_set(e, ERR_INVALID, "--%.*s: a value is missing",
                                 FMT(name));
            else
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

static enum status check_source(const struct controller_config *c,
                                struct error *e)
{
    int n = !slice_empty(c->source) + !slice_empty(c->kubeconfig) +
            c->kubernetes;

    if (n == 1)
        return OK;
    return error_set(e, ERR_INVALID,
                     "%s: expected one of --source FOLDER, --kubernetes and "
                     "--kubeconfig FILE",
                     n ? "more than one source" : "no source");
}

enum status controller_root_rules(const struct controller_config *c,
                                  struct root_rules *out, struct error *e)
{
    const struct root_times times = {
        .life = c->root_life,
        .settle = c->root_settle,
        .deadline = c->root_deadline,
        .cert_life = c->cert_life,
        .stale_after = c->stale_after,
    };

    return root_rules_make(&times, out, e);
}

/* What a cluster calls the pod is its host's name, too. */
static enum status check_cluster(struct controller_config *c, struct error *e)
{
    size_t max = sizeof c->host_name;
    struct root_rules rules;

    if (slice_empty(c->pod_name) && gethostname(c->host_name, max - 1) == 0)
        c->pod_name = slice_str(c->host_name);
    if (!dns_label_valid(c->namespace))
        return error_set(e, ERR_INVALID,
                         "--namespace: '%.*s' is not the name of a namespace",
                         FMT(c->namespace));
    if (!dns_subdomain_valid(c->pod_name))
        return error_set(e, ERR_INVALID,
                         "--pod-name: '%.*s' is not the name of a pod",
                         FMT(c->pod_name));
    if (!dns_subdomain_valid(c->cluster_domain))
        return error_set(e, ERR_INVALID,
                         "--cluster-domain: '%.*s' is not a DNS name in lower "
                         "case",
                         FMT(c->cluster_domain));
    if (c->lease_duration < 3 * NSEC_PER_SEC ||
        c->stale_after < 3 * NSEC_PER_SEC)
        return error_set(e, ERR_INVALID,
                         "--lease-duration, --stale-after: must be at least "
                         "3s");
    /* A leader that the API server does not answer leads until its lease ends:
     * it is no proof that others reach it. */
    if (c->stale_after <= c->lease_duration)
        return error_set(e, ERR_INVALID,
                         "--stale-after: must be longer than "
                         "--lease-duration");
    if (!dns_subdomain_valid(c->webhook) ||
        (!slice_empty(c->issuer_secret) &&
         !dns_subdomain_valid(c->issuer_secret)))
        return error_set(e, ERR_INVALID,
                         "--webhook, --issuer-secret: expected the name of an "
                         "object");
    return slice_empty(c->issuer_secret) ? controller_root_rules(c, &rules, e)
                                         : OK;
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
    if (check_addresses(c, e) || check_source(c, e))
        return ERR_INVALID;
    return slice_empty(c->source) ? check_cluster(c, e) : OK;
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
