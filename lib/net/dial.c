/* SPDX-License-Identifier: Apache-2.0 */
/* socket -> connect -> a stream that waits for writability -> SO_ERROR -> done.
 *    ^--------------- refused, and there is a second address -------+
 * A connect that ends at once (loopback, or refused) is still reported later,
 * from the loop. */
#include "lib/net/dial.h"

#include <errno.h>
#include <unistd.h>

#include "lib/base/mem.h"

struct tcp_dial {
    struct timer timer; /* the time-out, or an early error to report */
    struct loop *loop;
    struct stream *stream; /* NULL when connect() itself failed */
    enum status early;
    struct address second;
    bool has_second; /* and it was not tried */
    int64_t deadline, user_timeout;
    tcp_dial_fn *done;
    void *arg;
    struct reap reap;
};

static void free_dial(struct reap *r)
{
    mem_free(CONTAINER_OF(r, struct tcp_dial, reap));
}

static void finish(struct tcp_dial *d, enum status rc)
{
    tcp_dial_fn *done = d->done;
    struct stream *s = d->stream;

    d->done = NULL;
    timer_stop(&d->loop->timers, &d->timer);
    loop_reap(d->loop, &d->reap, free_dial);
    if (rc && s) {
        stream_close(s, STREAM_NOW);
        s = NULL;
    }
    if (done)
        done(d->arg, rc, s);
}

static void begin(struct tcp_dial *d, const struct address *to);

static void answered(struct tcp_dial *d, enum status rc)
{
    if (rc != ERR_REFUSED || !d->has_second) {
        finish(d, rc);
        return;
    }
    if (d->stream)
        stream_close(d->stream, STREAM_NOW);
    d->stream = NULL;
    d->has_second = false;
    begin(d, &d->second);
}

static void on_timer(struct timer *t)
{
    struct tcp_dial *d = CONTAINER_OF(t, struct tcp_dial, timer);
    answered(d, d->stream ? ERR_TIMEOUT : d->early);
}

static void on_connected(struct stream *s, int err)
{
    answered(s->owner, status_from_errno(err));
}

static int open_socket(const struct address *to, enum status *rc)
{
    int fd = socket(to->sa.sa_family,
                    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        *rc = status_from_errno(errno);
        return -1;
    }
    if (connect(fd, &to->sa, address_len(to)) == 0 || errno == EINPROGRESS)
        return fd;
    *rc = status_from_errno(errno);
    close(fd);
    return -1;
}

static void begin(struct tcp_dial *d, const struct address *to)
{
    struct loop *l = d->loop;
    int fd = open_socket(to, &d->early);
    if (fd >= 0)
        d->early = tcp_stream_open(&d->stream, l, fd, d->user_timeout);
    if (d->stream) {
        d->stream->owner = d;
        tcp_stream_await_connect(d->stream, on_connected);
    }
    timer_set(&l->timers, &d->timer, d->stream ? d->deadline : loop_now(l) + 1);
}

enum status tcp_dial_start(struct tcp_dial **out, struct loop *l,
                           const struct address *to, int64_t timeout,
                           int64_t user_timeout, tcp_dial_fn *done, void *arg)
{
    struct tcp_dial *d = MEM_NEW(struct tcp_dial);
    d->loop = l;
    d->deadline = loop_now(l) + timeout;
    d->user_timeout = user_timeout;
    d->done = done;
    d->arg = arg;
    timer_init(&d->timer, on_timer);
    begin(d, to);
    *out = d;
    return OK;
}

void tcp_dial_or(struct tcp_dial *d, const struct address *second)
{
    d->second = *second;
    d->has_second = true;
}

void tcp_dial_cancel(struct tcp_dial *d)
{
    if (!d->done)
        return;
    d->done = NULL;
    finish(d, ERR_CANCELED);
}
