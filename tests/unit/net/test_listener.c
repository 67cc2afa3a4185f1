/* SPDX-License-Identifier: Apache-2.0 */
/* Listening and dialling over loopback, also when there are no descriptors. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib/net/dial.h"
#include "lib/net/listener.h"
#include "tests/unit/http/talk.h"

enum { MAX = 600 };

struct rig {
    struct turner t;
    struct listener *listener;
    struct address at;
    int fds[MAX];
    unsigned accepted, paused, resumed;
    bool close_in_accept;
    /* dial */
    unsigned called;
    enum status rc;
    struct stream *s;
};

static void on_accept(void *owner, int fd, const struct address *peer)
{
    struct rig *r = owner;
    assert_int_equal(peer->sa.sa_family, AF_INET);
    r->fds[r->accepted++] = fd;
    if (r->close_in_accept)
        listener_close(r->listener);
}

static void on_paused(void *owner, bool paused)
{
    struct rig *r = owner;
    if (paused)
        r->paused++;
    else
        r->resumed++;
}

static const struct listener_events events = {.on_accept = on_accept,
                                              .on_paused = on_paused};

static void rig_init(struct rig *r)
{
    struct listener_options lo = {0};
    struct error e;
    *r = (struct rig){0};
    turner_init(&r->t);
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), &r->at), OK);
    assert_int_equal(
        listener_open(&r->listener, &r->t.loop, &r->at, &lo, &events, r, &e),
        OK);
    r->at = *listener_address(r->listener);
}

static void rig_fini(struct rig *r)
{
    for (unsigned i = 0; i < r->accepted; i++)
        close(r->fds[i]);
    if (!r->close_in_accept)
        listener_close(r->listener);
    turner_fini(&r->t);
}

static int connect_one(const struct rig *r)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_true(connect(fd, &r->at.sa, address_len(&r->at)) == 0 ||
                errno == EINPROGRESS);
    return fd;
}

static void test_accept(void **state)
{
    struct rig r;
    int fds[200];
    (void)state;
    rig_init(&r);
    for (int i = 0; i < 200; i++)
        fds[i] = connect_one(&r);
    TURN_UNTIL(&r.t, r.accepted == 200);
    listener_pause(r.listener, true);
    int one = connect_one(&r);
    for (int i = 0; i < 3; i++)
        turn(&r.t);
    assert_int_equal(r.accepted, 200);
    listener_pause(r.listener, false);
    TURN_UNTIL(&r.t, r.accepted == 201);
    assert_int_equal(r.paused + r.resumed, 0); /* not for our own reasons */
    close(one);
    for (int i = 0; i < 200; i++)
        close(fds[i]);
    rig_fini(&r);
}

/* Whoever has come is taken, who comes is refused; neither pause nor close of the
 * owner change that. */
static void test_refuse(void **state)
{
    struct rig r;
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    (void)state;
    rig_init(&r);
    int early = connect_one(&r);
    listener_refuse(r.listener);
    assert_int_equal(r.accepted, 1);
    listener_refuse(r.listener);
    listener_pause(r.listener, true);
    listener_pause(r.listener, false);
    int late = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(late, &r.at.sa, address_len(&r.at)), -1);
    assert_int_equal(errno, ECONNREFUSED);
    for (int i = 0; i < 3; i++)
        turn(&r.t);
    assert_int_equal(r.accepted, 1);
    assert_int_equal(r.paused + r.resumed, 0);
    assert_int_equal(getpeername(early, (struct sockaddr *)&sa, &len), 0);
    assert_true(address_eq(listener_address(r.listener), &r.at));
    close(early);
    close(late);
    rig_fini(&r);
}

static void test_close_in_accept(void **state)
{
    struct rig r;
    int fds[3];
    (void)state;
    rig_init(&r);
    r.close_in_accept = true;
    for (int i = 0; i < 3; i++)
        fds[i] = connect_one(&r);
    TURN_UNTIL(&r.t, r.accepted);
    for (int i = 0; i < 3; i++)
        turn(&r.t);
    assert_int_equal(r.accepted, 1);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    rig_fini(&r);
}

/* Leaves `spare` descriptors; gives what to restore. */
static struct rlimit starve(unsigned spare)
{
    struct rlimit old, low;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    int top = dup(0);
    assert_true(top >= 0);
    close(top);
    low = old;
    low.rlim_cur = (rlim_t)top + spare;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    return old;
}

static void feed(const struct rlimit *old)
{
    assert_int_equal(setrlimit(RLIMIT_NOFILE, old), 0);
}

static void test_starved(void **state)
{
    for (int pause = 0; pause < 2; pause++) {
        struct rig r;
        int fds[4];
        (void)state;
        rig_init(&r);
        for (int i = 0; i < 4; i++)
            fds[i] = connect_one(&r);
        struct rlimit old = starve(2);
        TURN_UNTIL(&r.t, r.paused == 1);
        assert_int_equal(r.accepted, 2);
        uint64_t passes = r.t.loop.passes;
        int64_t start = clock_mono_ns();
        while (clock_mono_ns() < start + 50 * NSEC_PER_MSEC)
            turn(&r.t);
        assert_true(r.t.loop.passes < passes + 50); /* no spinning */
        if (pause) { /* also when the owner paused over the retry */
            listener_pause(r.listener, true);
            while (clock_mono_ns() < start + 250 * NSEC_PER_MSEC)
                turn(&r.t);
            assert_int_equal(r.accepted, 2);
        }
        feed(&old);
        if (pause)
            listener_pause(r.listener, false);
        TURN_UNTIL(&r.t, r.accepted == 4);
        TURN_UNTIL(&r.t, r.resumed == 1);
        for (int i = 0; i < 4; i++)
            close(fds[i]);
        rig_fini(&r);
    }
}

static void test_in_use(void **state)
{
    struct listener_options lo = {0};
    struct listener *l;
    struct error e;
    struct rig r;
    (void)state;
    rig_init(&r);
    assert_int_equal(listener_open(&l, &r.t.loop, &r.at, &lo, &events, &r, &e),
                     ERR_EXISTS);
    rig_fini(&r);
}

/* ---- dial ---- */

static void on_dialed(void *arg, enum status rc, struct stream *s)
{
    struct rig *r = arg;
    r->called++;
    r->rc = rc;
    r->s = s;
    assert_int_equal(rc == OK, s != NULL);
    if (s)
        stream_close(s, STREAM_NOW);
}

static struct tcp_dial *dial(struct rig *r, int64_t timeout)
{
    struct tcp_dial *d;
    assert_int_equal(
        tcp_dial_start(&d, &r->t.loop, &r->at, timeout, 0, on_dialed, r), OK);
    assert_int_equal(r->called, 0);
    return d;
}

static void test_dial(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    (void)dial(&r, NSEC_PER_SEC);
    TURN_UNTIL(&r.t, r.called);
    assert_int_equal(r.rc, OK);
    for (int i = 0; i < 3; i++)
        turn(&r.t);
    assert_int_equal(r.called, 1);
    rig_fini(&r);
}

static void test_dial_refused(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    int fd = socket(AF_INET, SOCK_STREAM, 0); /* bound, not listening */
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    getsockname(fd, (struct sockaddr *)&sa, &len);
    address_from(&r.at, (struct sockaddr *)&sa);
    (void)dial(&r, NSEC_PER_SEC);
    TURN_UNTIL(&r.t, r.called);
    assert_int_equal(r.rc, ERR_REFUSED);
    close(fd);
    rig_fini(&r);
}

static void test_dial_starved(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    struct rlimit old = starve(0);
    (void)dial(&r, NSEC_PER_SEC);
    feed(&old);
    TURN_UNTIL(&r.t, r.called);
    assert_int_equal(r.rc, ERR_RESOURCES);
    rig_fini(&r);
}

/* Nobody answers: the queue of a listener that does not accept is full. */
static void test_dial_timeout(void **state)
{
    struct rig r;
    int fds[8];
    (void)state;
    rig_init(&r);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(fd, 0), 0);
    getsockname(fd, (struct sockaddr *)&sa, &len);
    address_from(&r.at, (struct sockaddr *)&sa);
    for (int i = 0; i < 8; i++)
        fds[i] = connect_one(&r);
    (void)dial(&r, 5 * NSEC_PER_MSEC);
    TURN_UNTIL(&r.t, r.called);
    assert_int_equal(r.rc, ERR_TIMEOUT);
    for (int i = 0; i < 8; i++)
        close(fds[i]);
    close(fd);
    rig_fini(&r);
}

/* Given away after every turn: nothing is called, nothing is left. */
static void test_dial_cancel(void **state)
{
    (void)state;
    for (int n = 0; n < 5; n++) {
        struct rig r;
        rig_init(&r);
        struct tcp_dial *d = dial(&r, NSEC_PER_SEC);
        for (int i = 0; i < n && !r.called; i++)
            turn(&r.t);
        unsigned called = r.called;
        if (!called)
            tcp_dial_cancel(d);
        for (int i = 0; i < 5; i++)
            turn(&r.t);
        assert_int_equal(r.called, called);
        rig_fini(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept),
        cmocka_unit_test(test_refuse),
        cmocka_unit_test(test_close_in_accept),
        cmocka_unit_test(test_starved),
        cmocka_unit_test(test_in_use),
        cmocka_unit_test(test_dial),
        cmocka_unit_test(test_dial_refused),
        cmocka_unit_test(test_dial_starved),
        cmocka_unit_test(test_dial_timeout),
        cmocka_unit_test(test_dial_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
