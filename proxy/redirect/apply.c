/* SPDX-License-Identifier: Apache-2.0 */
/* spawn -> write the script while reading what nft says -> it has exited -> its
 * exit code. Too late: it is killed. */
#include "proxy/redirect/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"

enum { SAID_MAX = 300 };

struct child {
    pid_t pid;
    int exited; /* a pidfd: readable then */
    int in, out;
    char said[SAID_MAX];
    size_t said_len;
};

static void shut(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int spawn_with(const char *nft, int in, int out, pid_t *pid)
{
    char arg0[] = "nft", arg1[] = "-f", arg2[] = "-";
    char *argv[] = {arg0, arg1, arg2, NULL};
    posix_spawn_file_actions_t files;
    int err = posix_spawn_file_actions_init(&files);

    if (err)
        return err;
    err = posix_spawn_file_actions_adddup2(&files, in, 0);
    if (!err)
        err = posix_spawn_file_actions_adddup2(&files, out, 1);
    if (!err)
        err = posix_spawn_file_actions_adddup2(&files, out, 2);
    if (!err)
        err = posix_spawnp(pid, nft, &files, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    return err;
}

static enum status start(struct child *c, const char *nft, struct error *e)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, err = 0;
    enum status rc = OK;

    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
        err = errno;
    else
        err = spawn_with(nft, in[0], out[1], &c->pid);
    if (err)
        rc = error_set(e, err == ENOENT ? ERR_NOT_FOUND : ERR_IO,
                       "cannot run '%s': %s", nft, strerror(err));
    shut(&in[0]);
    shut(&out[1]);
    c->in = in[1];
    c->out = out[0];
    if (rc)
        return rc;
    c->exited = (int)syscall(SYS_pidfd_open, c->pid, 0);
    if (c->exited < 0 || fcntl(c->in, F_SETFL, O_NONBLOCK) ||
        fcntl(c->out, F_SETFL, O_NONBLOCK))
        return error_set(e, ERR_IO, "cannot follow '%s': %s", nft,
                         strerror(errno));
    return OK;
}

static void write_some(struct child *c, slice *script)
{
    ssize_t n = write(c->in, script->ptr, script->len);

    if (n > 0)
        *script = slice_sub(*script, (size_t)n, script->len);
    /* EPIPE: it has ended early; what it said tells why. */
    if (script->len == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        shut(&c->in);
}

/* Keeps the beginning: there is the reason. */
static void read_some(struct child *c)
{
    char buf[4096];
    ssize_t n = read(c->out, buf, sizeof buf);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        shut(&c->out);
    for (ssize_t i = 0; i < n && c->said_len < SAID_MAX; i++)
        c->said[c->said_len++] = buf[i];
}

/* Until it has exited and said all. */
static enum status follow(struct child *c, slice script, int64_t timeout,
                          struct error *e)
{
    int64_t until = clock_mono_ns() + timeout;

    while (c->exited >= 0 || c->out >= 0) {
        struct pollfd p[] = {
            {.fd = c->exited, .events = POLLIN},
            {.fd = c->in, .events = POLLOUT},
            {.fd = c->out, .events = POLLIN},
        };
        int64_t left = (until - clock_mono_ns()) / NSEC_PER_MSEC;

        if (left <= 0)
            return error_set(e, ERR_TIMEOUT, "nft did not end in time");
        if (poll(p, 3, left < INT_MAX ? (int)left : INT_MAX) < 0 &&
            errno != EINTR)
            return error_set(e, ERR_IO, "poll: %s", strerror(errno));
        if (p[1].revents)
            write_some(c, &script);
        if (p[2].revents)
            read_some(c);
        if (p[0].revents)
            shut(&c->exited);
    }
    return OK;
}

/* One line: "a; b". */
static slice said(struct child *c)
{
    slice s = slice_of(c->said, c->said_len);

    for (size_t i = 0; i < c->said_len; i++)
        if ((unsigned char)c->said[i] < ' ')
            c->said[i] = ' ';
    return slice_trim(s);
}

static enum status judge(struct child *c, int code, struct error *e)
{
    slice words = said(c);

    if (WIFEXITED(code) && WEXITSTATUS(code) == 0)
        return OK;
    if (memmem(c->said, c->said_len, "not permitted", 13))
        return error_set(e, ERR_DENIED,
                         "nft may not set packet rules: the container needs "
                         "the capability NET_ADMIN and must run as root "
                         "(nft: %.*s)",
                         FMT(words));
    if (WIFEXITED(code))
        return error_set(e, ERR_INVALID, "nft ended with %d: %.*s",
                         WEXITSTATUS(code), FMT(words));
    return error_set(e, ERR_IO, "nft was killed by signal %d", WTERMSIG(code));
}

enum status apply_rules(slice nft, slice script, int64_t timeout,
                        struct error *e)
{
    struct child c = {.exited = -1, .in = -1, .out = -1};
    char path[PATH_MAX];
    enum status rc;
    int code = 0;

    if (slice_empty(nft) || slice_to_cstr(nft, path, sizeof path))
        return error_set(e, ERR_INVALID, "nft: not the name of a program");
    void (*was)(int) = signal(SIGPIPE, SIG_IGN);
    rc = start(&c, path, e);
    if (!rc)
        rc = follow(&c, script, timeout, e);
    if (rc && c.pid > 0)
        kill(c.pid, SIGKILL);
    if (c.pid > 0 && waitpid(c.pid, &code, 0) < 0 && !rc)
        rc = error_set(e, ERR_IO, "waitpid: %s", strerror(errno));
    if (!rc)
        rc = judge(&c, code, e);
    shut(&c.in);
    shut(&c.out);
    shut(&c.exited);
    signal(SIGPIPE, was);
    return rc;
}
