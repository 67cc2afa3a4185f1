/* SPDX-License-Identifier: Apache-2.0 */
/* JSON to views. Whatever is not exactly as the encoder writes it, members that
 * a newer controller may add aside, is refused: the proxy keeps what it has and
 * says why in its nack. */
#include "lib/mesh/identity.h"
#include "lib/mesh/probe_path.h"
#include "lib/mesh/wire_parts.h"

enum { ZONE_MAX = 253, OBJECT_NAME_MAX = 253 };

static enum status port_read(struct json v, struct workload_port *out,
                             struct error *e)
{
    int64_t port;
    enum status rc = json_int(v, "port", 1, UINT16_MAX, &port, e);

    if (rc)
        return rc;
    out->port = (uint16_t)port;
    rc = read_protocol(v, &out->protocol, e);
    if (rc)
        return rc;
    return json_opt_bool(v, "skip", &out->skip, e);
}

static enum status ports_read(struct json obj, struct arena *a,
                              struct workload_view *out, struct error *e)
{
    struct json list, i;
    void *space;
    uint32_t n = 0;
    enum status rc = json_opt_array(obj, "ports", &list, e);

    if (rc)
        return rc;
    rc = read_space(list, VIEW_PORTS_MAX, sizeof *out->ports, a, &space,
                    &out->ports_len, e);
    if (rc)
        return rc;
    out->ports = space;
    for (i = json_first(list); json_present(i); i = json_next(i)) {
        rc = port_read(i, &out->ports[n++], e);
        if (rc)
            return rc;
    }
    return OK;
}

static enum status probe_read(struct json v, struct arena *a,
                              struct workload_probe *out, struct error *e)
{
    static const char *const kinds[] = {"http", "grpc"};
    int64_t port;
    int kind;
    enum status rc = json_int(v, "port", 1, UINT16_MAX, &port, e);

    if (rc)
        return rc;
    out->port = (uint16_t)port;
    rc = read_choice(v, "kind", kinds, 2, &kind, e);
    if (rc)
        return rc;
    out->grpc = kind == 1;
    return out->grpc
               ? OK
               : read_filled(v, "path", PROBE_TARGET_MAX, a, &out->path, e);
}

static enum status probes_read(struct json obj, struct arena *a,
                               struct workload_view *out, struct error *e)
{
    struct json list;
    void *space;
    uint32_t n = 0;
    enum status rc = json_opt_array(obj, "probes", &list, e);

    if (!rc)
        rc = read_space(list, VIEW_PROBES_MAX, sizeof *out->probes, a, &space,
                        &out->probes_len, e);
    if (rc)
        return rc;
    out->probes = space;
    for (struct json i = json_first(list); json_present(i) && !rc;
         i = json_next(i))
        rc = probe_read(i, a, &out->probes[n++], e);
    if (!rc)
        rc = read_names(obj, "nodeIPs", a, &out->node_ips, &out->node_ips_len,
                        e);
    if (!rc && out->node_ips_len > VIEW_NODE_IPS_MAX)
        rc = json_error(json_get(obj, "nodeIPs"), ERR_TOO_BIG, e,
                        "more than %d", VIEW_NODE_IPS_MAX);
    return rc;
}

static enum status workload_read(struct json v, struct arena *a,
                                 struct workload_view *out, struct error *e)
{
    static const char *const modes[] = {"permissive", "strict"};
    int mode;
    enum status rc;

    rc = read_text(v, "namespace", OBJECT_NAME_MAX, a, &out->ns, e);
    if (rc)
        return rc;
    rc = read_text(v, "pod", OBJECT_NAME_MAX, a, &out->pod, e);
    if (rc)
        return rc;
    rc = read_text(v, "serviceAccount", OBJECT_NAME_MAX, a,
                   &out->service_account, e);
    if (rc)
        return rc;
    rc = read_choice(v, "mtls", modes, 2, &mode, e);
    if (rc)
        return rc;
    out->mtls = (enum mtls_mode)mode;
    rc = json_opt_bool(v, "terminating", &out->terminating, e);
    if (rc)
        return rc;
    rc = read_text(v, "bundle", WIRE_PEM_MAX, a, &out->bundle, e);
    if (rc)
        return rc;
    rc = ports_read(v, a, out, e);
    if (rc)
        return rc;
    return probes_read(v, a, out, e);
}

static enum status backend_refs_read(struct json obj, struct arena *a,
                                     struct destination_view *out,
                                     struct error *e)
{
    struct json list, i;
    struct backend_ref *at;
    int64_t weight;
    void *space;
    enum status rc = json_opt_array(obj, "backends", &list, e);

    if (rc)
        return rc;
    rc = read_space(list, VIEW_BACKENDS_MAX, sizeof *at, a, &space,
                    &out->backends_len, e);
    if (rc)
        return rc;
    out->backends = at = space;
    for (i = json_first(list); json_present(i); i = json_next(i), at++) {
        rc = read_filled(i, "key", WIRE_KEY_MAX, a, &at->key, e);
        if (rc)
            return rc;
        rc = json_int(i, "weight", 0, WIRE_WEIGHT_MAX, &weight, e);
        if (rc)
            return rc;
        at->weight = (uint32_t)weight;
    }
    return OK;
}

static enum status destination_read(struct json v, struct arena *a,
                                    struct destination_view *out,
                                    struct error *e)
{
    static const char *const words[] = {"known", "external", "unknown"};
    int resolution;
    enum status rc = read_choice(v, "resolution", words, 3, &resolution, e);

    if (rc)
        return rc;
    out->resolution = (enum resolution)resolution;
    rc = read_text(v, "service", WIRE_KEY_MAX, a, &out->service, e);
    if (rc)
        return rc;
    rc = read_protocol(v, &out->protocol, e);
    if (rc)
        return rc;
    rc = json_opt_bool(v, "direct", &out->direct, e);
    if (rc)
        return rc;
    return backend_refs_read(v, a, out, e);
}

/* Text that endpoints share with the one before is held once: in a backend of
 * thousands, identity and zone mostly are. */
static enum status read_shared(struct json v, const char *name, size_t max,
                               struct arena *a, slice before, slice *out,
                               struct error *e)
{
    slice s = SLICE_NONE;
    enum status rc = json_opt_string(v, name, &s, e);

    if (rc)
        return rc;
    if (before.len && slice_eq(s, before)) {
        *out = before;
        return OK;
    }
    return read_text(v, name, max, a, out, e);
}

static enum status identity_read(struct json v, struct arena *a, slice before,
                                 slice *out, struct error *e)
{
    struct workload_name name;
    enum status rc = read_shared(v, "identity", WORKLOAD_NAME_MAX, a, before,
                                 out, e);

    if (rc)
        return rc;
    if (out->len && workload_name_parse(*out, &name, NULL))
        return json_error(json_get(v, "identity"), ERR_INVALID, e,
                          "expected a workload name");
    return OK;
}

static enum status endpoint_values_read(struct json v,
                                        struct backend_endpoint *out,
                                        struct error *e)
{
    static const char *const states[] = {"ready", "draining"};
    int64_t weight;
    int state;
    enum status rc = json_int(v, "weight", 1, WIRE_WEIGHT_MAX, &weight, e);

    if (rc)
        return rc;
    out->weight = (uint32_t)weight;
    rc = read_protocol(v, &out->protocol, e);
    if (rc)
        return rc;
    rc = read_choice(v, "state", states, 2, &state, e);
    if (rc)
        return rc;
    out->state = (enum endpoint_state)state;
    return OK;
}

/* `before` is the endpoint before this one, or an empty one. */
static enum status endpoint_read(struct json v, struct arena *a,
                                 const struct backend_endpoint *before,
                                 struct backend_endpoint *out, struct error *e)
{
    enum status rc;

    rc = read_filled(v, "address", WIRE_KEY_MAX, a, &out->address, e);
    if (rc)
        return rc;
    rc = check_address(json_get(v, "address"), out->address, e);
    if (rc)
        return rc;
    if (slice_cmp(before->address, out->address) >= 0)
        return json_error(json_get(v, "address"), ERR_INVALID, e,
                          "not after the address before it");
    rc = identity_read(v, a, before->identity, &out->identity, e);
    if (rc)
        return rc;
    rc = read_shared(v, "zone", ZONE_MAX, a, before->zone, &out->zone, e);
    if (rc)
        return rc;
    rc = read_text(v, "pod", WIRE_KEY_MAX, a, &out->pod, e);
    if (rc)
        return rc;
    return endpoint_values_read(v, out, e);
}

enum status endpoints_read(struct json obj, const char *name, struct arena *a,
                           struct backend_endpoint **out, uint32_t *len,
                           struct error *e)
{
    static const struct backend_endpoint none = {.address = SLICE_INIT("")};
    const struct backend_endpoint *before = &none;
    struct backend_endpoint *at;
    struct json list, i;
    void *space;
    enum status rc = json_opt_array(obj, name, &list, e);

    if (rc)
        return rc;
    rc = read_space(list, VIEW_ENDPOINTS_MAX, sizeof *at, a, &space, len, e);
    if (rc)
        return rc;
    *out = at = space;
    for (i = json_first(list); json_present(i); i = json_next(i)) {
        rc = endpoint_read(i, a, before, at, e);
        if (rc)
            return rc;
        before = at++;
    }
    return OK;
}

static enum status content_read(struct json content, struct view *v,
                                struct error *e)
{
    enum status rc;

    if (json_type(content) != JSON_OBJECT)
        return json_error(content, ERR_INVALID, e, "expected an object");
    switch (v->kind) {
    case VIEW_WORKLOAD:
        return workload_read(content, &v->arena, &v->workload, e);
    case VIEW_DESTINATION:
        return destination_read(content, &v->arena, &v->destination, e);
    default:
        break;
    }
    rc = read_text(content, "service", WIRE_KEY_MAX, &v->arena,
                   &v->backend.service, e);
    if (rc)
        return rc;
    return endpoints_read(content, "endpoints", &v->arena,
                          &v->backend.endpoints, &v->backend.endpoints_len, e);
}

enum status view_read(enum view_kind kind, slice key, struct json content,
                      struct view **out, struct error *e)
{
    struct view *v = view_new(kind, key);
    enum status rc = content_read(content, v, e);

    if (rc) {
        view_unref(v);
        return rc;
    }
    *out = v;
    return OK;
}

/* The hash of what the content is when written canonically. */
static enum status set_hash(struct view *v, struct error *e)
{
    enum status rc = OK;
    struct text canonical;

    text_init(&canonical, VIEW_BYTES_MAX);
    view_encode(v, &canonical);
    if (canonical.failed)
        rc = error_set(e, ERR_TOO_BIG, "a view of more than %d bytes",
                       VIEW_BYTES_MAX);
    text_fini(&canonical);
    return rc;
}

enum status view_decode(enum view_kind kind, slice key, slice json,
                        struct view **out, struct error *e)
{
    const struct json_limits limits = {VIEW_BYTES_MAX, WIRE_VALUES_MAX};
    struct json_doc *doc = NULL;
    struct view *v = NULL;
    enum status rc;

    if (key.len > WIRE_KEY_MAX)
        return error_set(e, ERR_TOO_BIG, "a key of %zu bytes", key.len);
    rc = json_parse(json, &limits, &doc, e);
    if (rc)
        goto out;
    rc = view_read(kind, key, json_root(doc), &v, e);
    if (rc)
        goto out;
    rc = set_hash(v, e);
    if (rc)
        goto out;
    *out = v;
    v = NULL; /* moved */
out:
    view_unref(v);
    json_free(doc);
    return rc;
}
