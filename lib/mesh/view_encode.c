/* SPDX-License-Identifier: Apache-2.0 */
/* Views to JSON. Canonical: members in the order below, endpoints sorted by
 * address, empty text left out, everything else written. Changing a line here
 * changes every hash: harmless (proxies ask once again), but then rename the
 * capability "backend-delta/1", because both ends of a delta must write alike.
 */
#include <stdlib.h>

#include "lib/mesh/hash.h"
#include "lib/mesh/wire_parts.h"

void names_write(struct json_write *w, const char *name, slice *names,
                 uint32_t len)
{
    json_write_name(w, name);
    json_write_array(w);
    for (uint32_t i = 0; i < len; i++)
        json_write_string(w, names[i]);
    json_write_array_end(w);
}

static void probe_write(const struct workload_probe *p, struct json_write *w)
{
    json_write_object(w);
    json_member_int(w, "port", p->port);
    json_member_string(w, "kind", p->grpc ? SLICE("grpc") : SLICE("http"));
    json_member_text(w, "path", p->path);
    json_write_object_end(w);
}

/* Left out when there are none. */
static void probes_write(const struct workload_view *v, struct json_write *w)
{
    if (v->probes_len) {
        json_write_name(w, "probes");
        json_write_array(w);
        for (uint32_t i = 0; i < v->probes_len; i++)
            probe_write(&v->probes[i], w);
        json_write_array_end(w);
    }
    if (v->node_ips_len)
        names_write(w, "nodeIPs", v->node_ips, v->node_ips_len);
}

static void workload_write(const struct workload_view *v, struct json_write *w)
{
    json_member_text(w, "namespace", v->ns);
    json_member_text(w, "pod", v->pod);
    json_member_text(w, "serviceAccount", v->service_account);
    json_member_string(w, "mtls",
                       v->mtls == MTLS_STRICT ? SLICE("strict")
                                              : SLICE("permissive"));
    json_member_bool(w, "terminating", v->terminating);
    json_member_text(w, "bundle", v->bundle);
    json_write_name(w, "ports");
    json_write_array(w);
    for (uint32_t i = 0; i < v->ports_len; i++) {
        const struct workload_port *p = &v->ports[i];
        json_write_object(w);
        json_member_int(w, "port", p->port);
        json_member_string(w, "protocol",
                           slice_str(protocol_name(p->protocol)));
        json_member_bool(w, "skip", p->skip);
        json_write_object_end(w);
    }
    json_write_array_end(w);
    probes_write(v, w);
}

static void destination_write(const struct destination_view *v,
                              struct json_write *w)
{
    json_member_string(w, "resolution",
                       slice_str(resolution_name(v->resolution)));
    json_member_text(w, "service", v->service);
    json_member_string(w, "protocol", slice_str(protocol_name(v->protocol)));
    json_member_bool(w, "direct", v->direct);
    json_write_name(w, "backends");
    json_write_array(w);
    for (uint32_t i = 0; i < v->backends_len; i++) {
        json_write_object(w);
        json_member_string(w, "key", v->backends[i].key);
        json_member_int(w, "weight", v->backends[i].weight);
        json_write_object_end(w);
    }
    json_write_array_end(w);
}

static void endpoint_write(const struct backend_endpoint *p,
                           struct json_write *w)
{
    json_write_object(w);
    json_member_string(w, "address", p->address);
    json_member_text(w, "identity", p->identity);
    json_member_text(w, "zone", p->zone);
    json_member_text(w, "pod", p->pod);
    json_member_int(w, "weight", p->weight);
    json_member_string(w, "protocol", slice_str(protocol_name(p->protocol)));
    json_member_string(w, "state",
                       p->state == ENDPOINT_DRAINING ? SLICE("draining")
                                                     : SLICE("ready"));
    json_write_object_end(w);
}

void endpoints_write(struct json_write *w, const char *name,
                     const struct backend_endpoint *at, uint32_t len)
{
    json_write_name(w, name);
    json_write_array(w);
    for (uint32_t i = 0; i < len; i++)
        endpoint_write(&at[i], w);
    json_write_array_end(w);
}

void view_write(const struct view *v, struct json_write *w)
{
    json_write_object(w);
    switch (v->kind) {
    case VIEW_WORKLOAD:
        workload_write(&v->workload, w);
        break;
    case VIEW_DESTINATION:
        destination_write(&v->destination, w);
        break;
    case VIEW_BACKEND:
        json_member_text(w, "service", v->backend.service);
        endpoints_write(w, "endpoints", v->backend.endpoints,
                        v->backend.endpoints_len);
        break;
    case VIEW_KINDS:
        break;
    }
    json_write_object_end(w);
}

static int by_address(const void *a, const void *b)
{
    const struct backend_endpoint *x = a, *y = b;

    return slice_cmp(x->address, y->address);
}

static void sort_endpoints(struct backend_view *b)
{
    for (uint32_t i = 1; i < b->endpoints_len; i++) {
        if (by_address(&b->endpoints[i - 1], &b->endpoints[i]) > 0) {
            qsort(b->endpoints, b->endpoints_len, sizeof *b->endpoints,
                  by_address);
            return;
        }
    }
}

static bool too_big(const struct view *v)
{
    switch (v->kind) {
    case VIEW_WORKLOAD:
        return v->workload.ports_len > VIEW_PORTS_MAX ||
               v->workload.probes_len > VIEW_PROBES_MAX ||
               v->workload.node_ips_len > VIEW_NODE_IPS_MAX;
    case VIEW_DESTINATION:
        return v->destination.backends_len > VIEW_BACKENDS_MAX;
    default:
        return v->backend.endpoints_len > VIEW_ENDPOINTS_MAX;
    }
}

void view_encode(struct view *v, struct text *out)
{
    size_t from = out->len;
    struct json_write w;

    v->hash[0] = 0;
    if (too_big(v)) {
        out->failed = true;
        return;
    }
    if (v->kind == VIEW_BACKEND)
        sort_endpoints(&v->backend);
    json_write_init(&w, out);
    view_write(v, &w);
    if (out->len - from > VIEW_BYTES_MAX)
        out->failed = true;
    if (!out->failed)
        content_hash(slice_sub(text_slice(out), from, out->len), v->hash);
}
