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

/* An answer before a close, read slower than we are willing to wait for a peer
 * that reads nothing: it comes whole. */
static void test_flush_to_slow_reader(void **state)
{
    enum { SMALL = 65536, READS = 18 };
    int size = SMALL;
    struct rig r;
    (void)state;
    rig_init(&r);
    setsockopt(r.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(tcp_stream_fd(r.s), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    write_much(&r);
    stream_close(r.s, STREAM_FLUSH);
    for (int i = 0; i < READS; i++) { /* 5.4 s, and little of it */
        int64_t end = clock_mono_ns() + 300 * NSEC_PER_MSEC;
        while (clock_mono_ns() < end)
            turn(&r.t);
        peer_reads(&r);
    }
    assert_false(list_empty(&r.t.loop.lingerers));
    TURN_UNTIL(&r.t, (peer_reads(&r), r.ended || r.err));
    assert_int_equal(r.err, 0);
    assert_int_equal(r.got, MUCH);
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

/* ---- what an owner hears ---- */

struct ears {
    size_t got;
    unsigned ends, fails, drains;
    enum status why;
    bool reopen; /* asks for more after the end */
    bool stop;   /* stops reading after each piece */
};

static void hear_data(struct stream *s, const char *ptr, size_t len)
{
    struct ears *e = s->owner;
    (void)ptr;
    e->got += len;
    if (e->stop)
        stream_read(s, false);
}
static void hear_end(struct stream *s)
{
    struct ears *e = s->owner;
    e->ends++;
    if (e->reopen)
        stream_read(s, true);
}
static void hear_fail(struct stream *s, enum status why)
{
    struct ears *e = s->owner;
    e->fails++;
    e->why = why;
}
static void hear_drained(struct stream *s)
{
    struct ears *e = s->owner;
    e->drains++;
}
static const struct stream_events ears_events = {.on_data = hear_data,
                                                 .on_end = hear_end,
                                                 .on_fail = hear_fail,
                                                 .on_drained = hear_drained};

static void peer_resets(struct rig *r)
{
    struct linger lg = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(r->fd, SOL_SOCKET, SO_LINGER, &lg, sizeof lg),
                     0);
    close(r->fd);
    r->fd = socket(AF_INET, SOCK_STREAM, 0); /* for rig_fini */
}

/* The bytes before a reset are delivered, then it is told as what it is. */
static void test_reset_by_peer(void **state)
{
    for (int slow = 0; slow < 2; slow++) {
        struct rig r;
        struct ears e = {.stop = slow};
        (void)state;
        rig_init(&r);
        stream_own(r.s, &ears_events, &e);
        if (!slow)
            stream_read(r.s, true);
        assert_int_equal(send(r.fd, "last words", 10, 0), 10);
        peer_resets(&r);
        stream_read(r.s, true);
        TURN_UNTIL(&r.t, e.got == 10);
        stream_read(r.s, true);
        TURN_UNTIL(&r.t, e.fails);
        for (int i = 0; i < 3; i++)
            turn(&r.t);
        assert_int_equal(e.fails, 1);
        assert_int_equal(e.ends, 0);
        assert_int_equal(e.why, ERR_RESET);
        stream_close(r.s, STREAM_NOW);
        rig_fini(&r);
    }
}

/* Whoever still writes finds the reset before he has read what came before it,
 * whether he reads now, later, or only when there is room again. */
static void test_last_words_despite_writing(void **state)
{
    for (int slow = 0; slow < 2; slow++) {
        struct rig r;
        struct ears e = {0};
        (void)state;
        rig_init(&r);
        stream_own(r.s, &ears_events, &e);
        if (!slow)
            stream_read(r.s, true);
        assert_int_equal(send(r.fd, "last words", 10, 0), 10);
        peer_resets(&r);
        stream_write(r.s, "x", 1);
        TURN_UNTIL(&r.t, slow ? e.drains > 0 : e.fails);
        assert_int_equal(e.got, slow ? 0 : 10);
        stream_write(r.s, "y", 1);
        assert_int_equal(stream_queued(r.s), 0);
        stream_read(r.s, true);
        TURN_UNTIL(&r.t, e.fails);
        assert_int_equal(e.got, 10);
        assert_int_equal(e.fails, 1);
        assert_int_equal(e.ends, 0);
        stream_close(r.s, STREAM_FLUSH);
        assert_true(list_empty(&r.t.loop.lingerers));
        rig_fini(&r);
    }
}

/* Also while nothing is read: the queue waits for nobody. */
static void test_reset_while_writing(void **state)
{
    struct rig r;
    struct ears e = {0};
    (void)state;
    rig_init(&r);
    write_much(&r);
    stream_own(r.s, &ears_events, &e);
    for (int i = 0; i < 3; i++)
        turn(&r.t);
    assert_true(stream_queued(r.s) > 0);
    peer_resets(&r);
    TURN_UNTIL(&r.t, e.fails);
    assert_int_equal(e.fails, 1);
    assert_int_equal(e.why, ERR_RESET);
    assert_int_equal(stream_queued(r.s), 0);
    stream_write(r.s, "x", 1); /* ignored */
    assert_int_equal(stream_queued(r.s), 0);
    stream_close(r.s, STREAM_FLUSH);
    assert_true(list_empty(&r.t.loop.lingerers));
    rig_fini(&r);
}

/* The end is told once, and output goes on after it. */
static void test_half_close(void **state)
{
    struct rig r;
    struct ears e = {.reopen = true};
    (void)state;
    rig_init(&r);
    stream_own(r.s, &ears_events, &e);
    stream_read(r.s, true);
    assert_int_equal(send(r.fd, "abc", 3, 0), 3);
    shutdown(r.fd, SHUT_WR);
    TURN_UNTIL(&r.t, e.ends);
    stream_write(r.s, "answer", 6);
    stream_end(r.s);
    stream_write(r.s, "ignored", 7);
    while (!r.ended && !r.err) {
        turn(&r.t);
        peer_reads(&r);
    }
    assert_int_equal(r.got, 6);
    assert_int_equal(e.got, 3);
    assert_int_equal(e.ends, 1);
    assert_int_equal(e.fails, 0);
    stream_close(r.s, STREAM_FLUSH);
    assert_true(list_empty(&r.t.loop.lingerers)); /* both have ended */
    rig_fini(&r);
}

/* A reader that stops is not read for; a writer hears when there is room. */
static void test_back_pressure(void **state)
{
    static char piece[65536];
    struct rig r;
    struct ears e = {.stop = true};
    size_t said = 0;
    (void)state;
    rig_init(&r);
    write_much(&r);
    stream_own(r.s, &ears_events, &e);
    stream_read(r.s, true);
    for (;;) {
        ssize_t n = send(r.fd, piece, sizeof piece, MSG_DONTWAIT);
        if (n < 0)
            break;
        said += (size_t)n;
    }
    for (int i = 0; i < 5; i++)
        turn(&r.t);
    assert_true(e.got <= LOOP_LENT); /* one piece, then it stopped */
    assert_true(stream_queued(r.s) > 0);
    unsigned drains = e.drains;
    while (r.got < MUCH && !r.err) {
        turn(&r.t);
        peer_reads(&r);
    }
    assert_true(e.drains > drains);
    assert_int_equal(stream_queued(r.s), 0);
    assert_true(e.got <= LOOP_LENT);
    e.stop = false;
    stream_read(r.s, true);
    TURN_UNTIL(&r.t, e.got == said);
    stream_close(r.s, STREAM_NOW);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flush_with_unread_input),
        cmocka_unit_test(test_flush_to_slow_reader),
        cmocka_unit_test(test_flush_flooded),
        cmocka_unit_test(test_flush_and_loop_end),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_reset_by_peer),
        cmocka_unit_test(test_last_words_despite_writing),
        cmocka_unit_test(test_reset_while_writing),
        cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_back_pressure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
