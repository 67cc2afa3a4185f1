/* SPDX-License-Identifier: Apache-2.0 */
/* TLS over streams in memory that cut bytes anywhere: handshake, bodies, both
 * ends' ends, and what must not pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/tls/tls_ends.h"

/* ---- handshake ---- */

static void test_handshake_cut(void **state)
{
    (void)state;
    for (size_t piece = 0; piece < 700; piece += piece < 20 ? 1 : 37) {
        struct rig r;
        rig_open(&r, piece);
        assert_true(slice_eq(r.client.peer->name, DB));
        assert_true(slice_eq(r.server.peer->name, WEB));
        assert_true(slice_eq(r.client.peer->alpn, SLICE(TLS_ALPN_LINK)));
        assert_true(slice_eq(r.server.peer->alpn, SLICE(TLS_ALPN_LINK)));
        assert_ptr_equal(tls_stream_peer(r.client.s), r.client.peer);
        int64_t now = clock_real_ns() / NSEC_PER_SEC;
        assert_true(r.server.peer->not_after > now + 3000);
        assert_true(r.server.peer->not_after < now + 4000);
        assert_true(strlen(r.client.peer->group) > 2);
        assert_true(piece || !r.client.peer->resumed);
        assert_int_equal(r.client.called + r.server.called, 2);
        rig_fini(&r);
    }
}

/* Bytes that were read before, for detection. */
struct eaten {
    char at[4096];
    size_t len, want;
};
static void eat_data(struct stream *s, const char *ptr, size_t len)
{
    struct eaten *e = s->owner;
    memcpy(e->at + e->len, ptr, len);
    e->len += len;
    if (e->len >= e->want)
        stream_read(s, false);
}
static const struct stream_events eat_events = {.on_data = eat_data};

static void test_first_bytes(void **state)
{
    (void)state;
    for (size_t want = 1; want < 200; want += 31) {
        struct rig r;
        struct eaten e = {.want = want};
        rig_streams(&r, 1);
        shake(&r, &r.client, client_tls, DB, SLICE_NONE);
        stream_own(r.server.lower, &eat_events, &e);
        stream_read(r.server.lower, true);
        UNTIL(&r, e.len == want);
        shake(&r, &r.server, server_tls, SLICE_NONE, slice_of(e.at, e.len));
        UNTIL(&r, r.client.called && r.server.called);
        assert_int_equal(r.client.rc, OK);
        assert_int_equal(r.server.rc, OK);
        rig_fini(&r);
    }
}

static void test_wrong_identity(void **state)
{
    struct rig r;
    (void)state;
    rig_streams(&r, 0);
    shake(&r, &r.server, server_tls, SLICE_NONE, SLICE_NONE);
    shake(&r, &r.client, client_tls, WEB, SLICE_NONE);
    UNTIL(&r, r.client.called);
    assert_int_equal(r.client.rc, ERR_TLS);
    assert_string_equal(r.client.reason, "wrong identity");
    UNTIL(&r, r.server.called);
    assert_int_equal(r.server.rc, ERR_TLS);
    assert_string_equal(r.server.reason, "peer refused the handshake");
    rig_fini(&r);
}

static void test_not_tls(void **state)
{
    struct rig r;
    (void)state;
    rig_streams(&r, 0);
    shake(&r, &r.server, server_tls, SLICE_NONE,
          SLICE("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
    UNTIL(&r, r.server.called);
    assert_int_equal(r.server.rc, ERR_TLS);
    assert_string_equal(r.server.reason, "not TLS");
    stream_close(r.client.lower, STREAM_NOW);
    rig_fini(&r);
}

static void test_timeout(void **state)
{
    struct rig r;
    (void)state;
    rig_streams(&r, 0);
    assert_int_equal(tls_handshake_start(&r.server.hs, r.server.lower,
                                         server_tls, SLICE_NONE, SLICE_NONE,
                                         3 * NSEC_PER_MSEC, on_handshake,
                                         &r.server),
                     OK);
    UNTIL(&r, r.server.called);
    assert_int_equal(r.server.rc, ERR_TIMEOUT);
    stream_close(r.client.lower, STREAM_NOW);
    rig_fini(&r);
}

/* Given away at every turn, by either; or the carrier breaks at every byte. */
static void test_cancel(void **state)
{
    (void)state;
    for (int who = 0; who < 2; who++) {
        bool before = true;
        for (unsigned rounds = 0; before; rounds++) {
            struct rig r;
            rig_init(&r, 8); /* several turns */
            struct end *a = who ? &r.client : &r.server;
            struct end *b = who ? &r.server : &r.client;
            for (unsigned i = 0; i < rounds; i++)
                turn(&r);
            before = !a->called;
            end_close(a);
            if (!b->called)
                UNTIL(&r, b->called);
            if (b->rc == OK)
                UNTIL(&r, b->ends || b->fails);
            assert_int_equal(b->called, 1);
            assert_int_equal(a->called, !before);
            rig_fini(&r);
            if (!before)
                assert_true(rounds > 2);
        }
    }
}

static void test_broken_at_every_byte(void **state)
{
    (void)state;
    for (int who = 0; who < 2; who++) {
        unsigned failed = 0;
        for (size_t n = 0; n < 3000; n += n < 100 ? 9 : 53) {
            struct rig r;
            rig_init(&r, 0);
            memory_stream_fail_after(who ? r.client.lower : r.server.lower, n,
                                     ERR_RESET);
            UNTIL(&r, r.client.called && r.server.called);
            for (int i = 0; i < 3; i++)
                turn(&r);
            struct end *e = who ? &r.client : &r.server;
            if (e->rc) {
                assert_int_equal(e->rc, ERR_RESET);
                failed++;
            }
            assert_int_equal(r.client.called, 1);
            assert_int_equal(r.server.called, 1);
            rig_fini(&r);
        }
        assert_true(failed > 10);
    }
}

/* Many at once: a pass takes few steps, so others get their turn. */
static void test_quota(void **state)
{
    enum { MANY = 24 };
    static struct end clients[MANY], servers[MANY];
    struct rig r;
    unsigned done = 0, passes = 0;
    (void)state;
    rig_streams(&r, 0);
    for (int i = 0; i < MANY; i++) {
        clients[i] = servers[i] = (struct end){0};
        if (i > 0) {
            memory_stream_pair(&r.loop, 65536, &clients[i].lower,
                               &servers[i].lower);
        } else {
            clients[i].lower = r.client.lower;
            servers[i].lower = r.server.lower;
        }
        shake(&r, &servers[i], server_tls, SLICE_NONE, SLICE_NONE);
        shake(&r, &clients[i], client_tls, DB, SLICE_NONE);
    }
    while (done < 2 * MANY) {
        uint64_t before = r.loop.passes;
        unsigned was = done;
        turn(&r);
        done = 0;
        for (int i = 0; i < MANY; i++)
            done += clients[i].called + servers[i].called;
        if (r.loop.passes == before + 1)
            assert_true(done - was <= 8);
        passes++;
    }
    assert_true(passes > 2 * MANY / 8);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(clients[i].rc, OK);
        assert_int_equal(servers[i].rc, OK);
        end_close(&clients[i]);
        end_close(&servers[i]);
    }
    rig_fini(&r);
}

static void push_more(struct end *e)
{
    push(e);
}

/* Clients that are done send at once all that they have, while the servers' turn
 * to shake hands has not come: it waits, and is no handshake that is too long. */
static void test_bulk_behind_the_quota(void **state)
{
    enum { MANY = 24 };
    static struct end clients[MANY], servers[MANY];
    struct rig r;
    unsigned done = 0;
    (void)state;
    rig_streams(&r, 0);
    for (int i = 0; i < MANY; i++) {
        clients[i] = (struct end){.to_send = 1 << 20, .after = push_more};
        servers[i] = (struct end){0};
        memory_stream_pair(&r.loop, 65536, &clients[i].lower,
                           &servers[i].lower);
        shake(&r, &servers[i], server_tls, SLICE_NONE, SLICE_NONE);
        shake(&r, &clients[i], client_tls, DB, SLICE_NONE);
    }
    while (done < MANY) {
        turn(&r);
        done = 0;
        for (int i = 0; i < MANY; i++) {
            assert_int_equal(servers[i].rc, OK);
            done += servers[i].got == 1 << 20;
        }
    }
    for (int i = 0; i < MANY; i++) {
        end_close(&clients[i]);
        end_close(&servers[i]);
    }
    stream_close(r.client.lower, STREAM_NOW);
    stream_close(r.server.lower, STREAM_NOW);
    rig_fini(&r);
}

static void test_resumption(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        struct rig r;
        rig_open(&r, round == 2 ? 1 : 0);
        if (round > 0)
            assert_true(r.client.peer->resumed && r.server.peer->resumed);
        assert_true(slice_eq(r.client.peer->name, DB));
        assert_true(slice_eq(r.server.peer->name, WEB));
        r.server.to_send = 100;
        push(&r.server);
        UNTIL(&r, r.client.got == 100); /* the session came before it */
        rig_fini(&r);
    }
}

/* ---- bytes ---- */

static void bytes(size_t piece, size_t each, size_t stop)
{
    struct rig r;
    rig_open(&r, piece);
    r.client.to_send = r.server.to_send = each;
    r.client.stop_each = r.server.stop_each = stop;
    r.client.end_after = r.server.end_after = true;
    push(&r.client);
    push(&r.server);
    int64_t end = clock_mono_ns() + 30 * NSEC_PER_SEC;
    while (!(r.client.ends && r.server.ends) && clock_mono_ns() < end) {
        turn(&r);
        if (stop) {
            stream_read(r.client.s, true);
            stream_read(r.server.s, true);
        }
    }
    struct end *ends[] = {&r.client, &r.server};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ends[i]->got, each);
        assert_int_equal(ends[i]->ends, 1);
        assert_int_equal(ends[i]->fails, 0);
        assert_false(ends[i]->bad);
        assert_true(ends[i]->most_queued < HIGH + 65536);
    }
    rig_fini(&r);
}

static void test_bytes(void **state)
{
    (void)state;
    bytes(0, BIG, 0);
    bytes(0, BIG, 1);
    for (size_t piece = 1; piece < 60; piece += 7)
        bytes(piece, 700 * piece, piece & 1);
}

static void test_half_close(void **state)
{
    struct rig r;
    (void)state;
    rig_open(&r, 0);
    r.client.to_send = 10;
    r.client.end_after = true;
    push(&r.client);
    UNTIL(&r, r.server.ends);
    assert_int_equal(r.server.got, 10);
    r.server.to_send = 100000;
    r.server.end_after = true;
    push(&r.server);
    UNTIL(&r, r.client.ends);
    assert_int_equal(r.client.got, 100000);
    assert_int_equal(r.client.fails + r.server.fails, 0);
    rig_fini(&r);
}

/* Closing with a flush says all, then goodbye. */
static void test_close_flush(void **state)
{
    struct rig r;
    (void)state;
    rig_open(&r, 0);
    r.server.to_send = 200000;
    push(&r.server);
    stream_close(r.server.s, STREAM_FLUSH);
    r.server.s = NULL;
    UNTIL(&r, r.client.ends || r.client.fails);
    assert_int_equal(r.client.got, 200000);
    assert_int_equal(r.client.ends, 1);
    rig_fini(&r);
}

/* A plain end of the carrier is not the end of the stream: somebody may have cut
 * it. What came before is delivered. */
static void test_truncation(void **state)
{
    (void)state;
    for (int said = 0; said < 2; said++) {
        struct rig r;
        rig_open(&r, 0);
        if (said) {
            r.client.to_send = 1000;
            push(&r.client);
            UNTIL(&r, r.server.got == 1000);
        }
        stream_end(r.client.lower);
        UNTIL(&r, r.server.fails || r.server.ends);
        assert_int_equal(r.server.fails, 1);
        assert_int_equal(r.server.ends, 0);
        assert_int_equal(r.server.why, ERR_EOF);
        for (int i = 0; i < 3; i++)
            turn(&r);
        assert_int_equal(r.server.fails, 1);
        rig_fini(&r);
    }
}

static void test_garbage(void **state)
{
    struct rig r;
    (void)state;
    rig_open(&r, 0);
    stream_write(r.client.lower,
                 "\x17\x03\x03\x00\x20garbagegarbagegarbage"
                 "garbagegarbage",
                 40);
    UNTIL(&r, r.server.fails);
    assert_int_equal(r.server.why, ERR_TLS);
    rig_fini(&r);
}

/* Data and the end in one piece, for an owner that stops after the data: it
 * hears of the end (or the cut) when it reads again, not before. */
static void test_stopped_at_the_end(void **state)
{
    (void)state;
    for (int cut = 0; cut < 2; cut++) {
        struct rig r;
        rig_open(&r, 0);
        r.server.stop_first = true;
        r.client.to_send = 10;
        r.client.end_after = !cut;
        push(&r.client);
        UNTIL(&r, r.server.got == 10);
        if (cut)
            stream_end(r.client.lower);
        for (int i = 0; i < 5; i++)
            turn(&r);
        assert_int_equal(r.server.ends + r.server.fails, 0);
        r.server.stop_first = false;
        stream_read(r.server.s, true);
        UNTIL(&r, r.server.ends + r.server.fails == 1);
        assert_int_equal(r.server.fails, cut);
        rig_fini(&r);
    }
}

/* The carrier breaks while bytes are queued: closing afterwards tells nothing. */
static void test_broken_while_open(void **state)
{
    struct rig r;
    (void)state;
    rig_open(&r, 0);
    r.client.to_send = BIG;
    push(&r.client);
    memory_stream_fail_after(r.client.lower, 0, ERR_TIMEOUT);
    UNTIL(&r, r.client.fails);
    assert_int_equal(r.client.why, ERR_TIMEOUT);
    assert_int_equal(stream_queued(r.client.s) < BIG, true);
    stream_close(r.client.s, STREAM_FLUSH);
    r.client.s = NULL;
    turn(&r);
    assert_int_equal(r.client.fails, 1);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake_cut),
        cmocka_unit_test(test_first_bytes),
        cmocka_unit_test(test_wrong_identity),
        cmocka_unit_test(test_not_tls),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_broken_at_every_byte),
        cmocka_unit_test(test_quota),
        cmocka_unit_test(test_bulk_behind_the_quota),
        cmocka_unit_test(test_resumption),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_close_flush),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_stopped_at_the_end),
        cmocka_unit_test(test_broken_while_open),
    };
    return cmocka_run_group_tests(tests, tls_ends_set_up, tls_ends_tear_down);
}
