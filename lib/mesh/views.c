/* SPDX-License-Identifier: Apache-2.0 */
/* Names of the enums, and the life of a view. */
#include "lib/mesh/views.h"

#include <assert.h>

#include "lib/base/mem.h"

static const char *const protocol_names[PROTOCOLS] = {
    [PROTOCOL_DETECT] = "detect", [PROTOCOL_HTTP] = "http",
    [PROTOCOL_HTTP1] = "http/1",  [PROTOCOL_HTTP2] = "http/2",
    [PROTOCOL_GRPC] = "grpc",     [PROTOCOL_TLS] = "tls",
    [PROTOCOL_OPAQUE] = "opaque",
};

static const char *const kind_names[VIEW_KINDS] = {
    [VIEW_WORKLOAD] = "workload",
    [VIEW_DESTINATION] = "destination",
    [VIEW_BACKEND] = "backend",
};

static const char *const resolution_names[] = {
    [RESOLUTION_KNOWN] = "known",
    [RESOLUTION_EXTERNAL] = "external",
    [RESOLUTION_UNKNOWN] = "unknown",
};

/* The index of `name`, or -1. */
static int find(const char *const *names, int n, slice name)
{
    for (int i = 0; i < n; i++) {
        if (slice_eq(slice_str(names[i]), name))
            return i;
    }
    return -1;
}

const char *protocol_name(enum protocol p)
{
    return p < PROTOCOLS ? protocol_names[p] : "unknown";
}

enum status protocol_parse(slice name, enum protocol *out)
{
    int i = find(protocol_names, PROTOCOLS, name);

    if (i < 0)
        return ERR_INVALID;
    *out = (enum protocol)i;
    return OK;
}

const char *view_kind_name(enum view_kind k)
{
    return k < VIEW_KINDS ? kind_names[k] : "unknown";
}

enum status view_kind_parse(slice name, enum view_kind *out)
{
    int i = find(kind_names, VIEW_KINDS, name);

    if (i < 0)
        return ERR_INVALID;
    *out = (enum view_kind)i;
    return OK;
}

const char *resolution_name(enum resolution r)
{
    return r <= RESOLUTION_UNKNOWN ? resolution_names[r] : "unknown";
}

struct view *view_new(enum view_kind kind, slice key)
{
    struct view *v = MEM_NEW(struct view);
    enum status rc;

    shared_init(&v->refs);
    /* Text is at most VIEW_BYTES_MAX, and the arrays are about as large. */
    arena_init(&v->arena, 2 * (size_t)VIEW_BYTES_MAX);
    v->kind = kind;
    rc = arena_copy(&v->arena, key, &v->key);
    assert(rc == OK); /* keys are short: WIRE_KEY_MAX */
    (void)rc;
    return v;
}

struct view *view_ref(struct view *v)
{
    shared_ref(&v->refs);
    return v;
}

void view_unref(struct view *v)
{
    if (!v || !shared_unref(&v->refs))
        return;
    arena_reset(&v->arena);
    mem_free(v);
}
