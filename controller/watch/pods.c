/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/watch/decode.h"

#include "lib/base/vec.h"
#include "lib/mesh/identity.h"
#include "lib/mesh/labels.h"

enum { PORTS_MAX = 1000, IPS_MAX = 16, PROBLEM_TEXT_MAX = 512 };

typedef VEC(uint16_t) port_list;

static enum status decode_container_port(struct json port, port_list *out,
                                         struct error *e)
{
    int64_t number;
    bool tcp;
    enum status rc = decode_is_tcp(port, &tcp, e);

    if (!rc)
        rc = json_int(port, "containerPort", 1, UINT16_MAX, &number, e);
    if (rc || !tcp)
        return rc;
    if (out->len >= PORTS_MAX)
        return json_error(port, ERR_TOO_BIG, e, "too many ports");
    VEC_PUSH(out, (uint16_t)number);
    return OK;
}

/* An init container that ends is no sidecar, whatever its name. */
static bool runs_along(struct json container, const char *list)
{
    struct json policy = json_get(container, "restartPolicy");
    slice says = SLICE_NONE;

    if (strcmp(list, "containers") == 0)
        return true;
    return !json_as_string(policy, &says, NULL) &&
           slice_eq(says, SLICE("Always"));
}

static enum status decode_container(struct record *r, struct json container,
                                    const char *list, port_list *out,
                                    struct error *e)
{
    struct json ports = {0};
    slice name;
    enum status rc = json_string(container, "name", &name, e);

    if (rc)
        return rc;
    if (slice_eq(name, SLICE(CONTAINER_PROXY)) && runs_along(container, list)) {
        r->pod.meshed = true;
        return OK; /* its own ports are not the application's */
    }
    rc = json_opt_array(container, "ports", &ports, e);
    for (struct json i = json_first(ports); json_present(i) && !rc;
         i = json_next(i))
        rc = decode_container_port(i, out, e);
    return rc;
}

static enum status decode_containers(struct record *r, struct json spec,
                                     const char *name, port_list *out,
                                     struct error *e)
{
    struct json containers = {0};
    enum status rc = json_opt_array(spec, name, &containers, e);

    for (struct json i = json_first(containers); json_present(i) && !rc;
         i = json_next(i))
        rc = decode_container(r, i, name, out, e);
    return rc;
}

static enum status decode_pod_ports(struct record *r, struct json spec,
                                    struct error *e)
{
    port_list ports = {0};
    enum status rc = decode_containers(r, spec, "initContainers", &ports, e);

    if (!rc)
        rc = decode_containers(r, spec, "containers", &ports, e);
    if (!rc)
        rc = decode_array(r, spec, ports.len, PORTS_MAX, sizeof *ports.at,
                          &r->pod.ports, e);
    if (!rc && ports.len) {
        memcpy(r->pod.ports, ports.at, ports.len * sizeof *ports.at);
        r->pod.ports_len = (uint32_t)ports.len;
    }
    VEC_FINI(&ports);
    return rc;
}

static enum status decode_spec(struct record *r, struct json obj,
                               struct error *e)
{
    struct json spec = {0};
    struct json account;
    enum status rc = json_object(obj, "spec", &spec, e);

    r->pod.service_account = SLICE("default");
    if (!rc)
        rc = decode_text(r, spec, "serviceAccountName", &r->pod.service_account,
                         e);
    account = json_get(spec, "serviceAccountName");
    if (!rc && !dns_subdomain_valid(r->pod.service_account))
        return json_error(account, ERR_INVALID, e, "is not a valid name");
    if (!rc)
        rc = decode_text(r, spec, "nodeName", &r->pod.node, e);
    if (!rc)
        rc = json_opt_bool(spec, "hostNetwork", &r->pod.host_network, e);
    if (!rc)
        rc = decode_pod_ports(r, spec, e);
    return rc;
}

static bool has_ip(const struct record *r, slice ip)
{
    for (uint32_t i = 0; i < r->pod.ips_len; i++)
        if (slice_eq(r->pod.ips[i], ip))
            return true;
    return false;
}

static enum status decode_pod_ip(struct record *r, struct json v,
                                 struct error *e)
{
    slice text = SLICE_NONE, ip;
    enum status rc = json_as_string(v, &text, e);

    if (rc || slice_empty(text))
        return rc;
    rc = decode_ip(r, v, &ip, e);
    if (!rc && !has_ip(r, ip))
        r->pod.ips[r->pod.ips_len++] = ip;
    return rc;
}

static enum status decode_ips(struct record *r, struct json status,
                              struct error *e)
{
    struct json ips = {0};
    enum status rc = json_opt_array(status, "podIPs", &ips, e);

    if (!rc)
        rc = decode_array(r, ips, json_count(ips) + 1, IPS_MAX,
                          sizeof *r->pod.ips, &r->pod.ips, e);
    if (!rc && json_present(json_get(status, "podIP")))
        rc = decode_pod_ip(r, json_get(status, "podIP"), e);
    for (struct json i = json_first(ips); json_present(i) && !rc;
         i = json_next(i))
        rc = decode_pod_ip(r, json_get(i, "ip"), e);
    return rc;
}

/* The kubelet's way to say that all goes as it should. */
static bool on_its_way(slice reason)
{
    return slice_empty(reason) || slice_eq(reason, SLICE("PodInitializing")) ||
           slice_eq(reason, SLICE("ContainerCreating"));
}

/* `text`, or what it stands for when there is none. */
static enum status keep_problem(struct record *r, struct json v, slice reason,
                                struct error *e)
{
    slice text = SLICE_NONE;
    enum status rc = json_opt_string(v, "message", &text, e);

    if (rc)
        return rc;
    while (text.len && (unsigned char)text.ptr[text.len - 1] <= ' ')
        text.len--;
    if (slice_empty(text))
        text = reason;
    text = slice_sub(text, 0, PROBLEM_TEXT_MAX);
    rc = arena_copy(&r->arena, text, &r->pod.init_problem);
    return rc ? json_error(v, rc, e, "is too long") : OK;
}

/* Why one of our containers does not run, for people: its last words, or the
 * reason that the kubelet gives. Nothing while it runs or has ended well. */
static enum status decode_problem(struct record *r, struct json container,
                                  struct error *e)
{
    struct json state = json_get(container, "state");
    struct json waiting = json_get(state, "waiting");
    struct json dead = json_get(state, "terminated");
    slice reason = SLICE_NONE;
    int64_t code = 0;
    enum status rc = json_opt_string(waiting, "reason", &reason, e);

    if (json_present(waiting))
        dead = json_get(json_get(container, "lastState"), "terminated");
    if (!rc)
        rc = json_opt_int(dead, "exitCode", INT32_MIN, INT32_MAX, &code, e);
    if (!rc && code != 0)
        rc = json_opt_string(dead, "reason", &reason, e);
    if (rc || (code == 0 && on_its_way(reason)))
        return rc;
    return keep_problem(r, code ? dead : waiting, reason, e);
}

static enum status decode_sidecar(struct record *r, struct json status,
                                  struct error *e)
{
    struct json all = {0};
    enum status rc = json_opt_array(status, "initContainerStatuses", &all, e);

    for (struct json i = json_first(all); json_present(i) && !rc;
         i = json_next(i)) {
        slice name = SLICE_NONE;

        rc = json_opt_string(i, "name", &name, e);
        if (!rc && slice_eq(name, SLICE(CONTAINER_PROXY)))
            rc = json_opt_bool(i, "ready", &r->pod.proxy_ready, e);
        else if (!rc && !slice_eq(name, SLICE(CONTAINER_INIT)))
            continue;
        if (!rc)
            rc = decode_problem(r, i, e);
    }
    return rc;
}

static enum status decode_status(struct record *r, struct json obj,
                                 struct error *e)
{
    struct json status = {0};
    /* Kubernetes always says the phase; who writes a file for a pod that is
     * there may leave it out. */
    slice phase = SLICE("Running");
    enum status rc = json_opt_object(obj, "status", &status, e);

    if (!rc)
        rc = json_opt_string(status, "phase", &phase, e);
    /* A pending one has its address as soon as it has one, and keeps it until
     * it has ended: its init containers are in the mesh. */
    r->pod.live = !slice_eq(phase, SLICE("Succeeded")) &&
                  !slice_eq(phase, SLICE("Failed"));
    if (!rc)
        rc = decode_ips(r, status, e);
    if (!rc)
        rc = decode_sidecar(r, status, e);
    return rc;
}

enum status decode_pod(struct json obj, struct record **out, struct error *e)
{
    struct json metadata = json_get(obj, "metadata");
    struct record *r = NULL;
    enum status rc = decode_begin(obj, RECORD_POD, &r, e);

    if (!rc)
        rc = decode_text(r, metadata, "uid", &r->pod.uid, e);
    if (!rc)
        rc = decode_settings(r, metadata, &r->pod.settings, e);
    if (!rc)
        rc = decode_spec(r, obj, e);
    if (!rc)
        rc = decode_status(r, obj, e);
    if (!rc)
        rc = decode_pod_probes(r, obj, e);
    if (rc) {
        record_unref(r);
        return rc;
    }
    r->pod.terminating = json_type(json_get(metadata, "deletionTimestamp")) ==
                         JSON_STRING;
    *out = r;
    return OK;
}
