/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's map and the main loop's store together, over one loop and over
 * two; the session is a list of what it was told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/clock.h"
#include "proxy/discovery/lookup.h"
#include "proxy/discovery/store.h"
#include "tests/unit/http/talk.h"
#include "tests/unit/proxy/discovery/views.h"

/* What the session was told, "+backend shop/cart:80 " and "-...". */
static struct text told;

static void told_subscribe(void *arg, enum view_kind kind, slice key,
                           slice hash)
{
    (void)arg;
    text_printf(&told, "+%s %.*s%s ", view_kind_name(kind), FMT(key),
                hash.len ? "#" : "");
}
static void told_unsubscribe(void *arg, enum view_kind kind, slice key)
{
    (void)arg;
    text_printf(&told, "-%s %.*s ", view_kind_name(kind), FMT(key));
}
static const struct discovery_session session = {told_subscribe,
                                                 told_unsubscribe};

static bool was_told(const char *what)
{
    return strstr(text_cstr(&told), what) != NULL;
}

struct rig {
    struct turner t;
    struct discovery *d;
    struct lookup *lk;
    bool closed;
};

static const struct lookup_options quick = {
    .wait = 10 * NSEC_PER_MSEC, .idle = 3600 * NSEC_PER_SEC, .max_keys = 8};
static const struct lookup_options patient = {
    .wait = 3600 * NSEC_PER_SEC, .idle = 3600 * NSEC_PER_SEC, .max_keys = 8};
static const struct lookup_options forgetful = {
    .wait = 3600 * NSEC_PER_SEC, .idle = 4 * NSEC_PER_MSEC, .max_keys = 8};

static void rig_init(struct rig *r, const struct lookup_options *opt,
                     const struct discovery_options *dopt)
{
    *r = (struct rig){0};
    text_init(&told, 1 << 20);
    turner_init(&r->t);
    r->d = discovery_new(&r->t.loop, dopt);
    discovery_set_session(r->d, &session, r);
    r->lk = lookup_new(r->d, &r->t.loop, opt);
    TURN_UNTIL(&r->t, discovery_workers(r->d) == 1);
}

static void on_closed(void *arg)
{
    struct rig *r = arg;
    r->closed = true;
}

static void rig_fini(struct rig *r)
{
    lookup_close(r->lk, on_closed, r);
    TURN_UNTIL(&r->t, r->closed);
    assert_int_equal(discovery_workers(r->d), 0);
    discovery_free(r->d);
    turner_fini(&r->t);
    text_fini(&told);
}

static void settle(struct rig *r)
{
    for (int i = 0; i < 4; i++)
        uv_run(&r->t.loop.uv, UV_RUN_NOWAIT);
}

struct ask {
    struct lookup_wait w;
    unsigned calls;
    enum resolution got;
};

static void on_answer(struct lookup_wait *w, struct view *v)
{
    struct ask *a = w->arg;
    a->calls++;
    a->got = v->destination.resolution;
}

static const slice ip = SLICE_INIT("10.0.0.1:80");

static void test_answer(void **state)
{
    struct rig r;
    struct ask a = {0}, b = {0};
    struct view *v;
    (void)state;
    rig_init(&r, &patient, NULL);
    assert_true(was_told("+workload "));
    assert_int_equal(lookup_destination(r.lk, ip, &v, &a.w, on_answer, &a),
                     ERR_AGAIN);
    assert_int_equal(lookup_destination(r.lk, ip, &v, &b.w, on_answer, &b),
                     ERR_AGAIN);
    assert_int_equal(lookup_destination(r.lk, ip, &v, NULL, NULL, NULL),
                     ERR_AGAIN);
    lookup_wait_cancel(&b.w);
    lookup_wait_cancel(&b.w);
    TURN_UNTIL(&r.t, was_told("+destination 10.0.0.1:80 "));
    assert_int_equal(a.calls, 0);
    assert_int_equal(
        discovery_put(r.d, destination_of("10.0.0.1:80", NULL, NULL)), OK);
    TURN_UNTIL(&r.t, a.calls == 1);
    assert_int_equal(a.got, RESOLUTION_KNOWN);
    assert_int_equal(b.calls, 0);
    /* now at once */
    assert_int_equal(lookup_destination(r.lk, ip, &v, &a.w, on_answer, &a), OK);
    assert_int_equal(v->destination.resolution, RESOLUTION_KNOWN);
    /* taken back: unknown, at once */
    discovery_remove(r.d, VIEW_DESTINATION, ip);
    settle(&r);
    assert_int_equal(lookup_destination(r.lk, ip, &v, &a.w, on_answer, &a), OK);
    assert_int_equal(v->destination.resolution, RESOLUTION_UNKNOWN);
    assert_int_equal(a.calls, 1);
    rig_fini(&r);
}

static void test_timeout(void **state)
{
    struct rig r;
    struct ask a = {0};
    struct view *v;
    (void)state;
    rig_init(&r, &quick, NULL);
    assert_int_equal(lookup_destination(r.lk, ip, &v, &a.w, on_answer, &a),
                     ERR_AGAIN);
    TURN_UNTIL(&r.t, a.calls == 1);
    assert_int_equal(a.got, RESOLUTION_UNKNOWN);
    assert_int_equal(lookup_stats(r.lk).timeouts, 1);
    /* nobody waits twice for the same key */
    assert_int_equal(lookup_destination(r.lk, ip, &v, &a.w, on_answer, &a), OK);
    assert_int_equal(v->destination.resolution, RESOLUTION_UNKNOWN);
    /* a late answer still counts */
    assert_int_equal(
        discovery_put(r.d, destination_of("10.0.0.1:80", NULL, NULL)), OK);
    settle(&r);
    assert_int_equal(lookup_destination(r.lk, ip, &v, &a.w, on_answer, &a), OK);
    assert_int_equal(v->destination.resolution, RESOLUTION_KNOWN);
    rig_fini(&r);
}

static void test_too_many(void **state)
{
    struct rig r;
    struct ask a = {0};
    struct view *v;
    char key[16];
    (void)state;
    rig_init(&r, &patient, NULL);
    for (int i = 0; i < 8; i++) {
        snprintf(key, sizeof key, "10.0.0.1:%d", i + 1);
        assert_int_equal(
            lookup_destination(r.lk, slice_str(key), &v, NULL, NULL, NULL),
            ERR_AGAIN);
    }
    assert_int_equal(lookup_destination(r.lk, ip, &v, &a.w, on_answer, &a), OK);
    assert_int_equal(v->destination.resolution, RESOLUTION_UNKNOWN);
    struct lookup_watch w;
    assert_null(lookup_hold(r.lk, VIEW_BACKEND, ip, &w, NULL, NULL));
    lookup_release(&w);
    assert_int_equal(lookup_stats(r.lk).refused, 2);
    assert_int_equal(lookup_stats(r.lk).keys, 8);
    rig_fini(&r);
}

/* ---- watches ---- */

struct seen {
    struct lookup_watch w;
    unsigned calls;
    bool none, release;
    char address[32];
    struct seen *release_too;
};

static void on_change(struct lookup_watch *w, struct view *v)
{
    struct seen *s = w->arg;
    s->calls++;
    s->none = v == NULL;
    if (v)
        assert_int_equal(slice_to_cstr(v->backend.endpoints[0].address,
                                       s->address, sizeof s->address),
                         OK);
    if (s->release_too)
        lookup_release(&s->release_too->w);
    if (s->release)
        lookup_release(&s->w);
}

static const slice cart = SLICE_INIT("shop/cart:80");

static struct view *hold(struct rig *r, struct seen *s)
{
    return lookup_hold(r->lk, VIEW_BACKEND, cart, &s->w, on_change, s);
}

static void test_watch(void **state)
{
    struct rig r;
    struct seen a = {0}, b = {0}, c = {0};
    (void)state;
    rig_init(&r, &patient, NULL);
    assert_null(hold(&r, &a));
    assert_null(hold(&r, &b));
    assert_null(hold(&r, &c));
    b.release = true;
    b.release_too = &c; /* c comes after b: it must not be told */
    settle(&r);
    assert_true(was_told("+backend shop/cart:80 "));
    assert_int_equal(
        discovery_put(r.d, backend_of("shop/cart:80", "1.1.1.1:1")), OK);
    TURN_UNTIL(&r.t, a.calls == 1);
    assert_string_equal(a.address, "1.1.1.1:1");
    assert_int_equal(b.calls, 1);
    assert_int_equal(c.calls, 0);
    assert_int_equal(
        discovery_put(r.d, backend_of("shop/cart:80", "1.1.1.2:1")), OK);
    TURN_UNTIL(&r.t, a.calls == 2);
    assert_string_equal(a.address, "1.1.1.2:1");
    assert_int_equal(b.calls, 1);
    assert_non_null(hold(&r, &b));
    b.release = false;
    b.release_too = NULL;
    discovery_remove(r.d, VIEW_BACKEND, cart);
    TURN_UNTIL(&r.t, a.none && b.none);
    assert_null(lookup_held(&a.w));
    lookup_release(&a.w);
    lookup_release(&a.w);
    lookup_release(&b.w);
    rig_fini(&r);
}

static void test_workload(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, &patient, NULL);
    assert_null(lookup_workload(r.lk));
    assert_int_equal(discovery_put(r.d, workload_of("shop")), OK);
    TURN_UNTIL(&r.t, lookup_workload(r.lk) != NULL);
    assert_true(slice_eq(lookup_workload(r.lk)->workload.ns, SLICE("shop")));
    /* never taken back: policy would fail open or shut */
    discovery_remove(r.d, VIEW_WORKLOAD, SLICE_NONE);
    settle(&r);
    assert_non_null(lookup_workload(r.lk));
    rig_fini(&r);
}

/* ---- letting go ---- */

static void test_idle(void **state)
{
    const struct discovery_options dopt = {
        .hold_back = NSEC_PER_SEC, .idle = 4 * NSEC_PER_MSEC, .max_keys = 100};
    struct rig r;
    struct seen held = {0};
    struct view *v;
    (void)state;
    rig_init(&r, &forgetful, &dopt);
    (void)hold(&r, &held);
    assert_int_equal(lookup_destination(r.lk, ip, &v, NULL, NULL, NULL),
                     ERR_AGAIN);
    TURN_UNTIL(&r.t, was_told("+destination 10.0.0.1:80 "));
    TURN_UNTIL(&r.t, was_told("-destination 10.0.0.1:80 "));
    assert_false(was_told("-backend"));
    assert_int_equal(lookup_stats(r.lk).keys, 1);
    lookup_release(&held.w);
    TURN_UNTIL(&r.t, was_told("-backend shop/cart:80 "));
    assert_int_equal(lookup_stats(r.lk).keys, 0);
    /* and again */
    text_clear(&told);
    assert_null(hold(&r, &held));
    TURN_UNTIL(&r.t, was_told("+backend shop/cart:80 "));
    lookup_release(&held.w);
    rig_fini(&r);
}

/* Used between "unsubscribe" and "gone": the answer is not lost. */
static void test_wanted_again(void **state)
{
    struct rig r;
    struct ask a = {0};
    struct view *v;
    (void)state;
    rig_init(&r, &forgetful, NULL);
    assert_int_equal(lookup_destination(r.lk, ip, &v, NULL, NULL, NULL),
                     ERR_AGAIN);
    uint64_t asked = 1;
    int64_t end = clock_mono_ns() + 10 * NSEC_PER_SEC;
    /* Ask whenever it might be leaving: it must end up subscribed. */
    while (asked < 40 && clock_mono_ns() < end) {
        turn(&r.t);
        if (asked++ % 4 == 0)
            lookup_wait_cancel(&a.w);
        if (!a.w.entry)
            (void)!lookup_destination(r.lk, ip, &v, &a.w, on_answer, &a);
    }
    settle(&r);
    assert_int_equal(
        discovery_put(r.d, destination_of("10.0.0.1:80", NULL, NULL)), OK);
    TURN_UNTIL(&r.t, a.calls == 1);
    assert_int_equal(a.got, RESOLUTION_KNOWN);
    rig_fini(&r);
}

/* ---- make before break ---- */

static void test_backends_first(void **state)
{
    struct rig r;
    struct ask a = {0};
    struct seen s = {0};
    struct view *v;
    (void)state;
    rig_init(&r, &patient, NULL);
    assert_int_equal(lookup_destination(r.lk, ip, &v, &a.w, on_answer, &a),
                     ERR_AGAIN);
    settle(&r);
    /* names a backend that is not here: asked for, and held back */
    assert_int_equal(
        discovery_put(r.d, destination_of("10.0.0.1:80", "shop/cart:80", NULL)),
        OK);
    assert_true(was_told("+backend shop/cart:80 "));
    settle(&r);
    assert_int_equal(a.calls, 0);
    assert_int_equal(
        discovery_put(r.d, backend_of("shop/cart:80", "1.1.1.1:1")), OK);
    TURN_UNTIL(&r.t, a.calls == 1);
    assert_non_null(hold(&r, &s)); /* without another round trip */
    /* a second backend: the old destination stays until it has come */
    assert_int_equal(
        discovery_put(
            r.d, destination_of("10.0.0.1:80", "shop/v1:80", "shop/v2:80")),
        OK);
    settle(&r);
    assert_int_equal(lookup_destination(r.lk, ip, &v, NULL, NULL, NULL), OK);
    assert_int_equal(v->destination.backends_len, 1);
    assert_int_equal(discovery_put(r.d, backend_of("shop/v1:80", "1.1.1.1:1")),
                     OK);
    discovery_remove(r.d, VIEW_BACKEND,
                     SLICE("shop/v2:80")); /* an answer too */
    settle(&r);
    assert_int_equal(lookup_destination(r.lk, ip, &v, NULL, NULL, NULL), OK);
    assert_int_equal(v->destination.backends_len, 2);
    lookup_release(&s.w);
    rig_fini(&r);
}

static void test_hold_back_ends(void **state)
{
    const struct discovery_options dopt = {.hold_back = 5 * NSEC_PER_MSEC,
                                           .idle = 3600 * NSEC_PER_SEC,
                                           .max_keys = 100};
    struct rig r;
    struct ask a = {0};
    struct view *v;
    (void)state;
    rig_init(&r, &patient, &dopt);
    assert_int_equal(lookup_destination(r.lk, ip, &v, &a.w, on_answer, &a),
                     ERR_AGAIN);
    settle(&r);
    assert_int_equal(
        discovery_put(r.d, destination_of("10.0.0.1:80", "shop/cart:80", NULL)),
        OK);
    TURN_UNTIL(&r.t, a.calls == 1);
    rig_fini(&r);
}

/* Backends come unasked; once wanted they are subscribed to, with their hash. */
static void test_unasked(void **state)
{
    const struct discovery_options dopt = {
        .hold_back = NSEC_PER_SEC, .idle = 4 * NSEC_PER_MSEC, .max_keys = 3};
    struct rig r;
    struct seen s = {0};
    (void)state;
    rig_init(&r, &patient, &dopt);
    assert_int_equal(
        discovery_put(r.d, backend_of("shop/cart:80", "1.1.1.1:1")), OK);
    assert_false(discovery_wants(r.d, VIEW_BACKEND, cart));
    assert_false(was_told("backend"));
    (void)hold(&r, &s);
    TURN_UNTIL(&r.t, was_told("+backend shop/cart:80# "));
    TURN_UNTIL(&r.t, s.calls == 1);
    /* one that nobody wants goes away, and nobody is told */
    assert_int_equal(discovery_put(r.d, backend_of("shop/x:80", "1.1.1.1:1")),
                     OK);
    assert_int_equal(discovery_put(r.d, backend_of("shop/y:80", "1.1.1.1:1")),
                     ERR_TOO_BIG);
    TURN_UNTIL(&r.t, !discovery_get(r.d, VIEW_BACKEND, SLICE("shop/x:80")));
    assert_false(was_told("shop/x"));
    /* what nobody asked for is dropped */
    assert_int_equal(
        discovery_put(r.d, destination_of("10.9.9.9:80", NULL, NULL)), OK);
    assert_null(discovery_get(r.d, VIEW_DESTINATION, SLICE("10.9.9.9:80")));
    lookup_release(&s.w);
    rig_fini(&r);
}

/* A new session hears everything, with hashes, backends before destinations. */
static void test_session_again(void **state)
{
    struct rig r;
    struct view *v;
    (void)state;
    rig_init(&r, &patient, NULL);
    assert_int_equal(discovery_put(r.d, workload_of("shop")), OK);
    (void)!lookup_destination(r.lk, ip, &v, NULL, NULL, NULL);
    (void)!lookup_destination(r.lk, SLICE("10.0.0.2:80"), &v, NULL, NULL, NULL);
    settle(&r);
    assert_int_equal(
        discovery_put(r.d, backend_of("shop/cart:80", "1.1.1.1:1")), OK);
    assert_int_equal(
        discovery_put(r.d, destination_of("10.0.0.1:80", "shop/cart:80", NULL)),
        OK);
    settle(&r);
    discovery_set_session(r.d, NULL, NULL);
    text_clear(&told);
    assert_int_equal(lookup_destination(r.lk, ip, &v, NULL, NULL, NULL), OK);
    discovery_set_session(r.d, &session, &r);
    assert_string_equal(text_cstr(&told),
                        "+workload # +backend shop/cart:80# "
                        "+destination 10.0.0.1:80# +destination 10.0.0.2:80 ");
    rig_fini(&r);
}

/* ---- closing at every turn ---- */

static void test_sweep(void **state)
{
    (void)state;
    for (int n = 0; n < 12; n++) {
        struct rig r = {0};
        struct ask a = {0};
        struct seen s = {0};
        struct view *v;
        text_init(&told, 1 << 20);
        turner_init(&r.t);
        r.d = discovery_new(&r.t.loop, NULL);
        discovery_set_session(r.d, &session, &r);
        r.lk = lookup_new(r.d, &r.t.loop, &patient);
        (void)!lookup_destination(r.lk, ip, &v, &a.w, on_answer, &a);
        (void)hold(&r, &s);
        for (int i = 0; i < n; i++) {
            uv_run(&r.t.loop.uv, UV_RUN_NOWAIT);
            if (i == 2)
                (void)!discovery_put(
                    r.d, destination_of("10.0.0.1:80", "shop/cart:80", NULL));
            if (i == 5)
                (void)!discovery_put(r.d,
                                     backend_of("shop/cart:80", "1.1.1.1:1"));
        }
        lookup_wait_cancel(&a.w);
        lookup_release(&s.w);
        unsigned calls = a.calls;
        /* what is still under way comes to nothing */
        (void)!discovery_put(r.d, backend_of("shop/cart:80", "1.1.1.2:1"));
        rig_fini(&r);
        assert_int_equal(a.calls, calls);
        assert_true(calls <= 1);
    }
}

/* ---- two threads ---- */

struct worker {
    struct turner t;
    struct lookup *lk;
    struct ask ask;
    struct seen seen;
    bool closed;
    pthread_t thread;
};

static void on_worker_closed(void *arg)
{
    struct worker *w = arg;
    w->closed = true;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct view *v;
    if (lookup_destination(w->lk, ip, &v, &w->ask.w, on_answer, &w->ask))
        TURN_UNTIL(&w->t, w->ask.calls == 1);
    if (!hold(&(struct rig){.lk = w->lk}, &w->seen))
        TURN_UNTIL(&w->t, w->seen.calls > 0);
    TURN_UNTIL(&w->t, strcmp(w->seen.address, "1.1.1.9:1") == 0);
    lookup_release(&w->seen.w);
    lookup_close(w->lk, on_worker_closed, w);
    TURN_UNTIL(&w->t, w->closed);
    return NULL;
}

static void test_threads(void **state)
{
    enum { WORKERS = 3 };
    static struct worker workers[WORKERS];
    struct turner t;
    char address[16];
    (void)state;
    text_init(&told, 1 << 20);
    turner_init(&t);
    struct discovery *d = discovery_new(&t.loop, NULL);
    discovery_set_session(d, &session, NULL);
    for (int i = 0; i < WORKERS; i++) {
        turner_init(&workers[i].t);
        workers[i].lk = lookup_new(d, &workers[i].t.loop, &patient);
        assert_int_equal(
            pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]),
            0);
    }
    TURN_UNTIL(&t, was_told("+destination"));
    assert_int_equal(
        discovery_put(d, destination_of("10.0.0.1:80", "shop/cart:80", NULL)),
        OK);
    int64_t end = clock_mono_ns() + 20 * NSEC_PER_SEC;
    bool joined = false;
    for (int i = 0; clock_mono_ns() < end; i++) {
        snprintf(address, sizeof address, "1.1.1.%d:1", i < 9 ? i + 1 : 9);
        (void)!discovery_put(d, backend_of("shop/cart:80", address));
        turn(&t);
        joined |= discovery_workers(d) > 0;
        if (joined && discovery_workers(d) == 0)
            break;
    }
    for (int i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        turner_fini(&workers[i].t);
    }
    assert_int_equal(discovery_workers(d), 0);
    discovery_free(d);
    turner_fini(&t);
    text_fini(&told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_workload),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_wanted_again),
        cmocka_unit_test(test_backends_first),
        cmocka_unit_test(test_hold_back_ends),
        cmocka_unit_test(test_unasked),
        cmocka_unit_test(test_session_again),
        cmocka_unit_test(test_sweep),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
