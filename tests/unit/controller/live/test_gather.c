/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of replicas, in any pieces, at the leader. */
#include "tests/unit/http/talk.h"

#include "controller/live/gather.h"
#include "controller/live/replica_wire.h"

struct rig {
    struct turner t;
    struct registry *registry;
    struct resolve_settings resolve;
    struct publisher *publisher;
    struct proxies *p;
    struct gather *g;
};

static void on_changed(void *arg, slice pod, bool numbers)
{
    (void)arg;
    (void)pod;
    (void)numbers;
}

static void rig_init(struct rig *r)
{
    *r = (struct rig){0};
    turner_init(&r->t);
    r->registry = registry_new();
    r->publisher = publisher_new(&r->t.loop, r->registry, &r->resolve,
                                 &session_limits_default);
    r->p = proxies_new(&r->t.loop, r->publisher, on_changed, r);
    r->g = gather_new(&r->t.loop, r->p);
}

static void rig_fini(struct rig *r)
{
    gather_free(r->g);
    proxies_free(r->p);
    publisher_stop(r->publisher);
    turner_fini(&r->t);
    publisher_free(r->publisher);
    registry_free(r->registry);
}

static const char lines[] =
    "{\"type\":\"proxy\",\"namespace\":\"shop\",\"pod\":\"a\","
    "\"inSync\":true,\"version\":\"1\"}\n"
    "{\"type\":\"heartbeat\"}\n"
    "{\"type\":\"of a later version\",\"x\":1}\n"
    "{\"type\":\"proxy\",\"namespace\":\"shop\",\"pod\":\"b\"}\n"
    "{\"type\":\"gone\",\"namespace\":\"shop\",\"pod\":\"b\"}\n";

static void lines_in_any_pieces(void **state)
{
    size_t len = sizeof lines - 1;

    (void)state;
    for (size_t piece = 1; piece <= len; piece++) {
        struct replica one = {0};
        struct rig r;
        struct error e;

        rig_init(&r);
        assert_int_equal(gather_join(r.g, &one), OK);
        for (size_t at = 0; at < len; at += piece)
            assert_int_equal(
                gather_input(&one, slice_sub(slice_str(lines), at, at + piece),
                             &e),
                OK);
        assert_int_equal(proxies_count(r.p), 1);
        assert_true(proxies_at(r.p, one.number, SLICE("shop/a"))->in_sync);
        gather_leave(&one);
        gather_leave(&one);
        assert_int_equal(proxies_count(r.p), 0);
        assert_int_equal(gather_replicas(r.g), 0);
        rig_fini(&r);
    }
}

static void says(struct replica *r, const char *line)
{
    struct error e;

    if (gather_input(r, slice_str(line), &e))
        fail_msg("%s", e.text);
}

/* Who says nothing of roots, as an earlier version, has none of them. */
static void what_replicas_trust(void **state)
{
    const slice mark = SLICE("0123456789abcdef");
    struct replica one = {0}, other = {0};
    struct rig r;

    (void)state;
    rig_init(&r);
    assert_int_equal(gather_behind(r.g, mark), 0);
    assert_int_equal(gather_join(r.g, &one), OK);
    assert_int_equal(gather_join(r.g, &other), OK);
    assert_int_equal(gather_behind(r.g, mark), 2);
    says(&one, "{\"type\":\"heartbeat\"}\n");
    assert_int_equal(gather_behind(r.g, mark), 2);
    assert_false(gather_hears(r.g, SLICE("c-1")));
    says(&one, "{\"type\":\"heartbeat\",\"pod\":\"c-1\","
               "\"roots\":\"aaaaaaaaaaaaaaaa,0123456789abcdef\"}\n");
    says(&other, "{\"type\":\"heartbeat\",\"pod\":\"c-2\","
                 "\"roots\":\"aaaaaaaaaaaaaaaa\"}\n");
    assert_int_equal(gather_behind(r.g, mark), 1);
    assert_true(gather_hears(r.g, SLICE("c-1")));
    assert_true(gather_hears(r.g, SLICE("c-2")));
    assert_false(gather_hears(r.g, SLICE("c")));
    gather_leave(&other);
    assert_int_equal(gather_behind(r.g, mark), 0);
    assert_false(gather_hears(r.g, SLICE("c-2")));
    gather_leave(&one);
    rig_fini(&r);
}

static void nonsense_is_refused(void **state)
{
    static const char *const bad[] = {
        "nonsense\n",
        "[]\n",
        "{}\n",
        "{\"type\":\"proxy\"}\n",
        "{\"type\":\"proxy\",\"namespace\":\"Shop\",\"pod\":\"a\"}\n",
        "{\"type\":\"proxy\",\"namespace\":\"shop\",\"pod\":\"../x\"}\n",
        "{\"type\":\"proxy\",\"namespace\":\"shop\",\"pod\":\"a\","
        "\"certExpires\":-1}\n",
        "{\"type\":\"proxy\",\"namespace\":\"shop\",\"pod\":\"a\","
        "\"requests\":\"many\"}\n",
        "{\"type\":\"gone\",\"namespace\":\"shop\"}\n",
        "\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct replica one = {0};
        struct rig r;
        struct error e = {""};

        rig_init(&r);
        assert_int_equal(gather_join(r.g, &one), OK);
        assert_int_not_equal(gather_input(&one, slice_str(bad[i]), &e), OK);
        assert_true(e.text[0]);
        assert_int_equal(proxies_count(r.p), 0);
        gather_leave(&one);
        rig_fini(&r);
    }
}

static void a_line_without_end_is_cut_off(void **state)
{
    struct replica one = {0};
    struct rig r;
    struct error e;
    enum status rc = OK;
    size_t n = 0;

    (void)state;
    rig_init(&r);
    assert_int_equal(gather_join(r.g, &one), OK);
    while (!rc && n <= REPLICA_LINE_MAX) {
        rc = gather_input(&one, SLICE("0123456789abcdef"), &e);
        n += 16;
    }
    assert_int_equal(rc, ERR_TOO_BIG);
    assert_in_range(n, REPLICA_LINE_MAX, REPLICA_LINE_MAX + 16);
    gather_leave(&one);
    rig_fini(&r);
}

static void not_too_many(void **state)
{
    static struct replica many[GATHER_REPLICAS_MAX + 1];
    struct rig r;

    (void)state;
    rig_init(&r);
    for (int i = 0; i < GATHER_REPLICAS_MAX; i++)
        assert_int_equal(gather_join(r.g, &many[i]), OK);
    assert_int_equal(gather_join(r.g, &many[GATHER_REPLICAS_MAX]),
                     ERR_RESOURCES);
    gather_leave(&many[GATHER_REPLICAS_MAX]); /* never came: harmless */
    gather_leave(&many[3]);
    assert_int_equal(gather_join(r.g, &many[GATHER_REPLICAS_MAX]), OK);
    for (int i = 0; i <= GATHER_REPLICAS_MAX; i++)
        gather_leave(&many[i]);
    rig_fini(&r);
}

static unsigned silent;

static void on_silent(struct replica *r)
{
    silent++;
    gather_leave(r);
}

static void who_is_silent_is_told(void **state)
{
    struct replica one = {0}, two = {0};
    struct rig r;
    struct error e;

    (void)state;
    rig_init(&r);
    assert_int_equal(gather_join(r.g, &one), OK);
    assert_int_equal(gather_join(r.g, &two), OK);
    one.on_silent = two.on_silent = on_silent;
    one.heard -= REPLICA_SILENCE + 2 * NSEC_PER_SEC;
    two.heard = one.heard;
    assert_int_equal(
        gather_input(&two, SLICE("{\"type\":\"heartbeat\"}\n"), &e), OK);
    TURN_UNTIL(&r.t, silent);
    assert_null(one.gather);
    assert_non_null(two.gather);
    gather_leave(&two);
    rig_fini(&r);
}

/* One says what the other one said before: each has its own. */
static void replicas_do_not_mix(void **state)
{
    static const char said[] = "{\"type\":\"proxy\",\"namespace\":\"shop\","
                               "\"pod\":\"a\"}\n";
    static const char gone[] = "{\"type\":\"gone\",\"namespace\":\"shop\","
                               "\"pod\":\"a\"}\n";
    struct replica one = {0}, two = {0};
    struct rig r;
    struct error e;

    (void)state;
    rig_init(&r);
    assert_int_equal(gather_join(r.g, &one), OK);
    assert_int_equal(gather_join(r.g, &two), OK);
    assert_int_not_equal(one.number, two.number);
    assert_int_equal(gather_input(&one, slice_str(said), &e), OK);
    assert_int_equal(gather_input(&two, slice_str(gone), &e), OK);
    assert_int_equal(proxies_count(r.p), 1);
    assert_int_equal(gather_input(&two, slice_str(said), &e), OK);
    gather_leave(&one);
    assert_int_equal(proxies_count(r.p), 1);
    gather_leave(&two);
    assert_int_equal(proxies_count(r.p), 0);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_in_any_pieces),
        cmocka_unit_test(what_replicas_trust),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(a_line_without_end_is_cut_off),
        cmocka_unit_test(not_too_many),
        cmocka_unit_test(who_is_silent_is_told),
        cmocka_unit_test(replicas_do_not_mix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
