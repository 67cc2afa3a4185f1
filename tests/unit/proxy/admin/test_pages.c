/* SPDX-License-Identifier: Apache-2.0 */
/* /config from what a controller told, and the pages over a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "lib/json/json.h"
#include "proxy/admin/pages.h"
#include "proxy/discovery/lookup.h"
#include "tests/unit/http/talk.h"

struct rig {
    struct turner t;
    struct discovery *d;
    struct lookup *lk;
    struct telemetry *telemetry;
    struct config config;
    struct pages_options opt;
    struct pages *pages;
    bool ready, closed, seen;
};

static bool is_ready(void *arg, struct text *why)
{
    struct rig *r = arg;
    text_add(why, SLICE("waiting for a certificate"));
    return r->ready;
}

static void process(void *arg, struct telemetry_process *out)
{
    (void)arg;
    *out = (struct telemetry_process){
        .cert_not_after = 1700000000, .session_up = true, .renewals = 2};
}

static void identity(void *arg, struct pages_identity *out)
{
    struct rig *r = arg;
    *out = (struct pages_identity){.session = SLICE("in sync")};
    if (!r->ready)
        return;
    out->name = SLICE("spiffe://test/ns/shop/sa/web");
    out->not_after = 1700000000;
}

static void rig_init(struct rig *r)
{
    struct error e;
    *r = (struct rig){.ready = true};
    turner_init(&r->t);
    r->d = discovery_new(&r->t.loop, NULL);
    r->lk = lookup_new(r->d, &r->t.loop, NULL);
    r->telemetry = telemetry_new(&r->t.loop, false);
    assert_int_equal(
        settings_load(config_rows, config_rows_len, &r->config, NULL, &e), OK);
    r->opt = (struct pages_options){.settings = &r->config,
                                    .ready = is_ready,
                                    .process = process,
                                    .identity = identity,
                                    .discovery = r->d,
                                    .telemetry = &r->telemetry,
                                    .telemetry_len = 1,
                                    .arg = r};
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), &r->opt.at), OK);
}

static void on_closed(void *arg)
{
    ((struct rig *)arg)->closed = true;
}

static void rig_fini(struct rig *r)
{
    pages_close(r->pages);
    lookup_close(r->lk, on_closed, r);
    TURN_UNTIL(&r->t, r->closed && !discovery_workers(r->d));
    discovery_free(r->d);
    telemetry_free(r->telemetry);
    turner_fini(&r->t);
}

static void put(struct rig *r, enum view_kind kind, const char *key,
                const char *json)
{
    struct view *v;
    struct error e = {{0}};
    if (view_decode(kind, slice_str(key), slice_str(json), &v, &e))
        fail_msg("%s", e.text);
    assert_int_equal(discovery_put(r->d, v), OK);
}

static void see(void *arg, enum view_kind kind, slice key, struct view *v)
{
    struct rig *r = arg;
    (void)v;
    r->seen |= kind == VIEW_DESTINATION && slice_eq(key, SLICE("shop/gone:80"));
}

/* The question goes from the worker's side to the main loop's. */
static void ask(struct rig *r)
{
    struct view *v;
    assert_int_equal(
        lookup_destination(r->lk, SLICE("10.0.0.1:80"), &v, NULL, NULL, NULL),
        ERR_AGAIN);
    assert_int_equal(
        lookup_destination(r->lk, SLICE("shop/gone:80"), &v, NULL, NULL, NULL),
        ERR_AGAIN);
    TURN_UNTIL(&r->t, (discovery_each(r->d, see, r), r->seen));
}

static void tell(struct rig *r)
{
    put(r, VIEW_WORKLOAD, "",
        "{\"namespace\":\"shop\",\"pod\":\"web-1\",\"mtls\":\"strict\","
        "\"ports\":[{\"port\":8080,\"protocol\":\"http/1\"}],"
        "\"bundle\":\"PEM\"}");
    put(r, VIEW_BACKEND, "shop/zoo:80",
        "{\"service\":\"shop/zoo:80\",\"endpoints\":[]}");
    put(r, VIEW_BACKEND, "shop/cart:80",
        "{\"service\":\"shop/cart:80\",\"endpoints\":[{\"address\":"
        "\"10.1.0.2:8080\",\"identity\":\"spiffe://test/ns/shop/sa/cart\","
        "\"pod\":\"shop/cart-1\",\"weight\":1,\"protocol\":\"opaque\","
        "\"state\":\"draining\"}]}");
    put(r, VIEW_DESTINATION, "10.0.0.1:80",
        "{\"resolution\":\"known\",\"service\":\"shop/cart:80\","
        "\"protocol\":\"detect\",\"backends\":[{\"key\":\"shop/cart:80\","
        "\"weight\":1}]}");
}

static struct json_doc *page(struct rig *r, slice key)
{
    static const struct json_limits limits = {1 << 20, 10000};
    struct text t;
    struct json_doc *doc;
    struct error e = {{0}};
    text_init(&t, 1 << 20);
    pages_config(&r->opt, key, &t);
    assert_false(t.failed);
    if (json_parse(text_slice(&t), &limits, &doc, &e))
        fail_msg("%s: %s", e.text, text_cstr(&t));
    text_fini(&t);
    return doc;
}

static void member_is(struct json obj, const char *name, const char *want)
{
    slice s;
    struct error e = {{0}};
    if (json_string(obj, name, &s, &e))
        fail_msg("%s", e.text);
    assert_true(slice_eq(s, slice_str(want)));
}

static struct json item(struct json obj, const char *name, unsigned i)
{
    struct json at = json_first(json_get(obj, name));
    while (i--)
        at = json_next(at);
    assert_true(json_present(at));
    return at;
}

static void check_views(struct json root)
{
    struct json workload = item(root, "workload", 0);
    member_is(workload, "namespace", "shop");
    member_is(workload, "mtls", "strict");
    member_is(item(workload, "ports", 0), "protocol", "http/1");
    assert_false(json_present(json_get(workload, "bundle")));

    assert_int_equal(json_count(json_get(root, "destinations")), 2);
    struct json destination = item(root, "destinations", 0);
    member_is(destination, "key", "10.0.0.1:80");
    member_is(destination, "resolution", "known");
    member_is(item(destination, "backends", 0), "key", "shop/cart:80");
    struct json asked = item(root, "destinations", 1);
    bool answered = true;
    member_is(asked, "key", "shop/gone:80");
    assert_int_equal(json_bool(asked, "answered", &answered, NULL), OK);
    assert_false(answered);

    assert_int_equal(json_count(json_get(root, "backends")), 2);
    struct json backend = item(root, "backends", 0); /* sorted: cart, zoo */
    slice hash;
    member_is(backend, "key", "shop/cart:80");
    assert_int_equal(json_string(backend, "hash", &hash, NULL), OK);
    assert_int_equal(hash.len, VIEW_HASH);
    struct json endpoint = item(backend, "endpoints", 0);
    member_is(endpoint, "address", "10.1.0.2:8080");
    member_is(endpoint, "identity", "spiffe://test/ns/shop/sa/cart");
    member_is(endpoint, "state", "draining");
    member_is(item(root, "backends", 1), "key", "shop/zoo:80");
}

static void test_config(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    ask(&r);
    tell(&r);
    struct json_doc *doc = page(&r, SLICE_NONE);
    struct json root = json_root(doc);
    member_is(root, "program", "tulle-proxy");
    member_is(root, "version", TULLE_VERSION);
    assert_int_equal(json_count(json_get(root, "settings")), config_rows_len);
    member_is(json_get(root, "settings"), "detect_timeout", "50ms");
    member_is(json_get(root, "identity"), "name",
              "spiffe://test/ns/shop/sa/web");
    member_is(json_get(root, "identity"), "notAfter", "2023-11-14T22:13:20Z");
    member_is(json_get(root, "session"), "state", "in sync");
    check_views(root);
    json_free(doc);

    doc = page(&r, SLICE("shop/c"));
    assert_int_equal(json_count(json_get(json_root(doc), "backends")), 1);
    assert_int_equal(json_count(json_get(json_root(doc), "destinations")), 0);
    json_free(doc);
    rig_fini(&r);
}

/* Before the first word of the controller: still a page. */
static void test_config_at_the_start(void **state)
{
    struct rig r;
    struct text t;
    (void)state;
    rig_init(&r);
    r.ready = false;
    struct json_doc *doc = page(&r, SLICE_NONE);
    assert_int_equal(json_count(json_get(json_root(doc), "identity")), 0);
    json_free(doc);
    text_init(&t, 100);
    pages_config(&r.opt, SLICE_NONE, &t);
    assert_true(t.failed);
    text_fini(&t);
    rig_fini(&r);
}

/* --- over a socket --- */

struct visit {
    struct call call;
    struct http_conn *conn;
    struct http_client *client;
    bool over, closed;
};

static void on_conn_closed(struct http_conn *c, enum status why)
{
    struct visit *v = c->owner;
    (void)why;
    v->closed = true;
}

static void on_client(void *arg, enum status rc, struct http_conn *c,
                      const struct tls_peer *peer, const char *reason)
{
    static const struct http_conn_events events = {.on_closed = on_conn_closed};
    struct visit *v = arg;
    (void)peer;
    (void)reason;
    assert_int_equal(rc, OK);
    c->events = &events;
    c->owner = v;
    v->conn = c;
}

static unsigned get(struct rig *r, const char *path)
{
    struct visit v = {.call.at_once = 1};
    struct http_limits limits = http_limits_default;
    assert_int_equal(
        http_client_start(&v.client, &r->t.loop, pages_address(r->pages), NULL,
                          SLICE_NONE, 5 * NSEC_PER_SEC, &limits, on_client, &v),
        OK);
    TURN_UNTIL(&r->t, v.conn);
    assert_true(call_start(&v.call, v.conn, slice_str(path)));
    TURN_UNTIL(&r->t, v.call.done || v.call.reset);
    assert_true(v.call.done && v.call.received > 0);
    http_conn_close(v.conn, OK);
    TURN_UNTIL(&r->t, v.closed);
    return v.call.status;
}

static void test_served(void **state)
{
    struct rig r;
    struct error e;
    (void)state;
    rig_init(&r);
    tell(&r);
    assert_int_equal(pages_start(&r.pages, &r.t.loop, &r.opt, &e), OK);
    assert_int_equal(get(&r, "/config"), 200);
    assert_int_equal(get(&r, "/config?a=b&key=shop/"), 200);
    assert_int_equal(get(&r, "/metrics"), 200);
    assert_int_equal(get(&r, "/live"), 200);
    assert_int_equal(get(&r, "/ready"), 200);
    assert_int_equal(get(&r, "/log-level"), 200);
    assert_int_equal(get(&r, "/nothing"), 404);
    r.ready = false;
    assert_int_equal(get(&r, "/ready"), 503);
    rig_fini(&r);
}

/* Closed while a client connects, asks, reads. */
static bool close_at(int n)
{
    struct rig r;
    struct error e;
    struct visit v = {.call.at_once = 1};
    struct http_limits limits = http_limits_default;
    bool started = false;
    int i;
    rig_init(&r);
    tell(&r);
    assert_int_equal(pages_start(&r.pages, &r.t.loop, &r.opt, &e), OK);
    assert_int_equal(
        http_client_start(&v.client, &r.t.loop, pages_address(r.pages), NULL,
                          SLICE_NONE, 5 * NSEC_PER_SEC, &limits, on_client, &v),
        OK);
    for (i = 0; i < n && !v.call.done; i++) {
        turn(&r.t);
        if (v.conn && !started)
            started = call_start(&v.call, v.conn, SLICE("/config"));
    }
    bool over = v.call.done;
    pages_close(r.pages);
    r.pages = NULL;
    if (!v.conn) /* on_client asserts that it connects: the kernel has done */
        TURN_UNTIL(&r.t, v.conn || i == 0);
    if (started)
        TURN_UNTIL(&r.t, v.call.done || v.call.reset);
    if (v.conn)
        TURN_UNTIL(&r.t, v.closed);
    else
        http_client_cancel(v.client);
    rig_fini(&r);
    return !over;
}

static void test_close_at_every_turn(void **state)
{
    int n = 0;
    (void)state;
    while (close_at(n))
        n++;
    assert_true(n > 2);
}

static void test_loopback_only(void **state)
{
    struct rig r;
    struct error e = {{0}};
    (void)state;
    rig_init(&r);
    assert_int_equal(address_parse(SLICE("0.0.0.0:0"), &r.opt.at), OK);
    assert_int_equal(pages_start(&r.pages, &r.t.loop, &r.opt, &e), ERR_DENIED);
    assert_null(r.pages);
    assert_true(strlen(e.text) > 0);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_config_at_the_start),
        cmocka_unit_test(test_served),
        cmocka_unit_test(test_close_at_every_turn),
        cmocka_unit_test(test_loopback_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
