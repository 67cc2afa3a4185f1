/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: what answers mean, the line, cancelling and closing at any time. */
#include <stdlib.h>

#include "tests/unit/kube/api.h"

struct got {
    unsigned times;
    enum status rc;
    unsigned http_status;
    int64_t retry_after, date;
    char reason[64], text[512], value[64];
};

static void on_done(void *owner, const struct kube_answer *a)
{
    struct got *g = owner;
    slice value = SLICE_NONE;

    g->times++;
    g->rc = a->rc;
    g->http_status = a->http_status;
    g->retry_after = a->retry_after;
    g->date = a->date;
    snprintf(g->reason, sizeof g->reason, "%.*s", FMT(a->reason));
    snprintf(g->text, sizeof g->text, "%s", a->e->text);
    if (!json_opt_string(a->body, "a", &value, NULL))
        snprintf(g->value, sizeof g->value, "%.*s", FMT(value));
}

static void send_get(struct api *api, const char *path, struct got *g,
                     struct kube_request **r)
{
    struct kube_call call = {.method = KUBE_GET, .path = slice_str(path)};

    assert_int_equal(kube_send(api->kube, &call, on_done, g, r), OK);
}

/* --- answers --- */

struct canned {
    unsigned status;
    const char *body, *retry_after;
    enum status rc;
    const char *reason, *says;
};

static void on_canned(struct api *api, struct exchange *x, const struct head *h)
{
    const struct canned *c = api->owner;
    struct header fields[4];
    struct head out;

    (void)h;
    head_init_response(&out, c->status, fields, 4);
    if (c->retry_after)
        assert_int_equal(headers_add(&out.headers, SLICE("retry-after"),
                                     slice_str(c->retry_after)),
                         OK);
    if (*c->body)
        assert_int_equal(headers_add(&out.headers, SLICE("date"),
                                     SLICE("Sun, 06 Nov 1994 08:49:37 GMT")),
                         OK);
    exchange_send_head(x, &out, !*c->body);
    if (*c->body)
        exchange_send_body(x, slice_str(c->body), true);
}

#define STATUS(reason, message)                                             \
    "{\"kind\":\"Status\",\"reason\":\"" reason "\",\"message\":\"" message \
    "\"}"

static void what_answers_mean(void **state)
{
    static const struct canned rows[] = {
        {200, "{\"a\":\"b\"}", NULL, OK, "", ""},
        {201, "{\"a\":\"b\"}", NULL, OK, "", ""},
        {204, "", NULL, OK, "", ""},
        {200, "<html>", NULL, ERR_PROTOCOL, "", "the answer"},
        {200, "{\"a\":\"b\"}}", NULL, ERR_PROTOCOL, "", "the answer"},
        {302, "", NULL, ERR_PROTOCOL, "", "302"},
        {400, STATUS("BadRequest", "m"), NULL, ERR_INVALID, "BadRequest", "m"},
        {401, STATUS("Unauthorized", "m"), NULL, ERR_DENIED, "Unauthorized",
         "m"},
        {403, STATUS("Forbidden", "pods is forbidden"), NULL, ERR_DENIED,
         "Forbidden", "GET /x: pods is forbidden (HTTP status 403)"},
        {404, "no JSON", NULL, ERR_NOT_FOUND, "", "404"},
        {404, STATUS("NotFound", "m"), NULL, ERR_NOT_FOUND, "NotFound", "m"},
        {409, STATUS("AlreadyExists", "m"), NULL, ERR_EXISTS, "AlreadyExists",
         "m"},
        {409, STATUS("Conflict", "m"), NULL, ERR_AGAIN, "Conflict", "m"},
        {410, STATUS("Expired", "m"), NULL, ERR_INVALID, "Expired", "m"},
        {413, "", NULL, ERR_TOO_BIG, "", "413"},
        {422, STATUS("Invalid", "m"), NULL, ERR_INVALID, "Invalid", "m"},
        {429, "{\"reason\":7}", "2", ERR_RESOURCES, "", "429"},
        {500, "", NULL, ERR_IO, "", "500"},
        {503, "", "1", ERR_RESOURCES, "", "503"},
        {504, "", NULL, ERR_TIMEOUT, "", "504"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct got g = {0};
        struct api api;

        api_init(&api, on_canned, (void *)(uintptr_t)&rows[i]);
        api_connect(&api);
        send_get(&api, "/x?y=z", &g, NULL);
        TURN_UNTIL(&api.t, g.times);
        assert_int_equal(g.rc, rows[i].rc);
        assert_int_equal(g.http_status, rows[i].status);
        assert_string_equal(g.reason, rows[i].reason);
        if (!strstr(g.text, rows[i].says))
            fail_msg("'%s' does not say '%s'", g.text, rows[i].says);
        if (rows[i].rc == OK && *rows[i].body)
            assert_string_equal(g.value, "b");
        assert_int_equal(g.retry_after,
                         rows[i].retry_after
                             ? (rows[i].retry_after[0] - '0') * NSEC_PER_SEC
                             : 0);
        assert_int_equal(g.date, *rows[i].body ? 784111777 : 0);
        api_fini(&api);
        assert_int_equal(g.times, 1);
    }
}

/* --- what is sent --- */

static void on_check(struct api *api, struct exchange *x, const struct head *h)
{
    const struct header *token = headers_find_name(&h->headers,
                                                   SLICE("authorization"));
    const struct header *type = headers_find(&h->headers, HDR_CONTENT_TYPE);
    const char *want = api->owner;

    assert_non_null(token);
    if (!slice_eq(token->value, slice_str(want)))
        fail_msg("'%.*s' instead of '%s'", FMT(token->value), want);
    if (slice_eq(h->method, SLICE("PATCH")))
        assert_true(
            slice_eq(type->value, SLICE("application/merge-patch+json")));
    api_reply(x, 200, "{}");
}

static void token_file_is_read_again(void **state)
{
    struct kube_call call = {
        .method = KUBE_MERGE_PATCH, .path = SLICE("/x"), .body = SLICE("{}")};
    struct got g = {0};
    struct api api;
    int64_t since;

    (void)state;
    api_init(&api, on_check, (void *)(uintptr_t) "Bearer a-token");
    api_connect(&api);
    assert_int_equal(kube_send(api.kube, &call, on_done, &g, NULL), OK);
    TURN_UNTIL(&api.t, g.times);
    assert_int_equal(g.rc, OK);
    api_write(api.token, SLICE("another\n"));
    api.owner = (void *)(uintptr_t) "Bearer another";
    since = clock_mono_ns(); /* it is looked at once a second */
    TURN_UNTIL(&api.t, clock_mono_ns() - since > NSEC_PER_SEC * 11 / 10);
    assert_int_equal(kube_send(api.kube, &call, on_done, &g, NULL), OK);
    TURN_UNTIL(&api.t, g.times == 2);
    assert_int_equal(g.rc, OK);
    api_fini(&api);
}

static void limits(void **state)
{
    struct kube_call call = {.method = KUBE_POST, .path = SLICE("/x")};
    char *big = mem_zalloc(KUBE_BODY_MAX + 1);
    struct got g = {0};
    struct api api;

    (void)state;
    memset(big, 'x', KUBE_BODY_MAX + 1);
    api_init(&api, on_check, NULL);
    api_connect(&api);
    call.body = slice_of(big, KUBE_BODY_MAX + 1);
    assert_int_equal(kube_send(api.kube, &call, on_done, &g, NULL),
                     ERR_TOO_BIG);
    call.body = SLICE_NONE;
    call.path = slice_of(big, KUBE_PATH_MAX + 1);
    assert_int_equal(kube_send(api.kube, &call, on_done, &g, NULL),
                     ERR_TOO_BIG);
    api_fini(&api);
    assert_int_equal(g.times, 0);
    mem_free(big);
}

/* --- no answer --- */

static void strangers_are_not_trusted(void **state)
{
    struct ca *other = ids_ca(OTHER_DOMAIN);
    struct got g = {0};
    struct error e;
    struct api api;

    (void)state;
    api_init(&api, on_check, NULL);
    assert_int_equal(kube_start(&api.kube, &api.t.loop,
                                api_access(&api, ca_cert_pem(other)), "t", &e),
                     OK);
    send_get(&api, "/x", &g, NULL);
    TURN_UNTIL(&api.t, g.times);
    assert_int_equal(g.rc, ERR_TLS);
    assert_int_equal(api.requests, 0);
    api_fini(&api);
    ca_free(other);
}

static void nobody_there(void **state)
{
    struct got g = {0};
    struct api api;

    (void)state;
    api_init(&api, on_check, NULL);
    api_connect(&api);
    http_server_close(api.server);
    api.server = NULL;
    send_get(&api, "/x", &g, NULL);
    TURN_UNTIL(&api.t, g.times);
    assert_int_equal(g.rc, ERR_REFUSED);
    assert_true(g.text[0]);
    api_fini(&api);
}

static void on_silence(struct api *api, struct exchange *x,
                       const struct head *h)
{
    (void)api;
    (void)x;
    (void)h;
}

static void no_answer_in_time(void **state)
{
    struct kube_call call = {.path = SLICE("/x"),
                             .timeout = 200 * NSEC_PER_MSEC};
    struct got g = {0};
    struct api api;

    (void)state;
    api_init(&api, on_silence, NULL);
    api_connect(&api);
    assert_int_equal(kube_send(api.kube, &call, on_done, &g, NULL), OK);
    TURN_UNTIL(&api.t, g.times);
    assert_int_equal(g.rc, ERR_TIMEOUT);
    /* What comes next is sent on another connection, and works. */
    api.on_request = on_check;
    api.owner = (void *)(uintptr_t) "Bearer a-token";
    TURN_UNTIL(&api.t, http_server_connections(api.server) == 0);
    send_get(&api, "/x", &g, NULL);
    TURN_UNTIL(&api.t, g.times == 2);
    assert_int_equal(g.rc, OK);
    api_fini(&api);
}

/* --- many --- */

enum { MANY = 200, FEW = 5 };

struct crowd {
    struct exchange *held[MANY];
    unsigned n;
};

static void on_crowd(struct api *api, struct exchange *x, const struct head *h)
{
    struct crowd *c = api->owner;

    (void)h;
    assert_true(c->n < MANY);
    c->held[c->n++] = x;
}

static void the_line(void **state)
{
    struct kube_request *r[MANY];
    struct got g[MANY] = {{0}};
    struct crowd c = {.n = 0};
    struct api api;
    unsigned answered = 0, done = 0;
    int64_t end;

    (void)state;
    api_init(&api, on_crowd, &c);
    api_connect(&api);
    for (unsigned i = 0; i < MANY; i++)
        send_get(&api, "/x", &g[i], &r[i]);
    TURN_UNTIL(&api.t, c.n == KUBE_IN_FLIGHT_MAX);
    /* One on its way, one in line. */
    kube_cancel(r[3]);
    kube_cancel(r[MANY - 1]);
    end = clock_mono_ns() + 20 * NSEC_PER_SEC;
    while (done < MANY - 2 && clock_mono_ns() < end) {
        turn(&api.t);
        assert_true(c.n - answered <= KUBE_IN_FLIGHT_MAX + 1);
        while (answered < c.n)
            api_reply(c.held[answered++], 200, "{}");
        done = 0;
        for (unsigned i = 0; i < MANY; i++)
            done += g[i].times;
    }
    api_fini(&api);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(g[i].times, i != 3 && i != MANY - 1);
}

/* --- closing --- */

static void on_hello(struct api *api, struct exchange *x, const struct head *h)
{
    (void)api;
    (void)h;
    api_reply(x, 200, "{\"a\":\"b\"}");
}

static void closing_at_any_time(void **state)
{
    unsigned finished = 0;

    (void)state;
    for (int n = 0; n < 30 || finished < 2; n++) {
        struct got g[FEW] = {{0}};
        struct api api;

        assert_true(n < 500);
        api_init(&api, on_hello, NULL);
        api_connect(&api);
        for (unsigned i = 0; i < FEW; i++)
            send_get(&api, "/x", &g[i], NULL);
        for (int i = 0; i < n; i++)
            turn(&api.t);
        kube_close(api.kube);
        api.kube = NULL;
        for (unsigned i = 0; i < FEW; i++) {
            assert_int_equal(g[i].times, 1);
            assert_true(g[i].rc == OK || g[i].rc == ERR_CANCELED);
        }
        finished += g[FEW - 1].rc == OK;
        api_fini(&api);
    }
}

struct closer {
    struct api *api;
    unsigned times;
};

static void on_done_close(void *owner, const struct kube_answer *a)
{
    struct closer *c = owner;
    struct kube *k = c->api->kube;
    struct kube_call call = {.path = SLICE("/x")};

    (void)a;
    c->times++;
    c->api->kube = NULL;
    kube_close(k);
    if (k)
        assert_int_equal(kube_send(k, &call, on_done, NULL, NULL),
                         ERR_CANCELED);
}

static void closing_in_an_answer(void **state)
{
    struct kube_call call = {.path = SLICE("/x")};
    struct closer c[3] = {{0}};
    struct api api;

    (void)state;
    api_init(&api, on_hello, NULL);
    api_connect(&api);
    for (int i = 0; i < 3; i++) {
        c[i].api = &api;
        assert_int_equal(kube_send(api.kube, &call, on_done_close, &c[i], NULL),
                         OK);
    }
    TURN_UNTIL(&api.t, c[0].times);
    for (int i = 0; i < 3; i++)
        assert_int_equal(c[i].times, 1);
    api_fini(&api);
}

static void paths(void **state)
{
    struct text t;

    (void)state;
    text_init(&t, 100);
    kube_path_add(&t, SLICE("a-Z_0.~/ %=\xc3"));
    assert_string_equal(text_cstr(&t), "a-Z_0.~%2F%20%25%3D%C3");
    text_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_answers_mean),
        cmocka_unit_test(token_file_is_read_again),
        cmocka_unit_test(limits),
        cmocka_unit_test(strangers_are_not_trusted),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(no_answer_in_time),
        cmocka_unit_test(the_line),
        cmocka_unit_test(closing_at_any_time),
        cmocka_unit_test(closing_in_an_answer),
        cmocka_unit_test(paths),
    };

    tls_library_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
