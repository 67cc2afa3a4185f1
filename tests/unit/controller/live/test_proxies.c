/* SPDX-License-Identifier: Apache-2.0 */
/* What replicas say of proxies: who counts, who is told, what is forgotten. */
#include "tests/unit/http/talk.h"

#include "controller/live/proxies.h"
#include "tests/unit/controller/objects.h"

struct rig {
    struct turner t;
    struct registry *registry;
    struct resolve_settings resolve;
    struct publisher *publisher;
    struct proxies *p;
    unsigned changed, numbers;
    char last[64];
    int64_t now;
};

static void on_changed(void *arg, slice pod, bool numbers)
{
    struct rig *r = arg;

    r->changed += !numbers;
    r->numbers += numbers;
    snprintf(r->last, sizeof r->last, "%.*s", FMT(pod));
}

static void rig_init(struct rig *r)
{
    *r = (struct rig){0};
    turner_init(&r->t);
    r->registry = registry_new();
    r->publisher = publisher_new(&r->t.loop, r->registry, &r->resolve,
                                 &session_limits_default);
    r->p = proxies_new(&r->t.loop, r->publisher, on_changed, r);
    r->now = loop_now(&r->t.loop);
}

static void rig_fini(struct rig *r)
{
    proxies_free(r->p);
    publisher_stop(r->publisher);
    turner_fini(&r->t);
    publisher_free(r->publisher);
    registry_free(r->registry);
}

static struct proxy_state about(const char *pod, const char *uid, bool in_sync)
{
    return (struct proxy_state){
        .ns = SLICE("shop"),
        .pod = slice_str(pod),
        .uid = slice_str(uid),
        .version = SLICE("1"),
        .in_sync = in_sync,
        .cert_not_after = 1000,
    };
}

static void put(struct rig *r, unsigned replica, const char *pod,
                const char *uid, bool in_sync)
{
    /* Not the caller's memory: it is gone afterwards. */
    char *name = mem_str(slice_str(pod)), *id = mem_str(slice_str(uid));
    struct proxy_state s = about(name, id, in_sync);

    proxies_put(r->p, replica, &s);
    mem_free(name);
    mem_free(id);
}

static void pass(struct rig *r, int64_t ns)
{
    proxies_look(r->p, r->now += ns);
}

static const struct proxy_state *find(const struct rig *r, const char *uid)
{
    return proxies_find(r->p, SLICE("shop/a"), slice_str(uid));
}

static void changes_are_told_once(void **state)
{
    struct proxy_state s = about("a", "1", true);
    struct rig r;

    (void)state;
    rig_init(&r);
    put(&r, 1, "a", "1", true);
    assert_int_equal(r.changed, 1);
    assert_string_equal(r.last, "shop/a");
    put(&r, 1, "a", "1", true);
    assert_int_equal(r.changed + r.numbers, 1);
    s.requests = 7;
    proxies_put(r.p, 1, &s);
    assert_int_equal(r.changed, 1);
    assert_int_equal(r.numbers, 1);
    assert_int_equal(find(&r, "")->requests, 7);
    put(&r, 1, "a", "1", false);
    assert_int_equal(r.changed, 2);
    assert_false(find(&r, "")->in_sync);
    rig_fini(&r);
}

static void silence_is_a_number(void **state)
{
    char name[] = "6000";
    struct proxy_state s = about("a", "1", true);
    struct rig r;
    size_t i = 0;
    const struct proxy_state *is;

    (void)state;
    rig_init(&r);
    proxies_put(r.p, 1, &s);
    s.silent[0] = (struct silent){true, slice_str(name), 1};
    s.silent_len = 1;
    proxies_put(r.p, 1, &s);
    name[0] = 'x'; /* it has a copy */
    assert_int_equal(r.changed, 1);
    assert_int_equal(r.numbers, 1);
    assert_true(proxies_all(r.p, &i, &is));
    assert_int_equal(is->silent_len, 1);
    assert_true(slice_eq(is->silent[0].service, SLICE("6000")));
    assert_false(proxies_all(r.p, &i, &is));
    rig_fini(&r);
}

static void who_moves_is_known_once(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    put(&r, 1, "a", "1", true);
    put(&r, 2, "a", "1", false);
    assert_true(find(&r, "")->in_sync); /* the old place still holds */
    assert_int_equal(proxies_count(r.p), 1);
    proxies_del(r.p, 1, SLICE("shop/a"));
    assert_false(find(&r, "")->in_sync);
    assert_null(proxies_at(r.p, 1, SLICE("shop/a")));
    assert_non_null(proxies_at(r.p, 2, SLICE("shop/a")));
    pass(&r, PROXY_GRACE);
    assert_false(find(&r, "")->in_sync);
    assert_int_equal(proxies_count(r.p), 1);
    rig_fini(&r);
}

static void who_is_lost_counts_for_a_while(void **state)
{
    struct rig r;
    unsigned told;

    (void)state;
    rig_init(&r);
    put(&r, 1, "a", "1", true);
    proxies_del(r.p, 1, SLICE("shop/a"));
    assert_null(proxies_at(r.p, 1, SLICE("shop/a")));
    assert_int_equal(proxies_count(r.p), 0);
    assert_int_equal(proxies_in_sync(r.p), 0);
    pass(&r, PROXY_GRACE - 1);
    assert_non_null(find(&r, "1"));
    told = r.changed;
    pass(&r, 1);
    assert_null(find(&r, "1"));
    assert_int_equal(r.changed, told + 1);
    rig_fini(&r);
}

static void who_comes_again_was_never_lost(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    put(&r, 1, "a", "1", true);
    proxies_forget(r.p, 1); /* its stream broke */
    proxies_forget(r.p, 1);
    put(&r, 2, "a", "1", true); /* and came again under another number */
    for (int i = 0; i < 30; i++) {
        pass(&r, NSEC_PER_SEC);
        assert_true(find(&r, "1")->in_sync);
    }
    assert_int_equal(proxies_count(r.p), 1);
    proxies_del(r.p, 2, SLICE("shop/a"));
    r.changed = r.numbers = 0;
    put(&r, 2, "a", "1", true);
    /* A replica has said that it is gone: it must say that it is back. */
    assert_int_equal(r.changed + r.numbers, 1);
    pass(&r, 2 * PROXY_GRACE);
    assert_non_null(find(&r, "1"));
    rig_fini(&r);
}

static void another_pod_of_that_name_is_another(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    put(&r, 1, "a", "old", true);
    assert_null(find(&r, "new"));
    put(&r, 2, "a", "new", false);
    assert_false(find(&r, "new")->in_sync);
    assert_true(find(&r, "old")->in_sync);
    /* Who has no UID in its certificate may be any. */
    put(&r, 3, "b", "", true);
    assert_non_null(proxies_find(r.p, SLICE("shop/b"), SLICE("x")));
    rig_fini(&r);
}

static void a_replica_that_goes_takes_all_of_its_own(void **state)
{
    const struct proxy_state *s;
    struct rig r;
    size_t i = 0, n = 0;

    (void)state;
    rig_init(&r);
    for (int k = 0; k < 500; k++) {
        char pod[16];

        snprintf(pod, sizeof pod, "p-%d", k);
        put(&r, 1 + (unsigned)k % 2, pod, "1", true);
    }
    assert_int_equal(proxies_in_sync(r.p), 500);
    proxies_forget(r.p, 2);
    assert_int_equal(proxies_count(r.p), 250);
    while (proxies_next(r.p, 2, &i, &s))
        n++;
    assert_int_equal(n, 0);
    for (i = 0; proxies_next(r.p, 1, &i, &s);)
        n++;
    assert_int_equal(n, 250);
    r.changed = 0;
    pass(&r, PROXY_GRACE);
    assert_int_equal(r.changed, 250);
    proxies_forget(r.p, 1);
    pass(&r, PROXY_GRACE);
    assert_int_equal(proxies_count(r.p), 0);
    rig_fini(&r);
}

/* Sessions here are those of the publisher, which has none. */
static void what_has_no_session_here_is_lost(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    put(&r, 0, "a", "1", true);
    pass(&r, NSEC_PER_SEC);
    assert_null(proxies_at(r.p, 0, SLICE("shop/a")));
    assert_non_null(find(&r, "1"));
    /* Others' are not looked for here. */
    put(&r, 1, "b", "1", true);
    pass(&r, PROXY_GRACE);
    assert_null(find(&r, "1"));
    assert_non_null(proxies_at(r.p, 1, SLICE("shop/b")));
    rig_fini(&r);
}

/* Also when the last look was a while ago. */
static void the_time_of_a_loss_is_now(void **state)
{
    struct rig r;

    (void)state;
    for (int all = 0; all < 2; all++) {
        rig_init(&r);
        put(&r, 1, "a", "1", true);
        TURN_UNTIL(&r.t, loop_now(&r.t.loop) - r.now > 20 * NSEC_PER_MSEC);
        r.now = loop_now(&r.t.loop);
        if (all)
            proxies_forget(r.p, 1);
        else
            proxies_del(r.p, 1, SLICE("shop/a"));
        pass(&r, PROXY_GRACE - 1);
        assert_non_null(find(&r, "1"));
        pass(&r, 1);
        assert_null(find(&r, "1"));
        rig_fini(&r);
    }
}

/* --- sessions here --- */

static void on_send(void *owner, slice line)
{
    (void)owner;
    (void)line;
}

static void on_over(void *owner, const char *why)
{
    (void)owner;
    fail_msg("%s", why);
}

static void join(struct rig *r, struct seat *seat, const char *uid)
{
    static const struct session_events events = {on_send, on_over};
    struct session_peer peer = {
        .name = SLICE("spiffe://cluster.local/ns/shop/sa/web"),
        .client = {SLICE("shop"), SLICE("web"), SLICE("a"), slice_str(uid)},
        .not_after = 1000,
    };

    publisher_join(r->publisher, seat, &peer, &events, NULL);
    session_input(seat->session,
                  SLICE("{\"type\":\"hello\",\"version\":\"0\"}\n"), r->now);
}

static void subscribe(struct rig *r, struct seat *seat)
{
    session_input(seat->session,
                  SLICE("{\"type\":\"subscribe\",\"kind\":\"workload\"}\n"),
                  r->now);
}

/* What it has in force is told with its subscriptions. */
static void who_has_only_begun_says_nothing(void **state)
{
    struct seat seat = {0};
    struct rig r;

    (void)state;
    rig_init(&r);
    put(&r, 1, "a", "1", false);
    join(&r, &seat, "1");
    pass(&r, NSEC_PER_SEC);
    assert_null(proxies_at(r.p, 0, SLICE("shop/a")));
    assert_false(find(&r, "1")->in_sync);
    subscribe(&r, &seat);
    pass(&r, NSEC_PER_SEC);
    assert_non_null(proxies_at(r.p, 0, SLICE("shop/a")));
    publisher_leave(&seat);
    rig_fini(&r);
}

#define POD(uid)                                                         \
    "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'a','namespace'" \
    ":'shop','uid':'" uid "'},'spec':{}}"

/* The proxy of a pod that was deleted by force lives on for a while. */
static void who_had_the_name_before_hides_nobody(void **state)
{
    struct seat seats[2] = {{.session = NULL}};
    struct rig r;

    (void)state;
    for (int old = 0; old < 2; old++) { /* which one comes first */
        rig_init(&r);
        join(&r, &seats[0], old ? "new" : "old");
        join(&r, &seats[1], old ? "old" : "new");
        subscribe(&r, &seats[0]);
        subscribe(&r, &seats[1]);
        pass(&r, NSEC_PER_SEC); /* who is right is not known */
        assert_non_null(proxies_at(r.p, 0, SLICE("shop/a")));
        object_put(r.registry, POD("new"));
        r.changed = 0;
        for (int i = 0; i < 3; i++) {
            pass(&r, NSEC_PER_SEC);
            assert_non_null(find(&r, "new"));
            assert_null(find(&r, "old"));
        }
        assert_true(r.changed <= 1);
        publisher_leave(&seats[0]);
        publisher_leave(&seats[1]);
        rig_fini(&r);
    }
}

static void free_with_all_kinds(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    put(&r, 0, "a", "1", true);
    put(&r, 1, "a", "2", true);
    put(&r, 2, "b", "1", true);
    proxies_del(r.p, 1, SLICE("shop/a"));
    proxies_del(r.p, 1, SLICE("shop/nobody"));
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_told_once),
        cmocka_unit_test(silence_is_a_number),
        cmocka_unit_test(who_moves_is_known_once),
        cmocka_unit_test(who_is_lost_counts_for_a_while),
        cmocka_unit_test(who_comes_again_was_never_lost),
        cmocka_unit_test(another_pod_of_that_name_is_another),
        cmocka_unit_test(a_replica_that_goes_takes_all_of_its_own),
        cmocka_unit_test(what_has_no_session_here_is_lost),
        cmocka_unit_test(the_time_of_a_loss_is_now),
        cmocka_unit_test(who_has_only_begun_says_nothing),
        cmocka_unit_test(who_had_the_name_before_hides_nobody),
        cmocka_unit_test(free_with_all_kinds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
