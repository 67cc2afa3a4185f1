/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/json/json.h"
#include "proxy/telemetry/access_log.h"
#include "tests/unit/proxy/telemetry/rig.h"

#define NOON (INT64_C(1795348800) * NSEC_PER_SEC + 7 * NSEC_PER_MSEC)

static const struct access_entry request = {
    .http = true,
    .client = SLICE_INIT("10.0.0.9:4711"),
    .peer = SLICE_INIT(PEER),
    .service = SLICE_INIT("shop/cart:80"),
    .endpoint = SLICE_INIT("10.0.0.7:8080"),
    .method = SLICE_INIT("GET"),
    .authority = SLICE_INIT("cart"),
    .path = SLICE_INIT("/buy?card=4111"),
    .request_id = SLICE_INIT("r-1"),
    .status = 503,
    .fault = FAULT_CONNECT_FAILED,
    .attempts = 3,
    .bytes_in = 10,
    .bytes_out = 20,
    .duration = 1234567,
    .secured = true,
};

static void line_is(const struct access_entry *e, const char *want)
{
    struct text t;

    text_init(&t, ACCESS_LINE_MAX);
    access_line(&t, e, NOON);
    assert_string_equal(text_cstr(&t), want);
    text_fini(&t);
}

static void test_request(void **state)
{
    (void)state;
    line_is(&request,
            "{\"time\":\"2026-11-22T12:00:00.007Z\","
            "\"direction\":\"outbound\",\"protocol\":\"http\","
            "\"client\":\"10.0.0.9:4711\",\"peer\":\"" PEER "\","
            "\"service\":\"shop/cart:80\",\"endpoint\":\"10.0.0.7:8080\","
            "\"tls\":true,\"method\":\"GET\",\"authority\":\"cart\","
            "\"path\":\"/buy\",\"requestId\":\"r-1\",\"status\":503,"
            "\"fault\":\"connect-failed\",\"attempts\":3,\"bytesIn\":10,"
            "\"bytesOut\":20,\"durationUs\":1234}\n");
}

static void test_connection(void **state)
{
    struct access_entry e = {
        .inbound = true, .service = SLICE("5432"), .sni = SLICE("db.example")};
    (void)state;
    line_is(&e, "{\"time\":\"2026-11-22T12:00:00.007Z\","
                "\"direction\":\"inbound\",\"protocol\":\"tcp\","
                "\"service\":\"5432\",\"tls\":false,"
                "\"sni\":\"db.example\",\"attempts\":0,"
                "\"bytesIn\":0,\"bytesOut\":0,\"durationUs\":0}\n");
}

/* Whatever a client sends as a name is one line of JSON. */
static void test_hostile_names(void **state)
{
    struct access_entry e = request;
    struct text t;
    const struct json_limits limits = {ACCESS_LINE_MAX, 100};
    struct json_doc *doc = NULL;
    struct error err;
    static char bytes[70000];
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i % 32 + 1);
    e.method = e.authority = e.path = e.request_id = e.client = e.peer =
        e.service = e.endpoint = e.sni = slice_of(bytes, sizeof bytes);
    text_init(&t, ACCESS_LINE_MAX);
    access_line(&t, &e, NOON);
    assert_false(t.failed);
    assert_int_equal(slice_find(text_slice(&t), '\n'), t.len - 1);
    assert_int_equal(json_parse(text_slice(&t), &limits, &doc, &err), OK);
    json_free(doc);
    text_fini(&t);
}

/* --- writing --- */

struct tube {
    struct loop loop;
    int in, out;
    struct access_log *log;
};

static void tube_init(struct tube *t)
{
    struct error e;
    int fds[2];

    assert_int_equal(loop_init(&t->loop, 8, &e), OK);
    assert_int_equal(pipe(fds), 0);
    t->out = fds[0];
    t->in = fds[1];
    t->log = access_log_new(&t->loop, t->in);
}

static size_t read_lines(struct tube *t)
{
    char buf[4096];
    size_t lines = 0;
    ssize_t n;

    close(t->in);
    while ((n = read(t->out, buf, sizeof buf)) > 0)
        for (ssize_t i = 0; i < n; i++)
            lines += buf[i] == '\n';
    close(t->out);
    return lines;
}

static void test_lines_of_a_pass(void **state)
{
    struct tube t;
    (void)state;
    tube_init(&t);
    for (int i = 0; i < 50; i++)
        access_log_add(t.log, &request, NOON);
    assert_int_equal(access_log_dropped(t.log), 0);
    access_log_free(t.log);
    assert_int_equal(read_lines(&t), 50);
    loop_fini(&t.loop);
}

/* A reader who does not read: nobody waits, and every line lost is counted. */
static void test_reader_who_sleeps(void **state)
{
    enum { LINES = 2000 };
    struct tube t;
    (void)state;
    tube_init(&t);
    assert_true(fcntl(t.in, F_SETPIPE_SZ, 4096) >= 4096);
    for (int i = 0; i < LINES; i++)
        access_log_add(t.log, &request, NOON);
    uv_run(&t.loop.uv, UV_RUN_NOWAIT); /* the flush writes what it can */
    uint64_t dropped = access_log_dropped(t.log);
    assert_true(dropped > 0 && dropped < LINES);
    access_log_free(t.log);
    assert_int_equal(read_lines(&t) + dropped, LINES);
    loop_fini(&t.loop);
}

static void test_off(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, 1);
    assert_false(access_log_on(r.t[0]));
    access_log_write(r.t[0], &request); /* harmless */
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_connection),
        cmocka_unit_test(test_hostile_names),
        cmocka_unit_test(test_lines_of_a_pass),
        cmocka_unit_test(test_reader_who_sleeps),
        cmocka_unit_test(test_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
