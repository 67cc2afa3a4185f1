/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {
    [OK] = "ok",
    [ERR_AGAIN] = "again",
    [ERR_INVALID] = "invalid",
    [ERR_TOO_BIG] = "too-big",
    [ERR_NOT_FOUND] = "not-found",
    [ERR_EXISTS] = "exists",
    [ERR_DENIED] = "denied",
    [ERR_PROTOCOL] = "protocol",
    [ERR_TLS] = "tls",
    [ERR_REFUSED] = "refused",
    [ERR_RESET] = "reset",
    [ERR_EOF] = "eof",
    [ERR_TIMEOUT] = "timeout",
    [ERR_CANCELED] = "canceled",
    [ERR_RESOURCES] = "resources",
    [ERR_IO] = "io",
};

const char *status_name(enum status rc)
{
    size_t i = (size_t)rc;

    return i < sizeof names / sizeof *names ? names[i] : "unknown";
}

static const struct {
    int err;
    enum status rc;
} errnos[] = {
    {0, OK},
    {EAGAIN, ERR_AGAIN},
    {EINPROGRESS, ERR_AGAIN},
    {EINTR, ERR_AGAIN},
    {EINVAL, ERR_INVALID},
    {E2BIG, ERR_TOO_BIG},
    {EFBIG, ERR_TOO_BIG},
    {EMSGSIZE, ERR_TOO_BIG},
    {ENAMETOOLONG, ERR_TOO_BIG},
    {ENOENT, ERR_NOT_FOUND},
    {EEXIST, ERR_EXISTS},
    {EADDRINUSE, ERR_EXISTS},
    {EACCES, ERR_DENIED},
    {EPERM, ERR_DENIED},
    {EPROTO, ERR_PROTOCOL},
    {ECONNREFUSED, ERR_REFUSED},
    {EHOSTUNREACH, ERR_REFUSED},
    {ENETUNREACH, ERR_REFUSED},
    {EHOSTDOWN, ERR_REFUSED},
    {ENETDOWN, ERR_REFUSED},
    {ECONNRESET, ERR_RESET},
    {ECONNABORTED, ERR_RESET},
    {ENETRESET, ERR_RESET},
    {EPIPE, ERR_RESET},
    {ENOTCONN, ERR_RESET},
    {ETIMEDOUT, ERR_TIMEOUT},
    {ECANCELED, ERR_CANCELED},
    {EMFILE, ERR_RESOURCES},
    {ENFILE, ERR_RESOURCES},
    {ENOMEM, ERR_RESOURCES},
    {ENOBUFS, ERR_RESOURCES},
    {ENOSPC, ERR_RESOURCES},
    {EADDRNOTAVAIL, ERR_RESOURCES}, /* no local port left */
};

enum status status_from_errno(int err)
{
    /* libuv hands out negative numbers. */
    if (err < 0)
        err = -err;
    for (size_t i = 0; i < sizeof errnos / sizeof *errnos; i++) {
        if (errnos[i].err == err)
            return errnos[i].rc;
    }
    return ERR_IO;
}

enum status error_set(struct error *e, enum status rc, const char *fmt, ...)
{
    va_list ap;

    if (!e)
        return rc;
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    return rc;
}

enum status error_prefix(struct error *e, enum status rc, const char *fmt, ...)
{
    char prefix[sizeof e->text];
    va_list ap;
    size_t at, len;

    if (!e)
        return rc;
    va_start(ap, fmt);
    vsnprintf(prefix, sizeof prefix, fmt, ap);
    va_end(ap);
    at = strlen(prefix);
    if (at + 3 > sizeof e->text)
        at = sizeof e->text - 3;
    len = strnlen(e->text, sizeof e->text - 1);
    if (len > sizeof e->text - 3 - at)
        len = sizeof e->text - 3 - at;
    memmove(e->text + at + 2, e->text, len);
    memcpy(e->text, prefix, at);
    e->text[at] = ':';
    e->text[at + 1] = ' ';
    e->text[at + 2 + len] = 0;
    return rc;
}
