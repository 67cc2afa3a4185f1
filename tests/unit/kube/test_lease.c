/* SPDX-License-Identifier: Apache-2.0 */
/* Several who want one lease, of a server with optimistic locking. */
#include <stdlib.h>

#include "lib/kube/lease.h"
#include "tests/unit/kube/api.h"

#define DURATION (900 * NSEC_PER_MSEC)

struct store {
    unsigned version; /* 0: there is none */
    char holder[20];
    unsigned writes;
    bool silent;
};

struct write {
    struct api *api;
    bool create, release;
    struct text body;
};

static void reply_lease(struct exchange *x, const struct store *s,
                        unsigned code)
{
    struct text t;

    text_init(&t, 1000);
    text_printf(&t, "{\"metadata\":{\"resourceVersion\":\"%u\"},\"spec\":{",
                s->version);
    if (s->holder[0])
        text_printf(&t, "\"holderIdentity\":\"%s\",", s->holder);
    text_add(&t, SLICE("\"leaseDurationSeconds\":1}}"));
    api_reply(x, code, text_cstr(&t));
    text_fini(&t);
}

/* A patch with an old version is refused. */
static void take_write(struct exchange *x, struct store *s, struct write *w)
{
    static const struct json_limits limits = {10000, 100};
    struct json_doc *doc = NULL;
    slice version = SLICE_NONE, holder = SLICE_NONE;
    struct json root;
    uint64_t n = 0;
    struct error e;

    assert_int_equal(json_parse(text_slice(&w->body), &limits, &doc, &e), OK);
    root = json_root(doc);
    assert_int_equal(json_opt_string(json_get(root, "metadata"),
                                     "resourceVersion", &version, &e),
                     OK);
    assert_int_equal(
        json_opt_string(json_get(root, "spec"), "holderIdentity", &holder, &e),
        OK);
    if (!w->create)
        assert_int_equal(slice_to_u64(version, 1000000, &n), OK);
    if (w->create && s->version) {
        api_reply(x, 409, "{\"reason\":\"AlreadyExists\"}");
    } else if (n != s->version) {
        api_reply(x, 409, "{\"reason\":\"Conflict\"}");
    } else {
        s->version++;
        s->writes++;
        snprintf(s->holder, sizeof s->holder, "%.*s", FMT(holder));
        reply_lease(x, s, w->create ? 201 : 200);
    }
    json_free(doc);
}

/* A JSON patch whose first step says whose it must be. */
static void take_release(struct exchange *x, struct store *s, struct write *w)
{
    static const struct json_limits limits = {10000, 100};
    struct json_doc *doc = NULL;
    slice holder = SLICE_NONE;
    struct error e;

    assert_int_equal(json_parse(text_slice(&w->body), &limits, &doc, &e), OK);
    assert_int_equal(
        json_string(json_first(json_root(doc)), "value", &holder, &e), OK);
    if (slice_eq(holder, slice_str(s->holder))) {
        s->version++;
        s->holder[0] = 0;
    }
    reply_lease(x, s, 200);
    json_free(doc);
}

static void on_body(struct exchange *x, slice data, bool end)
{
    struct write *w = x->owner;

    exchange_consumed(x, data.len);
    text_add(&w->body, data);
    if (end && w->release)
        take_release(x, w->api->owner, w);
    else if (end)
        take_write(x, w->api->owner, w);
}

static void end_write(struct exchange *x)
{
    struct write *w = x->owner;

    text_fini(&w->body);
    mem_free(w);
}
static void on_reset(struct exchange *x, enum reset_why why)
{
    (void)why;
    end_write(x);
}
static const struct exchange_events write_events = {
    NULL, on_body, api_trailers, api_sent, on_reset, end_write};

static void on_request(struct api *api, struct exchange *x,
                       const struct head *h)
{
    struct store *s = api->owner;

    if (s->silent)
        return;
    if (slice_eq(h->method, SLICE("GET"))) {
        if (s->version)
            reply_lease(x, s, 200);
        else
            api_reply(x, 404, "{}");
        return;
    }
    struct write *w = MEM_NEW(struct write);
    w->api = api;
    w->create = slice_eq(h->method, SLICE("POST"));
    w->release = slice_eq(headers_find(&h->headers, HDR_CONTENT_TYPE)->value,
                          SLICE("application/json-patch+json"));
    text_init(&w->body, 10000);
    exchange_own(x, &write_events, w);
}

struct member {
    struct kube_lease *lease;
    bool leading;
    unsigned changes;
};

static void on_leading(void *owner, bool on)
{
    struct member *m = owner;

    assert_int_not_equal(m->leading, on);
    m->leading = on;
    m->changes++;
}

static void join_lease(struct api *api, struct member *m, const char *identity)
{
    struct kube_lease_options opt = {SLICE("n"), SLICE("l"),
                                     slice_str(identity), DURATION, 0};
    struct error e;

    assert_int_equal(
        kube_lease_start(&m->lease, api->kube, &opt, on_leading, m, &e), OK);
}

static void one_leads_and_hands_over(void **state)
{
    struct store s = {0};
    struct member m[3] = {{0}};
    static const char *const names[] = {"a", "b", "c"};
    struct api api;
    int first = -1;
    int64_t since;

    (void)state;
    api_init(&api, on_request, &s);
    api_connect(&api);
    for (int i = 0; i < 3; i++)
        join_lease(&api, &m[i], names[i]);
    TURN_UNTIL(&api.t, s.writes >= 4);
    for (int i = 0; i < 3; i++)
        if (m[i].leading)
            first = i;
    assert_true(first >= 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(m[i].changes, i == first);
        assert_int_equal(kube_lease_leading(m[i].lease), i == first);
        if (i != first)
            assert_true(slice_eq(kube_lease_holder(m[i].lease),
                                 slice_str(names[first])));
    }
    /* Given back: the next one need not wait until it has expired. */
    since = clock_mono_ns();
    kube_lease_close(m[first].lease);
    m[first] = (struct member){0};
    TURN_UNTIL(&api.t, m[0].leading + m[1].leading + m[2].leading == 1);
    assert_true(clock_mono_ns() - since < DURATION);
    for (int i = 0; i < 3; i++)
        kube_lease_close(m[i].lease);
    api_fini(&api);
}

static void who_cannot_renew_leads_no_longer(void **state)
{
    struct store s = {0};
    struct member m = {0};
    struct api api;
    int64_t since;

    (void)state;
    api_init(&api, on_request, &s);
    api_connect(&api);
    join_lease(&api, &m, "a");
    TURN_UNTIL(&api.t, m.leading && s.writes >= 2);
    s.silent = true;
    since = clock_mono_ns();
    TURN_UNTIL(&api.t, !m.leading);
    assert_true(clock_mono_ns() - since < DURATION);
    assert_false(kube_lease_leading(m.lease));
    s.silent = false;
    TURN_UNTIL(&api.t, m.leading);
    /* Somebody took it away by hand. */
    s.version++;
    snprintf(s.holder, sizeof s.holder, "x");
    TURN_UNTIL(&api.t, !m.leading);
    kube_lease_close(m.lease);
    api_fini(&api);
}

/* A container that starts again in the same pod need not wait. */
static void an_earlier_life(void **state)
{
    struct store s = {.version = 7, .holder = "a"};
    struct member m = {0};
    struct api api;
    int64_t since;

    (void)state;
    api_init(&api, on_request, &s);
    api_connect(&api);
    join_lease(&api, &m, "a");
    since = clock_mono_ns();
    TURN_UNTIL(&api.t, m.leading);
    assert_true(clock_mono_ns() - since < DURATION);
    kube_lease_close(m.lease);
    api_fini(&api);
}

static void it_expires(void **state)
{
    struct store s = {.version = 7, .holder = "dead"};
    struct member m = {0};
    struct api api;
    int64_t since;

    (void)state;
    api_init(&api, on_request, &s);
    api_connect(&api);
    join_lease(&api, &m, "a");
    since = clock_mono_ns();
    TURN_UNTIL(&api.t, m.leading);
    /* The lease says one second. */
    assert_true(clock_mono_ns() - since > NSEC_PER_SEC);
    kube_lease_close(m.lease);
    api_fini(&api);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_leads_and_hands_over),
        cmocka_unit_test(who_cannot_renew_leads_no_longer),
        cmocka_unit_test(an_earlier_life),
        cmocka_unit_test(it_expires),
    };

    tls_library_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
