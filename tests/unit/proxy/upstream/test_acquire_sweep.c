/* SPDX-License-Identifier: Apache-2.0 */
/* Several who want an exchange of one endpoint, with more of them than it has
 * connections, while everything ends at every turn and at every byte: each is
 * told once, unless it left, and nothing is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/proxy/upstream/rig.h"

enum { ASKERS = 5 };

struct asker {
    struct acquire acquire;
    unsigned told;
    bool left;
    enum fault fault;
    struct call call;
    bool called;
};

struct world {
    struct rig r;
    struct endpoint *ep; /* ours; NULL once given back */
    struct asker askers[ASKERS];
};

static void begin_call(struct asker *k, struct exchange *x)
{
    struct header fields[2];
    struct head h;
    k->called = true;
    k->call = (struct call){.x = x, .at_once = 1};
    exchange_own(x, &call_events, &k->call);
    head_init_request(&h, SLICE("GET"), SLICE("test"), SLICE("/"), fields, 2);
    exchange_send_head(x, &h, true);
}

static void on_acquired(struct acquire *a, enum fault f, struct exchange *x)
{
    struct asker *k = CONTAINER_OF(a, struct asker, acquire);
    assert_false(k->left);
    assert_int_equal(f == FAULT_NONE, x != NULL);
    k->told++;
    k->fault = f;
    if (x)
        begin_call(k, x);
}

static void ask(struct world *w, struct asker *k)
{
    struct exchange *x;
    enum fault f;
    *k = (struct asker){0};
    list_init(&k->acquire.node);
    enum status rc = endpoint_acquire(w->ep, false, &k->acquire, on_acquired,
                                      &x, &f);
    if (rc == ERR_AGAIN)
        return; /* may have been told already, in-process */
    k->told++;
    k->fault = f;
    if (rc == OK)
        begin_call(k, x);
}

static bool settled(const struct world *w)
{
    for (int i = 0; i < ASKERS; i++)
        if ((!w->askers[i].told && !w->askers[i].left) || w->askers[i].call.x)
            return false;
    return true;
}

static void begin(struct world *w, enum kind k)
{
    w->ep = rig_endpoint(&w->r, k);
    for (int i = 0; i < ASKERS; i++)
        ask(w, &w->askers[i]);
}

static void settle(struct world *w)
{
    TURN_UNTIL(&w->r.t, settled(w));
    for (int i = 0; i < ASKERS; i++) {
        const struct asker *k = &w->askers[i];
        assert_int_equal(k->told, k->left ? 0 : 1);
        assert_int_equal(k->called, k->told && !k->fault);
        assert_int_equal(k->call.done + k->call.reset, k->called);
        if (k->call.done)
            assert_int_equal(k->call.received, 5);
    }
    if (w->ep) {
        assert_int_equal(w->ep->waiting, 0);
        endpoint_unref(w->ep);
    }
    rig_fini(&w->r);
}

/* ---- at every turn ---- */

enum action { LEAVE, CLOSE, RENEW, FAR_BREAK, LET_GO, ACTIONS };

static void leave(struct asker *k)
{
    k->left = !k->told;
    acquire_cancel(&k->acquire);
    acquire_cancel(&k->acquire); /* twice is harmless */
}

static void act(struct world *w, enum action a)
{
    if (a == LEAVE)
        for (int i = 0; i < ASKERS; i += 2)
            leave(&w->askers[i]);
    if (a == CLOSE)
        upstream_close(&w->r.up);
    if (a == RENEW)
        upstream_set_tls(&w->r.up, near_client_tls);
    if (a == FAR_BREAK) {
        far_break(&w->r.far);
        http_server_close(w->r.app);
        rig_app(&w->r);
    }
    if (a == LET_GO) {
        endpoint_unref(w->ep);
        w->ep = NULL;
    }
}

/* After upstream_close nobody serves who stands in line: they must leave. */
static void leave_all(struct world *w)
{
    for (int i = 0; i < ASKERS; i++)
        if (!w->askers[i].told)
            leave(&w->askers[i]);
}

static bool act_at(enum kind kind, enum action a, int at)
{
    struct world w = {0};
    int i;
    rig_init(&w.r);
    begin(&w, kind);
    for (i = 0; i < at && !settled(&w); i++)
        turn(&w.r.t);
    bool over = settled(&w);
    act(&w, a);
    if (a == CLOSE)
        leave_all(&w);
    settle(&w);
    return !over;
}

static void act_at_every_turn(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++)
        for (int a = 0; a < ACTIONS; a++) {
            int at = 0;
            while (act_at((enum kind)kind, (enum action)a, at))
                at++;
            assert_true(at > (kind != BY_SELF));
        }
}

/* ---- at every byte ---- */

static bool cut_at(enum kind kind, enum cut_how how, size_t bytes)
{
    struct world w = {0};
    rig_init(&w.r);
    rig_cut(&w.r, kind, how, bytes);
    if (how == CUT_STALL) {
        w.r.up.connect_timeout = w.r.up.link.dial_timeout =
            w.r.up.pending_timeout = 200 * NSEC_PER_MSEC;
        w.r.up.link.ping_after = 100 * NSEC_PER_MSEC;
        w.r.up.link.dead_after = 200 * NSEC_PER_MSEC;
    }
    begin(&w, kind);
    TURN_UNTIL(&w.r.t, settled(&w));
    bool whole = !w.r.cut.done;
    for (int i = 0; i < ASKERS && whole; i++)
        assert_true(w.askers[i].call.done);
    settle(&w);
    return !whole;
}

static void cut_at_every_byte(void **state)
{
    (void)state;
    for (int kind = BY_LINK; kind <= BY_POOL; kind++)
        for (int how = 0; how < CUT_HOWS; how++) {
            size_t n = 0;
            if (kind == BY_POOL && how == CUT_STALL)
                continue; /* an application may take its time */
            size_t step = (kind == BY_LINK ? 37 : 7) *
                          (how == CUT_STALL ? 9 : 1);
            while (cut_at((enum kind)kind, (enum cut_how)how, n))
                n += step;
            assert_true(n > 200);
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
