/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP/2 session against a peer that does as it likes, and what it must never
 * lose: credit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/http/h2_rig.h"

static void expect_goodbye(struct rig *r, uint32_t code)
{
    JOINED_UNTIL(&r->j, !r->j.server);
    joined_turns(&r->j, 3);
    struct seen s = frames_seen(&r->peer.got);
    assert_int_equal(s.goaway_code, code);
    assert_true(r->peer.ended || r->peer.failed);
    rig_fini(r);
}

/* ---- floods ---- */

static void test_rapid_reset(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    for (uint32_t i = 0; i < 1000; i++) {
        frame_request(&r.say, 2 * i + 1, "GET", "/hang", true);
        frame_number(&r.say, F_RST, 2 * i + 1, 8);
    }
    rig_say(&r);
    assert_true(r.j.answers.begun <= r.j.limits.max_resets + 1);
    assert_int_equal(r.j.answers.begun, r.j.answers.resets);
    expect_goodbye(&r, CALM);
}

/* Resets that the peer makes us send count too: data on a half-closed stream. */
static void test_made_you_reset(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    for (uint32_t i = 0; i < 1000; i++) {
        frame_request(&r.say, 2 * i + 1, "GET", "/hang", false);
        frame_number(&r.say, F_WINDOW, 2 * i + 1, 0);
    }
    rig_say(&r);
    assert_true(r.j.answers.begun <= r.j.limits.max_resets + 1);
    JOINED_UNTIL(&r.j, !r.j.server);
    rig_fini(&r);
}

static void flood(int type, int flags, slice payload, bool on_stream)
{
    struct rig r;
    rig_init(&r);
    if (on_stream)
        frame_request(&r.say, 1, "POST", "/hang", false);
    for (int i = 0; i < 5000; i++)
        frame(&r.say, type, flags, on_stream ? 1 : 0, payload);
    rig_say(&r);
    expect_goodbye(&r, CALM);
}

static void test_floods(void **state)
{
    (void)state;
    flood(F_PING, 0, SLICE("12345678"), false);
    flood(F_SETTINGS, 0, SLICE_NONE, false);
    flood(F_DATA, 0, SLICE_NONE, true);
    flood(F_PRIORITY, 0, slice_of("\0\0\0\0\1", 5), true);
}

/* A peer that never reads, either. */
static void test_flood_unread(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    joined_turns(&r.j, 3);
    stream_read(r.peer.s, false);
    for (int i = 0; i < 5000; i++)
        frame(&r.say, F_PING, 0, 0, SLICE("12345678"));
    rig_say(&r);
    JOINED_UNTIL(&r.j, !r.j.server);
    rig_fini(&r);
}

/* ---- the end of a session ---- */

static void test_not_http2(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    text_clear(&r.say);
    text_add(&r.say, SLICE("GET / HTTP/1.1\r\nhost: a\r\n\r\n       "));
    rig_say(&r);
    JOINED_UNTIL(&r.j, !r.j.server);
    assert_int_equal(r.j.server_why, ERR_PROTOCOL);
    rig_fini(&r);
}

/* A client whose peer speaks bytes. */
static void client_init(struct rig *r)
{
    joined_streams(&r->j, 1 << 20, 0);
    joined_connect(&r->j, H2);
    raw_init(&r->peer, r->j.server_end);
    text_init(&r->say, 1 << 24);
    frame(&r->say, F_SETTINGS, 0, 0, SLICE_NONE);
    rig_say(r);
}

static void client_fini(struct rig *r)
{
    text_fini(&r->say);
    if (r->j.client)
        http_conn_close(r->j.client, OK);
    joined_turns(&r->j, 3);
    raw_fini(&r->peer);
    joined_fini(&r->j);
}

static void frame_goaway(struct text *out, uint32_t last, uint32_t code)
{
    frame_head(out, 8, F_GOAWAY, 0, 0);
    frame_u32(out, last);
    frame_u32(out, code);
}

/* Streams beyond the last one named were never processed. */
static void test_goaway_refuses(void **state)
{
    struct call calls[3] = {{.at_once = 1}, {.at_once = 1}, {.at_once = 1}};
    struct rig r;
    (void)state;
    client_init(&r);
    for (int i = 0; i < 2; i++)
        assert_true(call_start(&calls[i], r.j.client, SLICE("/")));
    joined_turns(&r.j, 3);
    frame_goaway(&r.say, 1, NO_ERROR);
    stream_write(r.peer.s, r.say.ptr, r.say.len);
    text_clear(&r.say);
    /* Not sent yet when the message comes. */
    assert_true(call_start(&calls[2], r.j.client, SLICE("/")));
    joined_turns(&r.j, 3);
    assert_int_equal(r.j.draining, 1);
    assert_true(calls[1].reset && calls[2].reset);
    assert_int_equal(calls[1].why, RESET_REFUSED);
    assert_int_equal(calls[2].why, RESET_REFUSED);
    assert_false(calls[0].reset || calls[0].done);
    assert_null(http_conn_open(r.j.client));
    struct text block;
    text_init(&block, 100);
    field(&block, ":status", SLICE("200"));
    frame(&r.say, F_HEADERS, F_END_HEADERS | F_END_STREAM, 1,
          text_slice(&block));
    text_fini(&block);
    rig_say(&r);
    assert_true(calls[0].done);
    assert_null(r.j.client); /* the last one is over */
    client_fini(&r);
}

/* What has not left when the connection breaks may be sent again. */
static void test_unsent_is_refused(void **state)
{
    struct call sent = {.at_once = 1}, unsent = {.at_once = 1};
    struct rig r;
    (void)state;
    client_init(&r);
    assert_true(call_start(&sent, r.j.client, SLICE("/")));
    joined_turns(&r.j, 3);
    assert_true(call_start(&unsent, r.j.client, SLICE("/")));
    http_conn_close(r.j.client, ERR_CANCELED);
    assert_true(sent.reset && unsent.reset);
    assert_int_equal(sent.why, RESET_CONNECTION);
    assert_int_equal(unsent.why, RESET_REFUSED);
    client_fini(&r);
}

static void test_stream_limit(void **state)
{
    struct call calls[4];
    struct rig r;
    (void)state;
    client_init(&r);
    frame_head(&r.say, 6, F_SETTINGS, 0, 0);
    text_add(&r.say, slice_of("\0\3", 2)); /* MAX_CONCURRENT_STREAMS */
    frame_u32(&r.say, 2);
    rig_say(&r);
    for (int i = 0; i < 4; i++) {
        calls[i] = (struct call){.at_once = 1};
        assert_int_equal(call_start(&calls[i], r.j.client, SLICE("/")), i < 2);
    }
    exchange_reset(calls[0].x, RESET_CANCELED);
    joined_turns(&r.j, 3);
    assert_int_equal(r.j.ready, 1);
    assert_true(call_start(&calls[2], r.j.client, SLICE("/")));
    client_fini(&r);
}

/* The answer was complete, its end is not cut short by a reset that says no
 * error; but an answer that is cut is not done. */
static void test_reset_before_end(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    r.j.limits.body_timeout = 0;
    frame_head(&r.say, 6, F_SETTINGS, 0, 0);
    text_add(&r.say, slice_of("\0\4", 2)); /* INITIAL_WINDOW_SIZE */
    frame_u32(&r.say, 3);
    frame_request(&r.say, 1, "GET", "/", true); /* "hello" does not fit */
    rig_say(&r);
    assert_int_equal(frames_seen(&r.peer.got).data, 3);
    assert_int_equal(r.j.answers.done, 0);
    frame_number(&r.say, F_RST, 1, NO_ERROR);
    rig_say(&r);
    assert_int_equal(r.j.answers.done, 0);
    assert_int_equal(r.j.answers.resets, 1);
    rig_fini(&r);
}

/* A stream that its client has ended is over for it, also when it is closed. */
static void test_data_after_the_end(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    frame_request(&r.say, 1, "GET", "/", true);
    rig_say(&r);
    assert_int_equal(r.j.answers.done, 1);
    frame(&r.say, F_DATA, 1, 1, SLICE("more"));
    rig_say(&r);
    expect_goodbye(&r, CLOSED);
}

/* What comes is 300 ms of the real clock away, and polled for. */
static void breathe(void)
{
    usleep(1000); /* allow sleep: the pace of polling */
}

static void test_server_drain(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    frame_request(&r.say, 1, "POST", "/echo", false);
    rig_say(&r);
    http_conn_drain(r.j.server);
    joined_turns(&r.j, 3);
    /* The notice first: what is under way towards us still counts. */
    struct seen s = frames_seen(&r.peer.got);
    assert_int_equal(s.count[F_GOAWAY], 1);
    assert_int_equal(s.goaway_last, 0x7fffffff);
    frame_request(&r.say, 3, "GET", "/", true);
    rig_say(&r);
    assert_int_equal(r.j.answers.done, 1);
    JOINED_UNTIL(&r.j,
                 (breathe(), frames_seen(&r.peer.got).count[F_GOAWAY] == 2));
    assert_int_equal(frames_seen(&r.peer.got).goaway_last, 3);
    frame_request(&r.say, 5, "GET", "/", true); /* too late */
    frame(&r.say, F_DATA, F_END_STREAM, 1, SLICE("abc"));
    rig_say(&r);
    assert_int_equal(r.j.answers.begun, 2);
    assert_int_equal(r.j.answers.done, 2);
    assert_null(r.j.server);
    rig_fini(&r);
}

/* ---- credit ---- */

enum left { LEFT_DONE, LEFT_EARLY, LEFT_RESET, LEFT_CLIENT_RESET, LEFTS };

struct hoard {
    enum left how;
    unsigned over;
};

static void hoard_head(struct exchange *x, const struct head *h, bool end)
{
    (void)x, (void)h, (void)end;
}
static void hoard_body(struct exchange *x, slice data, bool end)
{
    struct hoard *o = x->owner;
    (void)data; /* never consumed */
    if (o->how == LEFT_DONE && end)
        exchange_reply(x, 200, SLICE_NONE, SLICE_NONE, NULL);
    if (o->how == LEFT_EARLY && !x->head_out)
        exchange_reply(x, 200, SLICE_NONE, SLICE_NONE, NULL);
    if (o->how == LEFT_RESET) {
        o->over++;
        exchange_reset(x, RESET_CANCELED);
    }
}
static void hoard_trailers(struct exchange *x, const struct headers *t)
{
    (void)x, (void)t;
}
static void hoard_sent(struct exchange *x, size_t n)
{
    (void)x, (void)n;
}
static void hoard_reset(struct exchange *x, enum reset_why why)
{
    struct hoard *o = x->owner;
    (void)why;
    o->over++;
}
static void hoard_done(struct exchange *x)
{
    struct hoard *o = x->owner;
    o->over++;
}
static const struct exchange_events hoard_events = {
    .on_head = hoard_head,
    .on_body = hoard_body,
    .on_trailers = hoard_trailers,
    .on_sent = hoard_sent,
    .on_reset = hoard_reset,
    .on_done = hoard_done,
};
static void hoard_take(void *arg, struct exchange *x,
                       const struct tls_peer *peer)
{
    (void)peer;
    exchange_own(x, &hoard_events, arg);
}

/* Thousands of streams end with bytes that nobody consumed. */
static void unconsumed(enum left how)
{
    struct joined j;
    struct hoard o = {.how = how};
    joined_streams(&j, 65536, 0);
    j.limits.max_resets = 1 << 30;
    joined_serve(&j, H2);
    joined_connect(&j, H2);
    j.handler = hoard_take;
    j.handler_arg = &o;
    for (unsigned i = 1; i <= 1000; i++) {
        struct call c = {.to_send = 60000, .at_once = 1};
        if (how == LEFT_CLIENT_RESET)
            c.to_send = 120000;
        assert_true(call_start(&c, j.client, SLICE("/")));
        if (how == LEFT_CLIENT_RESET) {
            JOINED_UNTIL(&j, c.credited);
            exchange_reset(c.x, RESET_CANCELED);
            c.x = NULL;
        }
        JOINED_UNTIL(&j, o.over == i);
        JOINED_UNTIL(&j, !c.x);
        assert_int_equal(h2_conn_held(j.server), 0);
    }
    joined_fini(&j);
}

static void test_unconsumed(void **state)
{
    (void)state;
    for (int how = 0; how < LEFTS; how++)
        unconsumed((enum left)how);
}

/* 200 MB through one session, many streams at a time. */
static void test_soak(void **state)
{
    enum { AT_ONCE = 20, EACH = 1 << 20, ROUNDS = 10 };
    static struct call calls[AT_ONCE];
    struct joined j;
    (void)state;
    joined_init(&j, H2, 0);
    for (int round = 0; round < ROUNDS; round++) {
        unsigned over = 0;
        for (unsigned i = 0; i < AT_ONCE; i++) {
            calls[i] = (struct call){
                .to_send = EACH + i, .at_once = 1, .trailers_out = i & 1};
            assert_true(call_start(&calls[i], j.client, SLICE("/echo")));
        }
        while (over < AT_ONCE) {
            joined_turn(&j);
            over = 0;
            for (unsigned i = 0; i < AT_ONCE; i++)
                over += calls[i].done || calls[i].reset;
        }
        for (unsigned i = 0; i < AT_ONCE; i++) {
            assert_true(calls[i].done && !calls[i].bad);
            assert_int_equal(calls[i].received, calls[i].to_send);
        }
        assert_int_equal(h2_conn_held(j.server), 0);
        assert_int_equal(h2_conn_held(j.client), 0);
    }
    assert_true(h2_conn_bulky(j.client));
    joined_fini(&j);
}

/* ---- time ---- */

static void test_ping(void **state)
{
    struct joined j;
    (void)state;
    joined_init(&j, H2, 0);
    joined_turns(&j, 3);
    int64_t before = h2_conn_last_heard(j.client);
    JOINED_UNTIL(&j, loop_now(&j.loop) > before + NSEC_PER_MSEC);
    assert_int_equal(h2_conn_last_heard(j.client), before);
    h2_conn_ping(j.client);
    JOINED_UNTIL(&j, h2_conn_last_heard(j.client) > before);
    joined_fini(&j);
}

/* Taken, and given back without a head: the drain does not wait for it. */
static void test_open_and_leave(void **state)
{
    struct joined j;
    struct call c = {0};
    (void)state;
    joined_init(&j, H2, 0);
    joined_turns(&j, 3);
    c.x = http_conn_open(j.client);
    exchange_own(c.x, &call_events, &c);
    http_conn_drain(j.client);
    exchange_reset(c.x, RESET_CANCELED);
    JOINED_UNTIL(&j, !j.client);
    joined_fini(&j);
}

/* Taken before the drain: it is carried, however bytes are cut. */
static void test_open_and_drain(void **state)
{
    (void)state;
    for (size_t piece = 0; piece < 40; piece++) {
        struct joined j;
        struct call c = {.at_once = 1};
        joined_init(&j, H2, piece);
        joined_turns(&j, 3);
        assert_true(call_start(&c, j.client, SLICE("/")));
        http_conn_drain(j.client);
        JOINED_UNTIL(&j, c.done || c.reset);
        assert_true(c.done);
        JOINED_UNTIL(&j, !j.client && !j.server);
        assert_int_equal(j.server_why, OK);
        joined_fini(&j);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rapid_reset),
        cmocka_unit_test(test_made_you_reset),
        cmocka_unit_test(test_floods),
        cmocka_unit_test(test_flood_unread),
        cmocka_unit_test(test_not_http2),
        cmocka_unit_test(test_goaway_refuses),
        cmocka_unit_test(test_unsent_is_refused),
        cmocka_unit_test(test_stream_limit),
        cmocka_unit_test(test_reset_before_end),
        cmocka_unit_test(test_data_after_the_end),
        cmocka_unit_test(test_server_drain),
        cmocka_unit_test(test_unconsumed),
        cmocka_unit_test(test_soak),
        cmocka_unit_test(test_ping),
        cmocka_unit_test(test_open_and_leave),
        cmocka_unit_test(test_open_and_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
