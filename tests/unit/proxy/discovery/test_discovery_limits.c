/* SPDX-License-Identifier: Apache-2.0 */
/* More keys than the session, or the store, takes: what is beyond is answered at
 * once, what was known stays, and it is asked about when there is room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "proxy/discovery/lookup.h"
#include "proxy/discovery/store.h"
#include "tests/unit/http/talk.h"
#include "tests/unit/proxy/discovery/views.h"

enum { KEYS = 4 };

static const char *const keys[KEYS] = {"10.0.0.1:80", "10.0.0.2:80",
                                       "10.0.0.3:80", "10.0.0.4:80"};

/* A controller that counts: never more than it takes. */
struct fake {
    unsigned subscribed, most;
    bool has[KEYS];
};

static void fake_count(struct fake *f, enum view_kind kind, slice key, bool on)
{
    f->subscribed += on ? 1 : -1u;
    if (f->subscribed > f->most)
        f->most = f->subscribed;
    for (int i = 0; i < KEYS && kind == VIEW_DESTINATION; i++)
        if (slice_eq(key, slice_str(keys[i])))
            f->has[i] = on;
}
static void fake_subscribe(void *arg, enum view_kind kind, slice key,
                           slice hash)
{
    (void)hash;
    fake_count(arg, kind, key, true);
}
static void fake_unsubscribe(void *arg, enum view_kind kind, slice key)
{
    fake_count(arg, kind, key, false);
}
static const struct discovery_session session = {fake_subscribe,
                                                 fake_unsubscribe};

struct rig {
    struct turner t;
    struct discovery *d;
    struct lookup *lk;
    struct fake f;
    bool closed;
};

struct ask {
    struct lookup_wait w;
    unsigned calls;
    const struct view *got;
    struct lookup *lk;
    bool over;
};

static void on_answer(struct lookup_wait *w, struct view *v)
{
    struct ask *a = w->arg;
    a->calls++;
    a->got = v;
    a->over = lookup_over_limit(a->lk, v);
}

static void begin_session(struct rig *r, uint32_t limit)
{
    r->f = (struct fake){0};
    discovery_set_limit(r->d, limit);
    discovery_set_session(r->d, &session, &r->f);
}

/* Nothing is ever answered by a deadline here. */
static void rig_init(struct rig *r, uint32_t limit, uint32_t max_keys,
                     int64_t idle)
{
    struct error e;
    struct discovery_options dopt = {
        .hold_back = NSEC_PER_SEC, .idle = idle, .max_keys = max_keys};
    struct lookup_options opt = {
        .wait = 3600 * NSEC_PER_SEC, .idle = idle, .max_keys = 100};
    *r = (struct rig){0};
    assert_int_equal(log_set_levels(SLICE("error"), &e), OK);
    turner_init(&r->t);
    r->d = discovery_new(&r->t.loop, &dopt);
    begin_session(r, limit);
    r->lk = lookup_new(r->d, &r->t.loop, &opt);
    TURN_UNTIL(&r->t, discovery_workers(r->d) == 1);
}

static void on_closed(void *arg)
{
    ((struct rig *)arg)->closed = true;
}

static void rig_fini(struct rig *r)
{
    lookup_close(r->lk, on_closed, r);
    TURN_UNTIL(&r->t, r->closed);
    discovery_free(r->d);
    turner_fini(&r->t);
}

static enum status ask(struct rig *r, struct ask *a, int key)
{
    struct view *v;
    *a = (struct ask){.lk = r->lk};
    enum status rc = lookup_destination(r->lk, slice_str(keys[key]), &v, &a->w,
                                        on_answer, a);
    a->over = rc == OK && lookup_over_limit(r->lk, v);
    return rc;
}

static void settle(struct rig *r)
{
    for (int i = 0; i < 6; i++)
        uv_run(&r->t.loop.uv, UV_RUN_NOWAIT);
}

static void answer(struct rig *r, int key)
{
    assert_int_equal(discovery_put(r->d, destination_of(keys[key], NULL, NULL)),
                     OK);
    settle(r);
}

static void beyond_the_sessions_limit(void **state)
{
    struct rig r;
    struct ask a, b, c;
    (void)state;
    rig_init(&r, 3, 100, 3600 * NSEC_PER_SEC); /* the workload and two */
    assert_int_equal(ask(&r, &a, 0), ERR_AGAIN);
    assert_int_equal(ask(&r, &b, 1), ERR_AGAIN);
    assert_int_equal(ask(&r, &c, 2), ERR_AGAIN);
    TURN_UNTIL(&r.t, c.calls == 1);
    assert_true(c.over);
    assert_int_equal(c.got->destination.resolution, RESOLUTION_UNKNOWN);
    assert_int_equal(a.calls + b.calls, 0);
    assert_true(r.f.has[0] && r.f.has[1] && !r.f.has[2]);
    /* nobody waits again, the others get their answers */
    assert_int_equal(ask(&r, &c, 2), OK);
    assert_true(c.over);
    answer(&r, 0);
    assert_int_equal(a.calls, 1);
    assert_false(a.over);
    assert_int_equal(r.f.most, 3);
    lookup_wait_cancel(&b.w);
    rig_fini(&r);
}

static void asked_about_when_there_is_room(void **state)
{
    struct rig r;
    struct ask a, b;
    struct lookup_watch w = {0};
    (void)state;
    rig_init(&r, 2, 100, 6 * NSEC_PER_MSEC);
    assert_int_equal(ask(&r, &a, 0), ERR_AGAIN);
    /* held: it stays wanted */
    assert_null(lookup_hold(r.lk, VIEW_DESTINATION, slice_str(keys[1]), &w,
                            NULL, NULL));
    assert_int_equal(ask(&r, &b, 1), ERR_AGAIN);
    TURN_UNTIL(&r.t, b.calls == 1 && b.over);
    assert_true(lookup_held_over_limit(&w));
    lookup_wait_cancel(&a.w); /* nobody uses the first any more */
    TURN_UNTIL(&r.t, r.f.has[1]);
    assert_false(r.f.has[0]);
    answer(&r, 1);
    assert_false(lookup_held_over_limit(&w));
    assert_non_null(lookup_held(&w));
    assert_int_equal(r.f.most, 2);
    lookup_release(&w);
    rig_fini(&r);
}

/* A controller that takes less than the one before: what was known stays, and
 * destinations go before backends. */
static void a_session_that_takes_less(void **state)
{
    struct rig r;
    struct ask a[KEYS];
    struct view *v;
    (void)state;
    rig_init(&r, 0, 100, 3600 * NSEC_PER_SEC);
    for (int i = 0; i < KEYS; i++)
        assert_int_equal(ask(&r, &a[i], i), ERR_AGAIN);
    settle(&r);
    assert_int_equal(
        discovery_put(r.d, backend_of("shop/cart:80", "1.1.1.1:1")), OK);
    assert_int_equal(
        discovery_put(r.d, destination_of(keys[0], "shop/cart:80", NULL)), OK);
    for (int i = 1; i < KEYS; i++)
        answer(&r, i);
    assert_int_equal(r.f.most, 1 + KEYS + 1);
    discovery_set_session(r.d, NULL, NULL);
    begin_session(&r, 1 + KEYS - 1);
    assert_int_equal(r.f.most, KEYS);
    assert_int_equal(r.f.has[0] + r.f.has[1] + r.f.has[2] + r.f.has[3],
                     KEYS - 1);
    settle(&r);
    for (int i = 0; i < KEYS; i++) {
        assert_int_equal(
            lookup_destination(r.lk, slice_str(keys[i]), &v, NULL, NULL, NULL),
            OK);
        assert_int_equal(v->destination.resolution, RESOLUTION_KNOWN);
    }
    rig_fini(&r);
}

/* Backends that a destination names are told with it, asked or not. */
static void named_backends_need_no_room(void **state)
{
    struct rig r;
    struct ask a;
    struct lookup_watch w = {0};
    (void)state;
    rig_init(&r, 2, 100, 3600 * NSEC_PER_SEC);
    assert_int_equal(ask(&r, &a, 0), ERR_AGAIN);
    settle(&r);
    assert_int_equal(
        discovery_put(r.d, backend_of("shop/cart:80", "1.1.1.1:1")), OK);
    assert_int_equal(
        discovery_put(r.d, destination_of(keys[0], "shop/cart:80", NULL)), OK);
    TURN_UNTIL(&r.t, a.calls == 1);
    assert_false(a.over);
    assert_non_null(
        lookup_hold(r.lk, VIEW_BACKEND, SLICE("shop/cart:80"), &w, NULL, NULL));
    assert_int_equal(r.f.most, 2);
    lookup_release(&w);
    rig_fini(&r);
}

static void beyond_the_stores_limit(void **state)
{
    struct rig r;
    struct ask a, b;
    (void)state;
    rig_init(&r, 0, 2, 3600 * NSEC_PER_SEC);
    assert_int_equal(ask(&r, &a, 0), ERR_AGAIN);
    assert_int_equal(ask(&r, &b, 1), ERR_AGAIN);
    TURN_UNTIL(&r.t, b.calls == 1);
    assert_true(b.over);
    assert_int_equal(a.calls, 0);
    /* a destination whose backends do not fit any more */
    assert_int_equal(
        discovery_put(r.d, destination_of(keys[0], "shop/cart:80", NULL)),
        ERR_TOO_BIG);
    TURN_UNTIL(&r.t, a.calls == 1);
    assert_true(a.over);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beyond_the_sessions_limit),
        cmocka_unit_test(asked_about_when_there_is_room),
        cmocka_unit_test(a_session_that_takes_less),
        cmocka_unit_test(named_backends_need_no_room),
        cmocka_unit_test(beyond_the_stores_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
