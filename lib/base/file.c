/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/mem.h"

enum { PATH_LENGTH = 4096 };

static enum status read_fd(int fd, size_t max, slice *out)
{
    size_t len = 0, cap = 4096;
    char *buf = mem_alloc(cap + 1);
    for (;;) {
        ssize_t n = read(fd, buf + len, cap - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            buf[len] = 0;
            *out = slice_of(buf, len);
            if (n == 0)
                return OK;
            mem_free(buf);
            return status_from_errno(errno);
        }
        len += (size_t)n;
        if (len > max) {
            mem_free(buf);
            return ERR_TOO_BIG;
        }
        if (len == cap) {
            cap *= 2;
            buf = mem_resize(buf, cap + 1);
        }
    }
}

enum status file_read(slice path, size_t max, slice *out, struct error *e)
{
    char name[PATH_LENGTH];
    if (slice_to_cstr(path, name, sizeof name))
        return error_set(e, ERR_INVALID, "the path is too long");
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(e, status_from_errno(errno), "cannot open %s: %s",
                         name, strerror(errno));
    errno = 0;
    enum status rc = read_fd(fd, max, out);
    if (rc == ERR_TOO_BIG)
        rc = error_set(e, rc, "%s: larger than %zu bytes", name, max);
    else if (rc)
        rc = error_set(e, rc, "cannot read %s: %s", name, strerror(errno));
    close(fd);
    return rc;
}

static enum status write_all(int fd, slice content)
{
    while (content.len) {
        ssize_t n = write(fd, content.ptr, content.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return status_from_errno(errno);
        content = slice_sub(content, (size_t)n, content.len);
    }
    return fsync(fd) ? status_from_errno(errno) : OK;
}

enum status file_write_atomic(slice path, slice content, mode_t mode,
                              struct error *e)
{
    char name[PATH_LENGTH], temp[PATH_LENGTH + 16];
    if (slice_to_cstr(path, name, sizeof name))
        return error_set(e, ERR_INVALID, "the path is too long");
    snprintf(temp, sizeof temp, "%s.%ld.tmp", name, (long)getpid());
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return error_set(e, status_from_errno(errno), "cannot create %s: %s",
                         temp, strerror(errno));
    enum status rc = write_all(fd, content);
    close(fd);
    if (!rc && rename(temp, name))
        rc = status_from_errno(errno);
    if (!rc)
        return OK;
    error_set(e, rc, "cannot write %s: %s", name, strerror(errno));
    unlink(temp);
    return rc;
}
