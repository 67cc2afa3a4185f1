/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server and client over loopback sockets: plain and TLS, both
 * versions, bodies larger than every window, closing at every turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/net/dial.h"
#include "tests/unit/http/ids.h"
#include "tests/unit/http/talk.h"

enum { BIG = 6 << 20 }; /* over the session window */

struct rig {
    struct turner t;
    struct http_server *server;
    struct answers answers;
    struct http_limits limits;
    struct http_client *client;
    struct http_conn *conn;
    unsigned connected, failed, closed;
    enum status rc;
    slice reason;
    slice peer;
};

static struct tls_settings *server_tls, *client_tls, *client_tls1;
static const slice controller = SLICE_INIT("spiffe://test/tulle/controller");

static void rig_init(struct rig *r, struct tls_settings *tls, unsigned max)
{
    struct error e;
    *r = (struct rig){.limits = http_limits_default};
    turner_init(&r->t);
    struct http_server_options opt = {
        .tls = tls, .limits = http_limits_default, .max_connections = max};
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), &opt.at), OK);
    assert_int_equal(http_server_start(&r->server, &r->t.loop, &opt,
                                       answers_take, &r->answers, &e),
                     OK);
}

static void rig_fini(struct rig *r)
{
    if (r->client)
        http_client_cancel(r->client);
    if (r->conn)
        http_conn_close(r->conn, OK);
    if (r->server)
        http_server_close(r->server);
    turner_fini(&r->t);
}

static void on_conn_closed(struct http_conn *c, enum status why)
{
    struct rig *r = c->owner;
    (void)why;
    r->conn = NULL;
    r->closed++;
}

static const struct http_conn_events conn_events = {
    .on_closed = on_conn_closed};

static void on_client(void *arg, enum status rc, struct http_conn *c,
                      const struct tls_peer *peer, const char *reason)
{
    struct rig *r = arg;
    r->client = NULL;
    r->rc = rc;
    r->reason = slice_str(reason);
    if (rc) {
        assert_null(c);
        r->failed++;
        return;
    }
    r->connected++;
    r->conn = c;
    c->events = &conn_events;
    c->owner = r;
    r->peer = peer ? peer->name : SLICE_NONE;
}

static void rig_dial(struct rig *r, struct tls_settings *tls, slice expect)
{
    assert_int_equal(http_client_start(&r->client, &r->t.loop,
                                       http_server_address(r->server), tls,
                                       expect, 5 * NSEC_PER_SEC, &r->limits,
                                       on_client, r),
                     OK);
}

static void rig_connect(struct rig *r, struct tls_settings *tls)
{
    rig_dial(r, tls, tls ? controller : SLICE_NONE);
    TURN_UNTIL(&r->t, r->connected || r->failed);
    assert_int_equal(r->rc, OK);
}

/* ---- identities ---- */

static int make_identities(void **state)
{
    const slice web = SLICE("spiffe://test/ns/shop/sa/web");
    struct ca *ca = ids_ca(SLICE("test"));
    (void)state;
    server_tls = ids_settings(ca, controller, TLS_SERVER, TLS_ALPN_H2);
    client_tls = ids_settings(ca, web, TLS_CLIENT, TLS_ALPN_H2);
    client_tls1 = ids_settings(ca, web, TLS_CLIENT, TLS_ALPN_HTTP1);
    ca_free(ca);
    return 0;
}

static int free_identities(void **state)
{
    (void)state;
    tls_settings_unref(server_tls);
    tls_settings_unref(client_tls);
    tls_settings_unref(client_tls1);
    return 0;
}

/* ---- one request ---- */

static void check_get(struct tls_settings *stls, struct tls_settings *ctls)
{
    struct rig r;
    rig_init(&r, stls, 0);
    rig_connect(&r, ctls);
    struct call c = {.at_once = 1};
    assert_true(call_start(&c, r.conn, SLICE("/")));
    TURN_UNTIL(&r.t, c.done || c.reset);
    assert_true(c.done);
    assert_int_equal(c.status, 200);
    assert_int_equal(c.received, 5);
    if (ctls) {
        assert_true(slice_eq(r.peer, controller));
        assert_true(
            slice_eq(r.answers.peer, SLICE("spiffe://test/ns/shop/sa/web")));
    }
    TURN_UNTIL(&r.t, r.answers.done == 1);
    rig_fini(&r);
}

static void test_get_plain(void **state)
{
    (void)state;
    check_get(NULL, NULL);
}

static void test_get_tls(void **state)
{
    (void)state;
    check_get(server_tls, client_tls);
}

static void test_get_tls_http1(void **state)
{
    (void)state;
    check_get(server_tls, client_tls1);
}

static void test_wrong_identity(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, server_tls, 0);
    rig_dial(&r, client_tls, SLICE("spiffe://test/ns/shop/sa/cart"));
    TURN_UNTIL(&r.t, r.connected || r.failed);
    assert_int_equal(r.rc, ERR_TLS);
    assert_true(slice_eq(r.reason, SLICE("wrong identity")));
    TURN_UNTIL(&r.t, http_server_connections(r.server) == 0);
    rig_fini(&r);
}

/* ---- bodies ---- */

static void check_echo(struct tls_settings *stls, struct tls_settings *ctls,
                       size_t slowly)
{
    struct rig r;
    rig_init(&r, stls, 0);
    rig_connect(&r, ctls);
    struct call c = {
        .to_send = BIG, .trailers_out = true, .at_once = slowly == 0};
    assert_true(call_start(&c, r.conn, SLICE("/echo")));
    int64_t end = clock_mono_ns() + 20 * NSEC_PER_SEC;
    while (!c.done && !c.reset && clock_mono_ns() < end) {
        call_consume(&c, slowly);
        turn(&r.t);
    }
    assert_true(c.done);
    assert_false(c.bad);
    assert_int_equal(c.status, 200);
    assert_int_equal(c.received, BIG);
    assert_true(c.trailers_in);
    assert_int_equal(c.ends, 1);
    assert_int_equal(c.credited, BIG);
    /* what one exchange may hold, and what one read adds */
    assert_true(r.answers.most_held <= r.limits.stream_window_max + LOOP_LENT);
    rig_fini(&r);
}

static void test_echo_plain(void **state)
{
    (void)state;
    check_echo(NULL, NULL, 0);
}

static void test_echo_tls(void **state)
{
    (void)state;
    check_echo(server_tls, client_tls, 0);
}

static void test_echo_slow_reader(void **state)
{
    (void)state;
    check_echo(server_tls, client_tls, 40000);
}

static void test_echo_http1(void **state)
{
    (void)state;
    check_echo(server_tls, client_tls1, 0);
    check_echo(server_tls, client_tls1, 40000);
}

static void test_hints(void **state)
{
    struct tls_settings *const all[] = {client_tls, client_tls1};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct rig r;
        rig_init(&r, server_tls, 0);
        rig_connect(&r, all[i]);
        struct call c = {.to_send = 10, .at_once = 1};
        assert_true(call_start(&c, r.conn, SLICE("/hints")));
        TURN_UNTIL(&r.t, c.done || c.reset);
        assert_true(c.done);
        assert_int_equal(c.hints, 1);
        assert_int_equal(c.received, 10);
        rig_fini(&r);
    }
}

/* ---- many, early, broken ---- */

static void test_many_streams(void **state)
{
    enum { MANY = 100 }; /* as many before the SETTINGS of a server */
    static struct call calls[MANY];
    struct rig r;
    unsigned done = 0;
    (void)state;
    memset(calls, 0, sizeof calls);
    rig_init(&r, server_tls, 0);
    rig_connect(&r, client_tls);
    for (int i = 0; i < MANY; i++) {
        calls[i].to_send = (uint64_t)i * 1000 + 1;
        calls[i].at_once = 1;
        assert_true(call_start(&calls[i], r.conn, SLICE("/echo")));
    }
    int64_t end = clock_mono_ns() + 20 * NSEC_PER_SEC;
    while (done < MANY && clock_mono_ns() < end) {
        turn(&r.t);
        done = 0;
        for (int i = 0; i < MANY; i++)
            done += calls[i].done;
    }
    assert_int_equal(done, MANY);
    for (int i = 0; i < MANY; i++) {
        assert_false(calls[i].bad);
        assert_int_equal(calls[i].received, calls[i].to_send);
    }
    assert_int_equal(r.answers.begun, MANY);
    rig_fini(&r);
}

static void test_reset_by_server(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, NULL, 0);
    rig_connect(&r, NULL);
    struct call c = {.at_once = 1}, next = {.at_once = 1};
    assert_true(call_start(&c, r.conn, SLICE("/reset")));
    TURN_UNTIL(&r.t, c.done || c.reset);
    assert_true(c.reset);
    assert_int_equal(c.why, RESET_REFUSED);
    assert_true(call_start(&next, r.conn, SLICE("/")));
    TURN_UNTIL(&r.t, next.done);
    rig_fini(&r);
}

static void test_reset_by_client(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, NULL, 0);
    rig_connect(&r, NULL);
    struct call c = {.at_once = 1}, next = {.at_once = 1};
    assert_true(call_start(&c, r.conn, SLICE("/hang")));
    TURN_UNTIL(&r.t, r.answers.begun == 1);
    exchange_reset(c.x, RESET_CANCELED);
    TURN_UNTIL(&r.t, r.answers.resets == 1);
    assert_false(c.reset);
    assert_true(call_start(&next, r.conn, SLICE("/")));
    TURN_UNTIL(&r.t, next.done);
    rig_fini(&r);
}

/* An answer before the request has ended stops the request, not the rest. */
static void test_early_answer(void **state)
{
    struct tls_settings *const all[] = {client_tls, client_tls1};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct rig r;
        rig_init(&r, server_tls, 0);
        rig_connect(&r, all[i]);
        struct call c = {.to_send = BIG, .at_once = 1};
        assert_true(call_start(&c, r.conn, SLICE("/early")));
        TURN_UNTIL(&r.t, c.done || c.reset);
        assert_int_equal(c.status, 413);
        assert_int_equal(r.answers.done, 1);
        rig_fini(&r);
    }
}

static void test_drain(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, server_tls, 0);
    rig_connect(&r, client_tls);
    struct call c = {.to_send = BIG};
    assert_true(call_start(&c, r.conn, SLICE("/echo")));
    TURN_UNTIL(&r.t, c.status == 200);
    http_server_drain(r.server);
    struct address at = *http_server_address(r.server);
    int64_t end = clock_mono_ns() + 20 * NSEC_PER_SEC;
    while (!c.done && !c.reset && clock_mono_ns() < end) {
        call_consume(&c, 1 << 20);
        turn(&r.t);
    }
    assert_true(c.done); /* what ran went on to its end */
    TURN_UNTIL(&r.t, r.closed == 1 && http_server_connections(r.server) == 0);
    assert_int_equal(http_client_start(&r.client, &r.t.loop, &at, client_tls,
                                       controller, NSEC_PER_SEC, &r.limits,
                                       on_client, &r),
                     OK);
    TURN_UNTIL(&r.t, r.failed == 1);
    assert_int_equal(r.rc, ERR_REFUSED);
    rig_fini(&r);
}

static void test_cap(void **state)
{
    struct rig r;
    struct http_conn *first;
    (void)state;
    rig_init(&r, NULL, 1);
    rig_connect(&r, NULL);
    first = r.conn;
    rig_dial(&r, NULL,
             SLICE_NONE); /* the kernel accepts, the server does not */
    TURN_UNTIL(&r.t, r.connected == 2);
    struct call c = {.at_once = 1};
    assert_true(call_start(&c, r.conn, SLICE("/")));
    for (int i = 0; i < 10; i++)
        turn(&r.t);
    assert_false(c.done);
    assert_int_equal(http_server_connections(r.server), 1);
    struct http_conn *second = r.conn;
    http_conn_close(first, OK);
    r.conn = second;
    TURN_UNTIL(&r.t, c.done);
    rig_fini(&r);
}

/* ---- raw bytes, as curl would send them ---- */

struct raw {
    struct stream *s;
    struct text got;
    bool ended, failed;
};

static void raw_data(struct stream *s, const char *ptr, size_t len)
{
    struct raw *w = s->owner;
    text_add(&w->got, slice_of(ptr, len));
}
static void raw_end(struct stream *s)
{
    struct raw *w = s->owner;
    w->ended = true;
}
static void raw_fail(struct stream *s, enum status why)
{
    struct raw *w = s->owner;
    (void)why;
    w->failed = true;
}
static const struct stream_events raw_events = {
    .on_data = raw_data, .on_end = raw_end, .on_fail = raw_fail};

static void raw_dialed(void *arg, enum status rc, struct stream *s)
{
    struct raw *w = arg;
    assert_int_equal(rc, OK);
    w->s = s;
    stream_own(s, &raw_events, w);
    stream_read(s, true);
}

static void raw_open(struct raw *w, struct rig *r)
{
    struct tcp_dial *d;
    *w = (struct raw){0};
    text_init(&w->got, 1 << 24);
    assert_int_equal(tcp_dial_start(&d, &r->t.loop,
                                    http_server_address(r->server),
                                    NSEC_PER_SEC, 0, raw_dialed, w),
                     OK);
    TURN_UNTIL(&r->t, w->s != NULL);
}

static void raw_close(struct raw *w)
{
    stream_close(w->s, STREAM_NOW);
    text_fini(&w->got);
}

static bool raw_has(const struct raw *w, const char *what)
{
    return w->got.len &&
           memmem(w->got.ptr, w->got.len, what, strlen(what)) != NULL;
}

static void raw_say(struct raw *w, const char *what)
{
    stream_write(w->s, what, strlen(what));
}

/* Byte by byte, pipelined, and one that looks like the preface at first. */
static void test_raw_http1(void **state)
{
    static const char text[] = "PRIZE /echo HTTP/1.1\r\nhost: a\r\n"
                               "content-length: 3\r\n\r\nabc"
                               "GET / HTTP/1.1\r\nhost: a\r\n"
                               "connection: close\r\n\r\n";
    struct rig r;
    struct raw w;
    (void)state;
    rig_init(&r, NULL, 0);
    raw_open(&w, &r);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        stream_write(w.s, text + i, 1);
        turn(&r.t);
    }
    TURN_UNTIL(&r.t, w.ended || w.failed);
    assert_true(w.ended);
    assert_true(raw_has(&w, "x-echo: PRIZE"));
    assert_true(raw_has(&w, "1\r\na\r\n"));
    assert_true(raw_has(&w, "hello"));
    raw_close(&w);
    rig_fini(&r);
}

static void test_raw_bad(void **state)
{
    static const char *const bad[] = {
        "GET / HTTP/1.1\r\n\r\n", /* no Host */
        "\x16\x03\x01\x02nonsense\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\nxx", /* not quite the preface */
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct rig r;
        struct raw w;
        rig_init(&r, NULL, 0);
        raw_open(&w, &r);
        raw_say(&w, bad[i]);
        TURN_UNTIL(&r.t, w.ended || w.failed);
        assert_true(raw_has(&w, "HTTP/1.1 400") || raw_has(&w, "HTTP/1.1 505"));
        assert_int_equal(r.answers.begun, 0);
        raw_close(&w);
        TURN_UNTIL(&r.t, http_server_connections(r.server) == 0);
        rig_fini(&r);
    }
}

/* A reader that never reads: the server stops taking the body. */
static void test_raw_no_reader(void **state)
{
    static char piece[65536];
    struct rig r;
    struct raw w;
    uint64_t said = 0;
    (void)state;
    rig_init(&r, NULL, 0);
    raw_open(&w, &r);
    stream_read(w.s, false);
    raw_say(&w, "POST /echo HTTP/1.1\r\nhost: a\r\n"
                "content-length: 100000000\r\n\r\n");
    unsigned idle = 0;
    while (idle < 20 && said < 100000000) {
        bool room = stream_queued(w.s) < sizeof piece;
        if (room) {
            stream_write(w.s, piece, sizeof piece);
            said += sizeof piece;
        }
        idle = room ? 0 : idle + 1;
        turn(&r.t);
    }
    assert_int_equal(idle, 20); /* stuck, as it should be */
    assert_true(r.answers.most_held <= r.limits.body_window + LOOP_LENT);
    raw_close(&w);
    TURN_UNTIL(&r.t, r.answers.resets == 1);
    rig_fini(&r);
}

static void test_raw_silent(void **state)
{
    struct rig r;
    struct raw w;
    (void)state;
    rig_init(&r, NULL, 0);
    http_server_close(r.server);
    struct error e;
    struct http_server_options opt = {.limits = http_limits_default};
    opt.limits.head_timeout = 5 * NSEC_PER_MSEC;
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), &opt.at), OK);
    assert_int_equal(http_server_start(&r.server, &r.t.loop, &opt, answers_take,
                                       &r.answers, &e),
                     OK);
    raw_open(&w, &r);
    raw_say(&w, "PRI");
    TURN_UNTIL(&r.t, w.ended || w.failed);
    raw_close(&w);
    rig_fini(&r);
}

/* ---- closing from inside an event ---- */

struct inside {
    struct rig r;
    struct call other; /* runs beside, and is reset by the first one's end */
    int at;            /* the event to close in */
    int seen;
    bool whole_server;
    struct exchange *x;
};

static void inside_event(struct inside *in)
{
    if (in->seen++ != in->at)
        return;
    if (in->whole_server) {
        http_server_close(in->r.server);
        in->r.server = NULL;
    } else if (in->r.conn) {
        http_conn_close(in->r.conn, OK);
    }
}

static void inside_head(struct exchange *x, const struct head *h, bool end)
{
    (void)h, (void)end;
    inside_event(x->owner);
}
static void inside_body(struct exchange *x, slice data, bool end)
{
    struct inside *in = x->owner;
    (void)end;
    inside_event(in);
    exchange_consumed(x, data.len);
}
static void inside_trailers(struct exchange *x, const struct headers *t)
{
    (void)t;
    inside_event(x->owner);
}
static void inside_sent(struct exchange *x, size_t n)
{
    (void)n;
    inside_event(x->owner);
}
static void inside_over(struct inside *in)
{
    in->x = NULL;
    if (in->other.x) {
        exchange_reset(in->other.x, RESET_CANCELED);
        in->other.x = NULL;
    }
    inside_event(in);
}
static void inside_reset(struct exchange *x, enum reset_why why)
{
    (void)why;
    inside_over(x->owner);
}
static void inside_done(struct exchange *x)
{
    inside_over(x->owner);
}

static const struct exchange_events inside_events = {
    .on_head = inside_head,
    .on_body = inside_body,
    .on_trailers = inside_trailers,
    .on_sent = inside_sent,
    .on_reset = inside_reset,
    .on_done = inside_done,
};

/* False when the event was never reached. */
static bool close_inside(struct tls_settings *tls, int at, bool whole_server)
{
    static char body[100000];
    struct inside in = {.at = at, .whole_server = whole_server};
    struct header fields[2];
    struct head h;
    rig_init(&in.r, server_tls, 0);
    rig_connect(&in.r, tls);
    in.x = http_conn_open(in.r.conn);
    exchange_own(in.x, &inside_events, &in);
    /* Opened, and without a head yet (HTTP/1 has no second one). */
    in.other.x = http_conn_open(in.r.conn);
    if (in.other.x)
        exchange_own(in.other.x, &call_events, &in.other);
    head_init_request(&h, SLICE("POST"), SLICE("test"), SLICE("/echo"), fields,
                      2);
    exchange_send_head(in.x, &h, false);
    exchange_send_body(in.x, slice_of(body, sizeof body), true);
    TURN_UNTIL(&in.r.t, !in.x);
    bool reached = in.seen > at;
    rig_fini(&in.r);
    return reached;
}

static void test_close_inside(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct tls_settings *tls = i & 1 ? client_tls : client_tls1;
        int at = 0;
        while (close_inside(tls, at, i >= 2))
            at++;
        assert_true(at > 2);
    }
}

/* ---- closing at every turn ---- */

enum closer { CLOSE_CLIENT, CLOSE_SERVER, CLOSE_EXCHANGE, CLOSERS };

/* Returns false when the request was over before turn `n`. */
static bool sweep_one(struct tls_settings *stls, struct tls_settings *ctls,
                      enum closer who, int n)
{
    struct rig r;
    struct call c = {.to_send = 300000, .at_once = 1};
    bool started = false;
    rig_init(&r, stls, 0);
    rig_dial(&r, ctls, ctls ? controller : SLICE_NONE);
    int i;
    for (i = 0; i < n && !c.done && !c.reset; i++) {
        turn(&r.t);
        if (r.conn && !started)
            started = call_start(&c, r.conn, SLICE("/echo"));
    }
    bool over = c.done || c.reset;
    if (who == CLOSE_CLIENT && r.client) {
        http_client_cancel(r.client);
        r.client = NULL;
    } else if (who == CLOSE_CLIENT && r.conn) {
        http_conn_close(r.conn, ERR_CANCELED);
        assert_null(r.conn);
        assert_true(!started || over || c.reset);
    } else if (who == CLOSE_SERVER) {
        http_server_close(r.server);
        r.server = NULL;
        if (r.client)
            TURN_UNTIL(&r.t, r.failed || r.closed || r.conn);
        if (started)
            TURN_UNTIL(&r.t, c.done || c.reset);
    } else if (who == CLOSE_EXCHANGE && c.x) {
        exchange_reset(c.x, RESET_CANCELED);
        c.x = NULL;
    }
    for (i = 0; i < 3; i++)
        turn(&r.t);
    if (r.server) {
        if (r.conn)
            http_conn_close(r.conn, OK);
        TURN_UNTIL(&r.t, http_server_connections(r.server) == 0);
    }
    assert_int_equal(r.answers.begun, r.answers.done + r.answers.resets);
    rig_fini(&r);
    return !over;
}

static void check_sweep(struct tls_settings *stls, struct tls_settings *ctls)
{
    for (int who = 0; who < CLOSERS; who++) {
        int n = 0;
        while (sweep_one(stls, ctls, (enum closer)who, n))
            n++;
        assert_true(n > 3);
    }
}

static void test_sweep_plain(void **state)
{
    (void)state;
    check_sweep(NULL, NULL);
}

static void test_sweep_tls(void **state)
{
    (void)state;
    check_sweep(server_tls, client_tls);
}

static void test_sweep_http1(void **state)
{
    (void)state;
    check_sweep(server_tls, client_tls1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get_plain),
        cmocka_unit_test(test_get_tls),
        cmocka_unit_test(test_get_tls_http1),
        cmocka_unit_test(test_wrong_identity),
        cmocka_unit_test(test_echo_plain),
        cmocka_unit_test(test_echo_tls),
        cmocka_unit_test(test_echo_slow_reader),
        cmocka_unit_test(test_echo_http1),
        cmocka_unit_test(test_hints),
        cmocka_unit_test(test_many_streams),
        cmocka_unit_test(test_reset_by_server),
        cmocka_unit_test(test_reset_by_client),
        cmocka_unit_test(test_early_answer),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_raw_http1),
        cmocka_unit_test(test_raw_bad),
        cmocka_unit_test(test_raw_no_reader),
        cmocka_unit_test(test_raw_silent),
        cmocka_unit_test(test_close_inside),
        cmocka_unit_test(test_sweep_plain),
        cmocka_unit_test(test_sweep_tls),
        cmocka_unit_test(test_sweep_http1),
    };
    return cmocka_run_group_tests(tests, make_identities, free_identities);
}
