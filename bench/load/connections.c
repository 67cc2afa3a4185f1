/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new connection for every exchange.
 *
 *   connections ADDRESS [--seconds S] [--concurrency N] [--opaque]
 *
 * HTTP: one request with "Connection: close". Opaque: a download of 1 KB. An
 * exchange is done when the whole answer and then the end have arrived.
 */
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_LIMIT = 4096, EVENTS = 64 };

static const double GRACE = 2; /* seconds for the last exchanges to end */
static const char request[] = "GET / HTTP/1.1\r\nHost: bench.example\r\n"
                              "Connection: close\r\n\r\n";

struct conn {
    int fd; /* -1: none */
    bool asked;
    double since;
    size_t held;
    char in[ANSWER_LIMIT + 1];
};

struct run {
    struct sockaddr_in to;
    int poller;
    bool opaque;
    size_t live;
    uint64_t errors;
    struct latencies latencies;
};

static void begin(struct run *r, struct conn *c)
{
    struct epoll_event e = {.events = EPOLLOUT, .data.ptr = c};

    c->asked = false;
    c->held = 0;
    c->since = load_now();
    c->fd = load_dial(&r->to, false);
    if (c->fd < 0) {
        r->errors++;
        return;
    }
    r->live++;
    if (epoll_ctl(r->poller, EPOLL_CTL_ADD, c->fd, &e))
        load_die("epoll_ctl");
}

static bool ask(struct run *r, struct conn *c)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    unsigned char hello[OPAQUE_HELLO];

    c->asked = true;
    if (epoll_ctl(r->poller, EPOLL_CTL_MOD, c->fd, &e))
        load_die("epoll_ctl");
    if (!r->opaque)
        return load_send(c->fd, request, sizeof(request) - 1);
    opaque_hello(hello, (struct hello){OPAQUE_DOWNLOAD, 0, HTTP_BODY});
    return load_send(c->fd, hello, sizeof(hello));
}

static bool whole(const struct run *r, struct conn *c)
{
    c->in[c->held] = 0;
    if (r->opaque)
        return c->held == HTTP_BODY &&
               !memcmp(c->in, pattern_at(0, 0), HTTP_BODY);
    return http_response_size(c->in, c->held) == (long)c->held;
}

/* True when the exchange is over, well or badly. */
static bool advance(struct run *r, struct conn *c)
{
    ssize_t n;

    if (!c->asked) {
        if (ask(r, c))
            return false;
        r->errors++;
        return true;
    }
    n = recv(c->fd, c->in + c->held, ANSWER_LIMIT - c->held, 0);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n > 0) {
        c->held += (size_t)n;
        return false;
    }
    if (n == 0 && whole(r, c))
        latencies_add(&r->latencies, load_now() - c->since);
    else
        r->errors++;
    return true;
}

static double run(struct run *r, struct conn *conns, size_t count, double secs)
{
    struct epoll_event events[EVENTS];
    double start = load_now();
    double end = start + secs;

    for (size_t i = 0; i < count; i++)
        begin(r, &conns[i]);
    while (r->live && load_now() < end + GRACE) {
        int n = epoll_wait(r->poller, events, EVENTS, 200);

        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;

            if (!advance(r, c))
                continue;
            close(c->fd);
            c->fd = -1;
            r->live--;
            if (load_now() < end)
                begin(r, c);
        }
    }
    r->errors += r->live;
    return load_now() - start;
}

int main(int argc, char **argv)
{
    static struct run r;
    double secs = load_option(argc, argv, "--seconds", 5);
    size_t count = (size_t)load_option(argc, argv, "--concurrency", 16);
    struct conn *conns = calloc(count, sizeof(*conns));

    signal(SIGPIPE, SIG_IGN);
    pattern_init();
    r.to = load_target(argc, argv);
    r.opaque = load_flag(argc, argv, "--opaque");
    r.poller = epoll_create1(EPOLL_CLOEXEC);
    if (!count || !conns || r.poller < 0)
        load_die("start");
    load_ready();
    secs = run(&r, conns, count, secs);
    load_result("{\"done\": %llu, \"errors\": %llu, \"per_second\": %.1f, "
                "\"p50_us\": %.1f, \"p99_us\": %.1f}",
                (unsigned long long)r.latencies.total,
                (unsigned long long)r.errors, (double)r.latencies.total / secs,
                latencies_at(&r.latencies, 0.5),
                latencies_at(&r.latencies, 0.99));
    return 0;
}
