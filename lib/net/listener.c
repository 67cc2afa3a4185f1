/* SPDX-License-Identifier: Apache-2.0 */
/* readable -> accept4 until empty, at most ACCEPTS_PER_PASS -> on_accept.
 * EMFILE and friends: stop polling, tell, try again by timer; one accept that
 * works again ends the pause. */
#include "lib/net/listener.h"

#include <errno.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"

enum { ACCEPTS_PER_PASS = 64 };
static const int64_t RETRY = 100 * NSEC_PER_MSEC;

struct listener {
    uv_poll_t poll;
    struct timer retry;
    struct loop *loop;
    struct address at;
    const struct listener_events *events;
    void *owner;
    int fd;
    bool starved; /* out of descriptors */
    bool paused_by_owner;
    bool refusing, closed;
};

static void on_poll(uv_poll_t *h, int rc, int events);

static void set_polling(struct listener *l)
{
    if (l->closed)
        return;
    if (l->starved || l->paused_by_owner || l->refusing)
        uv_poll_stop(&l->poll);
    else
        uv_poll_start(&l->poll, UV_READABLE, on_poll);
}

static void set_starved(struct listener *l, bool starved)
{
    if (starved)
        timer_set(&l->loop->timers, &l->retry, loop_now(l->loop) + RETRY);
    if (l->starved == starved)
        return;
    l->starved = starved;
    set_polling(l);
    if (l->events->on_paused)
        l->events->on_paused(l->owner, starved);
}

static bool out_of_resources(int err)
{
    return err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM;
}

static void accept_some(struct listener *l)
{
    for (int i = 0; i < ACCEPTS_PER_PASS && !l->closed && !l->paused_by_owner;
         i++) {
        struct sockaddr_storage sa;
        socklen_t len = sizeof sa;
        int fd = accept4(l->fd, (struct sockaddr *)&sa, &len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == ECONNABORTED || errno == EINTR)
                continue;
            if (out_of_resources(errno))
                set_starved(l, true);
            else
                set_starved(l, false);
            return;
        }
        set_starved(l, false);
        struct address peer;
        address_from(&peer, (struct sockaddr *)&sa);
        l->events->on_accept(l->owner, fd, &peer);
    }
}

static void on_poll(uv_poll_t *h, int rc, int events)
{
    (void)events;
    if (rc == 0)
        accept_some(h->data);
}

static void on_retry(struct timer *t)
{
    struct listener *l = CONTAINER_OF(t, struct listener, retry);
    if (l->paused_by_owner) /* tried again when the owner goes on */
        set_starved(l, false);
    else
        accept_some(l);
}

/* On a kernel without IPv6 (ipv6.disable=1), "every address" is all of IPv4. */
static bool any_without_ipv6(const struct address *at,
                             const struct listener_options *opt,
                             struct address *any4)
{
    if (errno != EAFNOSUPPORT || at->sa.sa_family != AF_INET6 || opt->v6only ||
        !IN6_IS_ADDR_UNSPECIFIED(&at->in6.sin6_addr))
        return false;
    *any4 = (struct address){
        .in = {.sin_family = AF_INET, .sin_port = at->in6.sin6_port}};
    return true;
}

static int bound_socket(const struct address *at,
                        const struct listener_options *opt)
{
    int on = 1, off = 0;
    struct address any4;
    int fd = socket(at->sa.sa_family,
                    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return any_without_ipv6(at, opt, &any4) ? bound_socket(&any4, opt) : -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (opt->reuse_port)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (at->sa.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, opt->v6only ? &on : &off,
                   sizeof on);
    if (bind(fd, &at->sa, address_len(at)) == 0 &&
        listen(fd, opt->backlog > 0 ? opt->backlog : 1024) == 0)
        return fd;
    int err = errno;
    close(fd);
    errno = err;
    return -1;
}

enum status listener_open(struct listener **out, struct loop *loop,
                          const struct address *at,
                          const struct listener_options *opt,
                          const struct listener_events *ev, void *owner,
                          struct error *e)
{
    char text[ADDRESS_TEXT];
    slice where = address_format(at, text);
    int fd = bound_socket(at, opt);
    if (fd < 0)
        return error_set(e, status_from_errno(errno),
                         "cannot listen on %.*s: %s", FMT(where),
                         strerror(errno));

    struct listener *l = MEM_NEW(struct listener);
    l->loop = loop;
    l->events = ev;
    l->owner = owner;
    l->fd = fd;
    timer_init(&l->retry, on_retry);
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    getsockname(fd, (struct sockaddr *)&sa, &len);
    address_from(&l->at, (struct sockaddr *)&sa);
    int rc = uv_poll_init(&loop->uv, &l->poll, fd);
    if (rc) {
        close(fd);
        mem_free(l);
        return error_set(e, ERR_IO, "cannot watch %.*s: %s", FMT(where),
                         uv_strerror(rc));
    }
    l->poll.data = l;
    set_polling(l);
    *out = l;
    return OK;
}

const struct address *listener_address(const struct listener *l)
{
    return &l->at;
}

void listener_pause(struct listener *l, bool paused)
{
    if (l->paused_by_owner == paused)
        return;
    l->paused_by_owner = paused;
    set_polling(l);
}

void listener_refuse(struct listener *l)
{
    if (l->refusing || l->closed)
        return;
    accept_some(l);
    l->refusing = true;
    timer_stop(&l->loop->timers, &l->retry);
    set_polling(l);
    shutdown(l->fd, SHUT_RDWR); /* the kernel answers with resets */
}

static void on_handle_closed(uv_handle_t *h)
{
    mem_free(h->data);
}

void listener_close(struct listener *l)
{
    if (l->closed)
        return;
    l->closed = true;
    timer_stop(&l->loop->timers, &l->retry);
    uv_close((uv_handle_t *)&l->poll, on_handle_closed);
    close(l->fd);
}
