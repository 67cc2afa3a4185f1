/* SPDX-License-Identifier: Apache-2.0 */
/* File: {"name":"spiffe://...","pod":"ns/pod/","expires":1700000000}. Using a
 * token up is unlink(2): it succeeds once. */
#include "controller/identity/join_token.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "controller/identity/state_file.h"
#include "lib/base/mem.h"
#include "lib/json/json.h"
#include "lib/json/json_write.h"
#include "lib/tls/cert.h"

#define PREFIX "tulle-join-"

static enum status token_path(char out[STATE_PATH], slice state, slice token,
                              struct error *e)
{
    char name[80], hex[65];

    if (!slice_starts(token, SLICE(PREFIX)) || token.len >= JOIN_TOKEN_TEXT)
        return error_set(e, ERR_DENIED, "this is not a join token");
    sha256_hex(token, hex);
    snprintf(name, sizeof name, "tokens/%s", hex);
    return state_path(out, state, name, e);
}

static enum status read_text(char *out, size_t cap, struct json v,
                             const char *name, struct error *e)
{
    slice text = SLICE("");
    enum status rc = json_opt_string(v, name, &text, e);

    if (rc)
        return rc;
    if (slice_to_cstr(text, out, cap))
        return error_set(e, ERR_INVALID, "%s is too long", name);
    return OK;
}

static enum status parse(slice content, struct join_token *out, struct error *e)
{
    static const struct json_limits limits = {4096, 16};
    struct json_doc *doc = NULL;
    enum status rc = json_parse(content, &limits, &doc, e);

    if (rc)
        return rc;
    rc = read_text(out->name, sizeof out->name, json_root(doc), "name", e);
    if (!rc)
        rc = read_text(out->pod, sizeof out->pod, json_root(doc), "pod", e);
    if (!rc)
        rc = json_int(json_root(doc), "expires", 0, JSON_WHOLE_MAX,
                      &out->expires, e);
    json_free(doc);
    return rc;
}

static enum status read_file(const char *path, struct join_token *out,
                             struct error *e)
{
    struct text content;
    enum status rc;

    text_init(&content, 4096);
    rc = state_read_secret(path, &content, e);
    if (!rc)
        rc = parse(text_slice(&content), out, e);
    text_fini(&content);
    return rc;
}

enum status join_token_read(slice state, slice token, struct join_token *out,
                            struct error *e)
{
    char path[STATE_PATH];
    struct error why;
    enum status rc = token_path(path, state, token, e);

    if (rc)
        return rc;
    rc = read_file(path, out, &why);
    if (rc == ERR_NOT_FOUND)
        return error_set(e, ERR_DENIED, "the token is unknown or was used");
    if (rc)
        return error_set(e, ERR_DENIED, "the token cannot be read: %.400s",
                         why.text);
    return OK;
}

enum status join_token_consume(slice state, slice token, struct error *e)
{
    char path[STATE_PATH];
    enum status rc = token_path(path, state, token, e);

    if (rc)
        return rc;
    if (unlink(path) == 0)
        return OK;
    if (errno == ENOENT)
        return error_set(e, ERR_DENIED, "the token is unknown or was used");
    return error_set(e, ERR_IO, "the token cannot be used up: %s",
                     strerror(errno));
}

/* Only files that are tokens and say that they are over. */
static void purge(slice dir, int64_t now)
{
    char path[STATE_PATH];
    struct join_token t;
    struct error e;
    struct dirent *entry;
    DIR *d;

    if (slice_to_cstr(dir, path, sizeof path))
        return;
    d = opendir(path);
    while (d && (entry = readdir(d))) {
        if (strlen(entry->d_name) != 64 ||
            state_path(path, dir, entry->d_name, &e) || read_file(path, &t, &e))
            continue;
        if (t.expires <= now)
            (void)unlink(path);
    }
    if (d)
        closedir(d);
}

static enum status fill(struct join_token *t, slice trust_domain, slice name,
                        slice pod, struct error *e)
{
    struct workload_name w = {.trust_domain = trust_domain};
    struct text full;
    slice ns, pod_name;
    enum status rc;

    if (!slice_cut(name, '/', &w.ns, &w.service_account))
        return error_set(e, ERR_INVALID,
                         "'%.*s' is not namespace/service-account", FMT(name));
    text_init(&full, sizeof t->name - 1);
    rc = workload_name_build(&w, &full, e);
    if (!rc)
        rc = slice_to_cstr(text_slice(&full), t->name, sizeof t->name);
    text_fini(&full);
    if (rc || slice_empty(pod))
        return rc;
    if (!slice_cut(pod, '/', &ns, &pod_name) || !dns_subdomain_valid(pod_name))
        return error_set(e, ERR_INVALID, "'%.*s' is not namespace/pod",
                         FMT(pod));
    if (!slice_eq(ns, w.ns))
        return error_set(e, ERR_INVALID,
                         "pod '%.*s' and name '%.*s' are of two namespaces",
                         FMT(pod), FMT(name));
    snprintf(t->pod, sizeof t->pod, "%.*s/", FMT(pod));
    return OK;
}

static enum status save(slice state, slice token, const struct join_token *t,
                        struct error *e)
{
    char path[STATE_PATH];
    struct json_write w;
    struct text content;
    enum status rc = token_path(path, state, token, e);

    if (rc)
        return rc;
    text_init(&content, 4096);
    json_write_init(&w, &content);
    json_write_object(&w);
    json_member_string(&w, "name", slice_str(t->name));
    json_member_text(&w, "pod", slice_str(t->pod));
    json_member_int(&w, "expires", t->expires);
    json_write_object_end(&w);
    rc = state_create(path, 0600, text_slice(&content), e);
    text_fini(&content);
    return rc;
}

enum status join_token_new(slice state, slice trust_domain, slice name,
                           slice pod, int64_t now, int64_t ttl,
                           char out[JOIN_TOKEN_TEXT], struct error *e)
{
    struct join_token t = {.expires = now + ttl};
    char dir[STATE_PATH], secret[65];
    enum status rc = fill(&t, trust_domain, name, pod, e);

    if (!rc)
        rc = state_path(dir, state, "tokens", e);
    if (!rc)
        rc = state_dir(dir, 0700, e);
    if (rc)
        return rc;
    purge(slice_str(dir), now);
    if (random_hex(secret, 32))
        return error_set(e, ERR_IO, "no random bytes");
    snprintf(out, JOIN_TOKEN_TEXT, PREFIX "%s", secret);
    mem_wipe(secret, sizeof secret);
    return save(state, slice_str(out), &t, e);
}
