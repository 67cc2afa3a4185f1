/* SPDX-License-Identifier: Apache-2.0 */
/* The controller's own pages, over a loopback socket. */
#include "tests/unit/controller/objects.h"

#include "controller/admin.h"
#include "tests/unit/http/talk.h"

struct rig {
    struct turner t;
    struct registry *registry;
    struct resolve_settings resolve;
    struct publisher *publisher;
    struct admin_pages *pages;
    struct http_limits limits;
    struct http_client *client;
    struct http_conn *conn;
    unsigned status;
    bool ended, over;
    struct text body;
};

static bool ready(void *arg, struct text *why)
{
    (void)arg;
    text_add(why, SLICE("not today"));
    return false;
}

static enum status metrics(void *arg, struct text *out)
{
    (void)arg;
    text_add(out, SLICE("number 1\n"));
    return OK;
}

static void on_head(struct exchange *x, const struct head *head, bool end)
{
    struct rig *r = x->owner;

    r->status = head->status;
    r->ended = end;
}

static void on_body(struct exchange *x, slice data, bool end)
{
    struct rig *r = x->owner;

    text_add(&r->body, data);
    exchange_consumed(x, data.len);
    r->ended = end;
}

static void on_trailers(struct exchange *x, const struct headers *h)
{
    (void)h;
    ((struct rig *)x->owner)->ended = true;
}

static void on_sent(struct exchange *x, size_t n)
{
    (void)x;
    (void)n;
}

static void on_reset(struct exchange *x, enum reset_why why)
{
    (void)why;
    ((struct rig *)x->owner)->over = true;
}

static void on_done(struct exchange *x)
{
    ((struct rig *)x->owner)->over = true;
}

static const struct exchange_events events = {on_head, on_body,  on_trailers,
                                              on_sent, on_reset, on_done};

static void on_closed(struct http_conn *c, enum status why)
{
    (void)why;
    ((struct rig *)c->owner)->conn = NULL;
}

static const struct http_conn_events conn_events = {.on_closed = on_closed};

static void on_client(void *arg, enum status rc, struct http_conn *c,
                      const struct tls_peer *peer, const char *reason)
{
    struct rig *r = arg;

    (void)peer;
    (void)reason;
    assert_int_equal(rc, OK);
    r->client = NULL;
    r->conn = c;
    c->events = &conn_events;
    c->owner = r;
}

static void ask_at(struct rig *r, const struct address *at)
{
    assert_int_equal(http_client_start(&r->client, &r->t.loop, at, NULL,
                                       SLICE_NONE, 5 * NSEC_PER_SEC, &r->limits,
                                       on_client, r),
                     OK);
    TURN_UNTIL(&r->t, r->conn);
}

static void proxies(void *arg, struct json_write *w)
{
    (void)arg;
    json_write_string(w, SLICE("one"));
}

/* With `health`, the client asks there. */
static void rig_init(struct rig *r, bool health)
{
    struct address any;
    struct admin_pages_options opt = {
        .ready = ready, .metrics = metrics, .proxies = proxies};
    struct error e;

    *r = (struct rig){.limits = http_limits_default};
    turner_init(&r->t);
    r->registry = registry_new();
    r->publisher = publisher_new(&r->t.loop, r->registry, &r->resolve,
                                 &session_limits_default);
    opt.registry = r->registry;
    opt.publisher = r->publisher;
    text_init(&r->body, 8 << 20);
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), &opt.at), OK);
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), &any), OK);
    opt.health = health ? &any : NULL;
    assert_int_equal(admin_pages_start(&r->pages, &r->t.loop, &opt, &e), OK);
    if (!health)
        assert_null(admin_pages_health(r->pages));
    ask_at(r, health ? admin_pages_health(r->pages)
                     : admin_pages_address(r->pages));
}

static void rig_fini(struct rig *r)
{
    if (r->conn)
        http_conn_close(r->conn, OK);
    admin_pages_close(r->pages);
    publisher_stop(r->publisher);
    turner_fini(&r->t);
    publisher_free(r->publisher);
    registry_free(r->registry);
    text_fini(&r->body);
}

static struct exchange *get(struct rig *r, const char *path)
{
    struct exchange *x = http_conn_open(r->conn);
    struct header fields[4];
    struct head head;

    assert_non_null(x);
    r->status = 0;
    r->ended = r->over = false;
    text_clear(&r->body);
    exchange_own(x, &events, r);
    head_init_request(&head, SLICE("GET"), SLICE("admin"), slice_str(path),
                      fields, 4);
    exchange_send_head(x, &head, true);
    return x;
}

static void says(struct rig *r, const char *path, unsigned status,
                 const char *body)
{
    (void)get(r, path);
    TURN_UNTIL(&r->t, r->ended);
    assert_int_equal(r->status, status);
    assert_non_null(strstr(text_cstr(&r->body), body));
}

static const char cart[] =
    "{'apiVersion':'v1','kind':'Namespace','metadata':{'name':'cart'}}";

static void pages(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, false);
    object_put(r.registry, cart);
    says(&r, "/v1/registry", 200, "{\"version\":1,");
    says(&r, "/v1/sessions", 200, "\"sessions\":[]");
    says(&r, "/v1/proxies", 200, "{\"proxies\":[\"one\"]}");
    says(&r, "/ready", 503, "not today");
    says(&r, "/metrics", 200, "number 1");
    rig_fini(&r);
}

/* What the kubelet needs, and nothing that a stranger should not see. */
static void health(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, true);
    says(&r, "/live", 200, "live");
    says(&r, "/ready", 503, "not today");
    says(&r, "/v1/registry", 404, "");
    says(&r, "/metrics", 404, "");
    rig_fini(&r);
}

static void changes_are_streamed(void **state)
{
    struct exchange *x;
    struct rig r;

    (void)state;
    rig_init(&r, false);
    x = get(&r, "/v1/registry?watch");
    TURN_UNTIL(&r.t, strstr(text_cstr(&r.body), "\"missed\":0}\n"));
    object_put(r.registry, cart);
    TURN_UNTIL(&r.t, strstr(text_cstr(&r.body),
                            "{\"version\":1,\"kind\":\"Namespace\","
                            "\"name\":\"cart\",\"change\":\"put\"}\n"));
    assert_false(r.ended);
    exchange_reset(x, RESET_CANCELED);
    for (int i = 0; i < 5; i++)
        turn(&r.t);
    registry_del(r.registry, RECORD_NAMESPACE, SLICE_NONE, SLICE("cart"));
    /* One that is still watching when everything ends. */
    (void)get(&r, "/v1/registry?watch=true");
    TURN_UNTIL(&r.t, r.status == 200);
    rig_fini(&r);
}

/* One who does not read is told how much he missed, not all of it. */
static void a_slow_watcher_costs_little(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, false);
    (void)get(&r, "/v1/registry?watch");
    TURN_UNTIL(&r.t, r.status == 200);
    for (int i = 0; i < 20000; i++) { /* all in one pass of the loop */
        object_put(r.registry, cart);
        registry_del(r.registry, RECORD_NAMESPACE, SLICE_NONE, SLICE("cart"));
    }
    TURN_UNTIL(&r.t, strstr(text_cstr(&r.body), "{\"version\":40000,"));
    assert_null(strstr(text_cstr(&r.body), "\"version\":39999,"));
    rig_fini(&r);
}

/* Closed while a watcher reads; the changes go on. */
static void close_at_every_turn(void **state)
{
    (void)state;
    for (int n = 0; n < 12; n++) {
        struct rig r;

        rig_init(&r, n % 2);
        (void)get(&r, "/v1/registry?watch");
        for (int i = 0; i < n; i++) {
            turn(&r.t);
            object_put(r.registry, cart);
            registry_del(r.registry, RECORD_NAMESPACE, SLICE_NONE,
                         SLICE("cart"));
        }
        admin_pages_close(r.pages);
        r.pages = NULL;
        object_put(r.registry, cart); /* nobody is told */
        TURN_UNTIL(&r.t, r.over && !r.conn);
        rig_fini(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages),
        cmocka_unit_test(health),
        cmocka_unit_test(changes_are_streamed),
        cmocka_unit_test(a_slow_watcher_costs_little),
        cmocka_unit_test(close_at_every_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
