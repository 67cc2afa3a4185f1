/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many gigabytes, checked byte for byte, with a watchdog.
 *
 *   soak ADDRESS [--gbytes N] [--streams N] [--stall SECONDS] [--seed N]
 *
 * Two slots carry a quarter of the bytes each, one down, one up, on a single
 * stream. The others carry transfers of random size and direction one after
 * another, and leave one in eight in the middle: bytes held for a stream that
 * went away are what a shared connection loses its window to.
 *
 * Fails if a byte differs, a transfer ends early, or a slot moves nothing for
 * the stall time. Progress goes to standard error.
 */
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SLOT_LIMIT = 64, EVENTS = 64 };

static const uint64_t SHORTEST = 64 << 10;
static const uint64_t SPREAD = 48 << 20;
static const double PROGRESS = 5; /* seconds between lines */

struct slot {
    int fd; /* -1: has nothing more to do */
    bool up, single;
    uint32_t seed;
    uint64_t length, moved;
    uint64_t leave; /* go away after so many bytes; 0: stay */
    size_t receipt_held;
    unsigned char receipt[OPAQUE_RECEIPT];
    double last; /* when something moved */
};

struct run {
    struct sockaddr_in to;
    int poller;
    uint64_t goal, bytes, transfers, left, corrupt, broken;
    uint64_t random;
    struct slot slots[SLOT_LIMIT];
    size_t count, live;
};

static unsigned char scratch[PATTERN_RUN];

static uint64_t next_random(struct run *r)
{
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return r->random >> 8;
}

static void greet(struct run *r, struct slot *s)
{
    struct epoll_event e = {.data.ptr = s};
    unsigned char hello[OPAQUE_HELLO];

    opaque_hello(hello, (struct hello){s->up ? OPAQUE_CHECK : OPAQUE_DOWNLOAD,
                                       s->seed, s->length});
    s->moved = 0;
    s->receipt_held = 0;
    s->last = load_now();
    s->fd = load_dial(&r->to, true);
    if (s->fd < 0 || !load_send(s->fd, hello, sizeof(hello)))
        load_die("connect");
    load_nonblocking(s->fd);
    e.events = s->up ? EPOLLIN | EPOLLOUT : EPOLLIN;
    if (epoll_ctl(r->poller, EPOLL_CTL_ADD, s->fd, &e))
        load_die("epoll_ctl");
}

/* The next short transfer, or none if all bytes are on their way. */
static void begin(struct run *r, struct slot *s)
{
    if (s->single || r->bytes >= r->goal) {
        s->fd = -1;
        r->live--;
        return;
    }
    s->up = next_random(r) % 2;
    s->seed = (uint32_t)next_random(r);
    s->length = SHORTEST + next_random(r) % SPREAD;
    s->leave = next_random(r) % 8 ? 0 : 1 + next_random(r) % s->length;
    greet(r, s);
}

static void begin_single(struct run *r, struct slot *s, bool up)
{
    s->single = true;
    s->up = up;
    s->seed = (uint32_t)next_random(r);
    s->length = r->goal / 4;
    greet(r, s);
}

/* Each of these returns false when the transfer is over. */

static bool over(uint64_t *tally)
{
    (*tally)++;
    return false;
}

static bool count(struct run *r, struct slot *s, size_t size)
{
    s->moved += size;
    s->last = load_now();
    r->bytes += size;
    if (s->leave && s->moved >= s->leave)
        return over(&r->left);
    return true;
}

static bool download(struct run *r, struct slot *s)
{
    ssize_t n = recv(s->fd, scratch, sizeof(scratch), 0);

    if (n < 0 && errno == EAGAIN)
        return true;
    if (n < 0)
        return over(&r->broken);
    if (n == 0)
        return over(s->moved == s->length ? &r->transfers : &r->broken);
    if (memcmp(scratch, pattern_at(s->seed, s->moved), (size_t)n) != 0 ||
        s->moved + (uint64_t)n > s->length)
        return over(&r->corrupt);
    return count(r, s, (size_t)n);
}

static bool take_receipt(struct run *r, struct slot *s)
{
    ssize_t n = recv(s->fd, s->receipt + s->receipt_held,
                     OPAQUE_RECEIPT - s->receipt_held, 0);
    struct receipt got;

    if (n < 0 && errno == EAGAIN)
        return true;
    if (n <= 0)
        return over(&r->broken);
    s->last = load_now();
    s->receipt_held += (size_t)n;
    if (s->receipt_held < OPAQUE_RECEIPT)
        return true;
    got = opaque_read_receipt(s->receipt);
    if (got.wrong)
        return over(&r->corrupt);
    return over(got.received == s->length ? &r->transfers : &r->broken);
}

static bool upload(struct run *r, struct slot *s)
{
    uint64_t left = s->length - s->moved;
    size_t size = left < PATTERN_RUN ? (size_t)left : PATTERN_RUN;
    ssize_t n = send(s->fd, pattern_at(s->seed, s->moved), size, MSG_NOSIGNAL);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};

    if (n < 0)
        return errno == EAGAIN ? true : over(&r->broken);
    if ((uint64_t)n == left && epoll_ctl(r->poller, EPOLL_CTL_MOD, s->fd, &e))
        load_die("epoll_ctl");
    return count(r, s, (size_t)n);
}

static void on_ready(struct run *r, struct slot *s, uint32_t events)
{
    bool going = true;

    if (!s->up)
        going = download(r, s);
    else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        going = take_receipt(r, s);
    else
        going = upload(r, s);
    if (going)
        return;
    close(s->fd);
    begin(r, s);
}

static const struct slot *stalled(const struct run *r, double limit)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->slots[i].fd >= 0 && load_now() - r->slots[i].last > limit)
            return &r->slots[i];
    return NULL;
}

static void report(const struct run *r, double seconds)
{
    fprintf(stderr,
            "%6.1f s  %8.3f GB  %6.3f GB/s  %llu transfers, %llu left\n",
            seconds, (double)r->bytes / 1e9, (double)r->bytes / 1e9 / seconds,
            (unsigned long long)r->transfers, (unsigned long long)r->left);
}

static bool run(struct run *r, double limit)
{
    struct epoll_event events[EVENTS];
    double begun = load_now();
    double next = begun + PROGRESS;

    while (r->live && !r->corrupt && !r->broken) {
        int n = epoll_wait(r->poller, events, EVENTS, 200);
        const struct slot *s;

        for (int i = 0; i < n; i++)
            on_ready(r, events[i].data.ptr, events[i].events);
        s = stalled(r, limit);
        if (s) {
            fprintf(stderr, "stalled: %s stopped at byte %llu of %llu\n",
                    s->up ? "an upload" : "a download",
                    (unsigned long long)s->moved,
                    (unsigned long long)s->length);
            return true;
        }
        if (load_now() > next) {
            report(r, load_now() - begun);
            next += PROGRESS;
        }
    }
    report(r, load_now() - begun);
    return false;
}

int main(int argc, char **argv)
{
    static struct run r;
    double limit = load_option(argc, argv, "--stall", 20);
    double begun;
    bool stall;

    signal(SIGPIPE, SIG_IGN);
    pattern_init();
    r.to = load_target(argc, argv);
    r.goal = (uint64_t)(load_option(argc, argv, "--gbytes", 10) * 1e9);
    r.count = (size_t)load_option(argc, argv, "--streams", 6);
    r.random = 88172645463325252u ^
               (uint64_t)load_option(argc, argv, "--seed", 1);
    r.poller = epoll_create1(EPOLL_CLOEXEC);
    if (r.count < 3 || r.count > SLOT_LIMIT || r.poller < 0 || r.goal < 4)
        load_die("start: want 3 to 64 streams");
    load_ready();
    begun = load_now();
    r.live = r.count;
    for (size_t i = 0; i < r.count; i++)
        if (i < 2)
            begin_single(&r, &r.slots[i], i == 1);
        else
            begin(&r, &r.slots[i]);
    stall = run(&r, limit);
    load_result("{\"gbytes\": %.3f, \"gbytes_per_second\": %.4f, "
                "\"transfers\": %llu, \"left\": %llu, \"corrupt\": %llu, "
                "\"broken\": %llu, \"stalled\": %s}",
                (double)r.bytes / 1e9,
                (double)r.bytes / 1e9 / (load_now() - begun),
                (unsigned long long)r.transfers, (unsigned long long)r.left,
                (unsigned long long)r.corrupt, (unsigned long long)r.broken,
                stall ? "true" : "false");
    return stall || r.corrupt || r.broken;
}
