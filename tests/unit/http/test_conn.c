/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges between a client and a server connection, both versions, over
 * streams in memory that hand out bytes in pieces of every size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/http/joined.h"

static const size_t pieces[] = {1, 2, 3, 5, 7, 9, 10, 13, 17, 100, 1000, 0};
enum { PIECES = sizeof pieces / sizeof *pieces };

/* Runs `fn` for both versions and every size of piece. */
static void each(void (*fn)(enum version v, size_t piece))
{
    for (int v = H1; v < VERSIONS; v++)
        for (size_t i = 0; i < PIECES; i++)
            fn((enum version)v, pieces[i]);
}

static void head_of(struct head *h, const char *method, const char *path,
                    struct header *fields, uint32_t cap)
{
    head_init_request(h, slice_str(method), SLICE("test"), slice_str(path),
                      fields, cap);
}

/* ---- plain exchanges ---- */

static void get(enum version v, size_t piece)
{
    struct joined j;
    struct call c = {.at_once = 1}, again = {.at_once = 1};
    joined_init(&j, v, piece);
    assert_true(call_start(&c, j.client, SLICE("/")));
    JOINED_UNTIL(&j, c.done || c.reset);
    assert_true(c.done);
    assert_int_equal(c.status, 200);
    assert_int_equal(c.received, 5);
    assert_int_equal(c.ends, 1);
    assert_true(call_start(&again, j.client, SLICE("/")));
    JOINED_UNTIL(&j, again.done);
    assert_int_equal(j.answers.done, 2);
    joined_fini(&j);
}

static void test_get(void **state)
{
    (void)state;
    each(get);
}

/* Larger than every window where pieces are not tiny. */
static void echo(enum version v, size_t piece)
{
    struct joined j;
    struct call c = {.at_once = 1, .trailers_out = true};
    c.to_send = piece == 0 ? 6 << 20 : 1000 * piece;
    joined_init(&j, v, piece);
    assert_true(call_start(&c, j.client, SLICE("/echo")));
    JOINED_UNTIL(&j, c.done || c.reset);
    assert_true(c.done);
    assert_false(c.bad);
    assert_int_equal(c.received, c.to_send);
    assert_int_equal(c.credited, c.to_send);
    assert_true(c.trailers_in);
    assert_int_equal(c.ends, 1);
    assert_true(j.answers.most_held <= j.limits.stream_window_max + LOOP_LENT);
    joined_fini(&j);
}

static void test_echo(void **state)
{
    (void)state;
    each(echo);
}

static void hints(enum version v, size_t piece)
{
    struct joined j;
    struct call c = {.to_send = 10, .at_once = 1};
    joined_init(&j, v, piece);
    assert_true(call_start(&c, j.client, SLICE("/hints")));
    JOINED_UNTIL(&j, c.done || c.reset);
    assert_true(c.done);
    assert_int_equal(c.hints, 1);
    assert_int_equal(c.received, 10);
    joined_fini(&j);
}

static void many_hints_head(struct exchange *x, const struct head *h, bool end)
{
    struct header fields[4];
    struct head out;
    (void)h, (void)end;
    size_t before = mem_used();
    head_init_response(&out, 103, fields, 4);
    assert_int_equal(
        headers_add(&out.headers, SLICE("link"), SLICE("</a>; rel=preload")),
        OK);
    for (int i = 0; i < 50000; i++)
        exchange_send_head(x, &out, false);
    assert_true(mem_used() < before + (512 << 10));
    exchange_reply(x, 200, SLICE("text/plain"), SLICE("hello"), NULL);
}

static void many_hints_take(void *arg, struct exchange *x,
                            const struct tls_peer *peer)
{
    static struct exchange_events events;
    events = answer_events;
    events.on_head = many_hints_head;
    answers_take(arg, x, peer);
    x->events = &events;
}

/* Informational heads ask for no credit. Beyond what a client has read of them
 * they are left out; it still gets the first, and the answer. */
static void many_hints(enum version v, size_t piece)
{
    struct joined j;
    struct call c = {.at_once = 1};
    if (piece < 100) /* the same, but slow */
        return;
    joined_init(&j, v, piece);
    j.handler = many_hints_take;
    assert_true(call_start(&c, j.client, SLICE("/")));
    JOINED_UNTIL(&j, c.done || c.reset);
    assert_true(c.done);
    assert_true(c.hints > 0);
    assert_int_equal(c.status, 200);
    joined_fini(&j);
}

static void test_many_hints(void **state)
{
    (void)state;
    each(many_hints);
}

static void test_hints(void **state)
{
    (void)state;
    each(hints);
}

/* One request after which the connection must still carry another. */
static void bodyless(enum version v, size_t piece, const char *method,
                     const char *path, unsigned status)
{
    struct joined j;
    struct header fields[2];
    struct head h;
    struct call c = {.at_once = 1}, next = {.at_once = 1};
    joined_init(&j, v, piece);
    head_of(&h, method, path, fields, 2);
    assert_true(call_start_head(&c, j.client, &h, true));
    JOINED_UNTIL(&j, c.done || c.reset);
    assert_true(c.done);
    assert_int_equal(c.status, status);
    assert_int_equal(c.received, 0);
    assert_int_equal(c.ends, 1);
    assert_non_null(j.client);
    assert_true(call_start(&next, j.client, SLICE("/")));
    JOINED_UNTIL(&j, next.done || next.reset);
    assert_true(next.done);
    assert_int_equal(next.received, 5);
    joined_fini(&j);
}

static void bodyless_all(enum version v, size_t piece)
{
    bodyless(v, piece, "HEAD", "/", 200);
    bodyless(v, piece, "GET", "/204", 204);
    bodyless(v, piece, "HEAD", "/204", 204);
    bodyless(v, piece, "GET", "/304", 304);
    bodyless(v, piece, "HEAD", "/304", 304);
}

static void test_bodyless(void **state)
{
    (void)state;
    each(bodyless_all);
}

/* A handler that sends a body to HEAD: it goes nowhere, and is credited. */
static void test_blind_head(void **state)
{
    (void)state;
    bodyless(H1, 0, "HEAD", "/blind", 200);
    bodyless(H1, 1, "HEAD", "/blind", 200);
}

/* ---- tunnels ---- */

static void upgrade_head(struct head *h, const char *path,
                         struct header *fields, uint32_t cap)
{
    head_of(h, "GET", path, fields, cap);
    h->upgrade = true;
    h->protocol = SLICE("websocket");
}

static void connect_head(struct head *h)
{
    head_init_request(h, SLICE("CONNECT"), SLICE("test:80"), SLICE_NONE, NULL,
                      0);
}

static void pass_through(struct joined *j, struct call *c, unsigned status)
{
    c->to_send = 300000;
    JOINED_UNTIL(j, c->status || c->reset);
    assert_int_equal(c->status, status);
    assert_true(c->x->tunnel);
    call_push(c);
    JOINED_UNTIL(j, c->done || c->reset);
    assert_true(c->done);
    assert_int_equal(c->received, c->to_send);
    assert_int_equal(c->ends, 1);
    assert_int_equal(j->answers.done, 1);
}

static void tunnel(enum version v, size_t piece)
{
    if (piece && piece < 100)
        return;
    for (int upgrade = 0; upgrade < 2; upgrade++) {
        struct joined j;
        struct header fields[2];
        struct head h;
        struct call c = {.at_once = 1};
        joined_init(&j, v, piece);
        if (upgrade)
            upgrade_head(&h, "/tunnel", fields, 2);
        else
            connect_head(&h);
        assert_true(call_start_head(&c, j.client, &h, upgrade));
        pass_through(&j, &c, upgrade ? 101 : 200);
        joined_fini(&j);
    }
}

static void test_tunnel(void **state)
{
    (void)state;
    each(tunnel);
}

/* The upgrade is not granted: an ordinary answer, also one with 200. */
static void no_tunnel(enum version v, size_t piece)
{
    static const char *const paths[] = {"/", "/204", "/early"};
    static const unsigned statuses[] = {200, 204, 413};
    for (int i = 0; i < 3; i++) {
        struct joined j;
        struct header fields[2];
        struct head h;
        struct call c = {.at_once = 1};
        joined_init(&j, v, piece);
        upgrade_head(&h, paths[i], fields, 2);
        assert_true(call_start_head(&c, j.client, &h, true));
        /* Spoken too early: bytes of the tunnel are never those of a request. */
        exchange_send_body(c.x, SLICE("GET /echo HTTP/1.1\r\nhost: a\r\n\r\n"),
                           false);
        JOINED_UNTIL(&j, c.ends || c.reset);
        assert_int_equal(c.status, statuses[i]);
        assert_int_equal(c.received, i == 0 ? 5 : i == 1 ? 0 : 2);
        if (c.x) {
            assert_false(c.x->tunnel);
            exchange_reset(c.x, RESET_CANCELED);
        }
        joined_turns(&j, 5);
        assert_int_equal(j.answers.begun, 1);
        joined_fini(&j);
    }
}

static void test_no_tunnel(void **state)
{
    (void)state;
    each(no_tunnel);
}

/* One direction of a tunnel ends: the other goes on, whichever was first. */
struct half {
    struct exchange *x;
    bool ended, over, reset;
    size_t got;
};

static void half_head(struct exchange *x, const struct head *h, bool end)
{
    struct half *f = x->owner;
    struct head out;
    f->ended |= end && !h->upgrade; /* that of the request is not that */
    if (!x->server)
        return;
    head_init_response(&out, h->upgrade ? 101 : 200, NULL, 0);
    out.upgrade = h->upgrade;
    out.protocol = h->protocol;
    exchange_send_head(x, &out, false);
}
static void half_body(struct exchange *x, slice data, bool end)
{
    struct half *f = x->owner;
    f->got += data.len;
    f->ended |= end;
    exchange_consumed(x, data.len);
}
static void half_trailers(struct exchange *x, const struct headers *t)
{
    struct half *f = x->owner;
    (void)t;
    f->ended = true;
}
static void half_sent(struct exchange *x, size_t n)
{
    (void)x, (void)n;
}
static void half_reset(struct exchange *x, enum reset_why why)
{
    struct half *f = x->owner;
    (void)why;
    assert_false(f->over);
    f->reset = f->over = true;
    f->x = NULL;
}
static void half_done(struct exchange *x)
{
    struct half *f = x->owner;
    assert_false(f->over);
    f->over = true;
    f->x = NULL;
}
static const struct exchange_events half_events = {
    .on_head = half_head,
    .on_body = half_body,
    .on_trailers = half_trailers,
    .on_sent = half_sent,
    .on_reset = half_reset,
    .on_done = half_done,
};
static void half_take(void *arg, struct exchange *x,
                      const struct tls_peer *peer)
{
    struct half *f = arg;
    (void)peer;
    f->x = x;
    exchange_own(x, &half_events, f);
}

static void half_end(struct half *f, bool by_trailers)
{
    static const struct headers none;
    if (by_trailers)
        exchange_send_trailers(f->x, &none);
    else
        exchange_send_body(f->x, SLICE_NONE, true);
}

static void half_close(enum version v, bool upgrade, bool server_first,
                       bool by_trailers)
{
    struct joined j;
    struct head h;
    struct half client = {0}, server = {0};
    struct half *first = server_first ? &server : &client;
    struct half *last = server_first ? &client : &server;
    joined_init(&j, v, 0);
    j.handler = half_take;
    j.handler_arg = &server;
    if (upgrade)
        upgrade_head(&h, "/tunnel", NULL, 0);
    else
        connect_head(&h);
    client.x = http_conn_open(j.client);
    exchange_own(client.x, &half_events, &client);
    exchange_send_head(client.x, &h, upgrade);
    JOINED_UNTIL(&j, server.x && client.x->head_in);
    exchange_send_body(first->x, SLICE("abc"), false);
    half_end(first, by_trailers);
    JOINED_UNTIL(&j, last->ended);
    assert_int_equal(last->got, 3);
    joined_turns(&j, 5);
    assert_false(first->over || last->over);
    exchange_send_body(last->x, SLICE("defgh"), false);
    JOINED_UNTIL(&j, first->got == 5);
    half_end(last, by_trailers);
    JOINED_UNTIL(&j, client.over && server.over);
    assert_false(client.reset || server.reset);
    joined_fini(&j);
}

static void test_half_close(void **state)
{
    (void)state;
    for (int i = 0; i < 16; i++)
        half_close(i & 1 ? H2 : H1, i & 2, i & 4, i & 8);
}

/* ---- early answers, resets ---- */

static void early(enum version v, size_t piece)
{
    struct joined j;
    struct call c = {.to_send = 500000, .at_once = 1};
    joined_init(&j, v, piece);
    assert_true(call_start(&c, j.client, SLICE("/early")));
    JOINED_UNTIL(&j, c.ends || c.reset);
    assert_int_equal(c.status, 413);
    assert_int_equal(c.received, 2);
    JOINED_UNTIL(&j, j.answers.done == 1);
    if (c.x)
        exchange_reset(c.x, RESET_CANCELED);
    c.x = NULL;
    joined_turns(&j, 5);
    joined_fini(&j);
}

static void test_early(void **state)
{
    (void)state;
    each(early);
}

/* What the server says by resetting is what the client hears. */
static void test_reset_codes(void **state)
{
    static const struct {
        enum reset_why said, heard;
    } rows[] = {
        {RESET_CANCELED, RESET_CANCELED},     {RESET_REFUSED, RESET_REFUSED},
        {RESET_CONNECTION, RESET_CONNECTION}, {RESET_TIMEOUT, RESET_CANCELED},
        {RESET_PROTOCOL, RESET_PROTOCOL},     {RESET_LIMIT, RESET_LIMIT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct joined j;
        struct half server = {0};
        struct call c = {.at_once = 1};
        joined_init(&j, H2, 0);
        j.handler = half_take;
        j.handler_arg = &server;
        assert_true(call_start(&c, j.client, SLICE("/")));
        JOINED_UNTIL(&j, server.x != NULL);
        exchange_reset(server.x, rows[i].said);
        JOINED_UNTIL(&j, c.reset || c.done);
        assert_true(c.reset);
        assert_int_equal(c.why, rows[i].heard);
        joined_fini(&j);
    }
}

/* ---- a connection that ends ---- */

static void closed_by_server(enum version v, int when, enum reset_why expected)
{
    struct joined j;
    struct call first = {.at_once = 1}, c = {.at_once = 1};
    joined_init(&j, v, 0);
    if (when > 0) {
        assert_true(call_start(&first, j.client, SLICE("/")));
        JOINED_UNTIL(&j, first.done);
    }
    if (when < 2) {
        assert_true(call_start(&c, j.client, SLICE("/hang")));
        JOINED_UNTIL(&j, j.answers.begun == (when > 0 ? 2 : 1));
    } else {
        assert_true(call_start(&c, j.client, SLICE("/tunnel?")));
    }
    http_conn_close(j.server, ERR_CANCELED);
    JOINED_UNTIL(&j, c.reset || c.done);
    assert_true(c.reset);
    assert_int_equal(c.why, expected);
    JOINED_UNTIL(&j, !j.client);
    joined_fini(&j);
}

static void test_closed_by_server(void **state)
{
    (void)state;
    /* On a fresh connection; on a kept one. */
    closed_by_server(H1, 0, RESET_CONNECTION);
    closed_by_server(H1, 1, RESET_STALE);
    closed_by_server(H1, 2, RESET_REFUSED); /* has not left */
    closed_by_server(H2, 0, RESET_CONNECTION);
    closed_by_server(H2, 1, RESET_CONNECTION);
}

static void idle_end(enum version v)
{
    struct joined j;
    struct call first = {.at_once = 1};
    joined_init(&j, v, 0);
    assert_true(call_start(&first, j.client, SLICE("/")));
    JOINED_UNTIL(&j, first.done);
    http_conn_drain(j.server);
    for (int i = 0; i < 100 && j.client; i++) {
        if (j.client && v == H2 && j.draining)
            assert_null(http_conn_open(j.client));
        uv_run(&j.loop.uv, UV_RUN_NOWAIT);
    }
    if (v == H1) { /* a request that was under way is answered, as the last */
        struct call late = {.at_once = 1};
        assert_true(call_start(&late, j.client, SLICE("/")));
        JOINED_UNTIL(&j, late.done);
        assert_int_equal(late.status, 200);
    }
    JOINED_UNTIL(&j, !j.client && !j.server);
    joined_fini(&j);
}

static void test_drain_idle(void **state)
{
    (void)state;
    idle_end(H1);
    idle_end(H2);
}

static void drain_busy(enum version v, bool by_server)
{
    struct joined j;
    struct call c = {.to_send = 500000};
    joined_init(&j, v, 0);
    assert_true(call_start(&c, j.client, SLICE("/echo")));
    JOINED_UNTIL(&j, c.status == 200);
    http_conn_drain(by_server ? j.server : j.client);
    while (!c.done && !c.reset) {
        call_consume(&c, 100000);
        joined_turn(&j);
    }
    assert_true(c.done);
    assert_int_equal(c.received, c.to_send);
    /* An HTTP/1 client that could not be told has a second to hear of it. */
    int64_t end = clock_mono_ns() + 20 * NSEC_PER_SEC;
    while ((j.client || j.server) && clock_mono_ns() < end)
        joined_turn(&j);
    assert_null(j.client);
    assert_null(j.server);
    joined_fini(&j);
}

static void test_drain_busy(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        drain_busy(i & 1 ? H2 : H1, i & 2);
}

/* Closed inside the very event in which the exchange is told. */
static void reset_and_close(struct exchange *x, enum reset_why why)
{
    struct joined *j = x->owner;
    (void)why;
    if (j->client)
        http_conn_close(j->client, OK);
    if (j->server)
        http_conn_close(j->server, OK);
}

static void test_close_in_reset(void **state)
{
    struct exchange_events ev = call_events;
    (void)state;
    ev.on_reset = reset_and_close;
    for (int v = H1; v < VERSIONS; v++) {
        struct joined j;
        struct head h;
        joined_init(&j, (enum version)v, 0);
        struct exchange *x = http_conn_open(j.client);
        exchange_own(x, &ev, &j);
        head_of(&h, "GET", "/hang", NULL, 0);
        exchange_send_head(x, &h, true);
        JOINED_UNTIL(&j, j.answers.begun == 1);
        memory_stream_fail_after(j.client_end, 0, ERR_RESET);
        JOINED_UNTIL(&j, !j.client && !j.server);
        joined_fini(&j);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_hints),
        cmocka_unit_test(test_many_hints),
        cmocka_unit_test(test_bodyless),
        cmocka_unit_test(test_blind_head),
        cmocka_unit_test(test_tunnel),
        cmocka_unit_test(test_no_tunnel),
        cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_early),
        cmocka_unit_test(test_reset_codes),
        cmocka_unit_test(test_closed_by_server),
        cmocka_unit_test(test_drain_idle),
        cmocka_unit_test(test_drain_busy),
        cmocka_unit_test(test_close_in_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
