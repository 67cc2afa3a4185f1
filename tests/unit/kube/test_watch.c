/* SPDX-License-Identifier: Apache-2.0 */
/* Watches against a server on the same loop: what is told, in which order, and
 * closing in every event and at any time. The many ways in which a server fails
 * are in tests/system. */
#include <stdlib.h>

#include "lib/base/map.h"
#include "lib/kube/lease.h"
#include "lib/kube/watch.h"
#include "tests/unit/kube/api.h"

#define OBJECT(name, version)                                   \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"n\"," \
    "\"resourceVersion\":\"" version "\"}}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define LISTED                                                          \
    EVENT("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"5\","       \
                      "\"annotations\":{\"k8s.io/initial-events-end\":" \
                      "\"true\"}}}")

struct seen {
    struct api *api;
    struct kube_watch *w;
    struct text story; /* "+a -b ! ?" */
    char close_at;     /* the event in which to close; 0: none */
    bool close_kube;
    unsigned deleted; /* ends that were seen */
};

static void note(struct seen *s, char what, slice name)
{
    struct kube_watch *w = s->w;

    text_add_char(&s->story, what);
    text_add(&s->story, name);
    text_add_char(&s->story, ' ');
    if (what != s->close_at)
        return;
    assert_non_null(w); /* or it was told after it was closed */
    s->w = NULL;
    if (s->close_kube) {
        kube_close(s->api->kube);
        s->api->kube = NULL;
    }
    kube_watch_close(w);
}

static void on_object(void *owner, struct json obj)
{
    slice name;
    struct error e;

    assert_int_equal(json_string(json_get(obj, "metadata"), "name", &name, &e),
                     OK);
    note(owner, '+', name);
}
static void on_gone(void *owner, slice ns, slice name)
{
    assert_true(slice_eq(ns, SLICE("n")));
    note(owner, '-', name);
}
static void on_synced(void *owner)
{
    note(owner, '!', SLICE_NONE);
}
static void on_absent(void *owner, bool absent)
{
    note(owner, absent ? '?' : '.', SLICE_NONE);
}
/* Always told of the one that is told as gone next. */
static void on_deleted(void *owner, struct json obj)
{
    struct seen *s = owner;
    struct error e;
    slice version;

    assert_int_equal(
        json_string(json_get(obj, "metadata"), "resourceVersion", &version, &e),
        OK);
    assert_false(slice_empty(version));
    s->deleted++;
}
static const struct kube_watch_events events = {on_object, on_gone, on_synced,
                                                on_absent, on_deleted};

static void seen_init(struct seen *s, api_fn *on_request)
{
    *s = (struct seen){.api = MEM_NEW(struct api)};
    text_init(&s->story, 10000);
    api_init(s->api, on_request, s);
    api_connect(s->api);
}

static void seen_watch(struct seen *s, const char *path)
{
    struct kube_watch_options opt = {.path = slice_str(path)};
    struct error e;

    assert_int_equal(
        kube_watch_start(&s->w, s->api->kube, &opt, &events, s, &e), OK);
}

static void seen_fini(struct seen *s)
{
    kube_watch_close(s->w);
    api_fini(s->api);
    mem_free(s->api);
    text_fini(&s->story);
}

static bool asks(const struct head *h, const char *what)
{
    return memmem(h->path.ptr, h->path.len, what, strlen(what)) != NULL;
}

static void say(struct exchange *x, const char *text)
{
    exchange_send_body(x, slice_str(text), false);
}

/* --- streamed --- */

static void on_streamed(struct api *api, struct exchange *x,
                        const struct head *h)
{
    (void)api;
    api_begin(x);
    if (asks(h, "sendInitialEvents=true")) {
        say(x, EVENT("ADDED", OBJECT("a", "1")) EVENT("ADDED", OBJECT("b", "2"))
                   LISTED);
        say(x, EVENT("DELETED", OBJECT("a", "6"))
                   EVENT("MODIFIED", OBJECT("b", "7")));
        exchange_send_body(x, SLICE_NONE, true);
        return;
    }
    /* A stream that ends early is gone on with where it was. */
    assert_true(asks(h, "resourceVersion=7"));
    say(x,
        EVENT("DELETED", OBJECT("b", "8")) EVENT("DELETED", OBJECT("c", "9")));
}

static void a_streamed_list(void **state)
{
    struct seen s;

    (void)state;
    seen_init(&s, on_streamed);
    seen_watch(&s, "/api/v1/pods");
    TURN_UNTIL(&s.api->t, slice_ends(text_slice(&s.story), SLICE("-b ")));
    /* What was never told is not told to be gone. */
    assert_string_equal(text_cstr(&s.story), "+a +b ! -a +b -b ");
    assert_int_equal(s.deleted, 2);
    assert_true(kube_watch_synced(s.w));
    assert_true(kube_watch_heard(s.w) > 0);
    assert_int_equal(kube_watch_interruptions(s.w), 1);
    seen_fini(&s);
}

/* --- pages --- */

static void on_paged(struct api *api, struct exchange *x, const struct head *h)
{
    (void)api;
    if (asks(h, "sendInitialEvents")) {
        api_reply(x, 422, "{\"reason\":\"Invalid\"}");
    } else if (asks(h, "watch=true")) {
        assert_true(asks(h, "resourceVersion=5"));
        api_begin(x);
        say(x, EVENT("DELETED", OBJECT("b", "6")));
    } else if (asks(h, "continue=more%2B")) {
        api_reply(
            x, 200,
            "{\"metadata\":{\"resourceVersion\":\"5\"},\"items\":[" OBJECT(
                "b", "2") "]}");
    } else {
        assert_true(asks(h, "limit=500"));
        api_reply(x, 200,
                  "{\"metadata\":{\"resourceVersion\":\"5\","
                  "\"continue\":\"more+\"},\"items\":[" OBJECT("a", "1") "]}");
    }
}

static void a_list_in_pages(void **state)
{
    struct seen s;

    (void)state;
    seen_init(&s, on_paged);
    seen_watch(&s, "/api/v1/pods");
    TURN_UNTIL(&s.api->t, slice_ends(text_slice(&s.story), SLICE("-b ")));
    assert_string_equal(text_cstr(&s.story), "+a +b ! -b ");
    seen_fini(&s);
}

/* --- not there --- */

static void on_nothing(struct api *api, struct exchange *x,
                       const struct head *h)
{
    (void)api;
    (void)h;
    api_reply(x, 404, "{}");
}

static void an_absent_resource(void **state)
{
    struct seen s;

    (void)state;
    seen_init(&s, on_nothing);
    seen_watch(&s, "/apis/tulle.dev/v1alpha1/meshconfigs");
    TURN_UNTIL(&s.api->t, s.story.len);
    assert_string_equal(text_cstr(&s.story), "? ! ");
    assert_true(kube_watch_synced(s.w));
    seen_fini(&s);
}

/* --- closing --- */

static void closing_in_an_event(void **state)
{
    static const struct {
        api_fn *fn;
        char at;
    } rows[] = {
        {on_streamed, '+'}, {on_streamed, '!'}, {on_streamed, '-'},
        {on_paged, '+'},    {on_paged, '!'},    {on_paged, '-'},
        {on_nothing, '?'},  {on_nothing, '!'},
    };

    (void)state;
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        struct seen s;
        size_t before;

        seen_init(&s, rows[i / 2].fn);
        s.close_at = rows[i / 2].at;
        s.close_kube = i % 2;
        seen_watch(&s, "/api/v1/pods");
        TURN_UNTIL(&s.api->t, !s.w);
        before = s.story.len;
        for (int j = 0; j < 20; j++)
            turn(&s.api->t);
        assert_int_equal(s.story.len, before);
        seen_fini(&s);
    }
}

static void on_leading(void *owner, bool on)
{
    (void)owner;
    (void)on;
}

static void on_any(struct api *api, struct exchange *x, const struct head *h)
{
    if (asks(h, "/leases"))
        api_reply(x, slice_eq(h->method, SLICE("GET")) ? 404 : 201,
                  "{\"metadata\":{\"resourceVersion\":\"1\"},\"spec\":{"
                  "\"holderIdentity\":\"me\"}}");
    else if (asks(h, "/paged"))
        on_paged(api, x, h);
    else
        on_streamed(api, x, h);
}

static void closing_at_any_time(void **state)
{
    static const struct kube_lease_options opt = {
        SLICE_INIT("n"), SLICE_INIT("l"), SLICE_INIT("me"), 0, 0};

    (void)state;
    for (int n = 0; n < 90; n++) {
        struct kube_lease *lease = NULL;
        struct seen s, paged;
        struct error e;
        size_t before;

        seen_init(&s, on_any);
        paged = s;
        text_init(&paged.story, 10000);
        seen_watch(&s, "/api/v1/streamed");
        seen_watch(&paged, "/api/v1/paged");
        assert_int_equal(
            kube_lease_start(&lease, s.api->kube, &opt, on_leading, &s, &e),
            OK);
        for (int i = 0; i < n / 3; i++)
            turn(&s.api->t);
        if (n % 3 == 0) {
            kube_close(s.api->kube);
            s.api->kube = NULL;
        }
        before = s.story.len + paged.story.len;
        if (n % 3 == 0)
            turn(&s.api->t);
        kube_watch_close(s.w);
        kube_watch_close(paged.w);
        s.w = NULL;
        kube_lease_close(lease);
        if (n % 3 == 1)
            turn(&s.api->t);
        assert_int_equal(s.story.len + paged.story.len, before);
        text_fini(&paged.story);
        seen_fini(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_streamed_list),
        cmocka_unit_test(a_list_in_pages),
        cmocka_unit_test(an_absent_resource),
        cmocka_unit_test(closing_in_an_event),
        cmocka_unit_test(closing_at_any_time),
    };

    tls_library_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
