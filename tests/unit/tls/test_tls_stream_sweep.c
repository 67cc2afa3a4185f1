/* SPDX-License-Identifier: Apache-2.0 */
/* TLS that is closed, or whose carrier fails, at every turn and at every
 * operation: each end is told once, what it got is a true beginning of what was
 * sent, and nothing is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/tls/tls_ends.h"

/* More than fits into the window below, in both directions. */
enum { EACH = 70000, EVERY = 40 /* from there on some */ };

/* How the carrier cuts: many small deliveries, and few large ones. */
static const size_t pieces[] = {300, 9000};
enum { PIECES = sizeof pieces / sizeof *pieces };
static size_t piece;

static struct end *end_of(struct rig *r, int who)
{
    return who ? &r->client : &r->server;
}

/* Handshake, then bytes and a half-close each way. */
static void begin(struct rig *r)
{
    rig_init(r, piece);
    for (int who = 0; who < 2; who++) {
        end_of(r, who)->to_send = EACH;
        end_of(r, who)->end_after = true;
    }
}

static void step(struct rig *r)
{
    push(&r->client);
    push(&r->server);
    turn(r);
}

/* Nothing more can happen to it. */
static bool over(const struct end *e)
{
    if (e->hs)
        return false;
    return !e->s || e->fails || (e->ends && e->sent == EACH);
}

static void settle(struct rig *r)
{
    UNTIL(r, (step(r), over(&r->client) && over(&r->server)));
    for (int i = 0; i < 3; i++)
        step(r);
}

/* Told once, and only the truth. `left`: gave its handshake away. */
static void check(const struct end *e, const struct end *peer, bool left)
{
    assert_int_equal(e->called, left ? 0 : 1);
    assert_true(e->ends <= 1 && e->fails <= 1);
    assert_false(e->bad);
    assert_true(e->got <= peer->sent);
}

/* ---- close at every turn ---- */

/* False when all was over before turn `n`. */
static bool close_at(int who, int n, enum stream_close how)
{
    struct rig r;
    begin(&r);
    struct end *a = end_of(&r, who), *b = end_of(&r, !who);
    int i;
    for (i = 0; i < n && !(over(a) && over(b)); i++)
        step(&r);
    bool left = a->hs != NULL, whole = b->ends && b->got == EACH;
    bool sent_all = a->s && a->sent == EACH;
    if (a->hs)
        tls_handshake_cancel(a->hs);
    if (a->s)
        stream_close(a->s, how);
    a->hs = NULL;
    a->s = NULL;
    settle(&r);
    check(a, b, left);
    check(b, a, false);
    if (b->rc == OK) /* it knows that the other has gone */
        assert_true(b->ends || b->fails);
    if (how == STREAM_RESET && !whole)
        /* A client is through first: its server's handshake may break. */
        assert_true(left || b->rc || b->fails || b->got == EACH);
    if (how == STREAM_FLUSH && sent_all)
        assert_true(b->got == EACH && b->ends == 1);
    rig_fini(&r);
    return i == n;
}

static void close_at_every_turn(void **state)
{
    (void)state;
    for (int k = 0; k < 2 * PIECES; k++) {
        int who = k % 2;
        piece = pieces[k / 2];
        for (int how = STREAM_FLUSH; how <= STREAM_RESET; how++) {
            int n = 0;
            while (close_at(who, n, (enum stream_close)how))
                n++;
            assert_true(n > 2); /* of many rounds each */
        }
    }
}

/* ---- close in every event, from inside ---- */

static struct {
    int left; /* events until then */
    enum stream_close how;
    bool acted;
} plan;

static void close_inside(struct end *e)
{
    if (plan.acted || --plan.left > 0)
        return;
    plan.acted = true;
    if (e->s)
        stream_close(e->s, plan.how);
    e->s = NULL;
}

static bool close_in(int who, int n, enum stream_close how)
{
    struct rig r;
    begin(&r);
    struct end *a = end_of(&r, who), *b = end_of(&r, !who);
    plan.left = n;
    plan.how = how;
    plan.acted = false;
    a->after = close_inside;
    settle(&r);
    check(a, b, false);
    check(b, a, false);
    if (plan.acted)
        assert_true(b->ends || b->fails || b->rc);
    rig_fini(&r);
    return plan.acted;
}

static void close_in_every_event(void **state)
{
    (void)state;
    for (int k = 0; k < 2 * PIECES; k++) {
        int who = k % 2;
        piece = pieces[k / 2];
        for (int how = STREAM_FLUSH; how <= STREAM_RESET; how++) {
            int n = 1;
            while (close_in(who, n, (enum stream_close)how))
                n += n < EVERY ? 1 : 11;
            assert_true(n > 10);
        }
    }
}

/* ---- the carrier fails at every operation ---- */

static bool fail_at(int who, unsigned n)
{
    struct rig r;
    begin(&r);
    struct end *a = end_of(&r, who), *b = end_of(&r, !who);
    memory_stream_fail_at(a->lower, n, ERR_TIMEOUT);
    UNTIL(&r, (step(&r), over(a)));
    bool failed = a->rc || a->fails;
    if (failed && (a->rc ? a->rc : a->why) != ERR_TIMEOUT)
        print_message(
            "who %d n %u rc %s why %s reason %s got %zu sent %zu peer got %zu ends %u fails %u\n",
            who, n, status_name(a->rc), status_name(a->why),
            a->reason ? a->reason : "", a->got, a->sent, b->got, b->ends,
            b->fails);
    if (failed)
        assert_int_equal(a->rc ? a->rc : a->why, ERR_TIMEOUT);
    if (a->s && a->fails) {
        stream_close(a->s, STREAM_NOW);
        a->s = NULL;
    }
    settle(&r);
    check(a, b, false);
    check(b, a, false);
    if (failed && b->rc == OK)
        assert_true(b->fails || b->ends);
    rig_fini(&r);
    return failed;
}

static void fail_at_every_operation(void **state)
{
    (void)state;
    for (int k = 0; k < 2 * PIECES; k++) {
        unsigned n = 1;
        piece = pieces[k / 2];
        while (fail_at(k % 2, n))
            n++;
        assert_true(n > 10);
    }
}

/* ---- memory ---- */

/* A stream that has nothing to do holds no chunk and none of OpenSSL's record
 * buffers. */
static void idle_ones_hold_no_buffers(void **state)
{
    enum { MANY = 8, RECORD_BUFFER = 16384 };
    struct rig rigs[MANY];
    size_t before[MANY];
    (void)state;
    for (int i = 0; i < MANY; i++) {
        struct rig *r = &rigs[i];
        begin(r);
        UNTIL(r, r->client.called && r->server.called);
        for (int k = 0; k < 3; k++)
            turn(r);
        bufq_pool_trim(&r->loop.chunks);
        before[i] = mem_used();
        r->client.end_after = r->server.end_after = false;
        UNTIL(r, (push(&r->client), push(&r->server), true) &&
                     r->client.got == EACH && r->server.got == EACH);
        for (int k = 0; k < 3; k++)
            turn(r);
        assert_int_equal(stream_queued(r->client.s), 0);
        bufq_pool_trim(&r->loop.chunks);
        assert_true(mem_used() < before[i] + RECORD_BUFFER);
    }
    for (int i = 0; i < MANY; i++)
        rig_fini(&rigs[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(close_at_every_turn),
        cmocka_unit_test(close_in_every_event),
        cmocka_unit_test(fail_at_every_operation),
        cmocka_unit_test(idle_ones_hold_no_buffers),
    };
    tls_library_init();
    return cmocka_run_group_tests(tests, tls_ends_set_up, tls_ends_tear_down);
}
