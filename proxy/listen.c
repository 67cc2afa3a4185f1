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
    return rc;
}
