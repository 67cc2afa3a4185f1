/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 requests on kept connections.
 *
 *   requests ADDRESS [--connections N] [--seconds S] [--rate R] [--head BYTES]
 *
 * Without a rate each connection asks again as soon as it is answered. With
 * one, requests start on a schedule whether or not earlier ones were answered,
 * and their latency counts from the scheduled moment: a proxy that stalls
 * cannot hide the requests it held up. --head adds that many bytes of fields.
 */
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { RESPONSE_LIMIT = 8192, HEAD_LIMIT = 16384, EVENTS = 64 };

static const double GRACE = 2; /* seconds for the last answers to arrive */

struct conn {
    int fd;
    bool busy;
    double since; /* when its request began, or should have */
    size_t held;
    char in[RESPONSE_LIMIT + 1];
};

struct run {
    struct sockaddr_in to;
    int poller;
    struct conn *conns;
    size_t *idle; /* ring of connections without a request */
    size_t count, first_idle, idle_count;
    char head[HEAD_LIMIT];
    size_t head_size;
    double rate;
    uint64_t started, errors;
    struct latencies latencies;
};

static void make_head(struct run *r, size_t extra)
{
    size_t n = (size_t)snprintf(r->head, sizeof(r->head),
                                "GET / HTTP/1.1\r\nHost: bench.example\r\n");

    for (int i = 0; extra && n + 128 < sizeof(r->head); i++) {
        size_t value = extra < 64 ? extra : 64; /* a field of usual size */

        n += (size_t)snprintf(r->head + n, sizeof(r->head) - n,
                              "X-Field-%d: %0*d\r\n", i, (int)value, i);
        extra -= value;
    }
    n += (size_t)snprintf(r->head + n, sizeof(r->head) - n, "\r\n");
    r->head_size = n;
}

static void push_idle(struct run *r, size_t index)
{
    r->idle[(r->first_idle + r->idle_count++) % r->count] = index;
}

static size_t pop_idle(struct run *r)
{
    size_t index = r->idle[r->first_idle];

    r->first_idle = (r->first_idle + 1) % r->count;
    r->idle_count--;
    return index;
}

/* Connects, and asks once while nothing is measured. */
static void open_conn(struct run *r, size_t index)
{
    struct conn *c = &r->conns[index];
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = index};
    long size = 0;

    c->busy = false;
    c->held = 0;
    c->fd = load_dial(&r->to, true);
    if (c->fd < 0 || !load_send(c->fd, r->head, r->head_size))
        load_die("connect");
    while (!size || c->held < (size_t)size) {
        ssize_t n = recv(c->fd, c->in + c->held, RESPONSE_LIMIT - c->held, 0);

        if (n <= 0)
            load_die("first request: no answer");
        c->held += (size_t)n;
        c->in[c->held] = 0;
        size = http_response_size(c->in, c->held);
        if (size < 0) {
            errno = 0;
            load_die("first request: not a 200 with a length");
        }
    }
    load_nonblocking(c->fd);
    if (epoll_ctl(r->poller, EPOLL_CTL_ADD, c->fd, &e))
        load_die("epoll_ctl");
    push_idle(r, index);
}

static void fail(struct run *r, size_t index)
{
    r->errors++;
    close(r->conns[index].fd);
    open_conn(r, index);
}

static void ask(struct run *r, double since)
{
    size_t index = pop_idle(r);
    struct conn *c = &r->conns[index];

    c->since = since;
    c->held = 0;
    c->busy = true;
    r->started++;
    if (!load_send(c->fd, r->head, r->head_size))
        fail(r, index);
}

static void on_bytes(struct run *r, size_t index)
{
    struct conn *c = &r->conns[index];
    ssize_t n = recv(c->fd, c->in + c->held, RESPONSE_LIMIT - c->held, 0);
    long size;

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0 || !c->busy) {
        fail(r, index);
        return;
    }
    c->held += (size_t)n;
    c->in[c->held] = 0;
    size = http_response_size(c->in, c->held);
    if (size < 0 || (size && c->held > (size_t)size)) {
        fail(r, index);
        return;
    }
    if (!size || c->held < (size_t)size)
        return;
    latencies_add(&r->latencies, load_now() - c->since);
    c->busy = false;
    push_idle(r, index);
}

/* When the next request should start. */
static double next_due(const struct run *r, double begin)
{
    if (r->rate > 0)
        return begin + (double)r->started / r->rate;
    return load_now();
}

/* Starts what is due, and says how long the next one may wait. */
static double ask_due(struct run *r, double begin, double end)
{
    while (r->idle_count) {
        double due = next_due(r, begin);
        double now = load_now();

        if (due >= end)
            break;
        if (due > now)
            return due - now;
        ask(r, due);
    }
    return 0.1; /* only answers are awaited */
}

static bool finished(const struct run *r, double begin, double end)
{
    double now = load_now();

    if (now >= end + GRACE)
        return true;
    return now >= end && r->idle_count == r->count && next_due(r, begin) >= end;
}

static void run(struct run *r, double seconds)
{
    struct epoll_event events[EVENTS];
    double begin = load_now();
    double end = begin + seconds;
    double due;

    while (!finished(r, begin, end)) {
        double wait = ask_due(r, begin, end);
        struct timespec limit = {.tv_sec = (time_t)wait};
        int n;

        limit.tv_nsec = (long)((wait - (double)limit.tv_sec) * 1e9);
        n = epoll_pwait2(r->poller, events, EVENTS, &limit, NULL);
        for (int i = 0; i < n; i++)
            on_bytes(r, (size_t)events[i].data.u64);
    }
    r->errors += r->count - r->idle_count; /* never answered */
    due = next_due(r, begin);
    if (due < end) /* never started, because all connections waited */
        r->errors += (uint64_t)((end - due) * r->rate);
}

int main(int argc, char **argv)
{
    static struct run r;
    double seconds = load_option(argc, argv, "--seconds", 5);

    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1);
    r.to = load_target(argc, argv);
    r.count = (size_t)load_option(argc, argv, "--connections", 64);
    r.rate = load_option(argc, argv, "--rate", 0);
    r.conns = calloc(r.count, sizeof(*r.conns));
    r.idle = calloc(r.count, sizeof(*r.idle));
    r.poller = epoll_create1(EPOLL_CLOEXEC);
    if (!r.count || !r.conns || !r.idle || r.poller < 0)
        load_die("start");
    make_head(&r, (size_t)load_option(argc, argv, "--head", 0));
    for (size_t i = 0; i < r.count; i++)
        open_conn(&r, i);
    load_ready();
    run(&r, seconds);
    load_result(
        "{\"done\": %llu, \"errors\": %llu, \"per_second\": %.1f, "
        "\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f}",
        (unsigned long long)r.latencies.total, (unsigned long long)r.errors,
        (double)r.latencies.total / seconds, latencies_at(&r.latencies, 0.5),
        latencies_at(&r.latencies, 0.99), latencies_at(&r.latencies, 0.999));
    return 0;
}
