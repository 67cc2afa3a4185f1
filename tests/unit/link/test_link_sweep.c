/* SPDX-License-Identifier: Apache-2.0 */
/* A link that is closed, retired or broken at every turn and at every byte: its
 * owner is told once that it is down (never after closing it), every call once,
 * and nothing is left at either end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/link/near.h"

enum action {
    CLOSE,     /* the owner closes */
    RETIRE,    /* the owner retires */
    FAR_BREAK, /* the other end closes all it has */
    FAR_DRAIN,
    LEAVE, /* the callers leave, and the link is retired */
    ACTIONS,
};

static void leave(struct near *n)
{
    for (int i = 0; i < NEAR_CALLS; i++) {
        struct call *c = &n->calls[i];
        if (c->x)
            exchange_reset(c->x, RESET_CANCELED);
        if (c->x)
            n->started[i] = false; /* is told nothing */
        c->x = NULL;
    }
}

static void act(struct near *n, enum action a)
{
    struct link_server *far = far_link(&n->far);
    if (a == CLOSE && n->link) {
        link_close(n->link);
        n->link = NULL;
        n->down++; /* as if */
    }
    if (a == LEAVE)
        leave(n);
    if ((a == RETIRE || a == LEAVE) && n->link)
        link_retire(n->link);
    if (a == FAR_BREAK)
        far_break(&n->far);
    if (a == FAR_DRAIN && far)
        link_server_drain(far);
}

/* False when all calls were over before turn `at`. */
static bool act_at(enum action a, int at)
{
    struct near n;
    int i;
    near_init(&n);
    near_start(&n, listener_address(n.far.listener), NEAR_DB);
    for (i = 0; i < at && !near_calls_over(&n); i++) {
        near_call_all(&n);
        turn(&n.t);
    }
    bool over = near_calls_over(&n);
    act(&n, a);
    /* Too early: what it acts on is not there yet. Then it must work. */
    for (int k = 0; k < 2000 && !n.down && !near_calls_over(&n); k++) {
        near_call_all(&n);
        turn(&n.t);
    }
    if (!n.down && (a == RETIRE || a == LEAVE || a == FAR_BREAK) && n.up &&
        n.retired)
        TURN_UNTIL(&n.t, n.down);
    assert_true(n.down || near_calls_over(&n));
    for (int k = 0; k < 3; k++)
        turn(&n.t);
    assert_true(n.up <= 1 && n.down <= 1 && n.retired <= n.up);
    near_check_calls(&n);
    near_fini(&n);
    return !over;
}

static void act_at_every_turn(void **state)
{
    (void)state;
    for (int a = 0; a < ACTIONS; a++) {
        int at = 0;
        while (act_at((enum action)a, at))
            at++;
        assert_true(at > 6);
    }
}

/* ---- the wire is cut at every byte ---- */

/* How many bytes passed; `*whole`: before the cut all calls were done. */
static size_t cut_at(enum cut_how how, size_t bytes, bool *whole)
{
    struct near n;
    struct cut cut;
    near_init(&n);
    cut_open(&cut, &n.t.loop, listener_address(n.far.listener), how, bytes);
    if (how == CUT_STALL) {
        n.opt.dial_timeout = 200 * NSEC_PER_MSEC;
        n.opt.ping_after = n.far.opt.ping_after = 100 * NSEC_PER_MSEC;
        n.opt.dead_after = n.far.opt.dead_after = 200 * NSEC_PER_MSEC;
    }
    near_start(&n, cut_address(&cut), NEAR_DB);
    int64_t end = clock_mono_ns() + 20 * NSEC_PER_SEC;
    while (!n.down && !near_calls_over(&n) && clock_mono_ns() < end) {
        near_call_all(&n);
        turn(&n.t);
    }
    *whole = !n.down;
    assert_true(n.down || near_calls_over(&n));
    assert_true(n.up <= 1 && n.down <= 1 && n.retired <= n.up);
    near_check_calls(&n);
    if (n.down && n.up == 0)
        assert_true(n.why == ERR_EOF || n.why == ERR_RESET ||
                    n.why == ERR_TIMEOUT || n.why == ERR_IO);
    size_t carried = cut.carried;
    cut_close(&cut);
    /* The far end notices, too. */
    TURN_UNTIL(&n.t, n.far.served == n.far.closed || *whole);
    near_fini(&n);
    return carried;
}

static void cut_at_every_byte(void **state)
{
    (void)state;
    for (int how = 0; how < CUT_HOWS; how++) {
        size_t step = how == CUT_STALL ? 977 : 101;
        bool whole = false;
        size_t n = 0;
        for (; !whole; n += n < 4000 ? step : 17 * step)
            (void)cut_at((enum cut_how)how, n, &whole);
        assert_true(n > 2 * NEAR_BODY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(act_at_every_turn),
        cmocka_unit_test(cut_at_every_byte),
    };
    return cmocka_run_group_tests(tests, near_set_up, near_tear_down);
}
