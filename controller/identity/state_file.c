/* SPDX-License-Identifier: Apache-2.0 */
/* Making: a new file beside it, fsync, then link, which fails when the name is
 * taken, then fsync of the folder. */
#include "controller/identity/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static enum status fail(const char *what, const char *path, struct error *e)
{
    int err = errno;
    enum status rc = err == ENOENT   ? ERR_NOT_FOUND
                     : err == EEXIST ? ERR_EXISTS
                     : err == EACCES ? ERR_DENIED
                                     : status_from_errno(err);

    return error_set(e, rc, "%s: %s: %s", path, what, strerror(err));
}

enum status state_path(char out[STATE_PATH], slice dir, const char *name,
                       struct error *e)
{
    int n = snprintf(out, STATE_PATH, "%.*s/%s", FMT(dir), name);

    if (n < 0 || n >= STATE_PATH)
        return error_set(e, ERR_TOO_BIG, "the path of %s is too long", name);
    return OK;
}

enum status state_dir(const char *path, mode_t mode, struct error *e)
{
    struct stat st;

    if (mkdir(path, mode) == 0)
        return OK;
    if (errno != EEXIST)
        return fail("cannot make this folder", path, e);
    if (stat(path, &st))
        return fail("cannot use this folder", path, e);
    if (!S_ISDIR(st.st_mode))
        return error_set(e, ERR_INVALID, "%s: is not a folder", path);
    return OK;
}

static enum status check_secret(int fd, const char *path, struct error *e)
{
    struct stat st;

    if (fstat(fd, &st))
        return fail("cannot look at it", path, e);
    if (st.st_mode & 077)
        return error_set(e, ERR_DENIED,
                         "%s: others may read it (mode %03o); chmod 600, and "
                         "think about who has",
                         path, st.st_mode & 0777);
    return OK;
}

static enum status read_all(int fd, const char *path, struct text *out,
                            struct error *e)
{
    char buf[16384];
    ssize_t n;
    size_t sum = 0;

    while ((n = read(fd, buf, sizeof buf)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail("cannot read", path, e);
        sum += (size_t)n;
        if (sum > STATE_FILE_MAX)
            break;
        text_add(out, slice_of(buf, (size_t)n));
    }
    if (sum > STATE_FILE_MAX || out->failed)
        return error_set(e, ERR_TOO_BIG, "%s: is too large", path);
    return OK;
}

enum status state_read_secret(const char *path, struct text *out,
                              struct error *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    enum status rc;

    if (fd < 0)
        return fail("cannot open", path, e);
    rc = check_secret(fd, path, e);
    if (!rc)
        rc = read_all(fd, path, out, e);
    close(fd);
    return rc;
}

static bool write_all(int fd, slice content)
{
    while (content.len) {
        ssize_t n = write(fd, content.ptr, content.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        content = slice_sub(content, (size_t)n, content.len);
    }
    return true;
}

/* A name entry is durable when its folder is. */
static void sync_folder(const char *path)
{
    char dir[STATE_PATH];
    slice parent = SLICE("."), name;
    int fd;

    (void)slice_rcut(slice_str(path), '/', &parent, &name);
    if (slice_to_cstr(parent, dir, sizeof dir))
        return;
    fd = open(dir[0] ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

enum status state_create(const char *path, mode_t mode, slice content,
                         struct error *e)
{
    char temp[STATE_PATH];
    enum status rc = OK;
    int fd;

    if (snprintf(temp, sizeof temp, "%s.XXXXXX", path) >= (int)sizeof temp)
        return error_set(e, ERR_TOO_BIG, "%s: the path is too long", path);
    fd = mkostemp(temp, O_CLOEXEC); /* mode 0600 */
    if (fd < 0)
        return fail("cannot write beside it", path, e);
    if (!write_all(fd, content) || fchmod(fd, mode) || fsync(fd))
        rc = fail("cannot write", temp, e);
    close(fd);
    if (!rc && link(temp, path))
        rc = fail("cannot make", path, e);
    (void)unlink(temp);
    if (!rc)
        sync_folder(path);
    return rc;
}
