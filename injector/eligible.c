/* SPDX-License-Identifier: Apache-2.0 */
/* Asked? -> can it be done? -> is there anything that would let the pod around
 * the mesh, or that would break? */
#include "injector/eligible.h"

#include <inttypes.h>

#include "lib/mesh/labels.h"

/* --- was it asked for? --- */

enum ask { ASK_NOTHING, ASK_ENABLED, ASK_DISABLED, ASK_BAD };

static enum ask ask_of(struct json from, slice *v)
{
    struct error ignored;

    *v = SLICE_NONE;
    if (json_opt_string(from, LABEL_INJECT, v, &ignored))
        return ASK_BAD;
    if (!v->ptr)
        return ASK_NOTHING;
    if (slice_eq(*v, SLICE(INJECT_ENABLED)))
        return ASK_ENABLED;
    return slice_eq(*v, SLICE(INJECT_DISABLED)) ? ASK_DISABLED : ASK_BAD;
}

static void say_bad(struct error *why, const char *what, slice v)
{
    error_set(why, ERR_INVALID,
              "%s " LABEL_INJECT
              ": '%.*s' is not valid; expected " INJECT_ENABLED
              " or " INJECT_DISABLED,
              what, FMT(slice_sub(v, 0, 100)));
}

static enum verdict asked(const struct eligible_pod *p, struct error *why)
{
    struct json meta = json_get(p->pod, "metadata");
    slice by_annotation, by_label;
    enum ask a = ask_of(json_get(meta, "annotations"), &by_annotation);
    enum ask l = ask_of(json_get(meta, "labels"), &by_label);

    if (a == ASK_BAD || l == ASK_BAD) {
        say_bad(why, a == ASK_BAD ? "annotation" : "label",
                a == ASK_BAD ? by_annotation : by_label);
        return VERDICT_REFUSE;
    }
    if (a != ASK_NOTHING && l != ASK_NOTHING && a != l) {
        error_set(why, ERR_INVALID,
                  LABEL_INJECT ": the annotation says %.*s, the label %.*s",
                  FMT(by_annotation), FMT(by_label));
        return VERDICT_REFUSE;
    }
    if (a == ASK_DISABLED || l == ASK_DISABLED) {
        error_set(why, OK, "the pod says " LABEL_INJECT ": " INJECT_DISABLED);
        return VERDICT_LEAVE;
    }
    if (a == ASK_NOTHING && l == ASK_NOTHING && !p->asked) {
        error_set(why, OK,
                  "neither the pod nor its namespace says " LABEL_INJECT
                  ": " INJECT_ENABLED);
        return VERDICT_LEAVE;
    }
    return VERDICT_INJECT;
}

bool eligible_namespace_asks(struct json labels, struct error *why)
{
    slice v;
    enum ask a = ask_of(labels, &v);

    if (a == ASK_BAD)
        say_bad(why, "label", v);
    return a == ASK_ENABLED;
}

bool eligible_namespace_is_system(slice ns, slice system_ns)
{
    return slice_eq(ns, SLICE("kube-system")) ||
           slice_eq(ns, SLICE("kube-public")) ||
           slice_eq(ns, SLICE("kube-node-lease")) ||
           (!slice_empty(system_ns) && slice_eq(ns, system_ns));
}

/* --- can it be done? --- */

static bool is_true(struct json v)
{
    struct error ignored;
    bool b = false;

    return json_type(v) == JSON_BOOL && !json_as_bool(v, &b, &ignored) && b;
}

static bool is_text(struct json v, slice text)
{
    struct error ignored;
    slice s;

    return json_type(v) == JSON_STRING && !json_as_string(v, &s, &ignored) &&
           slice_eq(s, text);
}

static bool for_windows(struct json spec)
{
    return is_text(json_get(json_get(spec, "os"), "name"), SLICE("windows")) ||
           is_text(json_get(json_get(spec, "nodeSelector"), LABEL_OS),
                   SLICE("windows"));
}

/* Two meshes in one pod take each other's connections. */
static const char *other_mesh(struct json spec)
{
    static const char *const lists[] = {"containers", "initContainers"};
    static const char *const names[] = {"istio-proxy", "linkerd-proxy",
                                        "kuma-sidecar", "consul-dataplane"};

    for (size_t l = 0; l < 2; l++)
        for (struct json c = json_first(json_get(spec, lists[l]));
             json_present(c); c = json_next(c))
            for (size_t i = 0; i < sizeof names / sizeof *names; i++)
                if (is_text(json_get(c, "name"), slice_str(names[i])))
                    return names[i];
    return NULL;
}

static enum verdict possible(const struct eligible_pod *p, struct json spec,
                             struct error *why)
{
    const char *other;

    if (eligible_namespace_is_system(p->ns, p->system_ns)) {
        error_set(why, OK, "pods of namespace %.*s are never meshed",
                  FMT(p->ns));
        return VERDICT_TELL;
    }
    if (is_true(json_get(spec, "hostNetwork"))) {
        error_set(why, OK,
                  "the pod uses the network of its node (hostNetwork: true)");
        return VERDICT_TELL;
    }
    if (for_windows(spec)) {
        error_set(why, OK, "the pod is for Windows nodes");
        return VERDICT_TELL;
    }
    other = other_mesh(spec);
    if (other) {
        error_set(why, OK,
                  "the pod has the sidecar of another mesh (container %s)",
                  other);
        return VERDICT_TELL;
    }
    return VERDICT_INJECT;
}

/* --- what must not be --- */

bool eligible_is_ours(struct json container)
{
    struct json name = json_get(container, "name");

    return is_text(name, SLICE(CONTAINER_PROXY)) ||
           is_text(name, SLICE(CONTAINER_INIT));
}

static bool is_number(struct json v, int64_t n)
{
    struct error ignored;
    int64_t is;

    return json_type(v) == JSON_NUMBER && !json_as_int(v, n, n, &is, &ignored);
}

/* The container's own word, else the pod's. */
static struct json effective(struct json pod, struct json own, const char *name)
{
    struct json v = json_get(own, name);

    return json_type(v) == JSON_NUMBER ? v : json_get(pod, name);
}

static slice name_of(struct json container)
{
    struct error ignored;
    slice name = SLICE("?");

    if (json_opt_string(container, "name", &name, &ignored))
        name = SLICE("?");
    return slice_sub(name, 0, 63);
}

static bool has_our_ids(const struct eligible_pod *p, struct json pod_context,
                        struct json container, struct error *why)
{
    struct json own = json_get(container, "securityContext");
    bool uid = is_number(effective(pod_context, own, "runAsUser"), p->uid);
    bool gid = is_number(effective(pod_context, own, "runAsGroup"), p->gid);

    if (!uid && !gid)
        return false;
    error_set(why, ERR_DENIED,
              "container %.*s: %s %" PRIu32 " is the proxy's, its connections "
              "would pass by the mesh; choose another",
              FMT(name_of(container)), uid ? "runAsUser" : "runAsGroup",
              uid ? p->uid : p->gid);
    return true;
}

static bool has_our_ports(struct json container, struct error *why)
{
    static const int64_t reserved[] = {PORT_OUTBOUND, PORT_INBOUND, PORT_ADMIN,
                                       PORT_HEALTH};

    for (struct json port = json_first(json_get(container, "ports"));
         json_present(port); port = json_next(port)) {
        struct json protocol = json_get(port, "protocol");

        if (json_present(protocol) && !is_text(protocol, SLICE("TCP")))
            continue;
        for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
            if (!is_number(json_get(port, "containerPort"), reserved[i]))
                continue;
            error_set(why, ERR_DENIED,
                      "container %.*s: port %" PRId64
                      " is the proxy's; choose another",
                      FMT(name_of(container)), reserved[i]);
            return true;
        }
    }
    return false;
}

static enum verdict harmless(const struct eligible_pod *p, struct json spec,
                             struct error *why)
{
    static const char *const lists[] = {"containers", "initContainers"};
    struct json context = json_get(spec, "securityContext");

    for (size_t l = 0; l < 2; l++) {
        for (struct json c = json_first(json_get(spec, lists[l]));
             json_present(c); c = json_next(c)) {
            if (eligible_is_ours(c)) {
                if (l == 1)
                    continue;
                error_set(why, ERR_DENIED,
                          "container %.*s: the name is the mesh's; choose "
                          "another",
                          FMT(name_of(c)));
                return VERDICT_REFUSE;
            }
            if (has_our_ids(p, context, c, why) || has_our_ports(c, why))
                return VERDICT_REFUSE;
        }
    }
    return VERDICT_INJECT;
}

enum verdict eligible(const struct eligible_pod *p, struct error *why)
{
    struct json spec = json_get(p->pod, "spec");
    struct json meta = json_get(p->pod, "metadata");
    enum verdict v;

    if (json_present(
            json_get(json_get(meta, "annotations"), ANNOTATION_MIRROR))) {
        error_set(why, OK, "a static pod: its node has started it already");
        return VERDICT_LEAVE;
    }
    v = asked(p, why);
    if (v == VERDICT_INJECT)
        v = possible(p, spec, why);
    if (v == VERDICT_INJECT)
        v = harmless(p, spec, why);
    return v;
}
