/* SPDX-License-Identifier: Apache-2.0 */
/* A byte stream opened over a link, plainly and in-process, while everything ends
 * at every turn and at every byte: told once, unless canceled, and nothing is
 * left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proxy/upstream/open_stream.h"
#include "tests/unit/proxy/upstream/rig.h"

/* A link's far end echoes it, the others answer it. */
#define ASK SLICE("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

struct world {
    struct rig r;
    struct open_stream open;
    unsigned told;
    bool canceled;
    enum fault fault;
    struct stream *s;
    size_t got;
    unsigned ends, fails;
};

static void on_data(struct stream *s, const char *ptr, size_t len)
{
    struct world *w = s->owner;
    (void)ptr;
    w->got += len;
}
static void on_end(struct stream *s)
{
    struct world *w = s->owner;
    w->ends++;
}
static void on_fail(struct stream *s, enum status why)
{
    struct world *w = s->owner;
    (void)why;
    w->fails++;
}
static const struct stream_events events = {
    .on_data = on_data, .on_end = on_end, .on_fail = on_fail};

static void on_opened(struct open_stream *o, enum fault f, struct stream *s)
{
    struct world *w = CONTAINER_OF(o, struct world, open);
    assert_false(w->canceled);
    assert_int_equal(f == FAULT_NONE, s != NULL);
    w->told++;
    w->fault = f;
    w->s = s;
    if (!s)
        return;
    stream_own(s, &events, w);
    stream_read(s, true);
    stream_end(s);
}

static void begin(struct world *w, enum kind k)
{
    struct endpoint *ep = rig_endpoint(&w->r, k);
    open_stream_start(&w->open, ep, ASK, on_opened);
    endpoint_unref(ep);
    assert_int_equal(w->told, 0); /* later */
}

static bool over(const struct world *w)
{
    return w->canceled || w->fault || w->ends || w->fails;
}

static void finish(struct world *w)
{
    TURN_UNTIL(&w->r.t, over(w));
    assert_int_equal(w->told, w->canceled ? 0 : 1);
    assert_true(w->ends <= 1 && w->fails <= 1);
    if (w->s)
        stream_close(w->s, STREAM_NOW);
    rig_fini(&w->r);
}

enum action { CANCEL, CLOSE, RENEW, FAR_BREAK, ACTIONS };

static void act(struct world *w, enum action a)
{
    if (a == CANCEL) {
        w->canceled = !w->told;
        open_stream_cancel(&w->open);
        open_stream_cancel(&w->open);
    }
    if (a == CLOSE)
        upstream_close(&w->r.up);
    if (a == RENEW)
        upstream_set_tls(&w->r.up, near_client_tls);
    if (a == FAR_BREAK) {
        far_break(&w->r.far);
        http_server_close(w->r.app);
        rig_app(&w->r);
    }
}

static bool act_at(enum kind kind, enum action a, int at)
{
    struct world w = {0};
    int i;
    rig_init(&w.r);
    if (a == CLOSE) /* nobody would serve it */
        w.r.up.link.dial_timeout = 20 * NSEC_PER_MSEC;
    begin(&w, kind);
    for (i = 0; i < at && !over(&w); i++)
        turn(&w.r.t);
    bool was = over(&w);
    act(&w, a);
    finish(&w);
    return !was;
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

static bool cut_at(enum kind kind, enum cut_how how, size_t bytes)
{
    struct world w = {0};
    rig_init(&w.r);
    rig_cut(&w.r, kind, how, bytes);
    w.r.up.connect_timeout = NSEC_PER_SEC;
    if (how == CUT_STALL) {
        w.r.up.connect_timeout = w.r.up.link.dial_timeout = 200 * NSEC_PER_MSEC;
        w.r.up.link.ping_after = 100 * NSEC_PER_MSEC;
        w.r.up.link.dead_after = 200 * NSEC_PER_MSEC;
    }
    begin(&w, kind);
    if (kind == BY_POOL && how == CUT_STALL) /* plain: nobody would notice */
        TURN_UNTIL(&w.r.t, w.told && (w.r.cut.done || w.ends));
    else
        TURN_UNTIL(&w.r.t, over(&w));
    bool whole = !w.r.cut.done;
    if (whole)
        assert_true(w.ends == 1 && w.got > 0);
    if (!over(&w))
        w.ends++; /* as if */
    finish(&w);
    return !whole;
}

static void cut_at_every_byte(void **state)
{
    (void)state;
    for (int kind = BY_LINK; kind <= BY_POOL; kind++)
        for (int how = 0; how < CUT_HOWS; how++) {
            size_t n = 0;
            size_t step = (kind == BY_LINK ? 37 : 1) *
                          (how == CUT_STALL ? 9 : 1);
            while (cut_at((enum kind)kind, (enum cut_how)how, n))
                n += step;
            assert_true(n > 100);
        }
}

/* ---- what there is no stream to ---- */

static void no_identity_yet(void **state)
{
    struct world w = {0};
    (void)state;
    rig_init(&w.r);
    tls_settings_unref(w.r.up.link.tls);
    w.r.up.link.tls = NULL;
    begin(&w, BY_LINK);
    finish(&w);
    assert_int_equal(w.fault, FAULT_NO_IDENTITY);
}

static void too_many_wait(void **state)
{
    struct world w = {0};
    (void)state;
    rig_init(&w.r);
    w.r.up.max_pending = 0;
    begin(&w, BY_LINK);
    finish(&w);
    assert_int_equal(w.fault, FAULT_TOO_MANY_PENDING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(act_at_every_turn),
        cmocka_unit_test(cut_at_every_byte),
        cmocka_unit_test(no_identity_yet),
        cmocka_unit_test(too_many_wait),
    };
    return cmocka_run_group_tests(tests, near_set_up, near_tear_down);
}
