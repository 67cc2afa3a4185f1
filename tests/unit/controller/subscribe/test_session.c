/* SPDX-License-Identifier: Apache-2.0 */
/* What a proxy is told, and in which order. The transport is a text; time is a
 * number. Views are shortened to "kind key" (and what the test looks at). */
#include "tests/unit/controller/objects.h"

#include "controller/subscribe/session.h"
#include "lib/base/clock.h"
#include "lib/mesh/wire.h"

struct world {
    struct registry *registry;
    struct resolve_settings settings;
    struct registry_watch watch;
    struct dirty dirty;
    struct feeds *feeds;
    struct session *session;
    struct text told; /* "workload; backend shop/cart:80; ..." */
    char last_hash[VIEW_HASH + 1];
    size_t bytes;
    bool over;
    char why[100];
};

static const char cart[] =
    "{'apiVersion':'v1','kind':'Service','metadata':{'name':'cart',"
    "'namespace':'shop'},'spec':{'clusterIP':'10.0.0.1','ports':["
    "{'name':'http','port':80}]}}";
#define CART_SLICE(addresses)                                     \
    "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice'," \
    "'metadata':{'name':'cart-1','namespace':'shop','labels':{"   \
    "'kubernetes.io/service-name':'cart'}},'addressType':'IPv4'," \
    "'ports':[{'name':'http','port':8080}],'endpoints':[" addresses "]}"
#define AT(ip) "{'addresses':['" ip "']}"
#define MANY                                                         \
    AT("10.1.0.1")                                                   \
    "," AT("10.1.0.2") "," AT("10.1.0.3") "," AT("10.1.0.4") "," AT( \
        "10.1.0.5") "," AT("10.1.0.6")

static void on_topic(struct registry_watch *w, slice topic)
{
    dirty_add(&CONTAINER_OF(w, struct world, watch)->dirty, topic, 0);
}

static void on_changed(void *arg, struct feed *f)
{
    (void)arg;
    feed_mark_subscribers(f);
}

static void note(struct world *w, const struct msg *m)
{
    static const char *const names[] = {
        [MSG_DELTA] = "delta", [MSG_SAME] = "same", [MSG_REMOVE] = "remove"};

    if (w->told.len)
        text_add(&w->told, SLICE("; "));
    if (m->type == MSG_HEARTBEAT) {
        text_add(&w->told, SLICE("heartbeat"));
        return;
    }
    if (m->type != MSG_VIEW)
        text_printf(&w->told, "%s ", names[m->type]);
    text_printf(&w->told, "%s", view_kind_name(m->kind));
    if (!slice_empty(m->key))
        text_printf(&w->told, " %.*s", FMT(m->key));
    if (m->type == MSG_VIEW && m->kind == VIEW_BACKEND)
        text_printf(&w->told, " %u", m->view->backend.endpoints_len);
    if (m->type == MSG_VIEW && m->kind == VIEW_DESTINATION &&
        m->view->destination.resolution != RESOLUTION_KNOWN)
        text_printf(&w->told, " %s",
                    resolution_name(m->view->destination.resolution));
}

static void on_send(void *owner, slice line)
{
    struct world *w = owner;
    struct msg m;
    struct error e;

    w->bytes += line.len;
    assert_true(slice_ends(line, SLICE("\n")));
    if (msg_decode(slice_sub(line, 0, line.len - 1), &m, &e))
        fail_msg("%s", e.text);
    note(w, &m);
    if (m.type == MSG_VIEW)
        memcpy(w->last_hash, m.view->hash, sizeof w->last_hash);
    if (m.type == MSG_DELTA || m.type == MSG_SAME)
        assert_int_equal(
            slice_to_cstr(m.type == MSG_SAME ? m.hash : m.delta.hash,
                          w->last_hash, sizeof w->last_hash),
            OK);
    msg_fini(&m);
}

static void on_over(void *owner, const char *why)
{
    struct world *w = owner;

    assert_false(w->over);
    w->over = true;
    assert_int_equal(slice_to_cstr(slice_str(why), w->why, sizeof w->why), OK);
}

static const struct session_events events = {on_send, on_over};
static const struct session_peer peer = {
    SLICE_INIT("spiffe://cluster.local/ns/shop/sa/web"),
    {SLICE_INIT("shop"), SLICE_INIT("web"), SLICE_INIT("web-1"),
     SLICE_INIT("u1")},
    999000,
    1000000};

static void world_init(struct world *w, const struct session_limits *lim)
{
    *w = (struct world){.registry = registry_new()};
    w->settings.trust_domain = SLICE("cluster.local");
    w->settings.bundle = SLICE("PEM");
    w->watch.on_topic = on_topic;
    registry_watch(w->registry, &w->watch);
    dirty_init(&w->dirty, 0, 0);
    w->feeds = feeds_new(w->registry, &w->settings, on_changed, w);
    w->session = session_new(w->feeds, &peer, lim, &events, w, 1, 0);
    text_init(&w->told, 1 << 16);
}

static void world_fini(struct world *w)
{
    session_free(w->session);
    assert_int_equal(feeds_count(w->feeds), 0);
    feeds_free(w->feeds);
    registry_unwatch(&w->watch);
    dirty_fini(&w->dirty);
    registry_free(w->registry);
    text_fini(&w->told);
}

/* The registry has changed: what publish.c does. */
static void settle(struct world *w)
{
    feeds_refresh(w->feeds, &w->dirty);
    dirty_clear(&w->dirty);
    session_flush(w->session);
}

static void put(struct world *w, const char *text)
{
    object_put(w->registry, text);
    settle(w);
}

static void says(struct world *w, const char *lines)
{
    char *json = object_quote(lines);

    session_input(w->session, slice_str(json), 0);
    mem_free(json);
}

static void expect(struct world *w, const char *want)
{
    assert_string_equal(text_cstr(&w->told), want);
    text_clear(&w->told);
}

#define HELLO                                        \
    "{'type':'hello','version':'1','capabilities':[" \
    "'backend-delta/1']}\n"
#define SUB(kind, key) \
    "{'type':'subscribe','kind':'" kind "','key':'" key "'}\n"
#define UNSUB(kind, key) \
    "{'type':'unsubscribe','kind':'" kind "','key':'" key "'}\n"

static void backends_come_before_what_names_them(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, &session_limits_default);
    put(&w, cart);
    put(&w, CART_SLICE(AT("10.1.0.1")));
    says(&w, HELLO SUB("destination", "10.0.0.1:80"));
    expect(&w, "backend shop/cart:80 1; destination 10.0.0.1:80");
    /* Asked for now, although it was told: it does not have it again. */
    says(&w, SUB("destination", "shop/cart:80"));
    expect(&w, "destination shop/cart:80");
    world_fini(&w);
}

static void what_the_proxy_has_is_not_sent(void **state)
{
    struct world w;
    struct text line;

    (void)state;
    world_init(&w, &session_limits_default);
    put(&w, cart);
    put(&w, CART_SLICE(AT("10.1.0.1")));
    says(&w, HELLO SUB("backend", "shop/cart:80"));
    expect(&w, "backend shop/cart:80 1");
    text_init(&line, 1000);
    text_printf(&line,
                "{'type':'subscribe','kind':'backend','key':"
                "'shop/cart:80','hash':'%s'}\n",
                w.last_hash);
    says(&w, text_cstr(&line));
    expect(&w, "same backend shop/cart:80");
    assert_true(session_in_sync(w.session));
    text_fini(&line);
    world_fini(&w);
}

static void changes_come_as_deltas_and_only_if_any(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, &session_limits_default);
    put(&w, cart);
    put(&w, CART_SLICE(MANY));
    says(&w, HELLO SUB("destination", "shop/cart:80"));
    expect(&w, "backend shop/cart:80 6; destination shop/cart:80");
    put(&w, CART_SLICE(MANY "," AT("10.1.0.7")));
    expect(&w, "delta backend shop/cart:80");
    /* Another slice that adds nothing new. */
    put(&w, "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice',"
            "'metadata':{'name':'cart-2','namespace':'shop','labels':{"
            "'kubernetes.io/service-name':'cart'}},'addressType':'IPv4',"
            "'ports':[{'name':'http','port':8080}],'endpoints':[" AT(
                "10.1.0.1") "]}");
    expect(&w, "");
    world_fini(&w);
}

static void a_refused_delta_is_followed_by_the_whole_once(void **state)
{
    struct world w;
    struct text nack;

    (void)state;
    world_init(&w, &session_limits_default);
    put(&w, cart);
    put(&w, CART_SLICE(MANY));
    says(&w, HELLO SUB("backend", "shop/cart:80"));
    put(&w, CART_SLICE(MANY "," AT("10.1.0.7")));
    expect(&w, "backend shop/cart:80 6; delta backend shop/cart:80");
    text_init(&nack, 1000);
    text_printf(&nack,
                "{'type':'nack','kind':'backend','key':"
                "'shop/cart:80','hash':'%s','reason':'no'}\n",
                w.last_hash);
    says(&w, text_cstr(&nack));
    expect(&w, "backend shop/cart:80 7");
    says(&w, text_cstr(&nack));
    expect(&w, "");
    text_fini(&nack);
    world_fini(&w);
}

static void removals_come_last(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, &session_limits_default);
    put(&w, cart);
    put(&w, CART_SLICE(AT("10.1.0.1")));
    says(&w, HELLO SUB("backend", "shop/cart:80")
                 SUB("destination", "shop/cart:80"));
    expect(&w, "backend shop/cart:80 1; destination shop/cart:80");
    registry_del(w.registry, RECORD_SERVICE, SLICE("shop"), SLICE("cart"));
    settle(&w);
    expect(&w, "destination shop/cart:80 unknown; remove backend shop/cart:80");
    /* It stays subscribed. */
    put(&w, cart);
    expect(&w, "backend shop/cart:80 1; destination shop/cart:80");
    world_fini(&w);
}

static void what_only_a_destination_needed_goes_with_it(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, &session_limits_default);
    put(&w, cart);
    says(&w, HELLO SUB("destination", "shop/cart:80"));
    expect(&w, "backend shop/cart:80 0; destination shop/cart:80");
    assert_int_equal(session_subscriptions(w.session), 2);
    says(&w, UNSUB("destination", "shop/cart:80"));
    expect(&w, "remove backend shop/cart:80");
    assert_int_equal(session_subscriptions(w.session), 0);
    assert_int_equal(feeds_count(w.feeds), 0);
    world_fini(&w);
}

static void a_workload_is_the_pods_own(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, &session_limits_default);
    says(&w, HELLO SUB("workload", ""));
    expect(&w, "remove workload");
    put(&w, "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'web-1',"
            "'namespace':'shop','uid':'u1'},'spec':{}}");
    expect(&w, "workload");
    /* No key makes it another's. */
    says(&w, SUB("workload", "shop/cart-1"));
    expect(&w, "remove workload shop/cart-1");
    put(&w, "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'web-1',"
            "'namespace':'shop','uid':'u2'},'spec':{}}");
    expect(&w, "remove workload");
    world_fini(&w);
}

static void a_slow_proxy_misses_versions_not_the_last(void **state)
{
    struct session_limits lim = session_limits_default;
    struct world w;
    size_t first;

    (void)state;
    lim.watermark = 100;
    world_init(&w, &lim);
    put(&w, cart);
    put(&w, CART_SLICE(AT("10.1.0.1")));
    says(&w, HELLO SUB("backend", "shop/cart:80"));
    expect(&w, "backend shop/cart:80 1");
    first = w.bytes;
    put(&w, CART_SLICE(AT("10.1.0.1") "," AT("10.1.0.2")));
    put(&w, CART_SLICE(MANY));
    expect(&w, "");
    assert_false(session_in_sync(w.session));
    session_sent(w.session, first);
    expect(&w, "backend shop/cart:80 6");
    world_fini(&w);
}

static void subscriptions_are_capped(void **state)
{
    struct session_limits lim = session_limits_default;
    struct world w;

    (void)state;
    lim.subscriptions = 2;
    world_init(&w, &lim);
    says(&w,
         HELLO SUB("destination", "10.0.0.1:1") SUB("destination", "10.0.0.1:2")
             SUB("destination", "10.0.0.1:3") SUB("destination", "10.0.0.1:2"));
    expect(&w, "remove destination 10.0.0.1:3; destination 10.0.0.1:1 unknown;"
               " destination 10.0.0.1:2 unknown");
    says(&w,
         UNSUB("destination", "10.0.0.1:1") SUB("destination", "10.0.0.1:3"));
    expect(&w, "destination 10.0.0.1:3 unknown");
    says(&w, SUB("destination", "nonsense"));
    expect(&w, "remove destination nonsense");
    world_fini(&w);
}

static void bad_peers_are_ended(void **state)
{
    static const struct {
        const char *lines, *why;
    } rows[] = {
        {SUB("workload", ""), "the first message is not hello"},
        {"nonsense\n", "a message cannot be read"},
        {HELLO "{'type':'subscribe','kind':'destination','key':7}\n",
         "a message cannot be read"},
        {HELLO "{'type':'subscribe','kind':'of later versions','key':''}\n",
         ""},
        {HELLO "{'type':'what later versions say'}\n", ""},
        {HELLO "{'type':'subscribe','kind':'later','key':'x'}\n", ""},
        {HELLO HELLO, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct world w;

        world_init(&w, &session_limits_default);
        says(&w, rows[i].lines);
        assert_string_equal(w.why, rows[i].why);
        assert_int_equal(session_is_over(w.session), rows[i].why[0] != 0);
        says(&w, HELLO SUB("destination", "10.0.0.1:1"));
        assert_int_equal(w.told.len > 0, rows[i].why[0] == 0);
        world_fini(&w);
    }
}

static void lines_may_come_in_pieces_but_not_for_ever(void **state)
{
    struct session_limits lim = session_limits_default;
    char *lines = object_quote(HELLO SUB("destination", "10.0.0.1:1"));
    struct world w;

    (void)state;
    lim.line = 200;
    world_init(&w, &lim);
    for (const char *p = lines; *p; p++)
        session_input(w.session, slice_of(p, 1), 0);
    expect(&w, "destination 10.0.0.1:1 unknown");
    for (int i = 0; i < 201; i++)
        session_input(w.session, SLICE("x"), 0);
    assert_string_equal(w.why, "a message is too long");
    mem_free(lines);
    world_fini(&w);
}

static void too_many_messages_end_it(void **state)
{
    struct session_limits lim = session_limits_default;
    struct world w;

    (void)state;
    lim.burst = 3;
    world_init(&w, &lim);
    says(&w, HELLO "{'type':'heartbeat'}\n{'type':'heartbeat'}\n");
    assert_false(w.over);
    says(&w, "{'type':'heartbeat'}\n");
    assert_string_equal(w.why, "too many messages");
    world_fini(&w);
}

static void the_clock(void **state)
{
    struct world w;
    const int64_t s = NSEC_PER_SEC;

    (void)state;
    world_init(&w, &session_limits_default);
    session_tick(w.session, 11 * s, 5);
    assert_string_equal(w.why, "no hello in time");
    world_fini(&w);

    world_init(&w, &session_limits_default);
    says(&w, HELLO);
    session_tick(w.session, 9 * s, 5);
    expect(&w, "");
    session_tick(w.session, 10 * s, 5);
    session_tick(w.session, 11 * s, 5);
    expect(&w, "heartbeat");
    session_tick(w.session, 30 * s, 5);
    assert_false(w.over);
    session_slept(w.session, 10 * s); /* we, not it */
    session_tick(w.session, 40 * s, 5);
    assert_false(w.over);
    session_tick(w.session, 41 * s, 5);
    assert_string_equal(w.why, "silence");
    world_fini(&w);

    world_init(&w, &session_limits_default);
    says(&w, HELLO);
    session_tick(w.session, 1 * s, 1000001);
    assert_string_equal(w.why, "the certificate has expired");
    world_fini(&w);
}

static void what_people_see(void **state)
{
    struct text out;
    struct world w;

    (void)state;
    world_init(&w, &session_limits_default);
    says(
        &w,
        HELLO SUB(
            "destination",
            "10.0.0.1:1") "{'type':'nack','kind':'destination','key':'10.0.0.1:1',"
                          "'hash':'','reason':'too new'}\n");
    says(&w, "{'type':'report','epoch':'e','detectTimeouts':9,'silent':{"
             "'inbound':{'1':1}}}\n"
             "{'type':'report','epoch':'e','detectTimeouts':9,'silent':{"
             "'inbound':{'6000':3},'outbound':{'shop/db:1':2}}}\n");
    text_init(&out, 1 << 16);
    session_json(w.session, 7 * NSEC_PER_SEC, &out);
    assert_non_null(strstr(text_cstr(&out), "\"state\":\"serving\""));
    assert_non_null(strstr(text_cstr(&out), "\"pod\":\"web-1\""));
    assert_non_null(strstr(text_cstr(&out), "\"nack\":\"too new\""));
    assert_non_null(strstr(text_cstr(&out),
                           "\"silent\":{\"inbound\":{\"6000\":3},"
                           "\"outbound\":{\"shop/db:1\":2}}"));
    assert_non_null(strstr(text_cstr(&out), "\"detectTimeouts\":9"));
    text_fini(&out);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backends_come_before_what_names_them),
        cmocka_unit_test(what_the_proxy_has_is_not_sent),
        cmocka_unit_test(changes_come_as_deltas_and_only_if_any),
        cmocka_unit_test(a_refused_delta_is_followed_by_the_whole_once),
        cmocka_unit_test(removals_come_last),
        cmocka_unit_test(what_only_a_destination_needed_goes_with_it),
        cmocka_unit_test(a_workload_is_the_pods_own),
        cmocka_unit_test(a_slow_proxy_misses_versions_not_the_last),
        cmocka_unit_test(subscriptions_are_capped),
        cmocka_unit_test(bad_peers_are_ended),
        cmocka_unit_test(lines_may_come_in_pieces_but_not_for_ever),
        cmocka_unit_test(too_many_messages_end_it),
        cmocka_unit_test(the_clock),
        cmocka_unit_test(what_people_see),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
