/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/watch/decode.h"

#include "lib/mesh/labels.h"

enum { PORTS_MAX = 1000, IPS_MAX = 16 };

static enum status decode_one_ip(struct record *r, struct json v,
                                 struct error *e)
{
    slice text;
    enum status rc = json_as_string(v, &text, e);

    /* "None" is a headless Service, "" one that has no address yet. */
    if (rc || slice_empty(text) || slice_eq(text, SLICE("None")))
        return rc;
    return decode_ip(r, v, &r->service.ips[r->service.ips_len++], e);
}

/* clusterIPs, or only clusterIP in hand-written files. */
static enum status decode_ips(struct record *r, struct json spec,
                              struct error *e)
{
    struct json ips = {0};
    enum status rc = json_opt_array(spec, "clusterIPs", &ips, e);

    if (!rc)
        rc = decode_array(r, ips, json_count(ips) + 1, IPS_MAX,
                          sizeof *r->service.ips, &r->service.ips, e);
    if (rc)
        return rc;
    if (json_count(ips) == 0 && json_present(json_get(spec, "clusterIP")))
        return decode_one_ip(r, json_get(spec, "clusterIP"), e);
    for (struct json i = json_first(ips); json_present(i) && !rc;
         i = json_next(i))
        rc = decode_one_ip(r, i, e);
    return rc;
}

static enum status decode_port(struct record *r, struct json port,
                               struct error *e)
{
    struct service_port *p = &r->service.ports[r->service.ports_len];
    int64_t number;
    bool tcp;
    enum status rc = decode_is_tcp(port, &tcp, e);

    if (!rc)
        rc = json_int(port, "port", 1, UINT16_MAX, &number, e);
    if (!rc)
        rc = decode_text(r, port, "name", &p->name, e);
    if (!rc)
        rc = decode_text(r, port, "appProtocol", &p->app_protocol, e);
    if (rc || !tcp)
        return rc;
    p->port = (uint16_t)number;
    r->service.ports_len++;
    return OK;
}

static enum status decode_service_ports(struct record *r, struct json spec,
                                        struct error *e)
{
    struct json ports = {0};
    enum status rc = json_opt_array(spec, "ports", &ports, e);

    if (!rc)
        rc = decode_array(r, ports, json_count(ports) + 1, PORTS_MAX,
                          sizeof *r->service.ports, &r->service.ports, e);
    for (struct json i = json_first(ports); json_present(i) && !rc;
         i = json_next(i))
        rc = decode_port(r, i, e);
    return rc;
}

static enum status decode_family(struct record *r, struct json spec,
                                 struct error *e)
{
    struct json families = {0};
    slice first = SLICE_NONE;
    enum status rc = json_opt_array(spec, "ipFamilies", &families, e);

    if (!rc && json_count(families))
        rc = json_as_string(json_first(families), &first, e);
    r->service.v6 = first.ptr
                        ? slice_eq(first, SLICE("IPv6"))
                        : r->service.ips_len > 0 && ip_is_v6(r->service.ips[0]);
    return rc;
}

static enum status decode_spec(struct record *r, struct json obj,
                               struct error *e)
{
    struct json spec = {0}, annotations = {0};
    slice type = SLICE("ClusterIP");
    enum status rc = json_object(obj, "spec", &spec, e);

    if (!rc)
        rc = json_opt_string(spec, "type", &type, e);
    r->service.external_name = slice_eq(type, SLICE("ExternalName"));
    if (!rc)
        rc = decode_ips(r, spec, e);
    if (!rc)
        rc = decode_service_ports(r, spec, e);
    if (!rc)
        rc = decode_family(r, spec, e);
    if (!rc)
        rc = json_opt_object(json_get(obj, "metadata"), "annotations",
                             &annotations, e);
    if (!rc)
        rc = decode_ports(r, annotations, ANNOTATION_OPAQUE_PORTS,
                          &r->service.opaque_ports, e);
    return rc;
}

enum status decode_service(struct json obj, struct record **out,
                           struct error *e)
{
    struct record *r = NULL;
    enum status rc = decode_begin(obj, RECORD_SERVICE, &r, e);

    if (!rc)
        rc = decode_spec(r, obj, e);
    if (rc) {
        record_unref(r);
        return rc;
    }
    *out = r;
    return OK;
}
