/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1 connections against a peer that says what it likes, when it likes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/http/joined.h"

struct rig {
    struct joined j;
    struct raw peer;
};

static void rig_init(struct rig *r, size_t piece)
{
    joined_streams(&r->j, 1 << 20, piece);
    raw_init(&r->peer, r->j.client_end);
}

static void server_init(struct rig *r, size_t piece)
{
    rig_init(r, piece);
    joined_serve(&r->j, H1);
}

static void rig_fini(struct rig *r)
{
    if (r->j.server)
        http_conn_close(r->j.server, OK);
    if (r->j.client)
        http_conn_close(r->j.client, OK);
    joined_turns(&r->j, 3);
    raw_fini(&r->peer);
    joined_fini(&r->j);
}

/* ---- servers ---- */

static const char pipeline[] = "\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n"
                               "POST /echo HTTP/1.1\r\nhost: a\r\n"
                               "content-length: 3\r\n\r\nabc"
                               "POST /echo HTTP/1.1\r\nhost: a\r\n"
                               "transfer-encoding: chunked\r\n\r\n"
                               "2;x=y\r\nde\r\n1\r\nf\r\n0\r\nx-sum: 1\r\n\r\n"
                               "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n"
                               "GET /204 HTTP/1.1\r\nhost: a\r\n\r\n";

static void test_pipeline(void **state)
{
    (void)state;
    for (size_t piece = 0; piece < sizeof pipeline; piece++) {
        struct rig r;
        server_init(&r, piece);
        raw_say(&r.peer, pipeline);
        JOINED_UNTIL(&r.j, r.j.answers.done == 5);
        joined_turns(&r.j, 3);
        assert_int_equal(raw_count(&r.peer, "HTTP/1.1 200"), 4);
        assert_int_equal(raw_count(&r.peer, "HTTP/1.1 204"), 1);
        assert_true(raw_has(&r.peer, "x-sum: 1\r\n\r\n"));
        assert_false(r.peer.ended);
        rig_fini(&r);
    }
}

/* A client that half-closes still gets all its answers, then our end. */
static void test_pipeline_half_closed(void **state)
{
    (void)state;
    for (size_t piece = 0; piece < 40; piece++) {
        struct rig r;
        server_init(&r, piece);
        raw_say(&r.peer, pipeline);
        stream_end(r.peer.s);
        JOINED_UNTIL(&r.j, !r.j.server);
        joined_turns(&r.j, 3);
        assert_int_equal(r.j.answers.done, 5);
        assert_int_equal(raw_count(&r.peer, "HTTP/1.1 20"), 5);
        assert_true(r.peer.ended);
        rig_fini(&r);
    }
}

/* Bytes that were read before the connection was made. */
static void test_first(void **state)
{
    (void)state;
    for (size_t n = 1; n < sizeof pipeline - 1; n++) {
        struct rig r;
        rig_init(&r, 0);
        r.j.server = h1_server_new(&r.j.loop, r.j.server_end, &r.j.limits,
                                   slice_of(pipeline, n), &joined_server_events,
                                   &r.j);
        raw_say(&r.peer, pipeline + n);
        JOINED_UNTIL(&r.j, r.j.answers.done == 5);
        rig_fini(&r);
    }
}

/* The answers to a pipeline are not queued without bound. */
static void test_pipeline_unread(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, 0);
    raw_fini(&r.peer);
    stream_close(r.j.server_end, STREAM_NOW);
    loop_fini(&r.j.loop);
    joined_streams(&r.j, 4096, 0);
    raw_init(&r.peer, r.j.client_end);
    joined_serve(&r.j, H1);
    stream_read(r.peer.s, false);
    for (int i = 0; i < 20000; i++)
        raw_say(&r.peer, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    joined_turns(&r.j, 200);
    assert_true(r.j.answers.done < 2000);
    stream_read(r.peer.s, true);
    JOINED_UNTIL(&r.j, r.j.answers.done == 20000);
    rig_fini(&r);
}

static void test_close_asked(void **state)
{
    static const char *const requests[] = {
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "POST /echo HTTP/1.0\r\ncontent-length: 2\r\n\r\nab",
    };
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct rig r;
        server_init(&r, 0);
        raw_say(&r.peer, requests[i]);
        JOINED_UNTIL(&r.j, r.peer.ended);
        assert_int_equal(r.j.answers.done, 1);
        assert_true(raw_has(&r.peer, "connection: close"));
        assert_false(raw_has(&r.peer, "chunked") && i > 0);
        rig_fini(&r);
    }
}

/* An answer that was begun before the drain did not say "close": the next request
 * may be on its way, and its answer says so. */
static void test_drain_with_more_coming(void **state)
{
    struct rig r;
    (void)state;
    server_init(&r, 0);
    raw_say(&r.peer, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    struct http_conn *c = r.j.server;
    JOINED_UNTIL(&r.j, r.j.answers.done == 1);
    raw_say(&r.peer, "POST /echo HTTP/1.1\r\nhost: a\r\n"
                     "content-length: 1\r\n\r\n");
    joined_turns(&r.j, 3);
    http_conn_drain(c);
    raw_say(&r.peer, "aGET / HTTP/1.1\r\nhost: a\r\n\r\n");
    JOINED_UNTIL(&r.j, r.peer.ended || r.peer.failed);
    assert_true(r.peer.ended);
    assert_int_equal(r.j.answers.begun, 3);
    assert_int_equal(r.j.answers.done, 3);
    assert_true(raw_has(&r.peer, "connection: close"));
    rig_fini(&r);
}

static void refused(const char *what, const char *status, unsigned begun)
{
    for (size_t piece = 0; piece < 8; piece++) {
        struct rig r;
        server_init(&r, piece);
        raw_say(&r.peer, what);
        raw_say(&r.peer, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        JOINED_UNTIL(&r.j, r.peer.ended || r.peer.failed);
        assert_true(raw_has(&r.peer, status));
        assert_int_equal(raw_count(&r.peer, "HTTP/1.1"), 1);
        assert_int_equal(r.j.answers.begun, begun);
        assert_int_equal(r.j.answers.done, 0);
        stream_end(r.peer.s);
        JOINED_UNTIL(&r.j, !r.j.server);
        rig_fini(&r);
    }
}

static void test_refused(void **state)
{
    (void)state;
    refused("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400", 0);
    refused("G@T / HTTP/1.1\r\nhost: a\r\n\r\n", "HTTP/1.1 400", 0);
    refused("GET / HTTP/2.0\r\nhost: a\r\n\r\n", "HTTP/1.1 505", 0);
    refused("POST /hang HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n"
            "\r\nzz\r\n",
            "HTTP/1.1 400", 1);
    refused("POST /hang HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n"
            "\r\n0\r\nbad trailer\r\n\r\n",
            "HTTP/1.1 400", 1);
}

/* Bytes of a body that nobody consumed do not stop the next request. */
static void eat_nothing(struct exchange *x, slice data, bool end)
{
    (void)data;
    if (end)
        exchange_reply(x, 200, SLICE_NONE, SLICE_NONE, NULL);
}
static struct exchange_events eat_nothing_events;
static void eat_nothing_take(void *arg, struct exchange *x,
                             const struct tls_peer *peer)
{
    answers_take(arg, x, peer);
    eat_nothing_events = answer_events;
    eat_nothing_events.on_body = eat_nothing;
    x->events = &eat_nothing_events;
}

static void test_unconsumed_body(void **state)
{
    static char body[8192];
    struct rig r;
    (void)state;
    memset(body, 'x', sizeof body);
    rig_init(&r, 0);
    r.j.limits.body_window = 4096;
    r.j.handler = eat_nothing_take;
    joined_serve(&r.j, H1);
    for (unsigned i = 1; i < 4; i++) {
        raw_say(&r.peer, "POST /hang HTTP/1.1\r\nhost: a\r\n"
                         "content-length: 8192\r\n\r\n");
        stream_write(r.peer.s, body, sizeof body);
        JOINED_UNTIL(&r.j, r.j.answers.done == i);
    }
    rig_fini(&r);
}

/* ---- clients ---- */

static void client_init(struct rig *r, size_t piece)
{
    joined_streams(&r->j, 1 << 20, piece);
    joined_connect(&r->j, H1);
    raw_init(&r->peer, r->j.server_end);
}

static void ask(struct rig *r, struct call *c, const char *method)
{
    struct header fields[2];
    struct head h;
    *c = (struct call){.at_once = 1};
    head_init_request(&h, slice_str(method), SLICE("test"), SLICE("/"), fields,
                      2);
    size_t had = r->peer.got.len;
    assert_true(call_start_head(c, r->j.client, &h, true));
    JOINED_UNTIL(&r->j, r->peer.got.len > had);
}

/* Whatever else stands behind a response must not answer another request. */
static void surplus(const char *response, const char *method, unsigned status)
{
    for (size_t piece = 0; piece < 90; piece++) {
        struct rig r;
        struct call c, next = {.at_once = 1};
        client_init(&r, piece);
        ask(&r, &c, method);
        raw_say(&r.peer, response);
        raw_say(&r.peer, "HTTP/1.1 222 Poison\r\ncontent-length: 0\r\n\r\n");
        /* The next request goes out at once, if the connection takes it. */
        for (int i = 0; i < 2000; i++) {
            if (c.done && !next.x && !next.reset && r.j.client)
                call_start(&next, r.j.client, SLICE("/"));
            joined_turn(&r.j);
        }
        assert_true(c.done);
        assert_int_equal(c.status, status);
        assert_int_not_equal(next.status, 222);
        assert_null(r.j.client);
        rig_fini(&r);
    }
}

static void test_surplus(void **state)
{
    (void)state;
    surplus("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab", "GET", 200);
    surplus("HTTP/1.1 204 None\r\n\r\n", "GET", 204);
    surplus("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n", "HEAD", 200);
    surplus("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
            "2\r\nab\r\n0\r\n\r\n",
            "GET", 200);
    surplus("HTTP/1.1 304 Same\r\ncontent-length: 7\r\n\r\n", "GET", 304);
}

/* It came before the request left: the request was never answered. */
static void test_early_poison(void **state)
{
    struct rig r;
    struct call c, next = {.at_once = 1};
    (void)state;
    client_init(&r, 0);
    ask(&r, &c, "GET");
    raw_say(&r.peer, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    JOINED_UNTIL(&r.j, c.done);
    raw_say(&r.peer, "HTTP/1.1 222 Poison\r\ncontent-length: 0\r\n\r\n");
    struct exchange *x = http_conn_open(r.j.client);
    next.x = x;
    exchange_own(x, &call_events, &next);
    JOINED_UNTIL(&r.j, next.reset);
    assert_int_equal(next.why, RESET_REFUSED);
    assert_null(r.j.client);
    rig_fini(&r);
}

static void test_response_kinds(void **state)
{
    static const struct {
        const char *method, *response;
        unsigned status, hints;
        size_t body;
        bool reusable;
    } rows[] = {
        {"GET", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", 200, 0, 3,
         true},
        {"GET",
         "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\n"
         "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na",
         200, 2, 1, true},
        {"GET",
         "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\na",
         200, 0, 1, false},
        {"GET", "HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na", 200, 0, 1,
         false},
        {"HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n", 200, 0, 0,
         true},
        {"GET", "HTTP/1.1 304 Same\r\ncontent-length: 99\r\n\r\n", 304, 0, 0,
         true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t piece = 0; piece < 30; piece++) {
            struct rig r;
            struct call c;
            client_init(&r, piece);
            ask(&r, &c, rows[i].method);
            raw_say(&r.peer, rows[i].response);
            JOINED_UNTIL(&r.j, c.done || c.reset);
            assert_true(c.done);
            assert_int_equal(c.status, rows[i].status);
            assert_int_equal(c.hints, rows[i].hints);
            assert_int_equal(c.received, rows[i].body);
            assert_int_equal(r.j.client != NULL, rows[i].reusable);
            rig_fini(&r);
        }
    }
}

/* The end of the connection ends this body; a cut in another is a failure. */
static void ended(const char *response, bool done, enum reset_why why)
{
    for (size_t piece = 0; piece < 12; piece++) {
        struct rig r;
        struct call c;
        client_init(&r, piece);
        ask(&r, &c, "GET");
        raw_say(&r.peer, response);
        stream_end(r.peer.s);
        JOINED_UNTIL(&r.j, c.done || c.reset);
        assert_int_equal(c.done, done);
        if (!done)
            assert_int_equal(c.why, why);
        JOINED_UNTIL(&r.j, !r.j.client);
        rig_fini(&r);
    }
}

static void test_ended(void **state)
{
    (void)state;
    ended("HTTP/1.1 200 OK\r\n\r\nabc", true, 0);
    ended("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", false,
          RESET_CONNECTION);
    ended("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
          false, RESET_CONNECTION);
    ended("HTTP/1.1 200 OK\r\ncontent-le", false, RESET_CONNECTION);
    ended("", false, RESET_CONNECTION);
    ended("HTTP/1.1 two hundred\r\n\r\n", false, RESET_PROTOCOL);
    ended(
        "HTTP/1.1 101 Go\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        false, RESET_PROTOCOL);
}

static void test_head_too_large(void **state)
{
    static char value[70000];
    struct rig r;
    struct call c;
    (void)state;
    memset(value, 'x', sizeof value);
    client_init(&r, 0);
    ask(&r, &c, "GET");
    raw_say(&r.peer, "HTTP/1.1 200 OK\r\nx: ");
    stream_write(r.peer.s, value, sizeof value);
    JOINED_UNTIL(&r.j, c.reset);
    assert_int_equal(c.why, RESET_LIMIT);
    rig_fini(&r);
}

/* ---- what the owner does wrong must not reach the peer as something else ---- */

static void test_lying_owner(void **state)
{
    static const struct {
        size_t promised, sent;
        bool head_ends;
    } rows[] = {{5, 3, false}, {5, 7, false}, {5, 0, true}};
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct rig r;
        struct head h;
        server_init(&r, 0);
        raw_say(&r.peer, "GET /hang HTTP/1.1\r\nhost: a\r\n\r\n"
                         "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        JOINED_UNTIL(&r.j, r.j.answers.begun == 1);
        struct exchange *x = r.j.answers.last;
        head_init_response(&h, 200, NULL, 0);
        h.content_length = (int64_t)rows[i].promised;
        exchange_send_head(x, &h, rows[i].head_ends);
        if (!rows[i].head_ends)
            exchange_send_body(x, slice_of("1234567", rows[i].sent), true);
        JOINED_UNTIL(&r.j, r.peer.failed || r.peer.ended);
        assert_int_equal(r.j.answers.begun, 1);
        assert_int_equal(r.j.answers.resets, 1);
        rig_fini(&r);
    }
}

/* ---- time ---- */

static void test_timeouts(void **state)
{
    static const struct {
        const char *said, *heard;
    } rows[] = {
        {"", NULL},
        {"GET / HT", "HTTP/1.1 408"},
        {"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / H", "HTTP/1.1 408"},
    };
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct rig r;
        rig_init(&r, 0);
        r.j.limits.head_timeout = 3 * NSEC_PER_MSEC;
        r.j.limits.idle_timeout = i == 0 ? 3 * NSEC_PER_MSEC
                                         : 1000 * NSEC_PER_SEC;
        joined_serve(&r.j, H1);
        raw_say(&r.peer, rows[i].said);
        int64_t end = clock_mono_ns() + 20 * NSEC_PER_SEC;
        while (!r.peer.ended && !r.peer.failed && clock_mono_ns() < end)
            joined_turn(&r.j);
        assert_true(r.peer.ended);
        if (rows[i].heard)
            assert_true(raw_has(&r.peer, rows[i].heard));
        rig_fini(&r);
    }
}

/* A body that stops coming; one that the owner holds up does not count. */
static void test_body_timeout(void **state)
{
    static char piece[10000];
    struct rig r;
    (void)state;
    memset(piece, 'x', sizeof piece);
    rig_init(&r, 0);
    r.j.limits.body_timeout = 3 * NSEC_PER_MSEC;
    r.j.limits.body_window = 4096;
    r.j.handler = eat_nothing_take;
    joined_serve(&r.j, H1);
    raw_say(&r.peer, "POST /hang HTTP/1.1\r\nhost: a\r\n"
                     "content-length: 20000\r\n\r\n");
    stream_write(r.peer.s, piece, sizeof piece);
    joined_turns(&r.j, 3);
    struct exchange *x = r.j.answers.last;
    assert_int_equal(x->bytes_in, sizeof piece);
    int64_t start = loop_now(&r.j.loop);
    while (loop_now(&r.j.loop) < start + 20 * NSEC_PER_MSEC)
        joined_turn(&r.j);
    assert_int_equal(r.j.answers.resets, 0);
    exchange_consumed(x, sizeof piece);
    joined_turn(&r.j); /* not at once: it could not go on before */
    assert_int_equal(r.j.answers.resets, 0);
    int64_t end = clock_mono_ns() + 20 * NSEC_PER_SEC;
    while (!r.j.answers.resets && clock_mono_ns() < end)
        joined_turn(&r.j);
    assert_int_equal(r.j.answers.resets, 1);
    rig_fini(&r);
}

/* ---- whoever is told may close everything ---- */

struct closer {
    struct joined *j;
    unsigned over;
};

static const struct headers *refuse_and_close(struct http_conn *c,
                                              const struct head *asked,
                                              unsigned status, const char *why)
{
    (void)asked, (void)status, (void)why;
    http_conn_close(c, OK);
    return NULL;
}

static void test_close_in_refused(void **state)
{
    static struct http_conn_events ev;
    struct rig r;
    (void)state;
    ev = joined_server_events;
    ev.on_refused = refuse_and_close;
    rig_init(&r, 0);
    r.j.server = h1_server_new(&r.j.loop, r.j.server_end, &r.j.limits,
                               SLICE_NONE, &ev, &r.j);
    raw_say(&r.peer, "nonsense\r\n\r\n");
    joined_turns(&r.j, 3);
    assert_null(r.j.server);
    rig_fini(&r);
}

static void ignore_head(struct exchange *x, const struct head *h, bool end)
{
    (void)x, (void)h, (void)end;
}
static void ignore_body(struct exchange *x, slice data, bool end)
{
    (void)x, (void)data, (void)end;
}
static void closing_reset(struct exchange *x, enum reset_why why)
{
    struct closer *o = x->owner;
    (void)why;
    o->over++;
    if (o->j->server)
        http_conn_close(o->j->server, OK);
}
static struct exchange_events closing_events;
static void closing_take(void *arg, struct exchange *x,
                         const struct tls_peer *peer)
{
    (void)peer;
    closing_events = answer_events;
    closing_events.on_head = ignore_head;
    closing_events.on_body = ignore_body;
    closing_events.on_reset = closing_reset;
    exchange_own(x, &closing_events, arg);
}

/* The body is refused: the exchange is told, and its owner closes. */
static void test_close_in_broken(void **state)
{
    struct rig r;
    struct closer o = {0};
    (void)state;
    server_init(&r, 0);
    o.j = &r.j;
    r.j.handler = closing_take;
    r.j.handler_arg = &o;
    raw_say(&r.peer, "POST / HTTP/1.1\r\nhost: a\r\n"
                     "transfer-encoding: chunked\r\n\r\nzz\r\n");
    joined_turns(&r.j, 3);
    assert_int_equal(o.over, 1);
    assert_null(r.j.server);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_pipeline_half_closed),
        cmocka_unit_test(test_first),
        cmocka_unit_test(test_pipeline_unread),
        cmocka_unit_test(test_close_asked),
        cmocka_unit_test(test_drain_with_more_coming),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_unconsumed_body),
        cmocka_unit_test(test_surplus),
        cmocka_unit_test(test_early_poison),
        cmocka_unit_test(test_response_kinds),
        cmocka_unit_test(test_ended),
        cmocka_unit_test(test_head_too_large),
        cmocka_unit_test(test_lying_owner),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_body_timeout),
        cmocka_unit_test(test_close_in_refused),
        cmocka_unit_test(test_close_in_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
