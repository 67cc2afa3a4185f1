/* SPDX-License-Identifier: Apache-2.0 */
/* Closing a stream over a real socket: what was written arrives. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib/net/listener.h"
#include "lib/net/tcp_stream.h"
#include "tests/unit/http/talk.h"

enum { MUCH = 8 << 20 }; /* more than the kernel keeps */

struct rig {
    struct turner t;
    struct listener *listener;
    struct stream *s;
    int fd; /* the peer's end, non-blocking */
    size_t got;
    int err; /* of the peer's last read */
    bool ended;
};

static void on_accept(void *owner, int fd, const struct address *peer)
{
    struct rig *r = owner;
    (void)peer;
    assert_int_equal(tcp_stream_open(&r->s, &r->t.loop, fd, 0), OK);
}

static const struct listener_events listener_events = {.on_accept = on_accept};

static void rig_init(struct rig *r)
{
    struct listener_options lo = {0};
    struct address at;
    struct error e;
    *r = (struct rig){0};
    turner_init(&r->t);
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), &at), OK);
    assert_int_equal(listener_open(&r->listener, &r->t.loop, &at, &lo,
                                   &listener_events, r, &e),
                     OK);
    at = *listener_address(r->listener);
    r->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(r->fd, &at.sa, address_len(&at)), 0);
    TURN_UNTIL(&r->t, r->s != NULL);
}

static void rig_fini(struct rig *r)
{
    listener_close(r->listener);
    turner_fini(&r->t);
    close(r->fd);
}

static void peer_reads(struct rig *r)
{
    static char buf[65536];
    ssize_t n = recv(r->fd, buf, sizeof buf, MSG_DONTWAIT);
    if (n > 0)
        r->got += (size_t)n;
    else if (n == 0)
        r->ended = true;
    else if (errno != EAGAIN)
        r->err = errno;
}

static void no_data(struct stream *s, const char *ptr, size_t len)
{
    (void)s, (void)ptr, (void)len;
}
static void no_end(struct stream *s)
{
    (void)s;
}
static void no_fail(struct stream *s, enum status why)
{
    (void)s, (void)why;
}
static const struct stream_events deaf = {
    .on_data = no_data, .on_end = no_end, .on_fail = no_fail};

static void write_much(struct rig *r)
{
    static char piece[65536];
    stream_own(r->s, &deaf, r);
    for (size_t i = 0; i < MUCH / sizeof piece; i++)
        stream_write(r->s, piece, sizeof piece);
}

/* The peer has said things that nobody read: it still gets everything. */
static void test_flush_with_unread_input(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    assert_int_equal(send(r.fd, "window update", 13, 0), 13);
    write_much(&r);
    stream_close(r.s, STREAM_FLUSH);
    while (!r.ended && !r.err) {
        turn(&r.t);
        peer_reads(&r);
        if (!r.ended && r.got % 3 == 0)
            (void)!send(r.fd, "more", 4, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    assert_int_equal(r.err, 0);
    assert_int_equal(r.got, MUCH);
    /* our end came; with the peer's the socket goes */
    shutdown(r.fd, SHUT_WR);
    TURN_UNTIL(&r.t, list_empty(&r.t.loop.lingerers));
    rig_fini(&r);
}

/* A peer that floods instead of ending is cut off. */
static void test_flush_flooded(void **state)
{
    static char piece[65536];
    struct rig r;
    (void)state;
    rig_init(&r);
    stream_own(r.s, &deaf, &r);
    stream_write(r.s, "bye", 3);
    stream_close(r.s, STREAM_FLUSH);
    while (!list_empty(&r.t.loop.lingerers)) {
        (void)!send(r.fd, piece, sizeof piece, MSG_NOSIGNAL | MSG_DONTWAIT);
        turn(&r.t);
    }
    rig_fini(&r);
}

/* The loop ends first: nothing is left. */
static void test_flush_and_loop_end(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    write_much(&r);
    stream_close(r.s, STREAM_FLUSH);
    turn(&r.t);
    assert_false(list_empty(&r.t.loop.lingerers));
    rig_fini(&r);
}

static void test_reset(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    write_much(&r);
    turn(&r.t);
    stream_close(r.s, STREAM_RESET);
    while (!r.ended && !r.err) {
        turn(&r.t);
        peer_reads(&r);
    }
    assert_int_equal(r.err, ECONNRESET);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flush_with_unread_input),
        cmocka_unit_test(test_flush_flooded),
        cmocka_unit_test(test_flush_and_loop_end),
        cmocka_unit_test(test_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
