/* SPDX-License-Identifier: Apache-2.0 */
/* What strict mTLS must let in all the same: the probes that the kubelet sends in
 * plaintext, and where from. Those that the injector rewrites (TCP, HTTPS) go to
 * a port that is not redirected, and are none of this. */
#include "controller/watch/decode.h"
#include "lib/base/vec.h"
#include "lib/mesh/labels.h"
#include "lib/mesh/probe_path.h"

enum { PROBES_MAX = 256, IPS_MAX = 16 };

typedef VEC(struct pod_probe) probe_list;

/* A number, or the name of a port of the same container; 0: neither, and so not
 * a probe that the kubelet could send. */
static enum status decode_port(struct json v, struct json container,
                               uint16_t *out, struct error *e)
{
    struct json ports = {0};
    int64_t number = 0;
    slice name = SLICE_NONE;
    enum status rc = OK;

    *out = 0;
    if (json_type(v) == JSON_NUMBER) {
        rc = json_as_int(v, 1, UINT16_MAX, &number, e);
    } else {
        rc = json_as_string(v, &name, e);
        if (!rc)
            rc = json_opt_array(container, "ports", &ports, e);
    }
    for (struct json i = json_first(ports); json_present(i) && !rc;
         i = json_next(i)) {
        slice own = SLICE_NONE;

        rc = json_opt_string(i, "name", &own, e);
        if (!rc && slice_eq(own, name))
            rc = json_int(i, "containerPort", 1, UINT16_MAX, &number, e);
    }
    *out = (uint16_t)number;
    return rc;
}

static enum status keep_path(struct record *r, struct json v, slice path,
                             slice *out, struct error *e)
{
    struct text target;
    enum status rc = OK;

    text_init(&target, PROBE_TARGET_MAX);
    probe_path_write(path, &target);
    if (target.failed || arena_copy(&r->arena, text_slice(&target), out))
        rc = json_error(v, ERR_TOO_BIG, e, "the path is too long");
    text_fini(&target);
    return rc;
}

static bool known(const probe_list *list, const struct pod_probe *p)
{
    for (size_t i = 0; i < list->len; i++)
        if (list->at[i].port == p->port && list->at[i].grpc == p->grpc &&
            slice_eq(list->at[i].path, p->path))
            return true;
    return false;
}

/* Beyond the most there may be, one is left out: then it fails in strict mode,
 * which is seen. */
static void add(probe_list *list, const struct pod_probe *p)
{
    if (p->port && list->len < PROBES_MAX && !known(list, p))
        VEC_PUSH(list, *p);
}

static enum status decode_http(struct record *r, struct json get,
                               struct json container, probe_list *out,
                               struct error *e)
{
    struct pod_probe p = {0};
    slice scheme = SLICE("HTTP"), host = SLICE_NONE, path = SLICE_NONE;
    enum status rc = json_opt_string(get, "scheme", &scheme, e);

    if (!rc)
        rc = json_opt_string(get, "host", &host, e);
    if (!rc)
        rc = json_opt_string(get, "path", &path, e);
    if (!rc)
        rc = decode_port(json_get(get, "port"), container, &p.port, e);
    if (rc || !slice_eq(scheme, SLICE("HTTP")) || host.len)
        return rc; /* rewritten, or not to this pod */
    rc = keep_path(r, get, path, &p.path, e);
    if (!rc)
        add(out, &p);
    return rc;
}

static enum status decode_probe(struct record *r, struct json probe,
                                struct json container, probe_list *out,
                                struct error *e)
{
    struct json get = {0}, grpc = {0};
    struct pod_probe p = {.grpc = true};
    enum status rc = json_opt_object(probe, "httpGet", &get, e);

    if (!rc)
        rc = json_opt_object(probe, "grpc", &grpc, e);
    if (!rc && json_present(get))
        rc = decode_http(r, get, container, out, e);
    if (rc || !json_present(grpc))
        return rc;
    rc = decode_port(json_get(grpc, "port"), container, &p.port, e);
    if (!rc)
        add(out, &p);
    return rc;
}

static enum status decode_container(struct record *r, struct json container,
                                    probe_list *out, struct error *e)
{
    static const char *const names[] = {"startupProbe", "livenessProbe",
                                        "readinessProbe"};
    slice name = SLICE_NONE;
    enum status rc = json_opt_string(container, "name", &name, e);

    if (rc || slice_eq(name, SLICE(CONTAINER_PROXY)))
        return rc; /* its port is not redirected */
    for (size_t i = 0; i < sizeof names / sizeof *names && !rc; i++) {
        struct json probe = {0};

        rc = json_opt_object(container, names[i], &probe, e);
        if (!rc)
            rc = decode_probe(r, probe, container, out, e);
    }
    return rc;
}

static enum status decode_containers(struct record *r, struct json spec,
                                     const char *name, probe_list *out,
                                     struct error *e)
{
    struct json list = {0};
    enum status rc = json_opt_array(spec, name, &list, e);

    for (struct json i = json_first(list); json_present(i) && !rc;
         i = json_next(i))
        rc = decode_container(r, i, out, e);
    return rc;
}

static enum status decode_probes(struct record *r, struct json spec,
                                 struct error *e)
{
    probe_list found = {0};
    enum status rc = decode_containers(r, spec, "initContainers", &found, e);

    if (!rc)
        rc = decode_containers(r, spec, "containers", &found, e);
    if (!rc)
        rc = decode_array(r, spec, found.len, PROBES_MAX, sizeof *found.at,
                          &r->pod.probes, e);
    if (!rc && found.len) {
        memcpy(r->pod.probes, found.at, found.len * sizeof *found.at);
        r->pod.probes_len = (uint32_t)found.len;
    }
    VEC_FINI(&found);
    return rc;
}

static enum status decode_node_ip(struct record *r, struct json v,
                                  struct error *e)
{
    slice text = SLICE_NONE, ip;
    enum status rc = json_as_string(v, &text, e);

    if (rc || slice_empty(text))
        return rc;
    rc = decode_ip(r, v, &ip, e);
    for (uint32_t i = 0; i < r->pod.node_ips_len && !rc; i++)
        if (slice_eq(r->pod.node_ips[i], ip))
            return OK;
    if (!rc)
        r->pod.node_ips[r->pod.node_ips_len++] = ip;
    return rc;
}

static enum status decode_node_ips(struct record *r, struct json status,
                                   struct error *e)
{
    struct json ips = {0};
    enum status rc = json_opt_array(status, "hostIPs", &ips, e);

    if (!rc)
        rc = decode_array(r, ips, json_count(ips) + 1, IPS_MAX,
                          sizeof *r->pod.node_ips, &r->pod.node_ips, e);
    if (!rc && json_present(json_get(status, "hostIP")))
        rc = decode_node_ip(r, json_get(status, "hostIP"), e);
    for (struct json i = json_first(ips); json_present(i) && !rc;
         i = json_next(i))
        rc = decode_node_ip(r, json_get(i, "ip"), e);
    return rc;
}

enum status decode_pod_probes(struct record *r, struct json obj,
                              struct error *e)
{
    enum status rc = decode_probes(r, json_get(obj, "spec"), e);

    return rc ? rc : decode_node_ips(r, json_get(obj, "status"), e);
}
