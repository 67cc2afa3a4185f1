/* SPDX-License-Identifier: Apache-2.0 */
/* What is written of proxies, and when: the API server, its watches and time are
 * here. */
#include "tests/unit/http/talk.h"

#include "controller/status/mesh_objects.h"
#include "lib/kube/watch.h"
#include "tests/unit/controller/objects.h"

struct kube {
    struct loop *loop;
};

struct kube_watch {
    const struct kube_watch_events *ev;
    void *owner;
};

struct kube_request {
    kube_done_fn *done;
    void *owner;
};

struct rig {
    struct turner t;
    struct kube kube;
    struct kube_watch watches[2]; /* of MeshProxies, of the MeshConfig */
    size_t watches_len;
    struct kube_request request;
    bool under_way;
    struct text sent; /* the last one: "method body" */
    unsigned sends;
    struct registry *registry;
    struct resolve_settings settings;
    struct publisher *publisher;
    struct proxies *proxies;
    struct mesh_objects *m;
};

static struct rig *rig_now;

/* --- the API server --- */

struct loop *kube_loop(const struct kube *k)
{
    return k->loop;
}

uint64_t kube_version(struct json object)
{
    slice text = SLICE_NONE;
    uint64_t n = 0;
    struct error e;

    if (json_string(json_get(object, "metadata"), "resourceVersion", &text,
                    &e) ||
        slice_to_u64(text, UINT64_MAX, &n))
        return 0;
    return n;
}

enum status kube_send(struct kube *k, const struct kube_call *call,
                      kube_done_fn *done, void *owner,
                      struct kube_request **out)
{
    struct rig *r = rig_now;

    (void)k;
    assert_false(r->under_way); /* one object at a time in these tests */
    r->under_way = true;
    r->request = (struct kube_request){done, owner};
    r->sends++;
    text_clear(&r->sent);
    text_printf(&r->sent, "%d %.*s", call->method, FMT(call->body));
    *out = &r->request;
    return OK;
}

void kube_cancel(struct kube_request *q)
{
    (void)q;
    rig_now->under_way = false;
}

enum status kube_watch_start(struct kube_watch **out, struct kube *k,
                             const struct kube_watch_options *opt,
                             const struct kube_watch_events *ev, void *owner,
                             struct error *e)
{
    struct rig *r = rig_now;

    (void)k;
    (void)opt;
    (void)e;
    assert_true(r->watches_len < 2);
    *out = &r->watches[r->watches_len++];
    **out = (struct kube_watch){ev, owner};
    return OK;
}

bool kube_watch_synced(const struct kube_watch *w)
{
    (void)w;
    return true;
}

int64_t kube_watch_heard(const struct kube_watch *w)
{
    (void)w;
    return 0;
}

uint64_t kube_watch_interruptions(const struct kube_watch *w)
{
    (void)w;
    return 0;
}

void kube_watch_close(struct kube_watch *w)
{
    (void)w;
}

void kube_events_post(struct kube_events *ev, const struct kube_object *on,
                      bool warning, slice reason, slice note)
{
    (void)ev;
    (void)on;
    (void)warning;
    (void)reason;
    (void)note;
}

/* --- the rig --- */

static void facts(void *arg, struct mesh_config_facts *out)
{
    (void)arg;
    (void)out;
}

/* Nobody is told. */
static void on_proxy(void *arg, slice pod, bool numbers)
{
    (void)arg;
    (void)pod;
    (void)numbers;
}

static void rig_init(struct rig *r)
{
    struct mesh_objects_options opt = {
        .settings = &r->settings,
        .facts = facts,
    };
    struct error e;

    *r = (struct rig){.settings = {.trust_domain = SLICE("cluster.local")}};
    rig_now = r;
    turner_init(&r->t);
    r->kube.loop = &r->t.loop;
    text_init(&r->sent, 1 << 16);
    r->registry = registry_new();
    r->publisher = publisher_new(&r->t.loop, r->registry, &r->settings,
                                 &session_limits_default);
    r->proxies = proxies_new(&r->t.loop, r->publisher, on_proxy, NULL);
    opt.registry = r->registry;
    opt.proxies = r->proxies;
    assert_int_equal(mesh_objects_start(&r->m, &r->kube, &opt, &e), OK);
    registry_set_synced(r->registry, true);
    /* The MeshConfig is another matter. */
    r->watches[1].ev->on_absent(r->watches[1].owner, true);
}

static void rig_fini(struct rig *r)
{
    mesh_objects_close(r->m);
    proxies_free(r->proxies);
    publisher_stop(r->publisher);
    turner_fini(&r->t);
    publisher_free(r->publisher);
    registry_free(r->registry);
    text_fini(&r->sent);
}

static struct json_doc *parse(const char *text)
{
    static const struct json_limits limits = {1 << 16, 1000};
    char *json = object_quote(text);
    struct json_doc *doc = NULL;
    struct error e;

    assert_int_equal(json_parse(slice_str(json), &limits, &doc, &e), OK);
    mem_free(json);
    return doc;
}

static void tell(struct rig *r, const char *object)
{
    struct json_doc *doc = parse(object);

    r->watches[0].ev->on_object(r->watches[0].owner, json_root(doc));
    json_free(doc);
}

static void gone(struct rig *r)
{
    r->watches[0].ev->on_gone(r->watches[0].owner, SLICE("shop"),
                              SLICE("cart"));
}

static void reply(struct rig *r, const char *body)
{
    struct json_doc *doc = parse(body);
    struct error e = {""};
    struct kube_answer a = {.rc = OK, .body = json_root(doc), .e = &e};

    assert_true(r->under_way);
    r->under_way = false;
    r->request.done(r->request.owner, &a);
    json_free(doc);
}

/* The next write, to be answered. */
static void expect(struct rig *r, enum kube_method method, const char *word)
{
    char want[8];

    TURN_UNTIL(&r->t, r->under_way);
    snprintf(want, sizeof want, "%d ", method);
    if (!slice_starts(text_slice(&r->sent), slice_str(want)) ||
        !strstr(text_cstr(&r->sent), word))
        fail_msg("not %s and %s: %s", want, word, text_cstr(&r->sent));
}

static void expect_nothing(struct rig *r)
{
    unsigned sends = r->sends;

    TURN_UNTIL(&r->t, mesh_objects_behind(r->m) == 0);
    assert_int_equal(r->sends, sends);
}

/* The timer that is due in so long; NULL: there is none. */
static struct timer *timer_in(struct rig *r, int64_t seconds)
{
    const struct timers *ts = &r->t.loop.timers;

    for (uint32_t i = 0; i < ts->len; i++) {
        int64_t left = ts->heap[i]->at - loop_now(&r->t.loop);

        if (left > (seconds - 2) * NSEC_PER_SEC &&
            left <= seconds * NSEC_PER_SEC)
            return ts->heap[i];
    }
    return NULL;
}

static void fire(struct rig *r, int64_t seconds)
{
    struct timer *t = timer_in(r, seconds);

    assert_non_null(t);
    timer_stop(&r->t.loop.timers, t);
    t->fire(t);
}

enum { TICK = 5, SETTLE = 30 };

#define POD(uid)                                                            \
    "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'cart',"            \
    "'namespace':'shop','uid':'" uid "'},'spec':{'containers':[{'name':"    \
    "'app'}],'initContainers':[{'name':'tulle-proxy','restartPolicy':"      \
    "'Always'}]},'status':{'phase':'Running','podIP':'10.0.0.1','podIPs':[" \
    "{'ip':'10.0.0.1'}]}}"
#define PROXY_META(version, uid, more)                                  \
    "{'kind':'MeshProxy','metadata':{'name':'cart','namespace':'shop'," \
    "'resourceVersion':'" version "','ownerReferences':[{'uid':'" uid   \
    "'}]" more "}"
#define PROXY(version, uid, more) \
    PROXY_META(version, uid, more) ",'status':{'sync':'yes'}}"
#define ENDING \
    ",'deletionTimestamp':'2026-11-22T10:00:00Z','finalizers':['x/y']"
#define DELETED "{'kind':'Status','status':'Success'}"

/* --- tests --- */

/* Somebody's finalizer keeps it: to delete it again changes nothing. */
static void what_ends_is_not_deleted_again(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    mesh_objects_serve(r.m, true);
    mesh_objects_lead(r.m, true);
    tell(&r, PROXY("1", "old", ""));
    expect(&r, KUBE_DELETE, "");
    reply(&r, PROXY("2", "old", ENDING));
    expect_nothing(&r);
    tell(&r, PROXY("3", "old", ENDING));
    expect_nothing(&r);
    /* Another pod of its name waits for it, too. */
    object_put(r.registry, POD("new"));
    expect_nothing(&r);
    gone(&r);
    expect(&r, KUBE_POST, "\"uid\":\"new\"");
    rig_fini(&r);
}

static void it_is_deleted_once_when_the_watch_is_late(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    mesh_objects_serve(r.m, true);
    mesh_objects_lead(r.m, true);
    object_put(r.registry, POD("new"));
    expect(&r, KUBE_POST, "new");
    tell(&r, PROXY("5", "old", "")); /* made again meanwhile */
    reply(&r, PROXY("4", "old", ""));
    expect(&r, KUBE_DELETE, "");
    tell(&r, PROXY("6", "old", ENDING));
    reply(&r, DELETED);
    expect_nothing(&r);
    rig_fini(&r);
}

/* Before, nobody can have said that its proxy is there. */
static void it_settles_from_when_proxies_can_connect(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    object_put(r.registry, POD("u"));
    mesh_objects_lead(r.m, true);
    tell(&r, PROXY("1", "u", ""));
    assert_null(timer_in(&r, SETTLE));
    mesh_objects_look(r.m);
    expect_nothing(&r);
    mesh_objects_serve(r.m, true);
    mesh_objects_look(r.m);
    expect_nothing(&r);
    fire(&r, SETTLE);
    expect(&r, KUBE_MERGE_PATCH, "Disconnected");
    reply(&r, PROXY("2", "u", ""));
    /* Who leads again knows as little. */
    mesh_objects_lead(r.m, false);
    assert_null(timer_in(&r, SETTLE));
    mesh_objects_lead(r.m, true);
    assert_non_null(timer_in(&r, SETTLE));
    rig_fini(&r);
}

/* As when a certificate ends: nobody tells. */
static void all_is_looked_at_now_and_then(void **state)
{
    struct proxy_state s = {.ns = SLICE("shop"),
                            .pod = SLICE("cart"),
                            .uid = SLICE("u"),
                            .in_sync = true};
    struct rig r;

    (void)state;
    rig_init(&r);
    mesh_objects_serve(r.m, true);
    mesh_objects_lead(r.m, true);
    object_put(r.registry, POD("u"));
    tell(&r, PROXY("1", "u", ""));
    expect_nothing(&r);
    proxies_put(r.proxies, 1, &s);
    for (int i = 0; i < 59; i++)
        fire(&r, TICK);
    expect_nothing(&r);
    fire(&r, TICK);
    assert_int_equal(mesh_objects_behind(r.m), 2); /* and the MeshConfig */
    expect(&r, KUBE_MERGE_PATCH, "Synced");
    rig_fini(&r);
}

/* The last word on a MeshProxy may come after its pod went. */
static void nothing_is_kept_of_what_is_gone(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    mesh_objects_serve(r.m, true);
    mesh_objects_lead(r.m, true);
    tell(&r, PROXY("1", "u", ""));
    expect(&r, KUBE_DELETE, "");
    reply(&r, DELETED);
    gone(&r);
    expect_nothing(&r);
    fire(&r, SETTLE);
    /* It never met anybody, as far as we know. */
    object_put(r.registry, POD("u"));
    expect(&r, KUBE_POST, "");
    reply(&r, PROXY_META("2", "u", "") "}");
    expect(&r, KUBE_MERGE_PATCH, "\"never\"");
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_ends_is_not_deleted_again),
        cmocka_unit_test(it_is_deleted_once_when_the_watch_is_late),
        cmocka_unit_test(it_settles_from_when_proxies_can_connect),
        cmocka_unit_test(all_is_looked_at_now_and_then),
        cmocka_unit_test(nothing_is_kept_of_what_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
