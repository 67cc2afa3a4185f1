/* SPDX-License-Identifier: Apache-2.0 */
/* Field blocks against an HTTP/2 server: too large, too slow, of two meanings;
 * and what must come after a head and does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/http/h2_rig.h"

static void test_huge_block(void **state)
{
    struct text block;
    struct rig r;
    (void)state;
    rig_init(&r);
    text_init(&block, 1 << 20);
    request_block(&block, "GET", "/");
    char *value = mem_zalloc(10000);
    memset(value, 'x', 10000);
    for (int i = 0; i < 7; i++) {
        char name[] = "x-0";
        name[2] = (char)('0' + i);
        field(&block, name, slice_of(value, 10000));
    }
    mem_free(value);
    for (size_t at = 0; at < block.len; at += 16000) {
        slice piece = slice_sub(text_slice(&block), at, at + 16000);
        bool last = at + 16000 >= block.len;
        frame(&r.say, at ? F_CONTINUATION : F_HEADERS,
              (last ? F_END_HEADERS : 0) | (at ? 0 : F_END_STREAM), 1, piece);
    }
    text_fini(&block);
    frame_request(&r.say, 3, "GET", "/", true);
    rig_say(&r);
    /* 431 for one, 200 for the other: the session goes on. */
    assert_non_null(r.j.server);
    assert_int_equal(r.j.answers.begun, 2);
    assert_int_equal(r.j.answers.resets, 1);
    assert_int_equal(r.j.answers.done, 1);
    assert_int_equal(frames_seen(&r.peer.got).count[F_HEADERS], 2);
    rig_fini(&r);
}

static void test_many_fields(void **state)
{
    struct text block;
    struct rig r;
    (void)state;
    rig_init(&r);
    text_init(&block, 1 << 20);
    request_block(&block, "GET", "/");
    for (unsigned i = 0; i < 400; i++)
        field(&block, "x-a", SLICE("b"));
    frame(&r.say, F_HEADERS, F_END_HEADERS | F_END_STREAM, 1,
          text_slice(&block));
    text_fini(&block);
    rig_say(&r);
    assert_non_null(r.j.server);
    assert_int_equal(r.j.answers.resets, 1);
    rig_fini(&r);
}

static void test_endless_continuation(void **state)
{
    static char zero[1000];
    struct rig r;
    (void)state;
    rig_init(&r);
    frame(&r.say, F_HEADERS, 0, 1, SLICE_NONE);
    for (int i = 0; i < 5000; i++)
        frame(&r.say, F_CONTINUATION, 0, 1, slice_of(zero, 0));
    rig_say(&r);
    JOINED_UNTIL(&r.j, !r.j.server);
    rig_fini(&r);
}

/* Heads that mean nothing, and heads that mean two things. */
static void refused_head(const char *const *fields)
{
    struct text block;
    struct rig r;
    rig_init(&r);
    text_init(&block, 1 << 12);
    for (; *fields; fields += 2)
        field(&block, fields[0], slice_str(fields[1]));
    frame(&r.say, F_HEADERS, F_END_HEADERS, 1, text_slice(&block));
    text_fini(&block);
    frame_request(&r.say, 3, "GET", "/", true);
    rig_say(&r);
    assert_non_null(r.j.server);
    assert_int_equal(r.j.answers.done, 1);
    assert_int_equal(frames_seen(&r.peer.got).rst_code, PROTOCOL_ERROR);
    rig_fini(&r);
}

static void test_refused_heads(void **state)
{
    static const char *const two_hosts[] = {
        ":method",    "GET", ":scheme", "http", ":path", "/",
        ":authority", "a",   "host",    "b",    NULL};
    static const char *const no_path[] = {
        ":method", "GET", ":scheme", "http", ":authority", "a", NULL};
    static const char *const h2c[] = {
        ":method", "CONNECT", ":protocol",  "h2c", ":scheme", "http",
        ":path",   "/",       ":authority", "a",   NULL};
    static const char *const connection[] = {
        ":method",    "GET", ":scheme",    "http",  ":path", "/",
        ":authority", "a",   "connection", "close", NULL};
    static const char *const lengths[] = {
        ":method",    "GET", ":scheme",        "http", ":path",          "/",
        ":authority", "a",   "content-length", "1",    "content-length", "2",
        NULL};
    (void)state;
    refused_head(two_hosts);
    refused_head(no_path);
    refused_head(h2c);
    refused_head(connection);
    refused_head(lengths);
}

/* What the next hop would write in a request line or in Host must be what HTTP/1
 * takes there: nghttp2 looks less closely, and not at all beside a scheme that it
 * does not know. */
static void refused_target(const char *scheme, const char *path,
                           const char *authority)
{
    const char *const fields[] = {":method",    "GET",     ":scheme",
                                  scheme,       ":path",   path,
                                  ":authority", authority, NULL};
    refused_head(fields);
}

static void test_refused_targets(void **state)
{
    (void)state;
    refused_target("ftp", "admin", "a");
    refused_target("ftp", "http://b/admin", "a");
    refused_target("ftp", "*", "a");
    refused_target("http://b/?", "/", "a"); /* would go into a target */
    refused_target("1http", "/", "a");
    refused_target("http", "/a#b", "a");
    refused_target("http", "/\xff", "a");
    refused_target("http", "/", "user@a");
    refused_target("http", "/", "a:b:c");
}

/* A refused head is over: it is not a head that takes too long. */
static void test_refused_head_is_over(void **state)
{
    struct rig r;
    struct text block;
    (void)state;
    rig_init_hasty(&r);
    frame_request(&r.say, 1, "GET", "/hang", true);
    text_init(&block, 1 << 12);
    field(&block, ":method", SLICE("GET"));
    frame(&r.say, F_HEADERS, F_END_HEADERS | F_END_STREAM, 3,
          text_slice(&block));
    text_fini(&block);
    rig_say(&r);
    rig_wait(&r);
    assert_non_null(r.j.server);
    assert_int_equal(r.j.answers.resets, 1); /* the refused one */
    rig_fini(&r);
}

static void test_slow_block(void **state)
{
    struct rig r;
    (void)state;
    rig_init_hasty(&r);
    frame(&r.say, F_HEADERS, F_END_STREAM, 1, SLICE_NONE);
    rig_say(&r);
    assert_non_null(r.j.server);
    rig_wait(&r);
    assert_null(r.j.server);
    assert_int_equal(r.j.server_why, ERR_TIMEOUT);
    rig_fini(&r);
}

/* What a large head needed is not kept by a connection that rests. */
static void test_large_head_leaves_nothing(void **state)
{
    static char value[60000];
    struct rig r;
    struct text block;
    (void)state;
    rig_init(&r);
    frame_request(&r.say, 1, "GET", "/", true);
    rig_say(&r);
    size_t before = mem_used();
    text_init(&block, 1 << 17);
    request_block(&block, "GET", "/");
    memset(value, 'x', sizeof value);
    field(&block, "x-large", slice_of(value, sizeof value));
    for (size_t at = 0; at < block.len; at += 16000) {
        slice piece = slice_sub(text_slice(&block), at, at + 16000);
        bool last = at + 16000 >= block.len;
        frame(&r.say, at ? F_CONTINUATION : F_HEADERS,
              (last ? F_END_HEADERS : 0) | (at ? 0 : F_END_STREAM), 3, piece);
    }
    text_fini(&block);
    stream_write(r.peer.s, r.say.ptr, r.say.len);
    joined_turns(&r.j, 6);
    text_fini(&r.say);
    text_init(&r.say, 1 << 24);
    bufq_pool_trim(&r.j.loop.chunks);
    assert_int_equal(r.j.answers.done, 2);
    assert_true(mem_used() < before + 30000);
    rig_fini(&r);
}

static void name_trailers(struct exchange *x, const struct headers *t)
{
    struct text *names = x->owner;
    for (uint32_t i = 0; i < t->len; i++)
        text_printf(names, "%.*s ", FMT(t->at[i].name));
}

static void trailers_head(struct exchange *x, const struct head *h, bool end)
{
    (void)x, (void)h, (void)end;
}

static void trailers_body(struct exchange *x, slice data, bool end)
{
    (void)x, (void)data, (void)end;
}

static void trailers_reset(struct exchange *x, enum reset_why why)
{
    (void)x, (void)why;
}

static const struct exchange_events trailers_events = {
    .on_head = trailers_head,
    .on_body = trailers_body,
    .on_trailers = name_trailers,
    .on_reset = trailers_reset,
};

static void trailers_take(void *arg, struct exchange *x,
                          const struct tls_peer *peer)
{
    (void)peer;
    exchange_own(x, &trailers_events, arg);
}

/* As in HTTP/1: what frames, routes or claims comes too late. */
static void test_trailers_that_decide(void **state)
{
    static const char *const names[] = {
        "grpc-status", "host",          "content-length", "tulle-fault",
        "x-sum",       "authorization", "x_tulle",        NULL};
    struct rig r;
    struct text block, got;
    (void)state;
    rig_init(&r);
    text_init(&got, 1000);
    r.j.handler = trailers_take;
    r.j.handler_arg = &got;
    frame_request(&r.say, 1, "POST", "/", false);
    text_init(&block, 1 << 12);
    for (int i = 0; names[i]; i++)
        field(&block, names[i], SLICE("0"));
    frame(&r.say, F_HEADERS, F_END_HEADERS | F_END_STREAM, 1,
          text_slice(&block));
    text_fini(&block);
    rig_say(&r);
    assert_true(
        slice_eq(text_slice(&got), SLICE("grpc-status x-sum x_tulle ")));
    text_fini(&got);
    rig_fini(&r);
}

/* A body that does not come holds an application's connection: as HTTP/1 does,
 * the stream is given up. One that is answered, or ours to read, is not. */
static void test_stalled_body(void **state)
{
    struct rig r;
    (void)state;
    rig_init_hasty(&r);
    frame_request(&r.say, 1, "POST", "/hang", false);
    frame_request(&r.say, 3, "POST", "/echo", false);
    frame_request(&r.say, 5, "GET", "/hang", true);
    rig_say(&r);
    rig_wait(&r);
    assert_non_null(r.j.server);
    assert_int_equal(r.j.answers.resets, 1);
    assert_int_equal(frames_seen(&r.peer.got).count[F_RST], 1);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_huge_block),
        cmocka_unit_test(test_many_fields),
        cmocka_unit_test(test_endless_continuation),
        cmocka_unit_test(test_refused_heads),
        cmocka_unit_test(test_refused_targets),
        cmocka_unit_test(test_refused_head_is_over),
        cmocka_unit_test(test_slow_block),
        cmocka_unit_test(test_large_head_leaves_nothing),
        cmocka_unit_test(test_trailers_that_decide),
        cmocka_unit_test(test_stalled_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
