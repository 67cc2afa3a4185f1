/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/identity/token_review.h"

#include <stdio.h>

#include "lib/json/json_write.h"
#include "lib/mesh/labels.h"

void token_review_request(slice token, struct text *out)
{
    struct json_write w;

    json_write_init(&w, out);
    json_write_object(&w);
    json_member_string(&w, "apiVersion", SLICE("authentication.k8s.io/v1"));
    json_member_string(&w, "kind", SLICE("TokenReview"));
    json_write_name(&w, "spec");
    json_write_object(&w);
    json_member_string(&w, "token", token);
    json_write_name(&w, "audiences");
    json_write_array(&w);
    json_write_string(&w, SLICE(AUDIENCE));
    json_write_array_end(&w);
    json_write_object_end(&w);
    json_write_object_end(&w);
}

static enum status check_authenticated(struct json status, struct error *e)
{
    struct json audiences = {0};
    bool yes = false;
    enum status rc = json_opt_bool(status, "authenticated", &yes, e);

    if (!rc && !yes)
        return error_set(e, ERR_DENIED, "the token is not valid");
    if (!rc)
        rc = json_opt_array(status, "audiences", &audiences, e);
    for (struct json i = json_first(audiences); json_present(i) && !rc;
         i = json_next(i)) {
        slice one;

        rc = json_as_string(i, &one, e);
        if (!rc && slice_eq(one, SLICE(AUDIENCE)))
            return OK;
    }
    if (rc)
        return rc;
    return error_set(e, ERR_DENIED, "the token is not for the audience '%s'",
                     AUDIENCE);
}

/* "system:serviceaccount:<namespace>:<name>" */
static enum status read_account(struct json user, slice trust_domain,
                                struct token_review *out,
                                struct workload_name *name, struct error *e)
{
    static const slice prefix = SLICE_INIT("system:serviceaccount:");
    slice user_name = SLICE_NONE;
    struct text text;
    enum status rc = json_opt_string(user, "username", &user_name, e);

    if (rc)
        return rc;
    name->trust_domain = trust_domain;
    if (!slice_starts(user_name, prefix) ||
        !slice_cut(slice_sub(user_name, prefix.len, user_name.len), ':',
                   &name->ns, &name->service_account))
        return error_set(e, ERR_DENIED, "the token is not a service account's");
    text_init(&text, WORKLOAD_NAME_MAX);
    rc = workload_name_build(name, &text, e);
    if (!rc)
        rc = slice_to_cstr(text_slice(&text), out->name, sizeof out->name);
    text_fini(&text);
    return rc;
}

/* A member of user.extra: each is a list; ours has one value. */
static enum status read_extra(struct json extra, const char *name, slice *out,
                              struct error *e)
{
    struct json values = {0};
    enum status rc = json_opt_array(extra, name, &values, e);

    *out = SLICE_NONE;
    if (rc || json_count(values) != 1)
        return rc;
    return json_as_string(json_first(values), out, e);
}

static enum status read_pod(struct json user, slice ns,
                            struct token_review *out, struct error *e)
{
    struct json extra = {0};
    slice pod = SLICE_NONE, uid = SLICE_NONE;
    enum status rc = json_opt_object(user, "extra", &extra, e);
    int n;

    if (!rc)
        rc = read_extra(extra, "authentication.kubernetes.io/pod-name", &pod,
                        e);
    if (!rc)
        rc = read_extra(extra, "authentication.kubernetes.io/pod-uid", &uid, e);
    if (rc)
        return rc;
    if (slice_empty(pod) || slice_empty(uid))
        return error_set(e, ERR_DENIED, "the token is not bound to a pod");
    n = snprintf(out->pod, sizeof out->pod, "%.*s/%.*s/%.*s", FMT(ns), FMT(pod),
                 FMT(uid));
    if (n < 0 || (size_t)n >= sizeof out->pod)
        return error_set(e, ERR_INVALID, "the pod's name is too long");
    return OK;
}

enum status token_review_read(struct json body, slice trust_domain,
                              struct token_review *out, struct error *e)
{
    struct json status = {0}, user = {0};
    struct workload_name name = {0};
    enum status rc = json_object(body, "status", &status, e);

    *out = (struct token_review){0};
    if (!rc)
        rc = check_authenticated(status, e);
    if (!rc)
        rc = json_object(status, "user", &user, e);
    if (!rc)
        rc = read_account(user, trust_domain, out, &name, e);
    if (!rc)
        rc = read_pod(user, name.ns, out, e);
    return rc;
}
