/* SPDX-License-Identifier: Apache-2.0 */
/* The pages over a carrier that keeps what is sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "lib/admin/admin.h"
#include "lib/admin/metrics.h"
#include "lib/base/log.h"

struct sent {
    unsigned status, heads, continues;
    bool ended;
    size_t consumed;
    char type[64], allow[64];
    struct text body;
};

static struct loop loop;
static struct sent sent;
static struct exchange x;
static struct admin admin;
static bool is_ready;
static unsigned echoes;

static void keep_field(const struct head *h, const char *name, char dst[64])
{
    const struct header *f = headers_find_name(&h->headers, slice_str(name));

    if (f)
        assert_int_equal(slice_to_cstr(f->value, dst, 64), OK);
}

static void take_head(struct exchange *ex, const struct head *h, bool end)
{
    (void)ex;
    if (h->status == 100) {
        sent.continues++;
        return;
    }
    sent.status = h->status;
    sent.heads++;
    sent.ended = end;
    keep_field(h, "content-type", sent.type);
    keep_field(h, "allow", sent.allow);
}

static void take_body(struct exchange *ex, slice data, bool end)
{
    (void)ex;
    text_add(&sent.body, data);
    sent.ended = end;
}

static void take_consumed(struct exchange *ex, size_t n)
{
    (void)ex;
    sent.consumed += n;
}

static const struct carrier carrier = {
    .name = "fake",
    .send_head = take_head,
    .send_body = take_body,
    .consumed = take_consumed,
};

static bool ready(void *arg, struct text *why)
{
    assert_ptr_equal(arg, &echoes);
    text_add(why, SLICE("no identity yet"));
    return is_ready;
}

static enum status metrics(void *arg, struct text *out)
{
    assert_ptr_equal(arg, &echoes);
    text_add(out, SLICE("up 1\n"));
    return OK;
}

static void echo(void *arg, struct exchange *ex,
                 const struct admin_request *req)
{
    assert_ptr_equal(arg, &echoes);
    echoes++;
    admin_reply_text(ex, 200, "%d %.*s ? %.*s : %.*s", (int)req->method,
                     FMT(req->path), FMT(req->query), FMT(req->body));
}

static const struct admin_route routes[] = {
    {HTTP_GET, "/echo", echo, 0},
    {HTTP_POST, "/echo", echo, 16},
    {HTTP_DELETE, "/gone", echo, 0},
    {HTTP_GET, "/live", echo, 0},
};

static void begin_with(const struct admin_options *opt)
{
    text_fini(&sent.body);
    exchange_fini(&x);
    sent = (struct sent){0};
    text_init(&sent.body, 1 << 20);
    exchange_init(&x, &carrier, &loop, true, 65536);
    admin_init(&admin, opt);
    admin_serve(&admin, &x, NULL);
}

static void begin(void)
{
    struct admin_options opt = {
        .program = "tulle-test",
        .ready = ready,
        .metrics = metrics,
        .routes = routes,
        .routes_len = 3,
        .arg = &echoes,
    };

    begin_with(&opt);
}

/* A request head; `length` -1: not told. */
static void head(slice method, slice path, int64_t length, bool end)
{
    struct head h;

    head_init_request(&h, method, SLICE("localhost"), path, NULL, 0);
    h.content_length = length;
    exchange_got_head(&x, &h, end);
}

static void get(const char *method, const char *path)
{
    begin();
    head(slice_str(method), slice_str(path), -1, true);
    assert_int_equal(sent.heads, 1);
    assert_true(sent.ended);
}

static void says(unsigned status, const char *body)
{
    assert_int_equal(sent.status, status);
    assert_string_equal(text_cstr(&sent.body), body);
}

static int setup(void **state)
{
    (void)state;
    sent.body = (struct text){0};
    is_ready = true;
    echoes = 0;
    return loop_init(&loop, 4, NULL);
}

static int teardown(void **state)
{
    (void)state;
    text_fini(&sent.body);
    exchange_fini(&x);
    x = (struct exchange){0};
    loop_fini(&loop);
    return log_set_levels(SLICE("info"), NULL);
}

static void ready_made_pages(void **state)
{
    (void)state;
    get("GET", "/live");
    says(200, "live\n");
    assert_string_equal(sent.type, "text/plain; charset=utf-8");
    get("GET", "/ready?verbose");
    says(200, "ready\n");
    is_ready = false;
    get("GET", "/ready");
    says(503, "not ready: no identity yet\n");
    get("GET", "/metrics");
    says(200, "up 1\n");
    assert_string_equal(sent.type, METRICS_CONTENT_TYPE);
    get("GET", "/version");
    assert_int_equal(sent.status, 200);
    assert_string_equal(sent.type, "application/json");
    assert_non_null(
        strstr(text_cstr(&sent.body), "\"program\":\"tulle-test\""));
    get("HEAD", "/live");
    says(200, "");
}

static void a_program_without_pages_of_its_own(void **state)
{
    struct admin_options opt = {.program = "p"};

    (void)state;
    begin_with(&opt);
    head(SLICE("GET"), SLICE("/ready"), -1, true);
    says(200, "ready\n");
    begin_with(&opt);
    head(SLICE("GET"), SLICE("/metrics"), -1, true);
    assert_int_equal(sent.status, 404);
}

static void health_alone_tells_and_changes_nothing(void **state)
{
    static const char *const hidden[] = {"/metrics", "/version", "/log-level"};
    struct admin_options opt = {
        .program = "p",
        .ready = ready,
        .metrics = metrics,
        .arg = &echoes,
        .health_only = true,
    };

    (void)state;
    begin_with(&opt);
    head(SLICE("GET"), SLICE("/live"), -1, true);
    says(200, "live\n");
    begin_with(&opt);
    head(SLICE("GET"), SLICE("/ready"), -1, true);
    says(200, "ready\n");
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
        begin_with(&opt);
        head(SLICE("GET"), slice_str(hidden[i]), -1, true);
        assert_int_equal(sent.status, 404);
    }
    begin_with(&opt);
    head(SLICE("PUT"), SLICE("/log-level"), 0, true);
    assert_int_equal(sent.status, 404);
}

static void own_pages(void **state)
{
    struct admin_options opt = {
        .routes = routes, .routes_len = 4, .arg = &echoes};

    (void)state;
    get("GET", "/echo?a=b?c");
    says(200, "1 /echo ? a=b?c : \n");
    get("HEAD", "/echo");
    says(200, "");
    assert_int_equal(echoes, 2);
    begin_with(&opt); /* they win */
    head(SLICE("GET"), SLICE("/live"), -1, true);
    says(200, "1 /live ?  : \n");
}

static void unknown_ones(void **state)
{
    static const char *const paths[] = {"/",        "",       "*",
                                        "/live/",   "/Live",  "//live",
                                        "/live%20", "/lives", "/liv"};

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        get("GET", paths[i]);
        says(404, "no such page\n");
    }
    get("POST", "/live");
    assert_int_equal(sent.status, 405);
    assert_string_equal(sent.allow, "GET, HEAD");
    get("DELETE", "/log-level");
    assert_string_equal(sent.allow, "GET, HEAD, POST, PUT");
    get("FOO", "/gone");
    assert_int_equal(sent.status, 405);
    assert_string_equal(sent.allow, "DELETE");
    get("CONNECT", "/live");
    assert_int_equal(sent.status, 405);
}

static void bodies_are_collected(void **state)
{
    struct headers none = {NULL, 0, 0};

    (void)state;
    begin();
    head(SLICE("POST"), SLICE("/echo"), 16, false);
    exchange_got_body(&x, SLICE("01234"), false);
    exchange_got_body(&x, SLICE(""), false);
    exchange_got_body(&x, SLICE("56789abcdef"), false);
    assert_int_equal(sent.heads, 0);
    exchange_got_body(&x, SLICE_NONE, true);
    says(200, "3 /echo ?  : 0123456789abcdef\n");
    assert_int_equal(sent.consumed, 16);
    /* Of unknown length, ended by trailers. */
    begin();
    head(SLICE("POST"), SLICE("/echo?q"), -1, false);
    exchange_got_body(&x, SLICE("hello"), false);
    exchange_got_trailers(&x, &none);
    says(200, "3 /echo ? q : hello\n");
    /* Empty, although one was announced. */
    begin();
    head(SLICE("POST"), SLICE("/echo"), 0, false);
    exchange_got_body(&x, SLICE_NONE, true);
    says(200, "3 /echo ?  : \n");
    exchange_finish(&x);
}

static void bodies_are_bounded(void **state)
{
    (void)state;
    echoes = 0;
    /* Announced. */
    begin();
    head(SLICE("POST"), SLICE("/echo"), 17, false);
    says(413, "the body is over 16 bytes\n");
    exchange_got_body(&x, SLICE("0123456789abcdefg"), true);
    assert_int_equal(sent.heads, 1);
    assert_int_equal(sent.consumed, 17);
    begin();
    head(SLICE("POST"), SLICE("/echo"), INT64_MAX, false);
    assert_int_equal(sent.status, 413);
    /* Found out. */
    begin();
    head(SLICE("POST"), SLICE("/echo"), -1, false);
    exchange_got_body(&x, SLICE("0123456789abcdef"), false);
    assert_int_equal(sent.heads, 0);
    exchange_got_body(&x, SLICE("g"), false);
    assert_int_equal(sent.status, 413);
    exchange_got_body(&x, SLICE("more"), true);
    assert_int_equal(sent.heads, 1);
    assert_int_equal(echoes, 0);
    /* More than announced: no carrier does that, but nothing is trusted. */
    begin();
    head(SLICE("POST"), SLICE("/echo"), 3, false);
    exchange_got_body(&x, SLICE("0123"), true);
    assert_int_equal(sent.status, 413);
    /* To a page that wants none. */
    begin();
    head(SLICE("GET"), SLICE("/live"), 2000, false);
    assert_int_equal(sent.status, 413);
    begin();
    head(SLICE("GET"), SLICE("/nowhere"), 2000, false);
    assert_int_equal(sent.status, 404);
    exchange_got_body(&x, SLICE("x"), false);
    exchange_broke(&x, RESET_CONNECTION);
}

static void tells_to_continue(void **state)
{
    struct head h;

    (void)state;
    begin();
    head_init_request(&h, SLICE("POST"), SLICE("a"), SLICE("/echo"), NULL, 0);
    h.content_length = 2;
    h.expect_continue = true;
    exchange_got_head(&x, &h, false);
    assert_int_equal(sent.continues, 1);
    exchange_got_body(&x, SLICE("ok"), true);
    says(200, "3 /echo ?  : ok\n");
    begin();
    h.content_length = 200;
    exchange_got_head(&x, &h, false);
    assert_int_equal(sent.continues, 0);
    assert_int_equal(sent.status, 413);
}

static void a_reset_is_quiet(void **state)
{
    (void)state;
    begin();
    head(SLICE("POST"), SLICE("/echo"), -1, false);
    exchange_got_body(&x, SLICE("a"), false);
    exchange_broke(&x, RESET_CANCELED);
    assert_int_equal(sent.heads, 0);
}

static void too_long_a_path(void **state)
{
    static char path[70000];

    (void)state;
    memset(path, '/', sizeof path);
    begin();
    head(SLICE("GET"), slice_of(path, sizeof path), -1, true);
    assert_int_equal(sent.status, 431);
}

static void set_levels(const char *method, slice spec)
{
    begin();
    head(slice_str(method), SLICE("/log-level"), (int64_t)spec.len, false);
    exchange_got_body(&x, spec, true);
}

static void no_line(void *arg, slice line)
{
    (void)arg;
    (void)line;
}

static void log_levels(void **state)
{
    static char big[2000];
    static struct log_area quiet = LOG_AREA("quiet");
    struct log log = {&quiet, 0};

    (void)state;
    log_set_sink(no_line, NULL);
    get("GET", "/log-level");
    says(200, "info\n");
    assert_false(log_on(&log, LOG_DEBUG));
    set_levels("PUT", SLICE("info,quiet=debug\r\n"));
    says(200, "info,quiet=debug\n");
    assert_true(log_on(&log, LOG_DEBUG));
    set_levels("POST", SLICE(" warn "));
    says(200, "warn\n");
    assert_false(log_on(&log, LOG_INFO));
    set_levels("PUT", SLICE("loud"));
    assert_int_equal(sent.status, 400);
    assert_non_null(strstr(text_cstr(&sent.body), "'loud' is not a log level"));
    set_levels("PUT", SLICE(""));
    assert_int_equal(sent.status, 400);
    set_levels("PUT", SLICE("info,a\nb=debug"));
    says(400, "log levels: unexpected byte\n");
    memset(big, 'a', sizeof big);
    set_levels("PUT", slice_of(big, 1024));
    assert_int_equal(sent.status, 400);
    set_levels("PUT", slice_of(big, 1025));
    assert_int_equal(sent.status, 413);
    get("GET", "/log-level");
    says(200, "warn\n");
    log_set_sink(NULL, NULL);
}

static void only_loopback(void **state)
{
    struct address at;
    struct error e;

    (void)state;
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), &at), OK);
    assert_int_equal(admin_check_address(&at, false, &e), OK);
    assert_int_equal(address_parse(SLICE("[::1]:0"), &at), OK);
    assert_int_equal(admin_check_address(&at, false, &e), OK);
    assert_int_equal(address_parse(SLICE("0.0.0.0:0"), &at), OK);
    assert_int_equal(admin_check_address(&at, false, &e), ERR_DENIED);
    assert_non_null(strstr(e.text, "0.0.0.0:0"));
    assert_int_equal(admin_check_address(&at, true, &e), OK);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ready_made_pages),
        TEST(a_program_without_pages_of_its_own),
        TEST(health_alone_tells_and_changes_nothing),
        TEST(own_pages),
        TEST(unknown_ones),
        TEST(bodies_are_collected),
        TEST(bodies_are_bounded),
        TEST(tells_to_continue),
        TEST(a_reset_is_quiet),
        TEST(too_long_a_path),
        TEST(log_levels),
        TEST(only_loopback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
