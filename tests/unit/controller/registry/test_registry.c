/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/controller/objects.h"

#include "controller/registry/registry_json.h"
#include "lib/base/map.h"

struct seen {
    struct registry_watch watch;
    struct map topics;
    struct text changes;
};

static void on_topic(struct registry_watch *w, slice topic)
{
    struct seen *s = CONTAINER_OF(w, struct seen, watch);

    (void)map_put(&s->topics, topic, s);
}

static void on_change(struct registry_watch *w, const struct registry_change *c)
{
    struct seen *s = CONTAINER_OF(w, struct seen, watch);
    struct text line;

    text_init(&line, 1000);
    registry_change_json(c, &line);
    text_add(&s->changes, text_slice(&line));
    text_fini(&line);
}

static void seen_init(struct seen *s, struct registry *r)
{
    *s = (struct seen){.watch = {.on_change = on_change, .on_topic = on_topic}};
    map_init(&s->topics);
    text_init(&s->changes, 1 << 16);
    registry_watch(r, &s->watch);
}

static void seen_fini(struct seen *s)
{
    registry_unwatch(&s->watch);
    map_fini(&s->topics);
    text_fini(&s->changes);
}

static void expect_topics(struct seen *s, const char *const *want)
{
    size_t n = 0;

    for (; want[n]; n++)
        if (!map_get(&s->topics, slice_str(want[n])))
            fail_msg("no topic '%s'", want[n]);
    assert_int_equal(s->topics.len, n);
    map_fini(&s->topics);
    map_init(&s->topics);
}
#define TOPICS(s, ...) \
    expect_topics(s, (const char *const[]){__VA_ARGS__, NULL})

#define SERVICE(name, ip)                                           \
    "{'apiVersion':'v1','kind':'Service','metadata':{'name':'" name \
    "','namespace':'shop'},'spec':{'clusterIP':'" ip "','ports':["  \
    "{'port':80}]}}"
#define SLICE_OF(name, service, ip)                                      \
    "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice',"        \
    "'metadata':{'name':'" name "','namespace':'shop','labels':{"        \
    "'kubernetes.io/service-name':'" service "'}},'addressType':'IPv4'," \
    "'ports':[{'port':8080}],'endpoints':[{'addresses':['" ip "']}]}"
#define POD(name, ip, spec)                                     \
    "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'" name \
    "','namespace':'shop'},'spec':{" spec "},'status':{'podIP':'" ip "'}}"

static void the_version_grows_with_every_change(void **state)
{
    struct registry *r = registry_new();
    struct seen s;

    (void)state;
    seen_init(&s, r);
    object_put(r, SERVICE("a", "10.0.0.1"));
    object_put(r, SERVICE("a", "10.0.0.1")); /* the same: no change */
    object_put(r, SERVICE("a", "10.0.0.2"));
    registry_del(r, RECORD_SERVICE, SLICE("shop"), SLICE("a"));
    registry_del(r, RECORD_SERVICE, SLICE("shop"), SLICE("a"));
    assert_int_equal(registry_version(r), 3);
    assert_string_equal(
        text_cstr(&s.changes),
        "{\"version\":1,\"kind\":\"Service\",\"name\":\"shop/a\","
        "\"change\":\"put\"}\n"
        "{\"version\":2,\"kind\":\"Service\",\"name\":\"shop/a\","
        "\"change\":\"put\"}\n"
        "{\"version\":3,\"kind\":\"Service\",\"name\":\"shop/a\","
        "\"change\":\"gone\"}\n");
    seen_fini(&s);
    registry_free(r);
}

static void topics_of_both_the_old_and_the_new(void **state)
{
    struct registry *r = registry_new();
    struct seen s;

    (void)state;
    seen_init(&s, r);
    object_put(r, SERVICE("a", "10.0.0.1"));
    TOPICS(&s, "service shop/a", "ip 10.0.0.1");
    object_put(r, SERVICE("a", "10.0.0.2"));
    TOPICS(&s, "service shop/a", "ip 10.0.0.1", "ip 10.0.0.2");
    object_put(r, SLICE_OF("a-1", "a", "10.1.0.1"));
    TOPICS(&s, "service shop/a", "ip 10.1.0.1");
    object_put(r, SLICE_OF("a-1", "b", "10.1.0.2"));
    TOPICS(&s, "service shop/a", "ip 10.1.0.1", "service shop/b",
           "ip 10.1.0.2");
    registry_set_synced(r, true);
    TOPICS(&s, "synced");
    seen_fini(&s);
    registry_free(r);
}

/* What a pod is changes the endpoints of every Service that lists it; what a
 * Service declares changes its pods, and through them other Services. */
static void what_one_object_means_for_others(void **state)
{
    struct registry *r = registry_new();
    struct seen s;

    (void)state;
    object_put(r, SLICE_OF("a-1", "a", "10.1.0.1"));
    object_put(r, SLICE_OF("b-1", "b", "10.1.0.1"));
    seen_init(&s, r);
    object_put(r, POD("p", "10.1.0.1", ""));
    TOPICS(&s, "pod shop/p", "ip 10.1.0.1", "service shop/a", "service shop/b");
    object_put(r, SERVICE("a", "10.0.0.1"));
    TOPICS(&s, "service shop/a", "ip 10.0.0.1", "ip 10.1.0.1", "pod shop/p",
           "service shop/b");
    object_put(r, "{'apiVersion':'v1','kind':'Namespace','metadata':{'name':"
                  "'shop','annotations':{'tulle.dev/mtls':'strict'}}}");
    TOPICS(&s, "namespace shop", "pod shop/p", "ip 10.1.0.1", "service shop/a",
           "service shop/b");
    object_put(r, "{'apiVersion':'v1','kind':'Namespace','metadata':{'name':"
                  "'other'}}");
    TOPICS(&s, "namespace other");
    seen_fini(&s);
    registry_free(r);
}

static void indexes_follow(void **state)
{
    struct registry *r = registry_new();

    (void)state;
    object_put(r, SERVICE("a", "10.0.0.1"));
    object_put(r, POD("p", "10.0.0.1", "'nodeName':'n'"));
    object_put(r, SLICE_OF("a-1", "a", "10.0.0.1"));
    assert_int_equal(registry_at(r, SLICE("10.0.0.1"))->services.len, 1);
    assert_int_equal(registry_at(r, SLICE("10.0.0.1"))->pods.len, 1);
    assert_int_equal(registry_at(r, SLICE("10.0.0.1"))->slices.len, 1);
    assert_int_equal(registry_slices(r, SLICE("shop"), SLICE("a"))->len, 1);
    object_put(r, POD("p", "10.0.0.2", ""));
    assert_int_equal(registry_at(r, SLICE("10.0.0.1"))->pods.len, 0);
    registry_del(r, RECORD_SERVICE, SLICE("shop"), SLICE("a"));
    registry_del(r, RECORD_SLICE, SLICE("shop"), SLICE("a-1"));
    assert_null(registry_at(r, SLICE("10.0.0.1")));
    assert_null(registry_slices(r, SLICE("shop"), SLICE("a")));
    assert_int_equal(registry_count(r, RECORD_POD), 1);
    registry_free(r);
}

static void for_people(void **state)
{
    struct registry *r = registry_new();
    struct text out;

    (void)state;
    object_put(r, SERVICE("b", "None"));
    object_put(r, SERVICE("a", "::ffff:10.0.0.1"));
    text_init(&out, 1 << 16);
    registry_json(r, &out);
    assert_string_equal(
        text_cstr(&out),
        "{\"version\":2,\"synced\":false,\"Namespace\":[],\"Service\":["
        "{\"name\":\"shop/a\",\"ips\":[\"10.0.0.1\"],\"ports\":[{\"port\":80}"
        "]},{\"name\":\"shop/b\",\"ips\":[],\"ports\":[{\"port\":80}]}],"
        "\"EndpointSlice\":[],\"Pod\":[]}");
    text_fini(&out);
    registry_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_version_grows_with_every_change),
        cmocka_unit_test(topics_of_both_the_old_and_the_new),
        cmocka_unit_test(what_one_object_means_for_others),
        cmocka_unit_test(indexes_follow),
        cmocka_unit_test(for_people),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
