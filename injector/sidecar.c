/* SPDX-License-Identifier: Apache-2.0 */
/* Everything is said, also what Kubernetes would add by itself: what it hands
 * back at a second look is then exactly what was written. */
#include "injector/sidecar.h"

#include <inttypes.h>
#include <stdio.h>

#include "injector/quantity.h"
#include "lib/base/text.h"
#include "lib/json/json_write.h"
#include "lib/mesh/labels.h"

enum {
    CONTAINER_TEXT_MAX = 512 << 10,
    STARTUP_FAILURES = INT32_MAX, /* the controller may be away for long */
};

struct builder {
    const struct sidecar_input *in;
    struct json_write w;
};

/* --- what others may have changed --- */

static slice text_of(struct json obj, const char *name)
{
    struct error ignored;
    slice s = SLICE_NONE;

    return json_opt_string(obj, name, &s, &ignored) ? SLICE_NONE : s;
}

/* "registry/a/proxy:1@sha256:..." -> "proxy:1" */
static slice image_release(slice image)
{
    slice before, last;

    (void)slice_cut(image, '@', &image, &last);
    return slice_rcut(image, '/', &before, &last) ? last : image;
}

/* A registry's mirror, or a digest put in its place, is somebody's policy. */
static slice image_of(const struct builder *b, struct json is)
{
    slice want = b->in->settings->proxy_image, have = text_of(is, "image");

    return !slice_empty(have) &&
                   slice_eq(image_release(have), image_release(want))
               ? have
               : want;
}

static slice pull_policy_of(const struct builder *b, struct json is)
{
    slice have = text_of(is, "imagePullPolicy");

    return slice_empty(have) ? b->in->site->pull_policy : have;
}

/* --- parts --- */

static void text(struct builder *b, const char *name, slice value)
{
    json_member_string(&b->w, name, value);
}

static void env(struct builder *b, const char *name, slice value)
{
    json_write_object(&b->w);
    text(b, "name", slice_str(name));
    json_member_text(&b->w, "value", value);
    json_write_object_end(&b->w);
}

static void env_number(struct builder *b, const char *name, uint32_t value)
{
    char buf[16];

    snprintf(buf, sizeof buf, "%" PRIu32, value);
    env(b, name, slice_str(buf));
}

/* Of the pod itself, by the downward API. */
static void env_field(struct builder *b, const char *name, const char *field)
{
    json_write_object(&b->w);
    text(b, "name", slice_str(name));
    json_write_name(&b->w, "valueFrom");
    json_write_object(&b->w);
    json_write_name(&b->w, "fieldRef");
    json_write_object(&b->w);
    text(b, "apiVersion", SLICE("v1"));
    text(b, "fieldPath", slice_str(field));
    json_write_object_end(&b->w);
    json_write_object_end(&b->w);
    json_write_object_end(&b->w);
}

static void mount(struct builder *b, const char *volume, const char *path)
{
    json_write_object(&b->w);
    text(b, "name", slice_str(volume));
    text(b, "mountPath", slice_str(path));
    json_member_bool(&b->w, "readOnly", true);
    json_write_object_end(&b->w);
}

/* Ours, then what somebody set that we leave open. */
static void quantities(struct builder *b, const char *name, struct json is,
                       slice cpu, slice memory)
{
    json_write_name(&b->w, name);
    json_write_object(&b->w);
    json_member_text(&b->w, "cpu", cpu);
    json_member_text(&b->w, "memory", memory);
    for (struct json i = json_first(is); json_present(i); i = json_next(i)) {
        slice key = json_name(i);

        if ((slice_eq(key, SLICE("cpu")) && !slice_empty(cpu)) ||
            (slice_eq(key, SLICE("memory")) && !slice_empty(memory)))
            continue;
        json_write_name_slice(&b->w, key);
        json_write_value(&b->w, i);
    }
    json_write_object_end(&b->w);
}

static void resources(struct builder *b, struct json is)
{
    const struct overrides *o = b->in->settings;
    struct json have = json_get(is, "resources");
    struct json limits = json_get(have, "limits");
    slice cpu = o->proxy_cpu_request, memory = o->proxy_memory_request;

    /* The API server takes the limit for a request that is not said. */
    if (slice_empty(cpu))
        cpu = o->proxy_cpu_limit;
    if (slice_empty(memory))
        memory = o->proxy_memory_limit;
    json_write_name(&b->w, "resources");
    json_write_object(&b->w);
    if (!slice_empty(o->proxy_cpu_limit) ||
        !slice_empty(o->proxy_memory_limit) || json_count(limits))
        quantities(b, "limits", limits, o->proxy_cpu_limit,
                   o->proxy_memory_limit);
    if (!slice_empty(cpu) || !slice_empty(memory) ||
        json_count(json_get(have, "requests")))
        quantities(b, "requests", json_get(have, "requests"), cpu, memory);
    json_write_object_end(&b->w);
}

static void security(struct builder *b, const char *capability, uint32_t uid,
                     uint32_t gid)
{
    json_write_name(&b->w, "securityContext");
    json_write_object(&b->w);
    json_member_bool(&b->w, "allowPrivilegeEscalation", false);
    json_write_name(&b->w, "capabilities");
    json_write_object(&b->w);
    if (capability) {
        json_write_name(&b->w, "add");
        json_write_array(&b->w);
        json_write_string(&b->w, slice_str(capability));
        json_write_array_end(&b->w);
    }
    json_write_name(&b->w, "drop");
    json_write_array(&b->w);
    json_write_string(&b->w, SLICE("ALL"));
    json_write_array_end(&b->w);
    json_write_object_end(&b->w);
    json_member_bool(&b->w, "readOnlyRootFilesystem", true);
    json_member_int(&b->w, "runAsGroup", gid);
    json_member_bool(&b->w, "runAsNonRoot", uid != 0);
    json_member_int(&b->w, "runAsUser", uid);
    json_write_name(&b->w, "seccompProfile");
    json_write_object(&b->w);
    text(b, "type", SLICE("RuntimeDefault"));
    json_write_object_end(&b->w);
    json_write_object_end(&b->w);
}

struct probe {
    const char *name, *path;
    int64_t failures, period, timeout;
};

static void probe(struct builder *b, const struct probe *p)
{
    json_write_name(&b->w, p->name);
    json_write_object(&b->w);
    json_member_int(&b->w, "failureThreshold", p->failures);
    json_write_name(&b->w, "httpGet");
    json_write_object(&b->w);
    text(b, "path", slice_str(p->path));
    json_member_int(&b->w, "port", PORT_HEALTH);
    text(b, "scheme", SLICE("HTTP"));
    json_write_object_end(&b->w);
    json_member_int(&b->w, "periodSeconds", p->period);
    json_member_int(&b->w, "successThreshold", 1);
    json_member_int(&b->w, "timeoutSeconds", p->timeout);
    json_write_object_end(&b->w);
}

/* Name to pull policy, which both containers have. A program that fails says why
 * in its last lines: they become the container's message. */
static void begin(struct builder *b, const char *name, const char *program,
                  struct json is)
{
    json_write_object(&b->w);
    text(b, "name", slice_str(name));
    text(b, "image", image_of(b, is));
    text(b, "imagePullPolicy", pull_policy_of(b, is));
    json_write_name(&b->w, "command");
    json_write_array(&b->w);
    json_write_string(&b->w, slice_str(program));
    json_write_array_end(&b->w);
    text(b, "terminationMessagePath", SLICE("/dev/termination-log"));
    text(b, "terminationMessagePolicy", SLICE("FallbackToLogsOnError"));
}

/* --- the init container --- */

/* "10.96.0.10:8443", "[fd00::a]:8443"; empty when not known. */
static void by_address(const struct sidecar_site *s, struct text *out)
{
    bool v6 = slice_find(s->controller_ip, ':') >= 0;

    if (!slice_empty(s->controller_ip))
        text_printf(out, "%s%.*s%s:%u", v6 ? "[" : "", FMT(s->controller_ip),
                    v6 ? "]" : "", s->controller_port);
}

static void init_env(struct builder *b)
{
    const struct overrides *o = b->in->settings;
    const struct sidecar_site *s = b->in->site;
    struct text address;

    text_init(&address, 256);
    by_address(s, &address);
    json_write_name(&b->w, "env");
    json_write_array(&b->w);
    env_number(b, "TULLE_INIT_PROXY_UID", s->uid);
    env_number(b, "TULLE_INIT_PROXY_GID", s->gid);
    env_number(b, "TULLE_INIT_INBOUND_PORT", PORT_INBOUND);
    env_number(b, "TULLE_INIT_OUTBOUND_PORT", PORT_OUTBOUND);
    env(b, "TULLE_INIT_SKIP_INBOUND_PORTS", o->skip_inbound_ports);
    env(b, "TULLE_INIT_SKIP_OUTBOUND_PORTS", o->skip_outbound_ports);
    env(b, "TULLE_INIT_SKIP_SUBNETS", o->skip_subnets);
    env(b, "TULLE_INIT_CONTROLLER", text_slice(&address));
    json_write_array_end(&b->w);
    text_fini(&address);
}

static void init_container(struct builder *b)
{
    begin(b, CONTAINER_INIT, "/usr/bin/tulle-init", b->in->init);
    init_env(b);
    resources(b, b->in->init);
    security(b, "NET_ADMIN", 0, 0);
    json_write_object_end(&b->w);
}

/* --- the proxy --- */

static void where_env(struct builder *b)
{
    const struct sidecar_site *s = b->in->site;
    struct text t;

    text_init(&t, 1024);
    text_printf(&t, "%.*s.%.*s.svc.%.*s.:%u", FMT(s->controller), FMT(s->ns),
                FMT(s->cluster_domain), s->controller_port);
    if (!slice_empty(s->controller_ip)) {
        text_add_char(&t, ',');
        by_address(s, &t);
    }
    env(b, "TULLE_CONTROLLER", text_slice(&t));
    text_fini(&t);
    env(b, "TULLE_TRUST_DOMAIN", s->trust_domain);
    env(b, "TULLE_BUNDLE", SLICE(MOUNT_BUNDLE "/" TRUST_BUNDLE_KEY));
    env(b, "TULLE_BUNDLE_PEM", s->bundle_pem);
    env(b, "TULLE_TOKEN_FILE", SLICE(MOUNT_TOKEN "/" FILE_TOKEN));
}

#define PORT_TEXT_(port) #port
#define PORT_TEXT(port) PORT_TEXT_(port)

/* Below the container's limit by as much as the kernel's buffers of its sockets, and
 * what malloc keeps, may take: so the proxy sheds before the kernel kills. */
static void memory_budget(struct builder *b)
{
    enum {
        PERCENT = 60,
        LEAST = 8 << 20
    }; /* below, it would shed everything */
    uint64_t bytes;
    bool binary;
    char buf[QUANTITY_TEXT];

    if (quantity_memory(b->in->settings->proxy_memory_limit, &bytes, &binary) ||
        bytes / 100 * PERCENT < LEAST)
        return;
    snprintf(buf, sizeof buf, "%" PRIu64 "Ki", bytes / 100 * PERCENT / 1024);
    env(b, "TULLE_MEMORY_BUDGET", slice_str(buf));
}

static void proxy_env(struct builder *b)
{
    const struct overrides *o = b->in->settings;

    json_write_name(&b->w, "env");
    json_write_array(&b->w);
    where_env(b);
    env(b, "TULLE_INBOUND_TRANSPARENT",
        SLICE("0.0.0.0:" PORT_TEXT(PORT_INBOUND) ",[::]:" PORT_TEXT(
            PORT_INBOUND)));
    env(b, "TULLE_OUTBOUND_TRANSPARENT",
        SLICE("127.0.0.1:" PORT_TEXT(PORT_OUTBOUND) ",[::1]:" PORT_TEXT(
            PORT_OUTBOUND)));
    env(b, "TULLE_ADMIN", SLICE("127.0.0.1:" PORT_TEXT(PORT_ADMIN)));
    env(b, "TULLE_HEALTH", SLICE("[::]:" PORT_TEXT(PORT_HEALTH)));
    env(b, "TULLE_PROBES", b->in->probes);
    env_field(b, "TULLE_POD_NAME", "metadata.name");
    env_field(b, "TULLE_POD_NAMESPACE", "metadata.namespace");
    env_field(b, "TULLE_POD_UID", "metadata.uid");
    env_field(b, "TULLE_POD_IPS", "status.podIPs");
    env_field(b, "TULLE_NODE_IPS", "status.hostIPs");
    env(b, "TULLE_WORKERS", o->workers);
    env(b, "TULLE_LOG_LEVEL", o->proxy_log_level);
    env(b, "TULLE_LOG_JSON",
        b->in->site->log_json ? SLICE("true") : SLICE("false"));
    env(b, "TULLE_ACCESS_LOG", o->access_log);
    env(b, "TULLE_DETECT_TIMEOUT", o->detect_timeout);
    env(b, "TULLE_PATH_RULE", o->path_rule);
    env(b, "TULLE_SHUTDOWN_GRACE", o->shutdown_grace);
    memory_budget(b);
    json_write_array_end(&b->w);
}

/* No readiness probe: once started, a proxy is as ready as its app, whatever
 * becomes of the controller. */
static void proxy_container(struct builder *b)
{
    static const struct probe startup = {"startupProbe", "/ready",
                                         STARTUP_FAILURES, 1, 1};
    static const struct probe liveness = {"livenessProbe", "/live", 6, 10, 5};

    begin(b, CONTAINER_PROXY, "/usr/bin/tulle-proxy", b->in->proxy);
    text(b, "restartPolicy", SLICE("Always")); /* a native sidecar */
    proxy_env(b);
    resources(b, b->in->proxy);
    security(b, NULL, b->in->site->uid, b->in->site->gid);
    probe(b, &startup);
    probe(b, &liveness);
    json_write_name(&b->w, "volumeMounts");
    json_write_array(&b->w);
    mount(b, VOLUME_TOKEN, MOUNT_TOKEN);
    mount(b, VOLUME_BUNDLE, MOUNT_BUNDLE);
    json_write_array_end(&b->w);
    json_write_object_end(&b->w);
}

/* --- volumes --- */

static const char token_volume[] =
    "{\"name\":\"" VOLUME_TOKEN "\",\"projected\":{\"defaultMode\":420,"
    "\"sources\":[{\"serviceAccountToken\":{\"audience\":\"" AUDIENCE
    "\",\"expirationSeconds\":3600,\"path\":\"" FILE_TOKEN "\"}}]}}";
/* Optional: a pod starts in a new namespace before the controller has written
 * there, with the roots in its environment. */
static const char bundle_volume[] =
    "{\"name\":\"" VOLUME_BUNDLE "\",\"configMap\":{\"defaultMode\":420,"
    "\"name\":\"" TRUST_BUNDLE_NAME "\",\"optional\":true}}";

static enum status build(const struct sidecar_input *in,
                         void (*what)(struct builder *), struct arena *arena,
                         slice *out, struct error *e)
{
    struct builder b = {.in = in};
    struct text t;
    enum status rc = OK;

    text_init(&t, CONTAINER_TEXT_MAX);
    json_write_init(&b.w, &t);
    what(&b);
    if (t.failed || arena_copy(arena, text_slice(&t), out))
        rc = error_set(e, ERR_TOO_BIG, "the sidecar is too large");
    text_fini(&t);
    return rc;
}

enum status sidecar_build(const struct sidecar_input *in, struct arena *arena,
                          struct sidecar *out, struct error *e)
{
    enum status rc = build(in, init_container, arena, &out->init, e);

    if (!rc)
        rc = build(in, proxy_container, arena, &out->proxy, e);
    out->token = SLICE(token_volume);
    out->bundle = SLICE(bundle_volume);
    return rc;
}
