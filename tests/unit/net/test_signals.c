/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "lib/net/signals.h"
#include "tests/unit/http/talk.h"

struct heard {
    struct signals *signals;
    int last;
    unsigned times;
    bool close;
};

static void on_signal(void *arg, int signum)
{
    struct heard *h = arg;

    h->last = signum;
    h->times++;
    if (h->close)
        signals_close(h->signals);
}

static void each_is_heard(void **state)
{
    static const int which[] = {SIGTERM, SIGINT, SIGHUP};
    struct heard h = {0};
    struct turner t;
    struct error e;

    (void)state;
    turner_init(&t);
    assert_int_equal(signals_start(&h.signals, &t.loop, on_signal, &h, &e), OK);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(kill(getpid(), which[i]), 0);
        TURN_UNTIL(&t, h.times == i + 1);
        assert_int_equal(h.last, which[i]);
    }
    assert_int_equal(kill(getpid(), SIGPIPE), 0); /* harmless */
    signals_close(h.signals);
    signals_close(NULL);
    turner_fini(&t);
}

static void closing_inside_of_the_call(void **state)
{
    struct heard h = {.close = true};
    struct turner t;
    struct error e;

    (void)state;
    turner_init(&t);
    assert_int_equal(signals_start(&h.signals, &t.loop, on_signal, &h, &e), OK);
    assert_int_equal(kill(getpid(), SIGHUP), 0);
    TURN_UNTIL(&t, h.times == 1);
    turner_fini(&t);
}

/* Closed with a signal under way: it may have been heard, not later. */
static void close_at_every_turn(void **state)
{
    (void)state;
    for (int n = 0; n < 4; n++) {
        struct heard h = {0};
        struct turner t;
        struct error e;

        turner_init(&t);
        assert_int_equal(signals_start(&h.signals, &t.loop, on_signal, &h, &e),
                         OK);
        assert_int_equal(kill(getpid(), SIGHUP), 0);
        for (int i = 0; i < n; i++)
            turn(&t);
        unsigned before = h.times;
        signals_close(h.signals);
        for (int i = 0; i < 3; i++)
            turn(&t);
        assert_int_equal(h.times, before);
        turner_fini(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_heard),
        cmocka_unit_test(closing_inside_of_the_call),
        cmocka_unit_test(close_at_every_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
