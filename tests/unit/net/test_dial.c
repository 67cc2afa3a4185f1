/* SPDX-License-Identifier: Apache-2.0 */
/* Dialling what answers, refuses, is silent or cannot be had; given up at every
 * turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/net/dial.h"
#include "tests/unit/http/talk.h"

enum { FULL = 4 };

struct world {
    struct turner t;
    int fd; /* of somebody who listens and never accepts */
    struct address at;
    struct tcp_dial *dial;
    unsigned called;
    enum status rc;
    struct stream *s;
};

static void on_dialled(void *arg, enum status rc, struct stream *s)
{
    struct world *w = arg;
    assert_int_equal(rc == OK, s != NULL);
    w->called++;
    w->rc = rc;
    w->s = s;
}

static void world_init(struct world *w, int backlog)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    *w = (struct world){0};
    turner_init(&w->t);
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), &w->at), OK);
    w->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(w->fd, &w->at.sa, address_len(&w->at)), 0);
    if (backlog >= 0)
        assert_int_equal(listen(w->fd, backlog), 0);
    getsockname(w->fd, (struct sockaddr *)&sa, &len);
    address_from(&w->at, (struct sockaddr *)&sa);
}

static void start(struct world *w, int64_t timeout)
{
    assert_int_equal(
        tcp_dial_start(&w->dial, &w->t.loop, &w->at, timeout, 0, on_dialled, w),
        OK);
    assert_int_equal(w->called, 0); /* later, always */
}

static void world_fini(struct world *w)
{
    if (w->s)
        stream_close(w->s, STREAM_NOW);
    close(w->fd);
    turner_fini(&w->t);
}

static void answered(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 8);
    start(&w, 10 * NSEC_PER_SEC);
    TURN_UNTIL(&w.t, w.called);
    assert_int_equal(w.rc, OK);
    assert_false(w.s->reading);
    world_fini(&w);
}

static void refused(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, -1); /* bound, not listening */
    start(&w, 10 * NSEC_PER_SEC);
    TURN_UNTIL(&w.t, w.called);
    assert_int_equal(w.rc, ERR_REFUSED);
    world_fini(&w);
}

/* One that refuses leads to the other, one that answers does not. */
static void second_address(void **state)
{
    for (int first = 0; first < 2; first++)
        for (int second = 0; second < 2; second++) {
            struct world w, other;
            (void)state;
            world_init(&w, first ? 8 : -1);
            world_init(&other, second ? 8 : -1);
            start(&w, 10 * NSEC_PER_SEC);
            tcp_dial_or(w.dial, &other.at);
            TURN_UNTIL(&w.t, w.called);
            assert_int_equal(w.rc, first || second ? OK : ERR_REFUSED);
            int fd = accept4(first ? w.fd : other.fd, NULL, NULL,
                             SOCK_NONBLOCK);
            assert_int_equal(fd >= 0, first || second);
            if (fd >= 0)
                close(fd);
            world_fini(&w);
            world_fini(&other);
        }
}

static void silent(void **state)
{
    struct world w;
    int full[FULL];
    (void)state;
    world_init(&w, 0);
    for (int i = 0; i < FULL; i++) { /* no room in the backlog */
        full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(full[i], &w.at.sa, address_len(&w.at));
    }
    start(&w, 20 * NSEC_PER_MSEC);
    TURN_UNTIL(&w.t, w.called);
    assert_int_equal(w.rc, ERR_TIMEOUT);
    for (int i = 0; i < FULL; i++)
        close(full[i]);
    world_fini(&w);
}

/* Told from the loop, too. */
static void out_of_descriptors(void **state)
{
    struct world w;
    struct rlimit was, none;
    (void)state;
    world_init(&w, 8);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = was.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    start(&w, 10 * NSEC_PER_SEC);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    TURN_UNTIL(&w.t, w.called);
    assert_int_equal(w.rc, ERR_RESOURCES);
    world_fini(&w);
}

static void canceled_at_every_turn(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        bool listening = kind & 1, called = false;
        for (int n = 0; !called; n++) {
            struct world w;
            world_init(&w, listening ? 8 : -1);
            start(&w, 10 * NSEC_PER_SEC);
            if (kind & 2)
                tcp_dial_or(w.dial, &w.at);
            for (int i = 0; i < n; i++)
                turn(&w.t);
            called = w.called;
            if (!called)
                tcp_dial_cancel(w.dial);
            for (int i = 0; i < 3; i++)
                turn(&w.t);
            assert_int_equal(w.called, called);
            world_fini(&w);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answered),
        cmocka_unit_test(refused),
        cmocka_unit_test(second_address),
        cmocka_unit_test(silent),
        cmocka_unit_test(out_of_descriptors),
        cmocka_unit_test(canceled_at_every_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
