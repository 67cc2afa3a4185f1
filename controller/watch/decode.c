/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/watch/decode.h"

#include <stdio.h>

#include "lib/detect/declared.h"
#include "lib/mesh/identity.h"
#include "lib/mesh/labels.h"

enum status decode_names(struct json obj, bool namespaced, slice *ns,
                         slice *name, struct error *e)
{
    struct json metadata = {0};

    *ns = namespaced ? SLICE("default") : SLICE_NONE;
    if (json_object(obj, "metadata", &metadata, e) ||
        json_string(metadata, "name", name, e) ||
        (namespaced && json_opt_string(metadata, "namespace", ns, e)))
        return ERR_INVALID;
    if (!dns_subdomain_valid(*name))
        return json_error(json_get(metadata, "name"), ERR_INVALID, e,
                          "'%.*s' is not a valid name",
                          FMT(slice_sub(*name, 0, 300)));
    if (namespaced && !dns_label_valid(*ns))
        return json_error(json_get(metadata, "namespace"), ERR_INVALID, e,
                          "'%.*s' is not a valid namespace",
                          FMT(slice_sub(*ns, 0, 300)));
    return OK;
}

enum status decode_begin(struct json obj, enum record_kind kind,
                         struct record **out, struct error *e)
{
    slice ns, name;
    enum status rc = decode_names(obj, kind != RECORD_NAMESPACE, &ns, &name, e);

    if (rc == OK)
        *out = record_new(kind, ns, name);
    return rc;
}

enum status decode_array(struct record *r, struct json v, size_t n, size_t max,
                         size_t size, void *out, struct error *e)
{
    void *at = NULL;

    if (n <= max)
        at = arena_alloc(&r->arena, n * size + 1);
    if (!at)
        return json_error(v, ERR_TOO_BIG, e, "%zu of them are too many", n);
    memset(at, 0, n * size + 1);
    memcpy(out, &at, sizeof at);
    return OK;
}

static enum status copy(struct record *r, struct json v, slice text, slice *out,
                        struct error *e)
{
    if (arena_copy(&r->arena, text, out))
        return json_error(v, ERR_TOO_BIG, e, "the object is too large");
    return OK;
}

enum status decode_text(struct record *r, struct json obj, const char *name,
                        slice *out, struct error *e)
{
    slice text = SLICE_NONE;
    enum status rc = json_opt_string(obj, name, &text, e);

    if (rc || !text.ptr)
        return rc;
    return copy(r, obj, text, out, e);
}

enum status decode_is_tcp(struct json port, bool *out, struct error *e)
{
    slice protocol = SLICE("TCP");
    enum status rc = json_opt_string(port, "protocol", &protocol, e);

    *out = slice_eq(protocol, SLICE("TCP"));
    return rc;
}

enum status decode_ip(struct record *r, struct json v, slice *out,
                      struct error *e)
{
    char buf[IP_TEXT];
    slice text, ip;
    enum status rc = json_as_string(v, &text, e);

    if (rc)
        return rc;
    if (!ip_canonical(text, buf, &ip))
        return json_error(v, ERR_INVALID, e, "'%.*s' is not an IP address",
                          FMT(slice_sub(text, 0, 100)));
    return copy(r, v, ip, out, e);
}

/* The first problem is the one that is told. */
static void complain(struct record *r, const char *annotation,
                     const char *sentence)
{
    char text[700];
    int n;

    if (!slice_empty(r->problem))
        return;
    n = snprintf(text, sizeof text, "annotation %s: %s", annotation, sentence);
    if (n > 0 && arena_copy(&r->arena, slice_str(text), &r->problem))
        r->problem = SLICE("bad annotation");
}

enum status decode_ports(struct record *r, struct json annotations,
                         const char *name, slice *out, struct error *e)
{
    struct error why;
    slice list = SLICE_NONE;
    enum status rc = json_opt_string(annotations, name, &list, e);

    if (rc || !list.ptr)
        return rc;
    if (declared_ports_check(list, &why)) {
        complain(r, name, why.text);
        list = SLICE("");
    }
    rc = copy(r, annotations, list, out, e);
    if (!out->ptr)
        *out = SLICE(""); /* said, and empty: the namespace does not add */
    return rc;
}

static enum status decode_mtls(struct record *r, struct json annotations,
                               enum mtls_setting *out, struct error *e)
{
    slice mode = SLICE_NONE;
    enum status rc = json_opt_string(annotations, ANNOTATION_MTLS, &mode, e);
    char why[200];

    if (rc || !mode.ptr)
        return rc;
    *out = MTLS_SAYS_STRICT;
    if (slice_eq(mode, SLICE("strict")))
        return OK;
    if (slice_eq(mode, SLICE("permissive"))) {
        *out = MTLS_SAYS_PERMISSIVE;
        return OK;
    }
    snprintf(why, sizeof why,
             "'%.*s' is neither permissive nor strict; strict holds",
             FMT(slice_sub(mode, 0, 60)));
    complain(r, ANNOTATION_MTLS, why);
    return OK;
}

enum status decode_settings(struct record *r, struct json metadata,
                            struct mesh_settings *out, struct error *e)
{
    struct json annotations = {0};
    enum status rc = json_opt_object(metadata, "annotations", &annotations, e);

    if (!rc)
        rc = decode_mtls(r, annotations, &out->mtls, e);
    if (!rc)
        rc = decode_ports(r, annotations, ANNOTATION_OPAQUE_PORTS,
                          &out->opaque_ports, e);
    if (!rc)
        rc = decode_ports(r, annotations, ANNOTATION_SKIP_INBOUND_PORTS,
                          &out->skip_inbound_ports, e);
    return rc;
}
