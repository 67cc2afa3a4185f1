/* SPDX-License-Identifier: Apache-2.0 */
/* A stream over a socket.
 *
 * Happy path: readable -> one read of at most LOOP_LENT bytes into the loop's
 * lent buffer -> on_data. stream_write queues chunks and marks us; at the end of
 * the pass on_fill, then writev until the queue is empty or the kernel is full;
 * then we wait for writability. One read a pass is the byte quota: whoever has
 * more comes again after all others.
 *
 * Failures: read or write errors end in on_fail once; what came before is
 * delivered first, also when it is a write that fails: a server may answer,
 * close, and thereby reset what we still send. Closing: STREAM_FLUSH sends
 * what is queued and our end, then waits for the peer's, for a while. The memory
 * lives until libuv lets go of the handle, so whoever is on the call stack may
 * still look at `closed`. */
#include "lib/net/tcp_stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"

enum {
    WRITE_VECTORS = 16,
    LINGER_SECONDS = 5,
    LINGER_LOOKS = 12,      /* so often, while the peer takes something */
    LINGER_BYTES = 1 << 20, /* of input dropped meanwhile */
};

struct tcp_stream {
    struct stream s;
    uv_poll_t poll;
    struct flush flush;
    struct timer linger; /* after STREAM_FLUSH: how long we still try */
    struct lingerer lingerer;
    size_t dropped; /* input while lingering */
    size_t left;    /* queued when we looked last, lingering */
    unsigned looks;
    struct bufq out;
    tcp_connected_fn *connected; /* still connecting: who waits */
    int fd;
    int events;         /* what we poll for */
    enum status broken; /* nothing goes out; on_fail follows what can be read */
    bool blocked;       /* the kernel took less than we had */
    bool shut_sent;     /* shutdown(SHUT_WR) was called */
    bool dead;          /* failed or peer's error: nothing more goes out */
    bool peer_ended;    /* read to its end */
    bool lingering;     /* closed by the owner, still flushing */
};

static struct tcp_stream *self(struct stream *s)
{
    return CONTAINER_OF(s, struct tcp_stream, s);
}

static void on_poll(uv_poll_t *h, int rc, int events);

static void set_events(struct tcp_stream *t)
{
    bool in = (t->lingering ? !t->peer_ended : t->s.reading) && !t->connected;
    bool out = t->blocked || t->connected;
    int events = (in ? UV_READABLE : 0) | (out ? UV_WRITABLE : 0);
    if (events == t->events || uv_is_closing((uv_handle_t *)&t->poll))
        return;
    t->events = events;
    if (events)
        uv_poll_start(&t->poll, events, on_poll);
    else
        uv_poll_stop(&t->poll);
}

static void on_handle_closed(uv_handle_t *h)
{
    struct tcp_stream *t = h->data;
    bufq_fini(&t->out);
    mem_free(t);
}

static void finish(struct tcp_stream *t, bool reset)
{
    t->s.closed = true;
    t->lingering = false;
    if (uv_is_closing((uv_handle_t *)&t->poll))
        return;
    flush_cancel(&t->flush);
    list_remove(&t->lingerer.node);
    timer_stop(&t->s.loop->timers, &t->linger);
    bufq_drop(&t->out, t->out.len);
    if (reset) {
        struct linger lg = {.l_onoff = 1, .l_linger = 0};
        setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &lg, sizeof lg);
    }
    uv_close((uv_handle_t *)&t->poll, on_handle_closed);
    close(t->fd);
    t->fd = -1;
}

static void fail(struct tcp_stream *t, enum status why)
{
    if (t->dead)
        return;
    t->dead = true;
    t->blocked = false;
    t->s.reading = false;
    if (t->lingering) {
        finish(t, true);
        return;
    }
    set_events(t);
    bufq_drop(&t->out, t->out.len);
    t->s.events->on_fail(&t->s, why);
}

static bool unread(const struct tcp_stream *t)
{
    int n = 0;
    return !t->peer_ended && ioctl(t->fd, FIONREAD, &n) == 0 && n > 0;
}

/* The connection is broken: at once, or when what came before was read. */
static void fail_in_order(struct tcp_stream *t, enum status why)
{
    if (t->lingering || !unread(t)) {
        fail(t, why);
        return;
    }
    t->broken = why;
    t->blocked = false;
    bufq_drop(&t->out, t->out.len);
    set_events(t);
    /* Who waits for room, and reads nothing meanwhile, has it now. */
    loop_flush_later(t->s.loop, &t->flush);
}

static void read_once(struct tcp_stream *t)
{
    char *buf = t->s.loop->lent_wire;
    ssize_t n;
    do {
        n = read(t->fd, buf, LOOP_LENT);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        t->s.events->on_data(&t->s, buf, (size_t)n);
        return;
    }
    if (t->broken) {
        fail(t, t->broken);
        return;
    }
    if (n == 0) {
        t->peer_ended = true;
        t->s.reading = false;
        set_events(t);
        t->s.events->on_end(&t->s);
        return;
    }
    if (errno != EAGAIN)
        fail(t, status_from_errno(errno));
}

/* Closing a socket with unread input would reset it, and what is still on its
 * way to the peer be lost: so read to the end, and drop it. */
static void read_away(struct tcp_stream *t)
{
    ssize_t n = read(t->fd, t->s.loop->lent_wire, LOOP_LENT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n > 0) {
        t->dropped += (size_t)n;
        if (t->dropped > LINGER_BYTES)
            finish(t, true);
        return;
    }
    t->peer_ended = true;
    if (n < 0 || !t->out.len)
        finish(t, false);
    else
        set_events(t);
}

/* The socket has an error, and libuv stopped looking at it. What came before the
 * error can still be read, piece by piece, and then the error itself. */
static void on_error(struct tcp_stream *t, int rc)
{
    t->events = 0;
    if (t->s.reading) {
        read_once(t);
        if (!t->s.closed && !t->dead)
            set_events(t);
        return;
    }
    if (t->broken && !t->lingering)
        return; /* until somebody reads */
    int err = 0;
    socklen_t len = sizeof err;
    getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &err, &len);
    fail_in_order(t, status_from_errno(err ? err : -rc));
}

static void end_connect(struct tcp_stream *t, int rc)
{
    tcp_connected_fn *connected = t->connected;
    int err = 0;
    socklen_t len = sizeof err;
    getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &err, &len);
    if (!err && rc < 0)
        err = -rc;
    t->connected = NULL;
    set_events(t);
    loop_flush_later(t->s.loop, &t->flush);
    connected(&t->s, err);
}

static void on_poll(uv_poll_t *h, int rc, int events)
{
    struct tcp_stream *t = h->data;
    if (t->s.closed && !t->lingering)
        return;
    if (t->connected) {
        end_connect(t, rc);
        return;
    }
    if (rc < 0) {
        on_error(t, rc);
        return;
    }
    if (events & UV_WRITABLE) {
        t->blocked = false;
        set_events(t);
        loop_flush_later(t->s.loop, &t->flush);
    }
    if ((events & UV_READABLE) && t->lingering)
        read_away(t);
    else if ((events & UV_READABLE) && t->s.reading)
        read_once(t);
}

/* Writes what the kernel takes. False when the stream broke. */
static bool write_out(struct tcp_stream *t)
{
    while (t->out.len && !t->blocked) {
        struct iovec iov[WRITE_VECTORS];
        size_t bytes;
        int n = bufq_peek(&t->out, iov, WRITE_VECTORS, &bytes);
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};
        /* No SIGPIPE, whatever the program does with signals. */
        ssize_t w = sendmsg(t->fd, &msg, MSG_NOSIGNAL);
        if (w < 0) {
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN) {
                fail_in_order(t, status_from_errno(errno));
                return false; /* or will, when the rest was read */
            }
            w = 0;
        }
        bufq_drop(&t->out, (size_t)w);
        if ((size_t)w < bytes)
            t->blocked = true;
    }
    return true;
}

static void on_flush(struct flush *f)
{
    struct tcp_stream *t = CONTAINER_OF(f, struct tcp_stream, flush);
    if (t->fd < 0 || t->dead || t->connected || !t->s.events)
        return;
    if (!t->lingering && t->s.events->on_fill)
        t->s.events->on_fill(&t->s);
    if (t->fd < 0 || t->dead)
        return;
    if (t->broken) {
        if (!t->lingering && t->s.events->on_drained)
            t->s.events->on_drained(&t->s);
        return;
    }
    size_t before = t->out.len;
    if (!write_out(t))
        return;
    set_events(t);
    if (!t->out.len && t->s.ended_out && !t->shut_sent) {
        t->shut_sent = true;
        shutdown(t->fd, SHUT_WR);
    }
    if (t->lingering) {
        if (!t->out.len && t->peer_ended)
            finish(t, false);
        return;
    }
    if (t->out.len < before && t->s.events->on_drained)
        t->s.events->on_drained(&t->s);
}

static void tcp_read(struct stream *s, bool on)
{
    struct tcp_stream *t = self(s);
    if (s->closed || t->dead || t->peer_ended)
        return;
    s->reading = on;
    set_events(t);
}

static void tcp_write(struct stream *s, const void *ptr, size_t len)
{
    struct tcp_stream *t = self(s);
    if (s->closed || s->ended_out || t->dead || len == 0)
        return;
    if (!t->broken) /* else it has gone nowhere, and on_drained says so */
        bufq_add(&t->out, ptr, len);
    loop_flush_later(s->loop, &t->flush);
}

static char *tcp_room(struct stream *s, size_t want, size_t *room)
{
    return bufq_room(&self(s)->out, want, room);
}

static void tcp_wrote(struct stream *s, size_t n)
{
    struct tcp_stream *t = self(s);
    bufq_wrote(&t->out, n);
    bool takes = !s->closed && !s->ended_out && !t->dead;
    if (!takes || t->broken)
        bufq_drop(&t->out, t->out.len);
    if (takes)
        loop_flush_later(s->loop, &t->flush);
}

static size_t tcp_queued(const struct stream *s)
{
    return self((struct stream *)s)->out.len;
}

static void tcp_wake(struct stream *s)
{
    struct tcp_stream *t = self(s);
    if (!s->closed && !t->dead)
        loop_flush_later(s->loop, &t->flush);
}

static void tcp_end(struct stream *s)
{
    struct tcp_stream *t = self(s);
    if (s->closed || s->ended_out)
        return;
    s->ended_out = true;
    if (!t->dead)
        loop_flush_later(s->loop, &t->flush);
}

static void linger_on(struct tcp_stream *t)
{
    struct loop *l = t->s.loop;
    t->left = t->out.len;
    timer_set(&l->timers, &t->linger,
              loop_now(l) + LINGER_SECONDS * NSEC_PER_SEC);
}

/* A slow reader is no dead one. */
static void on_linger(struct timer *timer)
{
    struct tcp_stream *t = CONTAINER_OF(timer, struct tcp_stream, linger);
    if (t->out.len && t->out.len < t->left && ++t->looks < LINGER_LOOKS)
        linger_on(t);
    else
        finish(t, t->out.len > 0);
}

static void end_lingering(struct lingerer *g)
{
    struct tcp_stream *t = CONTAINER_OF(g, struct tcp_stream, lingerer);
    finish(t, t->out.len > 0); /* what is not whole must not look so */
}

static size_t lingering_bytes(const struct lingerer *g)
{
    return CONTAINER_OF(g, const struct tcp_stream, lingerer)->out.len;
}

static void tcp_close(struct stream *s, enum stream_close how)
{
    struct tcp_stream *t = self(s);
    if (s->closed)
        return;
    s->closed = true;
    s->reading = false;
    if (how == STREAM_FLUSH && !t->dead && !t->connected &&
        (t->out.len || !t->peer_ended)) {
        t->lingering = true;
        s->ended_out = true;
        t->lingerer.since = loop_now(s->loop);
        list_push_back(&s->loop->lingerers, &t->lingerer.node);
        set_events(t);
        linger_on(t);
        loop_flush_later(s->loop, &t->flush);
        return;
    }
    finish(t, how == STREAM_RESET);
}

static const struct stream_type tcp_type = {
    .name = "tcp",
    .read = tcp_read,
    .write = tcp_write,
    .room = tcp_room,
    .wrote = tcp_wrote,
    .queued = tcp_queued,
    .wake = tcp_wake,
    .end = tcp_end,
    .close = tcp_close,
};

static void set_options(int fd, int64_t user_timeout)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (user_timeout <= 0)
        return;
    int ms = (int)(user_timeout / NSEC_PER_MSEC);
    int idle = ms / 3000 > 0 ? ms / 3000 : 1; /* three probes fit */
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

enum status tcp_stream_open(struct stream **out, struct loop *l, int fd,
                            int64_t user_timeout)
{
    struct tcp_stream *t = MEM_NEW(struct tcp_stream);
    t->s.type = &tcp_type;
    t->s.loop = l;
    t->fd = fd;
    bufq_init(&t->out, &l->chunks);
    flush_init(&t->flush, on_flush);
    timer_init(&t->linger, on_linger);
    list_init(&t->lingerer.node);
    t->lingerer.end = end_lingering;
    t->lingerer.queued = lingering_bytes;
    int rc = uv_poll_init(&l->uv, &t->poll, fd);
    if (rc) {
        close(fd);
        mem_free(t);
        return status_from_errno(-rc);
    }
    t->poll.data = t;
    set_options(fd, user_timeout);
    *out = &t->s;
    return OK;
}

void tcp_stream_await_connect(struct stream *s, tcp_connected_fn *fn)
{
    self(s)->connected = fn;
    set_events(self(s));
}

int tcp_stream_fd(const struct stream *s)
{
    return self((struct stream *)s)->fd;
}

void tcp_stream_set_lowat(struct stream *s, unsigned bytes)
{
    setsockopt(self(s)->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes,
               sizeof bytes);
}
