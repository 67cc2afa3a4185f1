/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/admin/probes.h"

#include "lib/base/clock.h"
#include "lib/json/json.h"
#include "lib/mesh/probe_path.h"

/* Kubernetes allows more; nobody waits for it. */
static const int64_t TIMEOUT_MAX = 24 * 3600 * NSEC_PER_SEC;
/* What Kubernetes takes when a probe says nothing. */
static const int64_t TIMEOUT_PROBE = NSEC_PER_SEC;
/* A hook may take its time; the grace period of the pod ends it. */
static const int64_t TIMEOUT_HOOK = 300 * NSEC_PER_SEC;

static enum status keep(struct probes *p, slice text, slice *out,
                        struct error *e)
{
    return arena_copy(&p->arena, text, out)
               ? error_set(e, ERR_TOO_BIG, "too much text")
               : OK;
}

/* No blank, no control byte: it becomes part of a request line. */
static bool printable(slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] <= ' ' || (unsigned char)s.ptr[i] >= 0x7f)
            return false;
    return true;
}

static enum status read_kind(struct json v, struct probe *out, struct error *e)
{
    slice kind;
    enum status rc = json_string(v, "kind", &kind, e);

    if (rc)
        return rc;
    if (slice_eq(kind, SLICE("tcp")))
        out->kind = PROBE_TCP;
    else if (slice_eq(kind, SLICE("http")))
        out->kind = PROBE_HTTP;
    else if (slice_eq(kind, SLICE("https")))
        out->kind = PROBE_HTTPS;
    else
        return json_error(json_get(v, "kind"), ERR_INVALID, e,
                          "expected tcp, http or https");
    return OK;
}

static enum status read_timeout(struct json v, struct probe *out,
                                struct error *e)
{
    slice text = SLICE_NONE;
    enum status rc = json_opt_string(v, "timeout", &text, e);

    out->timeout = out->hook ? TIMEOUT_HOOK : TIMEOUT_PROBE;
    if (rc || slice_empty(text))
        return rc;
    if (slice_to_duration(text, &out->timeout) || out->timeout <= 0)
        return json_error(json_get(v, "timeout"), ERR_INVALID, e,
                          "expected a duration like 1s");
    if (out->timeout > TIMEOUT_MAX)
        out->timeout = TIMEOUT_MAX;
    return OK;
}

static enum status read_target(struct probes *p, struct json v,
                               struct probe *out, struct error *e)
{
    slice path = SLICE_NONE;
    struct text target;
    enum status rc = json_opt_string(v, "path", &path, e);

    if (rc)
        return rc;
    text_init(&target, PROBE_TARGET_MAX);
    probe_path_write(path, &target);
    rc = target.failed ? json_error(json_get(v, "path"), ERR_TOO_BIG, e,
                                    "more than %d bytes", PROBE_TARGET_MAX)
                       : keep(p, text_slice(&target), &out->target, e);
    text_fini(&target);
    return rc;
}

/* What belongs to the connection is ours to say. */
static bool of_connection(slice name)
{
    switch (header_id_of(name)) {
    case HDR_CONNECTION:
    case HDR_CONTENT_LENGTH:
    case HDR_KEEP_ALIVE:
    case HDR_PROXY_CONNECTION:
    case HDR_TE:
    case HDR_TRAILER:
    case HDR_TRANSFER_ENCODING:
    case HDR_UPGRADE:
    case HDR_EXPECT:
        return true;
    default:
        return false;
    }
}

static enum status read_header(struct probes *p, struct json pair,
                               struct probe *out, struct error *e)
{
    struct json first = json_first(pair);
    slice name = SLICE_NONE, value = SLICE_NONE;
    enum status rc;

    if (json_type(pair) != JSON_ARRAY || json_count(pair) != 2 ||
        json_as_string(first, &name, NULL) ||
        json_as_string(json_next(first), &value, NULL) ||
        !header_name_valid(name) || !header_value_valid(value))
        return json_error(pair, ERR_INVALID, e,
                          "expected a name and a value of a header");
    if (of_connection(name))
        return OK;
    if (header_id_of(name) == HDR_HOST)
        return printable(value)
                   ? keep(p, value, &out->authority, e)
                   : json_error(pair, ERR_INVALID, e, "expected a host");
    struct header *h = &out->headers[out->headers_len++];
    rc = keep(p, name, &h->name, e);
    if (!rc)
        rc = keep(p, slice_trim(value), &h->value, e);
    h->id = (uint8_t)header_id_of(h->name);
    return rc;
}

static enum status read_headers(struct probes *p, struct json v,
                                struct probe *out, struct error *e)
{
    struct json list = {0};
    enum status rc = json_opt_array(v, "headers", &list, e);

    if (rc || json_count(list) == 0)
        return rc;
    if (json_count(list) > PROBE_HEADERS_MAX)
        return json_error(list, ERR_TOO_BIG, e, "more than %d",
                          PROBE_HEADERS_MAX);
    out->headers = arena_alloc(&p->arena,
                               json_count(list) * sizeof *out->headers);
    if (!out->headers)
        return error_set(e, ERR_TOO_BIG, "too much text");
    memset(out->headers, 0, json_count(list) * sizeof *out->headers);
    for (struct json i = json_first(list); json_present(i) && !rc;
         i = json_next(i))
        rc = read_header(p, i, out, e);
    return rc;
}

static enum status read_probe(struct probes *p, slice path, struct json v,
                              struct probe *out, struct error *e)
{
    int64_t port;
    slice host = SLICE_NONE;
    enum status rc;

    *out = (struct probe){.hook = slice_starts(path, SLICE("/hook/"))};
    if (!out->hook && !slice_starts(path, SLICE("/probe/")))
        return error_set(e, ERR_INVALID,
                         "a path begins with /probe/ or "
                         "/hook/");
    if (path.len > PROBE_PATH_MAX || !printable(path) ||
        slice_find(path, '?') >= 0)
        return error_set(e, ERR_INVALID, "not a path");
    rc = keep(p, path, &out->path, e);
    if (!rc)
        rc = read_kind(v, out, e);
    if (!rc)
        rc = json_int(v, "port", 1, UINT16_MAX, &port, e);
    if (rc)
        return rc;
    out->port = (uint16_t)port;
    rc = read_timeout(v, out, e);
    if (!rc)
        rc = json_opt_string(v, "host", &host, e);
    if (!rc && (host.len > 253 || !printable(host)))
        rc = error_set(e, ERR_INVALID, "host: not a name or address");
    if (!rc)
        rc = keep(p, host, &out->host, e);
    if (!rc)
        rc = read_target(p, v, out, e);
    if (!rc)
        rc = read_headers(p, v, out, e);
    return rc;
}

static enum status read_all(struct probes *p, struct json root, struct error *e)
{
    size_t n = json_count(root);
    enum status rc = OK;

    if (json_type(root) != JSON_OBJECT)
        return error_set(e, ERR_INVALID, "expected an object");
    if (n > PROBES_MAX)
        return error_set(e, ERR_TOO_BIG, "more than %d", PROBES_MAX);
    p->at = arena_alloc(&p->arena, n * sizeof *p->at + 1);
    if (!p->at)
        return error_set(e, ERR_TOO_BIG, "too many");
    for (struct json i = json_first(root); json_present(i) && !rc;
         i = json_next(i)) {
        slice path = json_name(i);

        rc = read_probe(p, path, i, &p->at[p->len++], e);
        if (rc)
            rc = error_prefix(e, rc, "%.*s", FMT(slice_sub(path, 0, 100)));
    }
    return rc;
}

enum status probes_parse(slice json, struct probes *out, struct error *e)
{
    const struct json_limits limits = {PROBES_BYTES_MAX, 64 * PROBES_MAX};
    struct json_doc *doc = NULL;
    enum status rc;

    *out = (struct probes){.len = 0};
    arena_init(&out->arena, 4 * PROBES_BYTES_MAX);
    if (slice_empty(slice_trim(json)))
        return OK;
    rc = json_parse(json, &limits, &doc, e);
    if (!rc)
        rc = read_all(out, json_root(doc), e);
    if (rc)
        rc = error_prefix(e, rc, "probes");
    json_free(doc);
    return rc;
}

void probes_fini(struct probes *p)
{
    arena_reset(&p->arena);
    p->at = NULL;
    p->len = 0;
}

const struct probe *probes_find(const struct probes *p, slice path)
{
    for (uint32_t i = 0; i < p->len; i++)
        if (slice_eq(p->at[i].path, path))
            return &p->at[i];
    return NULL;
}
