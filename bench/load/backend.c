/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service behind the proxies: one thread, one port. The first byte of a
 * connection tells opaque (0x01, see load.h) from HTTP/1.1, where each request
 * head gets the same 1 KB response (bodies are not understood). Prints
 * {"address": ...} when it listens and ends with its standard input.
 *
 * A connection waits for its hello or head, then sends or receives until it
 * is done or the peer leaves. Whatever goes wrong closes that connection.
 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    HEAD_LIMIT = 16384,
    REPEATS = 16, /* responses that one write may carry */
    TURNS = 8,    /* reads or writes before the others get their turn */
    EVENTS = 256
};

enum state { OPENING, HTTP, ECHO, SENDING, RECEIVING, ENDING };

struct conn {
    int fd;
    enum state state;
    uint32_t armed; /* epoll events asked for */
    bool last;      /* HTTP: close after what is owed */
    struct hello hello;
    uint64_t moved; /* opaque bytes sent or received */
    uint64_t wrong;
    size_t owed; /* bytes of responses or receipt not sent yet */
    size_t sent; /* offset in the response */
    size_t held; /* bytes in `in` */
    char in[HEAD_LIMIT + 1];
};

static int poller;
static char responses[REPEATS * (HTTP_BODY + 128)];
static size_t response_size;
static unsigned char scratch[PATTERN_RUN];

static void make_responses(void)
{
    char one[HTTP_BODY + 128];
    int head = snprintf(one, sizeof(one),
                        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                        "Content-Length: %d\r\n\r\n",
                        HTTP_BODY);

    response_size = (size_t)head + HTTP_BODY;
    memset(one + head, 'x', HTTP_BODY);
    for (size_t i = 0; i < REPEATS; i++)
        memcpy(responses + i * response_size, one, response_size);
}

static void arm(struct conn *c, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};

    if (c->armed == events)
        return;
    c->armed = events;
    if (epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e))
        load_die("epoll_ctl");
}

static bool again(void)
{
    return errno == EAGAIN || errno == EINTR;
}

/* Each of these returns false when the connection is over. */

static bool send_responses(struct conn *c)
{
    while (c->owed) {
        size_t run = REPEATS * response_size - c->sent;
        ssize_t n = send(c->fd, responses + c->sent,
                         c->owed < run ? c->owed : run, MSG_NOSIGNAL);

        if (n < 0) {
            arm(c, EPOLLIN | EPOLLOUT);
            return again();
        }
        c->owed -= (size_t)n;
        c->sent = (c->sent + (size_t)n) % response_size;
    }
    arm(c, EPOLLIN);
    return !c->last;
}

static bool take_heads(struct conn *c)
{
    char *at = c->in;
    char *end;

    c->in[c->held] = 0;
    while ((end = memmem(at, c->held - (size_t)(at - c->in), "\r\n\r\n", 4))) {
        *end = 0;
        if (strcasestr(at, "\nconnection: close"))
            c->last = true;
        c->owed += response_size;
        at = end + 4;
    }
    c->held -= (size_t)(at - c->in);
    memmove(c->in, at, c->held);
    return c->held < HEAD_LIMIT && (!c->owed || send_responses(c));
}

static bool send_pattern(struct conn *c)
{
    for (int i = 0; i < TURNS; i++) {
        uint64_t left = c->hello.length - c->moved;
        size_t size = PATTERN_RUN;
        ssize_t n;

        if (c->hello.length && left < size)
            size = (size_t)left;
        if (!size)
            return false; /* all sent: closing says so */
        n = send(c->fd, pattern_at(c->hello.seed, c->moved), size,
                 MSG_NOSIGNAL);
        if (n < 0)
            return again();
        c->moved += (uint64_t)n;
    }
    return true;
}

static bool send_receipt(struct conn *c)
{
    struct receipt r = {.received = c->moved, .wrong = c->wrong};
    unsigned char out[OPAQUE_RECEIPT];

    opaque_receipt(out, r);
    (void)!write(c->fd, out, sizeof(out)); /* a peer that left needs none */
    shutdown(c->fd, SHUT_WR);
    c->state = ENDING; /* the peer closes: no bytes may be unread then */
    return true;
}

static bool count_pattern(struct conn *c, const void *bytes, size_t size)
{
    const unsigned char *want = pattern_at(c->hello.seed, c->moved);

    if (c->hello.mode == OPAQUE_CHECK && memcmp(bytes, want, size) != 0)
        c->wrong++;
    c->moved += size;
    if (c->hello.length && c->moved >= c->hello.length)
        return send_receipt(c);
    return true;
}

static bool open_opaque(struct conn *c)
{
    size_t rest;

    if (c->held < OPAQUE_HELLO)
        return true;
    if (!opaque_read_hello((unsigned char *)c->in, &c->hello))
        return false;
    rest = c->held - OPAQUE_HELLO;
    switch (c->hello.mode) {
    case OPAQUE_ECHO:
        c->state = ECHO;
        return !rest || load_send(c->fd, c->in + OPAQUE_HELLO, rest);
    case OPAQUE_DOWNLOAD:
        c->state = SENDING;
        arm(c, EPOLLIN | EPOLLOUT);
        return true;
    case OPAQUE_UPLOAD:
    case OPAQUE_CHECK:
        c->state = RECEIVING;
        return count_pattern(c, c->in + OPAQUE_HELLO, rest);
    }
    return false;
}

static bool take(struct conn *c, const void *bytes, size_t size)
{
    switch (c->state) {
    case OPENING:
        if (c->in[0] != 0x01)
            c->state = HTTP;
        return c->state == HTTP ? take_heads(c) : open_opaque(c);
    case HTTP:
        return take_heads(c);
    case ECHO:
        return load_send(c->fd, bytes, size);
    case RECEIVING:
        return count_pattern(c, bytes, size);
    case SENDING:
    case ENDING:
        return true;
    }
    return false;
}

static bool receive(struct conn *c)
{
    for (int i = 0; i < TURNS; i++) {
        bool opening = c->state == OPENING || c->state == HTTP;
        void *into = opening ? (void *)(c->in + c->held) : (void *)scratch;
        size_t room = opening ? HEAD_LIMIT - c->held : sizeof(scratch);
        ssize_t n = recv(c->fd, into, room, 0);

        if (n < 0)
            return again();
        if (n == 0)
            return false;
        if (opening)
            c->held += (size_t)n;
        if (!take(c, into, (size_t)n))
            return false;
        if ((size_t)n < room)
            return true; /* drained: spares the read that finds nothing */
    }
    return true;
}

static void on_ready(struct conn *c, uint32_t events)
{
    bool going = true;

    if (events & EPOLLOUT)
        going = c->state == SENDING ? send_pattern(c) : send_responses(c);
    if (going && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        going = receive(c);
    if (going)
        return;
    close(c->fd);
    free(c);
}

static void on_listener(int listener)
{
    int on = 1;
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >=
           0) {
        struct conn *c = calloc(1, sizeof(*c));
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};

        if (!c)
            load_die("memory");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        c->fd = fd;
        c->armed = EPOLLIN;
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e))
            load_die("epoll_ctl");
    }
}

static void watch(int *fd)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = fd};

    if (epoll_ctl(poller, EPOLL_CTL_ADD, *fd, &e))
        load_die("epoll_ctl");
}

static int start_listening(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t size = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) ||
        listen(fd, 4096) || getsockname(fd, (struct sockaddr *)&at, &size))
        load_die("listen");
    printf("{\"address\": \"127.0.0.1:%d\"}\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

int main(void)
{
    struct epoll_event events[EVENTS];
    int input = STDIN_FILENO;
    int listener;

    signal(SIGPIPE, SIG_IGN);
    pattern_init();
    make_responses();
    poller = epoll_create1(EPOLL_CLOEXEC);
    listener = start_listening();
    watch(&listener);
    watch(&input);
    for (;;) {
        int n = epoll_wait(poller, events, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == &input)
                return 0;
            if (events[i].data.ptr == &listener)
                on_listener(listener);
            else
                on_ready(events[i].data.ptr, events[i].events);
        }
    }
}
