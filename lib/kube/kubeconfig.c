/* SPDX-License-Identifier: Apache-2.0 */
/* current-context -> context -> cluster and user. What would be used and is not
 * known here is refused with a sentence: a setting that is passed over is a
 * person at the wrong cluster, or without the safety they asked for. */
#include "lib/base/base64.h"
#include "lib/base/mem.h"
#include "lib/kube/access_parts.h"
#include "lib/yaml/yaml.h"

enum { DATA_MAX = 1 << 20 };

struct reading {
    struct json root;
    slice folder; /* where the file is: relative paths start here */
    struct kube_access *access;
};

/* clusters: [{name: x, cluster: {...}}] */
static enum status find_named(struct json root, const char *list,
                              const char *member, slice name, struct json *out,
                              struct error *e)
{
    struct json all = {0};
    enum status rc = json_array(root, list, &all, e);

    for (struct json i = json_first(all); json_present(i) && !rc;
         i = json_next(i)) {
        slice own = SLICE_NONE;

        rc = json_string(i, "name", &own, e);
        if (!rc && slice_eq(own, name))
            return json_object(i, member, out, e);
    }
    if (rc)
        return rc;
    return json_error(all, ERR_INVALID, e, "there is no '%.*s'",
                      FMT(slice_sub(name, 0, 100)));
}

static enum status refuse(struct json in, const char *const *names,
                          struct error *e)
{
    for (; *names; names++) {
        struct json v = json_get(in, *names);

        if (json_type(v) != JSON_ABSENT && json_type(v) != JSON_NULL)
            return json_error(
                v, ERR_INVALID, e,
                "is not supported; use a token, a tokenFile or a "
                "client certificate, and a certificate authority");
    }
    return OK;
}

static enum status bytes_of(slice text, struct text *out)
{
    enum status rc = base64_decode(text, out);

    return out->failed ? ERR_TOO_BIG : rc;
}

static enum status from_data(struct credential *c, struct json v,
                             struct error *e)
{
    struct text bytes;
    slice text;
    size_t len;
    char *ptr;
    enum status rc = json_as_string(v, &text, e);

    if (rc)
        return rc;
    text_init(&bytes, DATA_MAX);
    rc = bytes_of(text, &bytes);
    ptr = text_take(&bytes, &len);
    if (rc || len == 0) {
        mem_free(ptr);
        return json_error(v, ERR_INVALID, e, "is not base64");
    }
    credential_set(c, slice_of(ptr, len));
    return OK;
}

static enum status from_file(struct reading *r, struct credential *c,
                             struct json v, struct error *e)
{
    struct text path;
    slice text;
    enum status rc = json_as_string(v, &text, e);

    if (rc)
        return rc;
    text_init(&path, 4096);
    if (!slice_starts(text, SLICE("/")))
        text_add(&path, r->folder);
    text_add(&path, text);
    rc = path.failed ? json_error(v, ERR_TOO_BIG, e, "is too long")
                     : credential_open(c, text_slice(&path), e);
    text_fini(&path);
    return rc;
}

/* `data` wins over `file`, as it does for kubectl. Neither: nothing. */
static enum status credential_of(struct reading *r, struct json in,
                                 const char *data, const char *file,
                                 struct credential *c, struct error *e)
{
    struct json v = json_get(in, data);

    if (json_type(v) != JSON_ABSENT && json_type(v) != JSON_NULL)
        return from_data(c, v, e);
    v = json_get(in, file);
    if (json_type(v) == JSON_ABSENT || json_type(v) == JSON_NULL)
        return OK;
    return from_file(r, c, v, e);
}

static enum status read_cluster(struct reading *r, struct json cluster,
                                slice ns, struct error *e)
{
    static const char *const refused[] = {"proxy-url", "tls-server-name", NULL};
    bool insecure = false;
    slice server;
    enum status rc = json_string(cluster, "server", &server, e);

    if (!rc)
        rc = refuse(cluster, refused, e);
    if (!rc)
        rc = json_opt_bool(cluster, "insecure-skip-tls-verify", &insecure, e);
    if (rc)
        return rc;
    if (insecure)
        return json_error(json_get(cluster, "insecure-skip-tls-verify"),
                          ERR_INVALID, e,
                          "is not supported: name the certificate authority");
    if (!slice_starts(server, SLICE("https://")) || server.len > 1000)
        return json_error(json_get(cluster, "server"), ERR_INVALID, e,
                          "'%.*s' does not start with https://",
                          FMT(slice_sub(server, 0, 100)));
    r->access = kube_access_new(server, ns);
    return credential_of(r, cluster, "certificate-authority-data",
                         "certificate-authority", &r->access->ca, e);
}

static enum status read_user(struct reading *r, struct json user,
                             struct error *e)
{
    static const char *const refused[] = {
        "exec",   "auth-provider", "username",      "password", "as",
        "as-uid", "as-groups",     "as-user-extra", NULL};
    struct kube_access *a = r->access;
    slice token = SLICE_NONE;
    enum status rc = refuse(user, refused, e);

    if (!rc)
        rc = credential_of(r, user, "client-certificate-data",
                           "client-certificate", &a->cert, e);
    if (!rc)
        rc = credential_of(r, user, "client-key-data", "client-key", &a->key,
                           e);
    if (!rc && slice_empty(a->cert.content) != slice_empty(a->key.content))
        rc = json_error(user, ERR_INVALID, e,
                        "a client certificate and its key must both be there");
    if (!rc && json_present(json_get(user, "tokenFile")))
        return from_file(r, &a->token, json_get(user, "tokenFile"), e);
    if (!rc)
        rc = json_opt_string(user, "token", &token, e);
    if (!rc && !slice_empty(token))
        credential_set(&a->token, slice_of(mem_str(token), token.len));
    return rc;
}

static enum status read_root(struct reading *r, struct error *e)
{
    struct json context = {0}, cluster = {0}, user = {0};
    slice name, cluster_name, user_name = SLICE_NONE, ns = SLICE_NONE;
    enum status rc = json_string(r->root, "current-context", &name, e);

    if (!rc)
        rc = find_named(r->root, "contexts", "context", name, &context, e);
    if (!rc)
        rc = json_string(context, "cluster", &cluster_name, e);
    if (!rc)
        rc = json_opt_string(context, "user", &user_name, e);
    if (!rc)
        rc = json_opt_string(context, "namespace", &ns, e);
    if (!rc)
        rc = find_named(r->root, "clusters", "cluster", cluster_name, &cluster,
                        e);
    if (!rc)
        rc = read_cluster(r, cluster, ns, e);
    if (rc || slice_empty(user_name))
        return rc;
    rc = find_named(r->root, "users", "user", user_name, &user, e);
    return rc ? rc : read_user(r, user, e);
}

enum status kubeconfig_read(slice text, slice path, struct kube_access **out,
                            struct error *e)
{
    struct yaml_documents docs = {0};
    ptrdiff_t slash = slice_rfind(path, '/');
    struct reading r = {.folder = slice_sub(path, 0, (size_t)(slash + 1))};
    enum status rc = yaml_read(text, path, &docs, e);

    if (rc)
        goto out;
    if (docs.len != 1) {
        rc = error_set(e, ERR_INVALID, "%.*s: expected one document, not %zu",
                       FMT(path), docs.len);
        goto out;
    }
    r.root = json_root(docs.at[0]);
    rc = read_root(&r, e);
    if (rc)
        goto out;
    *out = r.access;
    r.access = NULL; /* moved */
out:
    kube_access_free(r.access);
    yaml_documents_fini(&docs);
    return rc;
}
