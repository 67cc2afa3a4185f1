/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/watch/decode.h"

#include "lib/mesh/labels.h"

/* Kubernetes keeps to 1,000 and 100; files may be longer. */
enum { ENDPOINTS_MAX = 20000, PORTS_MAX = 1000 };

static enum status decode_port(struct record *r, struct json port,
                               struct error *e)
{
    struct slice_port *p = &r->epslice.ports[r->epslice.ports_len];
    int64_t number = 0;
    bool tcp;
    enum status rc = decode_is_tcp(port, &tcp, e);

    if (!rc)
        rc = json_opt_int(port, "port", 1, UINT16_MAX, &number, e);
    if (!rc)
        rc = decode_text(r, port, "name", &p->name, e);
    /* No number means all ports: no Service leads to such a slice. */
    if (rc || !tcp || number == 0)
        return rc;
    p->port = (uint16_t)number;
    r->epslice.ports_len++;
    return OK;
}

static enum status decode_slice_ports(struct record *r, struct json obj,
                                      struct error *e)
{
    struct json ports = {0};
    enum status rc = json_opt_array(obj, "ports", &ports, e);

    if (!rc)
        rc = decode_array(r, ports, json_count(ports) + 1, PORTS_MAX,
                          sizeof *r->epslice.ports, &r->epslice.ports, e);
    for (struct json i = json_first(ports); json_present(i) && !rc;
         i = json_next(i))
        rc = decode_port(r, i, e);
    return rc;
}

/* What is not said: ready, and serving as ready (EndpointConditions). */
static enum status decode_conditions(struct json endpoint,
                                     struct slice_endpoint *out,
                                     struct error *e)
{
    struct json conditions = {0};
    enum status rc = json_opt_object(endpoint, "conditions", &conditions, e);

    out->ready = true;
    if (!rc)
        rc = json_opt_bool(conditions, "ready", &out->ready, e);
    out->serving = out->ready;
    if (!rc)
        rc = json_opt_bool(conditions, "serving", &out->serving, e);
    if (!rc)
        rc = json_opt_bool(conditions, "terminating", &out->terminating, e);
    return rc;
}

static enum status decode_endpoint(struct record *r, struct json endpoint,
                                   struct error *e)
{
    struct slice_endpoint *out =
        &r->epslice.endpoints[r->epslice.endpoints_len];
    struct json addresses = {0};
    enum status rc = json_array(endpoint, "addresses", &addresses, e);

    if (rc)
        return rc;
    if (json_count(addresses) == 0)
        return json_error(addresses, ERR_INVALID, e, "must not be empty");
    /* The API says of more than one: only the first has a meaning. */
    rc = decode_ip(r, json_first(addresses), &out->ip, e);
    if (!rc)
        rc = decode_text(r, endpoint, "zone", &out->zone, e);
    if (!rc)
        rc = decode_conditions(endpoint, out, e);
    if (!rc)
        r->epslice.endpoints_len++;
    return rc;
}

static enum status decode_endpoints(struct record *r, struct json obj,
                                    struct error *e)
{
    struct json endpoints = {0};
    enum status rc = json_opt_array(obj, "endpoints", &endpoints, e);

    if (!rc)
        rc = decode_array(r, endpoints, json_count(endpoints), ENDPOINTS_MAX,
                          sizeof *r->epslice.endpoints, &r->epslice.endpoints,
                          e);
    for (struct json i = json_first(endpoints); json_present(i) && !rc;
         i = json_next(i))
        rc = decode_endpoint(r, i, e);
    return rc;
}

static enum status decode_body(struct record *r, struct json obj,
                               struct error *e)
{
    struct json labels = {0};
    slice type;
    enum status rc = json_string(obj, "addressType", &type, e);

    if (!rc)
        rc = json_opt_object(json_get(obj, "metadata"), "labels", &labels, e);
    if (!rc)
        rc = decode_text(r, labels, LABEL_SERVICE_NAME, &r->epslice.service, e);
    if (rc || slice_eq(type, SLICE("FQDN")))
        return rc; /* names are not endpoints of ours */
    r->epslice.v6 = slice_eq(type, SLICE("IPv6"));
    if (!r->epslice.v6 && !slice_eq(type, SLICE("IPv4")))
        return json_error(json_get(obj, "addressType"), ERR_INVALID, e,
                          "'%.*s' is none of IPv4, IPv6, FQDN",
                          FMT(slice_sub(type, 0, 60)));
    if (r->epslice.service.len > NAME_MAX_BYTES)
        return json_error(labels, ERR_INVALID, e, "a name is too long");
    rc = decode_slice_ports(r, obj, e);
    if (!rc)
        rc = decode_endpoints(r, obj, e);
    return rc;
}

enum status decode_endpoint_slice(struct json obj, struct record **out,
                                  struct error *e)
{
    struct record *r = NULL;
    enum status rc = decode_begin(obj, RECORD_SLICE, &r, e);

    if (!rc)
        rc = decode_body(r, obj, e);
    if (rc) {
        record_unref(r);
        return rc;
    }
    *out = r;
    return OK;
}
