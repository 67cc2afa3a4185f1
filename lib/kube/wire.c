/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl says which sockets to watch and when it wants to be called; we call
 * it, collect the transfers that ended, and then, outside of libcurl, which must
 * not be entered twice, let the owner act. */
#include "lib/kube/wire.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"

enum { IDLE_CONNECTIONS = 8 };

struct wire {
    struct loop *loop;
    const struct wire_events *events;
    void *owner;
    CURLM *multi; /* NULL: closed */
    struct timer timer;
    struct list sockets;
    struct reap reap;
    unsigned busy; /* we are in a call of our own; freed when left */
    bool closed;
};

struct wire_socket {
    struct list node;
    uv_poll_t poll;
    struct wire *wire; /* NULL: closing */
};

static void wire_free(struct reap *r)
{
    mem_free(CONTAINER_OF(r, struct wire, reap));
}

static void leave(struct wire *w)
{
    w->busy--;
    if (w->closed && !w->busy)
        loop_reap(w->loop, &w->reap, wire_free);
}

static void enter(struct wire *w, curl_socket_t fd, int events)
{
    int running, left;
    CURLMsg *m;

    w->busy++;
    (void)curl_multi_socket_action(w->multi, fd, events, &running);
    while ((m = curl_multi_info_read(w->multi, &left)))
        if (m->msg == CURLMSG_DONE)
            w->events->on_end(m->easy_handle, m->data.result);
    w->events->on_left(w->owner);
    leave(w);
}

/* --- sockets --- */

static void on_poll(uv_poll_t *h, int rc, int events)
{
    struct wire_socket *s = h->data;
    struct wire *w = s->wire;
    int what = rc ? CURL_CSELECT_ERR : 0;
    uv_os_fd_t fd;

    if (!w || uv_fileno((uv_handle_t *)h, &fd))
        return;
    if (events & UV_READABLE)
        what |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        what |= CURL_CSELECT_OUT;
    enter(w, fd, what);
}

static void on_socket_closed(uv_handle_t *h)
{
    mem_free(h->data);
}

static void socket_close(struct wire_socket *s)
{
    s->wire = NULL;
    list_remove(&s->node);
    uv_poll_stop(&s->poll);
    uv_close((uv_handle_t *)&s->poll, on_socket_closed);
}

static struct wire_socket *socket_open(struct wire *w, curl_socket_t fd)
{
    struct wire_socket *s = MEM_NEW(struct wire_socket);

    if (uv_poll_init(&w->loop->uv, &s->poll, fd)) {
        mem_free(s);
        return NULL;
    }
    s->poll.data = s;
    s->wire = w;
    list_push_back(&w->sockets, &s->node);
    (void)curl_multi_assign(w->multi, fd, s);
    return s;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg,
                     void *known)
{
    struct wire_socket *s = known;
    struct wire *w = arg;
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) |
                 (what & CURL_POLL_OUT ? UV_WRITABLE : 0);

    (void)easy;
    if (what == CURL_POLL_REMOVE) { /* a number of its own, not a bit */
        if (s)
            socket_close(s);
        (void)curl_multi_assign(w->multi, fd, NULL);
        return 0;
    }
    if (!s)
        s = socket_open(w, fd);
    if (!s)
        return -1;
    if (events == 0)
        return uv_poll_stop(&s->poll) ? -1 : 0;
    return uv_poll_start(&s->poll, events, on_poll) ? -1 : 0;
}

/* --- time --- */

/* libcurl does not say a time twice: called a moment too early it would do
 * nothing, and never be called again. So we are rather late, count from the true
 * time instead of the pass's, and ask when no time is set. */
static int on_timeout(CURLM *multi, long ms, void *arg)
{
    struct wire *w = arg;

    (void)multi;
    if (ms < 0)
        timer_stop(&w->loop->timers, &w->timer);
    else
        timer_set(&w->loop->timers, &w->timer,
                  clock_mono_ns() + (ms ? ms + 1 : 0) * NSEC_PER_MSEC);
    return 0;
}

static void ask_for_time(struct wire *w)
{
    long ms = -1;

    if (w->multi && !timer_is_set(&w->timer) &&
        !curl_multi_timeout(w->multi, &ms) && ms >= 0)
        on_timeout(w->multi, ms, w);
}

static void on_timer(struct timer *t)
{
    struct wire *w = CONTAINER_OF(t, struct wire, timer);

    w->busy++;
    enter(w, CURL_SOCKET_TIMEOUT, 0);
    ask_for_time(w);
    leave(w);
}

/* --- life --- */

enum status wire_open(struct wire **out, struct loop *l,
                      const struct wire_events *ev, void *owner,
                      struct error *e)
{
    CURLM *multi = curl_multi_init();
    struct wire *w;

    if (!multi)
        return error_set(e, ERR_RESOURCES, "libcurl does not start");
    w = MEM_NEW(struct wire);
    w->loop = l;
    w->events = ev;
    w->owner = owner;
    w->multi = multi;
    list_init(&w->sockets);
    timer_init(&w->timer, on_timer);
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, w);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, w);
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS);
    *out = w;
    return OK;
}

enum status wire_add(struct wire *w, CURL *easy)
{
    return curl_multi_add_handle(w->multi, easy) ? ERR_RESOURCES : OK;
}

void wire_remove(struct wire *w, CURL *easy)
{
    (void)curl_multi_remove_handle(w->multi, easy);
}

void wire_close(struct wire *w)
{
    if (w->closed)
        return;
    w->closed = true;
    /* libcurl closes the descriptors: nobody may watch them by then. */
    LIST_EACH(node, &w->sockets) {
        uv_poll_stop(&CONTAINER_OF(node, struct wire_socket, node)->poll);
    }
    (void)curl_multi_cleanup(w->multi);
    w->multi = NULL;
    timer_stop(&w->loop->timers, &w->timer);
    LIST_EACH(node, &w->sockets) {
        socket_close(CONTAINER_OF(node, struct wire_socket, node));
    }
    if (!w->busy)
        loop_reap(w->loop, &w->reap, wire_free);
}
