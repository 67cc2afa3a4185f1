/* SPDX-License-Identifier: Apache-2.0 */
/* connect, write, read to the end (we ask to close), look at the status line. Our
 * own pages answer with a length; were one chunked, its frames would be seen. */
#include "lib/admin/ask.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_MAX = 512, CHUNK = 4096 };

static enum status failed(const struct address *at, const char *what,
                          struct error *e)
{
    char text[ADDRESS_TEXT];
    int err = errno;
    bool late = err == EAGAIN || err == EINPROGRESS;

    return error_set(e, late ? ERR_TIMEOUT : ERR_IO, "%s %.*s: %s", what,
                     FMT(address_format(at, text)),
                     late ? "no answer in time" : strerror(err));
}

static enum status open_socket(int *fd, const struct address *at,
                               unsigned seconds, struct error *e)
{
    struct timeval wait = {.tv_sec = seconds};

    *fd = socket(at->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return failed(at, "no socket for", e);
    setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    if (connect(*fd, &at->sa, address_len(at)))
        return failed(at, "cannot reach", e);
    return OK;
}

static enum status send_request(int fd, const struct address *at,
                                const char *path, struct error *e)
{
    struct text req;
    enum status rc = OK;

    text_init(&req, REQUEST_MAX);
    text_printf(&req,
                "GET %s HTTP/1.1\r\nhost: localhost\r\n"
                "connection: close\r\n\r\n",
                path);
    /* A socket's buffer takes so little at once. */
    if (req.failed)
        rc = error_set(e, ERR_TOO_BIG, "a path of more than %d bytes",
                       REQUEST_MAX);
    else if (send(fd, text_cstr(&req), req.len, MSG_NOSIGNAL) !=
             (ssize_t)req.len)
        rc = failed(at, "cannot ask", e);
    text_fini(&req);
    return rc;
}

static enum status read_all(int fd, const struct address *at, struct text *in,
                            struct error *e)
{
    char chunk[CHUNK];
    ssize_t n = 0;

    while (!in->failed && (n = recv(fd, chunk, sizeof chunk, 0)) > 0)
        text_add(in, slice_of(chunk, (size_t)n));
    if (n < 0)
        return failed(at, "cannot read from", e);
    if (in->failed)
        return error_set(e, ERR_TOO_BIG, "a page of more than %d bytes",
                         ASK_PAGE_MAX);
    return OK;
}

/* "HTTP/1.1 200 ..." and what follows the empty line. */
static bool parse(slice in, unsigned *http_status, slice *body)
{
    static const char digits[] = "HTTP/1.1 ";
    const char *end;
    uint64_t status;
    slice code;

    if (!slice_starts(in, slice_str(digits)))
        return false;
    end = memmem(in.ptr, in.len, "\r\n\r\n", 4);
    if (!end)
        return false;
    code = slice_sub(in, sizeof digits - 1, sizeof digits + 2);
    if (in.ptr[sizeof digits + 2] != ' ' && in.ptr[sizeof digits + 2] != '\r')
        return false;
    if (slice_to_u64(code, 599, &status) || status < 100)
        return false;
    *http_status = (unsigned)status;
    *body = slice_sub(in, (size_t)(end + 4 - in.ptr), in.len);
    return true;
}

enum status admin_ask(const struct address *at, const char *path,
                      unsigned seconds, unsigned *http_status,
                      struct text *body, struct error *e)
{
    char text[ADDRESS_TEXT];
    struct text in;
    slice page;
    int fd = -1;
    enum status rc;

    text_init(&in, ASK_PAGE_MAX);
    rc = open_socket(&fd, at, seconds, e);
    if (!rc)
        rc = send_request(fd, at, path, e);
    if (!rc)
        rc = read_all(fd, at, &in, e);
    if (rc)
        goto out;
    if (!parse(text_slice(&in), http_status, &page)) {
        rc = error_set(e, ERR_IO, "%.*s does not answer in HTTP",
                       FMT(address_format(at, text)));
        goto out;
    }
    text_add(body, page);
out:
    if (fd >= 0)
        close(fd);
    text_fini(&in);
    return rc;
}
