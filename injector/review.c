/* SPDX-License-Identifier: Apache-2.0 */
#include "injector/review.h"

#include <stdio.h>

#include "lib/base/base64.h"

enum { UID_MAX = 128, NAMES_MAX = 253, REVIEW_VALUES_MAX = 100000 };

static enum status expect(struct json v, const char *name, const char *want,
                          struct error *e)
{
    slice is;
    enum status rc = json_string(v, name, &is, e);

    if (!rc && !slice_eq(is, slice_str(want)))
        rc = json_error(json_get(v, name), ERR_INVALID, e,
                        "expected %s, not '%.*s'", want,
                        FMT(slice_sub(is, 0, 100)));
    return rc;
}

static enum status read_text(struct json v, const char *name, size_t max,
                             slice *out, struct error *e)
{
    enum status rc = json_opt_string(v, name, out, e);

    if (!rc && out->len > max)
        rc = json_error(json_get(v, name), ERR_TOO_BIG, e,
                        "more than %zu bytes", max);
    return rc;
}

static bool is_text(struct json v, const char *name, const char *text)
{
    struct error ignored;
    slice s = SLICE_NONE;

    return !json_opt_string(v, name, &s, &ignored) &&
           slice_eq(s, slice_str(text));
}

/* A webhook configuration that asks us about other things must not stop them. */
static bool is_for_us(struct json request)
{
    struct json kind = json_get(request, "kind");

    return is_text(request, "operation", "CREATE") &&
           is_text(kind, "kind", "Pod") && is_text(kind, "group", "") &&
           is_text(request, "subResource", "");
}

static enum status read_request(struct json request, struct review *out,
                                struct error *e)
{
    struct json object;
    enum status rc = json_string(request, "uid", &out->uid, e);

    if (!rc)
        rc = read_text(request, "uid", UID_MAX, &out->uid, e);
    if (!rc)
        rc = read_text(request, "namespace", NAMES_MAX, &out->ns, e);
    if (!rc)
        rc = read_text(request, "name", NAMES_MAX, &out->name, e);
    if (!rc)
        rc = json_opt_bool(request, "dryRun", &out->dry_run, e);
    if (rc || !is_for_us(request))
        return rc;
    rc = json_object(request, "object", &object, e);
    if (!rc)
        out->pod = object;
    return rc;
}

enum status review_read(slice body, struct review *out, struct error *e)
{
    const struct json_limits limits = {REVIEW_BYTES_MAX, REVIEW_VALUES_MAX};
    struct json root, request;
    enum status rc;

    *out = (struct review){0};
    rc = json_parse(body, &limits, &out->doc, e);
    if (rc)
        return error_prefix(e, rc, "not an AdmissionReview");
    root = json_root(out->doc);
    if (json_type(root) != JSON_OBJECT)
        return error_set(e, ERR_INVALID, "not an AdmissionReview");
    rc = expect(root, "apiVersion", "admission.k8s.io/v1", e);
    if (!rc)
        rc = expect(root, "kind", "AdmissionReview", e);
    if (!rc)
        rc = json_object(root, "request", &request, e);
    return rc ? rc : read_request(request, out, e);
}

void review_fini(struct review *r)
{
    json_free(r->doc);
    r->doc = NULL;
}

/* --- the answer --- */

static void write_patch(struct json_write *w, const struct patch *p)
{
    struct text plain, coded;
    struct json_write pw;

    text_init(&plain, 8 << 20);
    text_init(&coded, 12 << 20);
    json_write_init(&pw, &plain);
    patch_write(p, SLICE_NONE, &pw);
    base64_encode(text_slice(&plain), &coded);
    json_member_string(w, "patchType", SLICE("JSONPatch"));
    json_member_string(w, "patch", text_slice(&coded));
    text_fini(&plain);
    text_fini(&coded);
}

static void write_refusal(struct json_write *w, const struct error *why)
{
    json_write_name(w, "status");
    json_write_object(w);
    json_member_string(w, "status", SLICE("Failure"));
    json_member_string(w, "message", slice_str(why->text));
    json_member_string(w, "reason", SLICE("Invalid"));
    json_member_int(w, "code", 422);
    json_write_object_end(w);
}

/* Those that see the warnings of kubectl may also be those that mend. */
static void write_warnings(struct json_write *w, const struct inject_result *r)
{
    if (r->notes.len == 0)
        return;
    json_write_name(w, "warnings");
    json_write_array(w);
    for (unsigned i = 0; i < r->notes.len; i++) {
        char text[600];
        int n = snprintf(text, sizeof text, "tulle: %s%.*s",
                         r->notes.at[i].kind == NOTE_NAMESPACE ? "namespace: "
                                                               : "",
                         FMT(r->notes.at[i].text));

        json_write_string(w, slice_of(text, (size_t)n));
    }
    json_write_array_end(w);
}

void review_answer(const struct review *r, const struct inject_result *result,
                   struct text *out)
{
    bool refused = result && result->verdict == VERDICT_REFUSE;
    struct json_write w;

    json_write_init(&w, out);
    json_write_object(&w);
    json_member_string(&w, "apiVersion", SLICE("admission.k8s.io/v1"));
    json_member_string(&w, "kind", SLICE("AdmissionReview"));
    json_write_name(&w, "response");
    json_write_object(&w);
    json_member_string(&w, "uid", r->uid);
    json_member_bool(&w, "allowed", !refused);
    if (refused)
        write_refusal(&w, &result->why);
    if (result && result->patch.ops.len)
        write_patch(&w, &result->patch);
    if (result)
        write_warnings(&w, result);
    json_write_object_end(&w);
    json_write_object_end(&w);
}
