/* SPDX-License-Identifier: Apache-2.0 */
/* Under a lock: read the root if it is there, else make it. It is made as
 * ca.pem.new, then ca-key.pem, then ca.pem by rename: a crash before the key
 * leaves nothing in force, one after it is finished by the next start. */
#include "controller/identity/ca_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "controller/identity/state_file.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"

struct paths {
    char lock[STATE_PATH], key[STATE_PATH], cert[STATE_PATH];
    char fresh[STATE_PATH], bundle[STATE_PATH];
};

static enum status find_paths(struct paths *p, slice dir, struct error *e)
{
    enum status rc = state_path(p->lock, dir, "lock", e);

    if (!rc)
        rc = state_path(p->key, dir, "ca-key.pem", e);
    if (!rc)
        rc = state_path(p->cert, dir, "ca.pem", e);
    if (!rc)
        rc = state_path(p->fresh, dir, "ca.pem.new", e);
    if (!rc)
        rc = state_path(p->bundle, dir, "bundle.pem", e);
    return rc;
}

static enum status lock(const char *path, int *out, struct error *e)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int rc;

    if (fd < 0)
        return error_set(e, status_from_errno(errno), "%s: cannot open: %s",
                         path, strerror(errno));
    do
        rc = flock(fd, LOCK_EX);
    while (rc && errno == EINTR);
    *out = fd;
    return OK;
}

static enum status make(const struct paths *p, slice trust_domain, int64_t now,
                        int64_t life, struct error *e)
{
    struct ca *ca = NULL;
    enum status rc = ca_new(&ca, trust_domain, now, life, e);

    if (!rc)
        rc = file_write_atomic(slice_str(p->fresh), ca_cert_pem(ca), 0644, e);
    if (!rc)
        rc = state_create(p->key, 0600, ca_key_pem(ca), e);
    ca_free(ca);
    return rc;
}

/* The last step of making one, also after a crash. */
static enum status finish(const struct paths *p, struct error *e)
{
    if (access(p->cert, F_OK) == 0 || access(p->fresh, F_OK))
        return OK;
    if (rename(p->fresh, p->cert))
        return error_set(e, status_from_errno(errno), "%s: cannot write: %s",
                         p->cert, strerror(errno));
    return OK;
}

static enum status check(const struct ca *ca, const struct paths *p,
                         slice trust_domain, int64_t now, struct error *e)
{
    slice own = ca_trust_domain(ca);

    if (!slice_eq(own, trust_domain))
        return error_set(e, ERR_INVALID,
                         "%s: is the root of trust domain '%.*s', not '%.*s'",
                         p->cert, FMT(own), FMT(trust_domain));
    if (ca_not_after(ca) <= now)
        return error_set(e, ERR_INVALID,
                         "%s: has expired; move it and ca-key.pem away to "
                         "make a new root",
                         p->cert);
    return OK;
}

static enum status load(struct ca **out, const struct paths *p, struct error *e)
{
    slice cert = SLICE_NONE;
    struct text key;
    enum status rc;

    text_init(&key, STATE_FILE_MAX);
    rc = state_read_secret(p->key, &key, e);
    if (!rc)
        rc = file_read(slice_str(p->cert), STATE_FILE_MAX, &cert, e);
    if (access(p->key, F_OK) || access(p->cert, F_OK))
        rc = error_prefix(e, ERR_INVALID, "half of the root is missing");
    if (!rc) {
        rc = ca_load(out, cert, text_slice(&key), e);
        if (rc)
            rc = error_prefix(e, rc, "%s", p->cert);
    }
    if (key.ptr)
        mem_wipe(key.ptr, key.len);
    text_fini(&key);
    mem_free((char *)(uintptr_t)cert.ptr);
    return rc;
}

enum status ca_store_open(struct ca **out, slice dir, slice trust_domain,
                          int64_t now, int64_t life, struct error *e)
{
    struct paths *p = MEM_NEW(struct paths);
    char path[STATE_PATH];
    struct ca *ca = NULL;
    int fd = -1;
    enum status rc = ERR_TOO_BIG;

    if (slice_to_cstr(dir, path, sizeof path)) {
        rc = error_set(e, rc, "the path of the state folder is too long");
        goto out;
    }
    rc = state_dir(path, 0755, e);
    if (!rc)
        rc = find_paths(p, dir, e);
    if (!rc)
        rc = lock(p->lock, &fd, e);
    if (!rc && access(p->key, F_OK) && access(p->cert, F_OK))
        rc = make(p, trust_domain, now, life, e);
    if (!rc && access(p->key, F_OK) == 0)
        rc = finish(p, e);
    if (!rc)
        rc = load(&ca, p, e);
    if (!rc)
        rc = check(ca, p, trust_domain, now, e);
    if (!rc)
        rc = file_write_atomic(slice_str(p->bundle), ca_cert_pem(ca), 0644, e);
    if (rc)
        goto out;
    *out = ca;
    ca = NULL; /* moved */
out:
    ca_free(ca);
    if (fd >= 0)
        close(fd);
    mem_free(p);
    return rc;
}
