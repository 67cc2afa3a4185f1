/* SPDX-License-Identifier: Apache-2.0 */
/* Every container of both lists; of each the three probes, then the two hooks. A
 * probe that asks us already was rewritten before: what it asked is taken from
 * what was noted then. */
#include "injector/probes.h"

#include <inttypes.h>
#include <stdio.h>

#include "injector/eligible.h"
#include "lib/base/map.h"
#include "lib/detect/declared.h"
#include "lib/mesh/labels.h"

enum {
    TABLE_MAX = 96 << 10, /* an environment variable has 128 KiB at most */
    HEADERS_MAX = 64,
    NAME_MAX_BYTES = 63,
    PATH_BYTES = 128,
    POST_START_SECONDS = 600, /* Kubernetes sets no bound */
    TIMEOUT_MAX = 86400,      /* nobody waits for longer */
};

struct asked {        /* one probe or hook */
    const char *list; /* "containers" */
    size_t index;
    struct json container, handler; /* the latter has httpGet, tcpSocket */
    const char *at;                 /* "livenessProbe", "lifecycle/preStop" */
    const char *path_kind; /* "probe/liveness": the name goes between */
    bool hook;
    int64_t timeout; /* seconds */
};

struct rewriter {
    const struct probes_input *in;
    struct patch *patch;
    struct json_write table;
    struct map written; /* its paths */
    struct error *e;
};

static slice text_of(struct json obj, const char *name)
{
    struct error ignored;
    slice s = SLICE_NONE;

    return json_opt_string(obj, name, &s, &ignored) ? SLICE_NONE : s;
}

static int64_t number_of(struct json v)
{
    struct error ignored;
    int64_t n = 0;

    if (json_type(v) != JSON_NUMBER ||
        json_as_int(v, 1, UINT16_MAX, &n, &ignored))
        return 0;
    return n;
}

/* A number, a name among the container's ports, or digits. 0: means nothing. */
static uint16_t port_of(struct json container, struct json port)
{
    struct error ignored;
    uint64_t n = 0;
    slice name;

    if (json_type(port) != JSON_STRING)
        return (uint16_t)number_of(port);
    if (json_as_string(port, &name, &ignored))
        return 0;
    for (struct json i = json_first(json_get(container, "ports"));
         json_present(i); i = json_next(i))
        if (slice_eq(text_of(i, "name"), name))
            return (uint16_t)number_of(json_get(i, "containerPort"));
    return slice_to_u64(name, UINT16_MAX, &n) ? 0 : (uint16_t)n;
}

/* /probe/app/liveness */
static slice own_path(const struct asked *a, char buf[PATH_BYTES])
{
    const char *last = strrchr(a->path_kind, '/');

    snprintf(buf, PATH_BYTES, "/%.*s/%.*s%s", (int)(last - a->path_kind),
             a->path_kind, FMT(text_of(a->container, "name")), last);
    return slice_str(buf);
}

/* --- the table --- */

/* The path is all that tells probes apart: two of one would be asked as one. */
static enum status name_entry(struct rewriter *r, const struct asked *a)
{
    char buf[PATH_BYTES];
    slice path = own_path(a, buf), name = text_of(a->container, "name");

    if (slice_empty(name))
        return error_set(r->e, ERR_INVALID, "%s[%zu]: a container has no name",
                         a->list, a->index);
    if (map_put(&r->written, path, r))
        return error_set(r->e, ERR_INVALID,
                         "container %.*s: the name is there twice", FMT(name));
    json_write_name_slice(&r->table, path);
    return OK;
}

static void begin_entry(struct rewriter *r, const struct asked *a,
                        const char *kind, uint16_t port)
{
    char timeout[32];

    json_write_object(&r->table);
    json_member_string(&r->table, "kind", slice_str(kind));
    json_member_int(&r->table, "port", port);
    snprintf(timeout, sizeof timeout, "%" PRId64 "s", a->timeout);
    json_member_string(&r->table, "timeout", slice_str(timeout));
}

static bool is_host(struct json header)
{
    return slice_eq_nocase(text_of(header, "name"), SLICE("host"));
}

static enum status write_headers(struct rewriter *r, struct json list)
{
    slice host = SLICE_NONE;

    if (json_count(list) > HEADERS_MAX)
        return json_error(list, ERR_TOO_BIG, r->e, "more than %d headers",
                          HEADERS_MAX);
    json_write_name(&r->table, "headers");
    json_write_array(&r->table);
    for (struct json h = json_first(list); json_present(h); h = json_next(h)) {
        if (is_host(h)) {
            host = text_of(h, "value");
            continue;
        }
        json_write_array(&r->table);
        json_write_string(&r->table, text_of(h, "name"));
        json_write_string(&r->table, text_of(h, "value"));
        json_write_array_end(&r->table);
    }
    json_write_array_end(&r->table);
    json_member_string(&r->table, "host", host);
    return OK;
}

static enum status note_http(struct rewriter *r, const struct asked *a,
                             struct json get, bool https, uint16_t port)
{
    slice path = text_of(get, "path");
    enum status rc = name_entry(r, a);

    if (rc)
        return rc;
    begin_entry(r, a, https ? "https" : "http", port);
    json_member_string(&r->table, "path",
                       slice_empty(path) ? SLICE("/") : path);
    rc = write_headers(r, json_get(get, "httpHeaders"));
    json_write_object_end(&r->table);
    return rc;
}

static enum status note_tcp(struct rewriter *r, const struct asked *a,
                            uint16_t port)
{
    enum status rc = name_entry(r, a);

    if (rc)
        return rc;
    begin_entry(r, a, "tcp", port);
    json_write_object_end(&r->table);
    return OK;
}

/* --- the pod --- */

static enum status push(struct rewriter *r, const struct asked *a,
                        enum patch_kind kind, slice value, const char *handler)
{
    return patch_push(r->patch, kind, value, r->e, "/spec/%s/%zu/%s/%s",
                      a->list, a->index, a->at, handler);
}

/* No host: Pod Security refuses it. The scheme as the API server would add. */
static enum status ask_us(struct rewriter *r, const struct asked *a,
                          enum patch_kind kind)
{
    char path[PATH_BYTES], value[256];
    int n = snprintf(value, sizeof value,
                     "{\"path\":\"%.*s\",\"port\":%d,\"scheme\":\"HTTP\"}",
                     FMT(own_path(a, path)), PORT_HEALTH);

    return push(r, a, kind, slice_of(value, (size_t)n), "httpGet");
}

/* --- one of them --- */

static bool passes_us(const struct rewriter *r, uint16_t port)
{
    return port && !declared_ports_have(r->in->skip_inbound_ports, port);
}

static bool is_reserved(uint16_t port)
{
    return port == PORT_OUTBOUND || port == PORT_INBOUND ||
           port == PORT_ADMIN || port == PORT_HEALTH;
}

static enum status refuse_port(struct rewriter *r, const struct asked *a,
                               uint16_t port)
{
    return error_set(r->e, ERR_INVALID,
                     "container %.*s: its %s asks port %u, which is the "
                     "proxy's",
                     FMT(text_of(a->container, "name")), a->at, port);
}

static struct json noted(const struct rewriter *r, const struct asked *a)
{
    char path[PATH_BYTES];

    return json_get(r->in->before, (const char *)own_path(a, path).ptr);
}

/* It asks one of our ports: fine when it was us who wrote that. */
static enum status asks_us(struct rewriter *r, const struct asked *a,
                           struct json get, uint16_t port)
{
    char path[PATH_BYTES];
    struct json entry = noted(r, a);
    enum status rc;

    if (port != PORT_HEALTH || json_type(entry) != JSON_OBJECT ||
        !slice_eq(text_of(get, "path"), own_path(a, path)))
        return refuse_port(r, a, port);
    rc = name_entry(r, a);
    if (!rc)
        json_write_value(&r->table, entry);
    return rc;
}

static enum status http_get(struct rewriter *r, const struct asked *a,
                            struct json get)
{
    uint16_t port = port_of(a->container, json_get(get, "port"));
    bool https = slice_eq(text_of(get, "scheme"), SLICE("HTTPS"));
    enum status rc;

    if (!slice_empty(text_of(get, "host")))
        return OK;
    if (is_reserved(port))
        return asks_us(r, a, get, port);
    if ((!https && !a->hook) || !passes_us(r, port))
        return OK;
    rc = note_http(r, a, get, https, port);
    return rc ? rc : ask_us(r, a, PATCH_REPLACE);
}

static enum status tcp_socket(struct rewriter *r, const struct asked *a,
                              struct json socket)
{
    uint16_t port = port_of(a->container, json_get(socket, "port"));
    enum status rc;

    /* As a hook it does nothing, and is there for old manifests only. */
    if (a->hook || !slice_empty(text_of(socket, "host")))
        return OK;
    if (is_reserved(port))
        return refuse_port(r, a, port);
    if (!passes_us(r, port))
        return OK;
    rc = note_tcp(r, a, port);
    if (!rc)
        rc = ask_us(r, a, PATCH_ADD);
    return rc ? rc : push(r, a, PATCH_REMOVE, SLICE_NONE, "tcpSocket");
}

static enum status rewrite(struct rewriter *r, const struct asked *a)
{
    struct json get = json_get(a->handler, "httpGet");
    struct json socket = json_get(a->handler, "tcpSocket");

    if (json_type(get) == JSON_OBJECT)
        return http_get(r, a, get);
    if (json_type(socket) == JSON_OBJECT)
        return tcp_socket(r, a, socket);
    return OK;
}

/* --- all of them --- */

static enum status probe(struct rewriter *r, struct asked *a, const char *at,
                         const char *path_kind)
{
    enum status rc;

    a->at = at;
    a->path_kind = path_kind;
    a->hook = false;
    a->handler = json_get(a->container, at);
    a->timeout = 1;
    /* 0 is 1 to the API server, which refuses what is below. */
    rc = json_opt_int(a->handler, "timeoutSeconds", 0, INT32_MAX, &a->timeout,
                      r->e);
    if (a->timeout < 1)
        a->timeout = 1;
    if (a->timeout > TIMEOUT_MAX)
        a->timeout = TIMEOUT_MAX;
    return rc ? rc : rewrite(r, a);
}

static enum status hook(struct rewriter *r, struct asked *a, const char *name,
                        const char *at, const char *path_kind, int64_t timeout)
{
    a->at = at;
    a->path_kind = path_kind;
    a->hook = true;
    a->handler = json_get(json_get(a->container, "lifecycle"), name);
    a->timeout = timeout;
    return rewrite(r, a);
}

static enum status container(struct rewriter *r, struct asked *a)
{
    enum status rc;

    if (text_of(a->container, "name").len > NAME_MAX_BYTES)
        return json_error(a->container, ERR_INVALID, r->e,
                          "a name of more than %d bytes", NAME_MAX_BYTES);
    rc = probe(r, a, "startupProbe", "probe/startup");
    if (!rc)
        rc = probe(r, a, "livenessProbe", "probe/liveness");
    if (!rc)
        rc = probe(r, a, "readinessProbe", "probe/readiness");
    if (!rc)
        rc = hook(r, a, "postStart", "lifecycle/postStart", "hook/postStart",
                  POST_START_SECONDS);
    if (!rc)
        rc = hook(r, a, "preStop", "lifecycle/preStop", "hook/preStop",
                  r->in->grace_seconds > 0 ? r->in->grace_seconds : 1);
    return rc;
}

static enum status containers(struct rewriter *r, const char *list)
{
    struct asked a = {.list = list};
    struct json all = json_get(json_get(r->in->pod, "spec"), list);
    enum status rc = OK;

    for (a.container = json_first(all); json_present(a.container) && !rc;
         a.container = json_next(a.container), a.index++)
        if (!eligible_is_ours(a.container))
            rc = container(r, &a);
    return rc;
}

/* As an escape: Kubernetes reads $(NAME) and $$ in variables as its own. */
static enum status keep_table(struct rewriter *r, slice table, slice *out)
{
    struct text t;
    enum status rc = OK;

    text_init(&t, TABLE_MAX);
    for (size_t i = 0; i < table.len; i++)
        if (table.ptr[i] == '$')
            text_add(&t, SLICE("\\u0024"));
        else
            text_add_char(&t, table.ptr[i]);
    if (t.failed || arena_copy(r->patch->arena, text_slice(&t), out))
        rc = error_set(r->e, ERR_TOO_BIG, "the probes are too large");
    text_fini(&t);
    return rc;
}

enum status probes_rewrite(const struct probes_input *in, struct patch *patch,
                           slice *table, struct error *e)
{
    struct rewriter r = {.in = in, .patch = patch, .e = e};
    struct text text;
    enum status rc;

    text_init(&text, TABLE_MAX);
    json_write_init(&r.table, &text);
    map_init(&r.written);
    json_write_object(&r.table);
    rc = containers(&r, "containers");
    if (!rc)
        rc = containers(&r, "initContainers");
    json_write_object_end(&r.table);
    if (!rc && text.failed)
        rc = error_set(e, ERR_TOO_BIG, "the probes are too large");
    if (!rc)
        rc = keep_table(&r, text_slice(&text), table);
    map_fini(&r.written);
    text_fini(&text);
    return rc;
}
