/* SPDX-License-Identifier: Apache-2.0 */
/* What this build can do, and the bodies of POST /v1/certificates. Messages are
 * read in wire_decode.c and written in wire_encode.c. */
#include "lib/mesh/wire.h"

#include "lib/mesh/wire_parts.h"

/* A capability is a feature and its version: what changes meaning gets a new
 * number. "backend-delta/1" also names the canonical form of endpoints: both
 * ends of a delta hash the result. */
const char *const wire_capabilities[] = {"backend-delta/1", NULL};

bool wire_capable(slice need)
{
    for (size_t i = 0; wire_capabilities[i]; i++) {
        if (slice_eq(need, slice_str(wire_capabilities[i])))
            return true;
    }
    return false;
}

/* ---- certificates ---- */

enum { BODY_VALUES_MAX = 1000 };

void certificate_request_encode(const struct certificate_request *r,
                                struct text *out)
{
    struct json_write w;

    json_write_init(&w, out);
    json_write_object(&w);
    json_member_string(&w, "csr", r->csr);
    json_member_text(&w, "token", r->token);
    json_write_object_end(&w);
}

enum status certificate_request_decode(slice json, struct arena *a,
                                       struct certificate_request *out,
                                       struct error *e)
{
    const struct json_limits limits = {4 * WIRE_TOKEN_MAX, BODY_VALUES_MAX};
    struct certificate_request r = {0};
    struct json_doc *doc = NULL;
    enum status rc;

    rc = json_parse(json, &limits, &doc, e);
    if (rc)
        goto out;
    rc = read_filled(json_root(doc), "csr", WIRE_TOKEN_MAX, a, &r.csr, e);
    if (rc)
        goto out;
    rc = read_text(json_root(doc), "token", WIRE_TOKEN_MAX, a, &r.token, e);
    if (rc)
        goto out;
    *out = r;
out:
    json_free(doc);
    return rc;
}

void certificate_answer_encode(const struct certificate_answer *r,
                               struct text *out)
{
    struct json_write w;

    json_write_init(&w, out);
    json_write_object(&w);
    json_member_string(&w, "chain", r->chain);
    json_member_string(&w, "bundle", r->bundle);
    json_member_int(&w, "renewAt", r->renew_at);
    json_write_object_end(&w);
}

enum status certificate_answer_decode(slice json, struct arena *a,
                                      struct certificate_answer *out,
                                      struct error *e)
{
    const struct json_limits limits = {3 * WIRE_PEM_MAX, BODY_VALUES_MAX};
    struct certificate_answer r = {0};
    struct json_doc *doc = NULL;
    enum status rc;

    rc = json_parse(json, &limits, &doc, e);
    if (rc)
        goto out;
    rc = read_filled(json_root(doc), "chain", WIRE_PEM_MAX, a, &r.chain, e);
    if (rc)
        goto out;
    rc = read_filled(json_root(doc), "bundle", WIRE_PEM_MAX, a, &r.bundle, e);
    if (rc)
        goto out;
    rc = json_int(json_root(doc), "renewAt", 0, JSON_WHOLE_MAX, &r.renew_at, e);
    if (rc)
        goto out;
    *out = r;
out:
    json_free(doc);
    return rc;
}
