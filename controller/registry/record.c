/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/registry/record.h"

#include <assert.h>

#include "lib/base/mem.h"

static const char *const kind_names[RECORD_KINDS] = {
    [RECORD_NAMESPACE] = "Namespace",
    [RECORD_SERVICE] = "Service",
    [RECORD_SLICE] = "EndpointSlice",
    [RECORD_POD] = "Pod",
};

const char *record_kind_name(enum record_kind k)
{
    return k < RECORD_KINDS ? kind_names[k] : "unknown";
}

struct record *record_new(enum record_kind kind, slice ns, slice name)
{
    struct record *r = MEM_NEW(struct record);
    enum status rc;

    assert(ns.len <= NAME_MAX_BYTES && name.len <= NAME_MAX_BYTES);
    r->refs = 1;
    r->kind = kind;
    arena_init(&r->arena, RECORD_BYTES_MAX);
    rc = arena_copy(&r->arena, ns, &r->ns);
    assert(rc == OK);
    rc = arena_copy(&r->arena, name, &r->name);
    assert(rc == OK);
    (void)rc;
    return r;
}

struct record *record_ref(struct record *r)
{
    r->refs++;
    return r;
}

void record_unref(struct record *r)
{
    if (!r || --r->refs)
        return;
    arena_reset(&r->arena);
    mem_free(r);
}

static bool slices_eq(const slice *a, uint32_t a_len, const slice *b,
                      uint32_t b_len)
{
    if (a_len != b_len)
        return false;
    for (uint32_t i = 0; i < a_len; i++)
        if (!slice_eq(a[i], b[i]))
            return false;
    return true;
}

static bool settings_eq(const struct mesh_settings *a,
                        const struct mesh_settings *b)
{
    return a->mtls == b->mtls && slice_eq(a->opaque_ports, b->opaque_ports) &&
           slice_eq(a->skip_inbound_ports, b->skip_inbound_ports);
}

static bool service_eq(const struct service_record *a,
                       const struct service_record *b)
{
    if (!slices_eq(a->ips, a->ips_len, b->ips, b->ips_len) ||
        a->ports_len != b->ports_len || a->external_name != b->external_name ||
        a->v6 != b->v6 || !slice_eq(a->opaque_ports, b->opaque_ports))
        return false;
    for (uint32_t i = 0; i < a->ports_len; i++)
        if (a->ports[i].port != b->ports[i].port ||
            !slice_eq(a->ports[i].name, b->ports[i].name) ||
            !slice_eq(a->ports[i].app_protocol, b->ports[i].app_protocol))
            return false;
    return true;
}

static bool endpoint_eq(const struct slice_endpoint *a,
                        const struct slice_endpoint *b)
{
    return a->ready == b->ready && a->serving == b->serving &&
           a->terminating == b->terminating && slice_eq(a->ip, b->ip) &&
           slice_eq(a->zone, b->zone);
}

static bool endpoints_eq(const struct slice_record *a,
                         const struct slice_record *b)
{
    if (!slice_eq(a->service, b->service) || a->ports_len != b->ports_len ||
        a->endpoints_len != b->endpoints_len || a->v6 != b->v6)
        return false;
    for (uint32_t i = 0; i < a->ports_len; i++)
        if (a->ports[i].port != b->ports[i].port ||
            !slice_eq(a->ports[i].name, b->ports[i].name))
            return false;
    for (uint32_t i = 0; i < a->endpoints_len; i++)
        if (!endpoint_eq(&a->endpoints[i], &b->endpoints[i]))
            return false;
    return true;
}

static bool probes_eq(const struct pod_record *a, const struct pod_record *b)
{
    if (a->probes_len != b->probes_len)
        return false;
    for (uint32_t i = 0; i < a->probes_len; i++)
        if (a->probes[i].port != b->probes[i].port ||
            a->probes[i].grpc != b->probes[i].grpc ||
            !slice_eq(a->probes[i].path, b->probes[i].path))
            return false;
    return true;
}

static bool pod_eq(const struct pod_record *a, const struct pod_record *b)
{
    return slice_eq(a->uid, b->uid) && slice_eq(a->node, b->node) &&
           slice_eq(a->service_account, b->service_account) &&
           slices_eq(a->ips, a->ips_len, b->ips, b->ips_len) &&
           slices_eq(a->node_ips, a->node_ips_len, b->node_ips,
                     b->node_ips_len) &&
           probes_eq(a, b) && a->ports_len == b->ports_len &&
           (a->ports_len == 0 ||
            memcmp(a->ports, b->ports, a->ports_len * sizeof *a->ports) == 0) &&
           settings_eq(&a->settings, &b->settings) && a->meshed == b->meshed &&
           a->host_network == b->host_network && a->live == b->live &&
           a->terminating == b->terminating &&
           a->proxy_ready == b->proxy_ready &&
           slice_eq(a->init_problem, b->init_problem);
}

bool record_eq(const struct record *a, const struct record *b)
{
    if (a->kind != b->kind || !slice_eq(a->ns, b->ns) ||
        !slice_eq(a->name, b->name) || !slice_eq(a->problem, b->problem))
        return false;
    switch (a->kind) {
    case RECORD_NAMESPACE:
        return settings_eq(&a->space.settings, &b->space.settings) &&
               a->space.terminating == b->space.terminating;
    case RECORD_SERVICE:
        return service_eq(&a->service, &b->service);
    case RECORD_SLICE:
        return endpoints_eq(&a->epslice, &b->epslice);
    case RECORD_POD:
        return pod_eq(&a->pod, &b->pod);
    case RECORD_KINDS:
        break;
    }
    return false;
}
