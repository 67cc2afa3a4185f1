/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/kube/access.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "lib/kube/access_parts.h"

#define ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount/"

enum { CREDENTIAL_MAX = 1 << 20, KUBECONFIG_MAX = 1 << 20 };

static struct log_area area = LOG_AREA("kube");
static struct log log_ = {&area, 0};

/* --- credentials --- */

static void wipe(struct credential *c)
{
    if (c->content.ptr)
        mem_wipe_free((char *)(uintptr_t)c->content.ptr, c->content.len);
    c->content = SLICE_NONE;
}

void credential_set(struct credential *c, slice content)
{
    wipe(c);
    c->content = content;
}

slice credential_text(slice s)
{
    while (s.len && strchr(" \t\r\n", s.ptr[s.len - 1]))
        s.len--;
    return s;
}

/* False when it is what it was; then nothing is to be read. */
static bool looks_new(struct credential *c)
{
    struct stat st;
    int64_t modified;

    if (stat(c->path, &st))
        return false;
    modified = st.st_mtim.tv_sec * NSEC_PER_SEC + st.st_mtim.tv_nsec;
    if (modified == c->modified && st.st_ino == c->inode &&
        (uint64_t)st.st_size == c->size)
        return false;
    c->modified = modified;
    c->inode = st.st_ino;
    c->size = (uint64_t)st.st_size;
    return true;
}

static enum status read_again(struct credential *c, struct error *e)
{
    slice path = slice_str(c->path), content = SLICE_NONE;
    enum status rc = file_read(path, CREDENTIAL_MAX, &content, e);

    if (!rc && slice_empty(credential_text(content))) {
        mem_free((char *)(uintptr_t)content.ptr);
        rc = error_set(e, ERR_INVALID, "%.*s: the file is empty", FMT(path));
    }
    if (!rc)
        credential_set(c, content);
    return rc;
}

enum status credential_open(struct credential *c, slice path, struct error *e)
{
    c->path = mem_str(path);
    /* Looked at before it is read: a change in between is seen later. */
    (void)looks_new(c);
    return read_again(c, e);
}

static void refresh(struct credential *c, int64_t now)
{
    struct error e;

    if (!c->path || now - c->checked < NSEC_PER_SEC)
        return;
    c->checked = now;
    if (!looks_new(c))
        return;
    if (read_again(c, &e)) {
        c->inode = 0; /* to be tried again */
        log_warn(&log_, "credential not read, the last one is used",
                 "why=" LOG_QUOTED, FMT(slice_str(e.text)));
    }
}

void kube_access_refresh(struct kube_access *a, int64_t now)
{
    refresh(&a->ca, now);
    refresh(&a->cert, now);
    refresh(&a->key, now);
    refresh(&a->token, now);
}

/* --- access --- */

struct kube_access *kube_access_new(slice server, slice ns)
{
    struct kube_access *a = MEM_NEW(struct kube_access);

    while (slice_ends(server, SLICE("/")))
        server.len--;
    a->server = mem_str(server);
    a->ns = mem_str(slice_empty(ns) ? SLICE("default") : ns);
    return a;
}

static void close_credential(struct credential *c)
{
    wipe(c);
    mem_free(c->path);
}

void kube_access_free(struct kube_access *a)
{
    if (!a)
        return;
    close_credential(&a->ca);
    close_credential(&a->cert);
    close_credential(&a->key);
    close_credential(&a->token);
    mem_free(a->server);
    mem_free(a->ns);
    mem_free(a);
}

slice kube_access_server(const struct kube_access *a)
{
    return slice_str(a->server);
}

slice kube_access_namespace(const struct kube_access *a)
{
    return slice_str(a->ns);
}

static void read_namespace(slice *out)
{
    struct error e;

    if (file_read(SLICE(ACCOUNT "namespace"), 256, out, &e))
        *out = SLICE_NONE;
}

enum status kube_access_in_cluster(struct kube_access **out, struct error *e)
{
    slice host = slice_str(getenv("KUBERNETES_SERVICE_HOST"));
    slice port = slice_str(getenv("KUBERNETES_SERVICE_PORT"));
    bool v6 = slice_find(host, ':') >= 0;
    struct kube_access *a;
    struct text server;
    slice ns;
    enum status rc;

    if (slice_empty(host) || slice_empty(port))
        return error_set(e, ERR_NOT_FOUND,
                         "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT "
                         "are not set: this is no pod");
    text_init(&server, 512);
    text_printf(&server, v6 ? "https://[%.*s]:%.*s" : "https://%.*s:%.*s",
                FMT(host), FMT(port));
    read_namespace(&ns);
    a = kube_access_new(text_slice(&server), credential_text(ns));
    mem_free((char *)(uintptr_t)ns.ptr);
    text_fini(&server);
    rc = credential_open(&a->ca, SLICE(ACCOUNT "ca.crt"), e);
    if (!rc)
        rc = credential_open(&a->token, SLICE(ACCOUNT "token"), e);
    if (rc) {
        kube_access_free(a);
        return error_prefix(e, rc, "service account");
    }
    *out = a;
    return OK;
}

enum status kube_access_kubeconfig(struct kube_access **out, slice path,
                                   struct error *e)
{
    slice text = SLICE_NONE;
    enum status rc = file_read(path, KUBECONFIG_MAX, &text, e);

    if (!rc)
        rc = kubeconfig_read(text, path, out, e);
    if (text.ptr)
        mem_wipe_free((char *)(uintptr_t)text.ptr, text.len);
    return rc;
}
