/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/listen.h"

static enum status address_of(slice text, const char *setting,
                              struct address *out, struct error *e)
{
    if (address_parse(text, out))
        return error_set(e, ERR_INVALID, "%s: '%.*s' is not IP:port", setting,
                         FMT(text));
    return OK;
}

/* "namespace/service:port" */
static bool service_valid(slice s)
{
    slice name, port, ns, svc;
    uint64_t n;
    return slice_rcut(s, ':', &name, &port) &&
           slice_to_u64(port, 65535, &n) == OK && n > 0 &&
           slice_cut(name, '/', &ns, &svc) && ns.len && svc.len &&
           slice_find(svc, '/') < 0;
}

static enum status explicit_spec(slice item, bool inbound,
                                 struct listen_spec *out, struct error *e)
{
    const char *setting = inbound ? "inbound" : "outbound";
    slice at, to;
    if (!slice_cut(item, '=', &at, &to))
        return error_set(e, ERR_INVALID, "%s: '%.*s' has no '='", setting,
                         FMT(item));
    enum status rc = address_of(at, setting, &out->at, e);
    if (rc)
        return rc;
    if (inbound)
        return address_of(to, setting, &out->app, e);
    if (!service_valid(to) ||
        slice_to_cstr(to, out->service, sizeof out->service))
        return error_set(e, ERR_INVALID,
                         "outbound: '%.*s' is not namespace/service:port",
                         FMT(to));
    return OK;
}

static enum status add_list(slice list, bool inbound, bool transparent,
                            struct listen_spec *out, size_t max, size_t *n,
                            struct error *e)
{
    slice item;
    if (slice_empty(list))
        return OK;
    while (slice_next(&list, ',', &item)) {
        if (*n == max)
            return error_set(e, ERR_TOO_BIG, "more than %zu listeners", max);
        struct listen_spec *s = &out[*n];
        *s = (struct listen_spec){.inbound = inbound,
                                  .transparent = transparent};
        enum status rc = transparent
                             ? address_of(slice_trim(item),
                                          inbound ? "inbound-transparent"
                                                  : "outbound-transparent",
                                          &s->at, e)
                             : explicit_spec(slice_trim(item), inbound, s, e);
        if (rc)
            return rc;
        ++*n;
    }
    return OK;
}

static struct address any_v4(uint16_t port)
{
    struct address a = {.in = {.sin_family = AF_INET}};
    address_set_port(&a, port);
    return a;
}

static bool any_v4_at(const struct listen_spec *specs, size_t n, uint16_t port)
{
    for (size_t i = 0; i < n; i++)
        if (specs[i].at.sa.sa_family == AF_INET &&
            address_is_any(&specs[i].at) && address_port(&specs[i].at) == port)
            return true;
    return false;
}

/* [::] takes IPv4 connections, too, unless 0.0.0.0 is listed for them. */
static void share_ports(struct listen_spec *specs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct address *at = &specs[i].at;
        specs[i].v6only = at->sa.sa_family == AF_INET6 && address_port(at) &&
                          any_v4_at(specs, n, address_port(at));
    }
}

static bool rewrite_v6(struct listen_spec *s, const struct listen_spec *kept,
                       size_t n)
{
    uint16_t port = address_port(&s->at);
    if (!address_is_any(&s->at) || any_v4_at(kept, n, port))
        return false;
    s->at = any_v4(port);
    s->v6only = false;
    return true;
}

void listen_without_ipv6(struct listen_spec *specs, size_t *n)
{
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++) {
        struct listen_spec s = specs[i];
        if (s.transparent && s.at.sa.sa_family == AF_INET6 &&
            !rewrite_v6(&s, specs, kept))
            continue;
        specs[kept++] = s;
    }
    *n = kept;
}

/* The one that listens to every address at that port, or NULL. */
static struct address *any_at(struct address *list, unsigned n, uint16_t port)
{
    for (unsigned i = 0; i < n; i++)
        if (port && address_is_any(&list[i]) && address_port(&list[i]) == port)
            return &list[i];
    return NULL;
}

enum status listen_health(const struct config *c, bool ipv6,
                          struct address *out, unsigned max, unsigned *n,
                          struct error *e)
{
    slice list = c->health, item;
    *n = 0;
    if (slice_empty(list))
        return OK;
    while (slice_next(&list, ',', &item)) {
        struct address a;
        if (address_of(slice_trim(item), "health", &a, e))
            return ERR_INVALID;
        bool any = address_is_any(&a), v6 = a.sa.sa_family == AF_INET6;
        if (v6 && !ipv6 && !any)
            continue;
        if (v6 && !ipv6)
            a = any_v4(address_port(&a));
        struct address *same = any ? any_at(out, *n, address_port(&a)) : NULL;
        if (same && a.sa.sa_family == AF_INET6)
            *same = a; /* it takes both families */
        if (same)
            continue;
        if (*n == max)
            return error_set(e, ERR_TOO_BIG, "health: more than %u addresses",
                             max);
        out[(*n)++] = a;
    }
    return OK;
}

enum status listen_specs(const struct config *c, struct listen_spec *out,
                         size_t max, size_t *n, struct error *e)
{
    *n = 0;
    enum status rc = add_list(c->inbound, true, false, out, max, n, e);
    if (!rc)
        rc = add_list(c->outbound, false, false, out, max, n, e);
    if (!rc)
        rc = add_list(c->inbound_transparent, true, true, out, max, n, e);
    if (!rc)
        rc = add_list(c->outbound_transparent, false, true, out, max, n, e);
    if (!rc && *n == 0)
        rc = error_set(e, ERR_INVALID,
                       "no listener: give --inbound or "
                       "--outbound");
    if (!rc)
        share_ports(out, *n);
    return rc;
}
