/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opaque streams as fast as they go, one way.
 *
 *   bulk ADDRESS [--seconds S] [--streams N] [--up]
 *
 * Runs for the time given, or until its standard input ends or gets a line.
 */
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STREAM_LIMIT = 256, EVENTS = 64 };

struct run {
    struct sockaddr_in to;
    int poller;
    bool up;
    int fds[STREAM_LIMIT];
    uint64_t bytes, errors;
};

static unsigned char scratch[PATTERN_RUN];

static void open_stream(struct run *r, size_t index)
{
    struct epoll_event e = {.data.u64 = index};

    e.events = r->up ? EPOLLOUT : EPOLLIN;
    r->fds[index] = load_dial(&r->to, true);
    if (r->fds[index] < 0)
        load_die("connect");
    load_nonblocking(r->fds[index]);
    if (epoll_ctl(r->poller, EPOLL_CTL_ADD, r->fds[index], &e))
        load_die("epoll_ctl");
}

static void greet(struct run *r, int fd)
{
    struct hello h = {r->up ? OPAQUE_UPLOAD : OPAQUE_DOWNLOAD, 0, 0};
    unsigned char hello[OPAQUE_HELLO];

    opaque_hello(hello, h);
    if (!load_send(fd, hello, sizeof(hello)))
        load_die("hello");
}

static void move(struct run *r, int fd)
{
    ssize_t n = r->up ? send(fd, pattern_at(0, 0), PATTERN_RUN, MSG_NOSIGNAL)
                      : recv(fd, scratch, sizeof(scratch), 0);

    if (n > 0) {
        r->bytes += (uint64_t)n;
        return;
    }
    if (n < 0 && errno == EAGAIN)
        return;
    r->errors++; /* such a stream has no end */
    epoll_ctl(r->poller, EPOLL_CTL_DEL, fd, NULL);
}

static double run(struct run *r, double seconds)
{
    struct epoll_event events[EVENTS];
    double begin = load_now();

    while (load_now() < begin + seconds) {
        int n = epoll_wait(r->poller, events, EVENTS, 200);

        for (int i = 0; i < n; i++) {
            if (events[i].data.u64 == STREAM_LIMIT)
                return load_now() - begin; /* told to stop */
            move(r, r->fds[events[i].data.u64]);
        }
    }
    return load_now() - begin;
}

int main(int argc, char **argv)
{
    static struct run r;
    struct epoll_event input = {.events = EPOLLIN, .data.u64 = STREAM_LIMIT};
    double seconds = load_option(argc, argv, "--seconds", 5);
    size_t streams = (size_t)load_option(argc, argv, "--streams", 1);

    signal(SIGPIPE, SIG_IGN);
    pattern_init();
    r.to = load_target(argc, argv);
    r.up = load_flag(argc, argv, "--up");
    r.poller = epoll_create1(EPOLL_CLOEXEC);
    if (streams < 1 || streams > STREAM_LIMIT || r.poller < 0)
        load_die("start");
    for (size_t i = 0; i < streams; i++)
        open_stream(&r, i);
    load_ready();
    if (epoll_ctl(r.poller, EPOLL_CTL_ADD, STDIN_FILENO, &input))
        load_die("stdin: want a pipe");
    for (size_t i = 0; i < streams; i++)
        greet(&r, r.fds[i]);
    seconds = run(&r, seconds);
    load_result("{\"gbytes\": %.6f, \"errors\": %llu, \"gbytes_per_second\": "
                "%.4f}",
                (double)r.bytes / 1e9, (unsigned long long)r.errors,
                (double)r.bytes / 1e9 / seconds);
    return 0;
}
