/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/http/h1_parse.h"
#include "tests/unit/http/heads.h"

/* What a reader got of one body. */
struct got {
    enum h1_body_event last;
    struct h1_error err;
    char data[512], trailers[512];
    size_t data_len, trailers_len, used;
    unsigned pieces;
    bool done;
};

static void keep(char *to, size_t *len, slice s)
{
    assert_true(*len + s.len <= 512);
    if (s.len)
        memcpy(to + *len, s.ptr, s.len);
    *len += s.len;
}

/* Reads what is there; leaves what the body did not take. */
static void read_some(struct h1_body *b, slice in,
                      const struct http_limits *lim, struct got *g)
{
    slice data;
    size_t used;

    for (;;) {
        slice rest = exact_copy(in); /* one read too many is seen */

        g->last = h1_body_next(b, rest, lim, &used, &data, &g->err);
        assert_true(used <= in.len);
        if (g->last == H1_BODY_DATA) {
            assert_true(data.len > 0);
            keep(g->data, &g->data_len, data);
            g->pieces++;
        }
        if (g->last == H1_BODY_TRAILERS)
            keep(g->trailers, &g->trailers_len, data);
        exact_free(rest);
        in = slice_sub(in, used, in.len);
        g->used += used;
        if (g->last != H1_BODY_DATA && g->last != H1_BODY_TRAILERS)
            break;
    }
    g->done = b->done;
}

/* First all up to `first`, then `step` bytes more each time. */
static void read_in_steps(enum h1_framing framing, uint64_t length, slice raw,
                          size_t first, size_t step,
                          const struct http_limits *lim, struct got *g)
{
    struct h1_body b;
    size_t n = first < raw.len ? first : raw.len;

    memset(g, 0, sizeof *g);
    h1_body_init(&b, framing, length);
    for (;;) {
        read_some(&b, slice_sub(raw, g->used, n), lim, g);
        if (n == raw.len || g->last != H1_BODY_MORE)
            return;
        n = n + step < raw.len ? n + step : raw.len;
    }
}

static void expect_same(const struct got *a, const struct got *b)
{
    assert_int_equal(a->last, b->last);
    assert_int_equal(a->done, b->done);
    if (a->last == H1_BODY_BAD) {
        assert_string_equal(a->err.why, b->err.why);
        return;
    }
    assert_int_equal(a->used, b->used);
    assert_true(slice_eq(slice_of(a->data, a->data_len),
                         slice_of(b->data, b->data_len)));
    assert_true(slice_eq(slice_of(a->trailers, a->trailers_len),
                         slice_of(b->trailers, b->trailers_len)));
}

static void read_every_way(enum h1_framing framing, uint64_t length, slice raw,
                           struct got *whole)
{
    const struct http_limits *lim = &http_limits_default;
    struct got split;

    read_in_steps(framing, length, raw, raw.len, 1, lim, whole);
    for (size_t cut = 0; cut < raw.len; cut++) {
        read_in_steps(framing, length, raw, cut, raw.len, lim, &split);
        expect_same(whole, &split);
    }
    read_in_steps(framing, length, raw, 0, 1, lim, &split);
    expect_same(whole, &split);
}

static const struct {
    const char *raw, *data, *trailers;
} good_chunked[] = {
    {"0\r\n\r\n", "", ""},
    {"5\r\nhello\r\n0\r\n\r\n", "hello", ""},
    {"1\r\na\r\n2\r\nbc\r\n000\r\n\r\n", "abc", ""},
    {"00a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
     "01234567890123456789", ""},
    {"2\r\n\r\n\r\n0\r\n\r\n", "\r\n", ""},
    {"1;a\r\nZ\r\n0\r\n\r\n", "Z", ""},
    {"1;a=b;c=d;e\r\nZ\r\n0;x\r\n\r\n", "Z", ""},
    {"1 \t; a\t= b ; c\r\nZ\r\n0\r\n\r\n", "Z", ""},
    {"1;a=\"q;\\\"\\\\ \t\xe9\"\r\nZ\r\n0\r\n\r\n", "Z", ""},
    {"1;a=\"\";b\r\nZ\r\n0\r\n\r\n", "Z", ""},
    {"0\r\nX-T: v\r\n\r\n", "", "X-T: v\r\n"},
    {"1\r\nZ\r\n0\r\nA: 1\r\nB: 2\r\n\r\n", "Z", "A: 1\r\nB: 2\r\n"},
};

static void chunks_are_joined(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good_chunked / sizeof good_chunked[0]; i++) {
        char text[256];
        int n = snprintf(text, sizeof text, "%sGET /", good_chunked[i].raw);
        struct got g;

        read_every_way(H1_CHUNKED, 0, slice_of(text, (size_t)n), &g);
        assert_int_equal(g.last, H1_BODY_END);
        assert_true(g.done);
        assert_int_equal(g.used, strlen(good_chunked[i].raw));
        assert_true(slice_eq(slice_of(g.data, g.data_len),
                             slice_str(good_chunked[i].data)));
        assert_true(slice_eq(slice_of(g.trailers, g.trailers_len),
                             slice_str(good_chunked[i].trailers)));
    }
}

static const struct {
    const char *raw;
    size_t len;
    const char *why;
} bad_chunked[] = {
#define BAD(why, raw)             \
    {                             \
        raw, sizeof(raw) - 1, why \
    }
#define CHUNK(raw) BAD("bad chunk", raw)
    CHUNK("G\r\nZ\r\n0\r\n\r\n"),
    CHUNK("\r\nZ\r\n0\r\n\r\n"),
    CHUNK(";a\r\nZ\r\n0\r\n\r\n"),
    CHUNK("1\0\r\nZ\r\n0\r\n\r\n"),
    CHUNK("0x1\r\nZ\r\n0\r\n\r\n"),
    CHUNK("-1\r\nZ\r\n0\r\n\r\n"),
    CHUNK("+1\r\nZ\r\n0\r\n\r\n"),
    CHUNK("1_\r\nZ\r\n0\r\n\r\n"),
    CHUNK(" 1\r\nZ\r\n0\r\n\r\n"),
    CHUNK("1 \r\nZ\r\n0\r\n\r\n"),
    CHUNK("1\nZ\r\n0\r\n\r\n"),
    CHUNK("1\rZ\r\n0\r\n\r\n"),
    CHUNK("1\r\r\nZ\r\n0\r\n\r\n"),
    CHUNK("1000000000000000\r\n"), /* 16 digits */
    CHUNK("ffffffffffffffffffffffffffffffffffffffff\r\nZ\r\n"),
    CHUNK("0000000000000000\r\n\r\n"),
    CHUNK("1\r\nZ0\r\n\r\n"),
    CHUNK("1\r\nZ\n0\r\n\r\n"),
    CHUNK("1\r\nZ\rX0\r\n\r\n"),
    CHUNK("1\r\nZZ\r\n0\r\n\r\n"),
    CHUNK("5\r\nhel\r\n0\r\n\r\n"),
    CHUNK("1;\r\nZ\r\n0\r\n\r\n"),
    CHUNK("1;=b\r\nZ\r\n0\r\n\r\n"),
    CHUNK("1;a=\r\nZ\r\n0\r\n\r\n"),
    CHUNK("1;a b\r\nZ\r\n0\r\n\r\n"),
    CHUNK("1;a \r\nZ\r\n0\r\n\r\n"),
    CHUNK("1;a=b \r\nZ\r\n0\r\n\r\n"),
    CHUNK("1;a=b c\r\nZ\r\n0\r\n\r\n"),
    CHUNK("1;a==b\r\nZ\r\n0\r\n\r\n"),
    CHUNK("1;a=\"b\"c\r\nZ\r\n0\r\n\r\n"),
    CHUNK("1;a=\"b\r\n\"\r\nZ\r\n0\r\n\r\n"),
    CHUNK("1;a=\"\\\r\n\"\r\nZ\r\n0\r\n\r\n"),
    CHUNK("1;a\nxx\r\nZ\r\n0\r\n\r\n"),
    CHUNK("1;a=b\rX\r\nZ\r\n0\r\n\r\n"),
    CHUNK("1;a=\0\r\nZ\r\n0\r\n\r\n"),
    CHUNK("1;a=b\n\r\nZ\r\n0\r\n\r\n"),
    BAD("bare LF in a trailer section", "0\r\nX-T: v\n\r\n"),
    BAD("bare LF in a trailer section", "0\r\n\n"),
    BAD("bare LF in a trailer section", "0\r\nX-T: v\r\n\n"),
};

static void loose_chunks_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_chunked / sizeof bad_chunked[0]; i++) {
        slice raw = slice_of(bad_chunked[i].raw, bad_chunked[i].len);
        struct got g;

        read_every_way(H1_CHUNKED, 0, raw, &g);
        if (g.last != H1_BODY_BAD)
            fail_msg("accepted: %s", raw.ptr);
        assert_string_equal(g.err.why, bad_chunked[i].why);
        assert_int_equal(g.err.status, 400);
    }
}

static void refused_stays_refused(void **state)
{
    struct h1_body b;
    struct h1_error err;
    slice data;
    size_t used;

    (void)state;
    h1_body_init(&b, H1_CHUNKED, 0);
    assert_int_equal(
        h1_body_next(&b, SLICE("x"), &http_limits_default, &used, &data, &err),
        H1_BODY_BAD);
    assert_int_equal(h1_body_next(&b, SLICE("0\r\n\r\n"), &http_limits_default,
                                  &used, &data, &err),
                     H1_BODY_BAD);
}

static void lengths_are_counted(void **state)
{
    struct got g;

    (void)state;
    read_every_way(H1_LENGTH, 5, SLICE("helloGET /"), &g);
    assert_int_equal(g.last, H1_BODY_END);
    assert_int_equal(g.used, 5);
    assert_true(g.done);
    read_every_way(H1_LENGTH, 5, SLICE("hell"), &g);
    assert_int_equal(g.last, H1_BODY_MORE);
    assert_false(g.done);
    read_every_way(H1_LENGTH, 0, SLICE("x"), &g);
    assert_int_equal(g.last, H1_BODY_END);
    assert_int_equal(g.used, 0);
    read_every_way(H1_LENGTH, UINT64_MAX, SLICE("x"), &g);
    assert_int_equal(g.last, H1_BODY_MORE);
}

static void others_end_at_once_or_never(void **state)
{
    struct got g;

    (void)state;
    read_every_way(H1_NO_BODY, 0, SLICE("x"), &g);
    assert_int_equal(g.last, H1_BODY_END);
    assert_int_equal(g.used, 0);
    assert_true(g.done);
    read_every_way(H1_UNTIL_CLOSE, 0, SLICE("hello"), &g);
    assert_int_equal(g.last, H1_BODY_MORE);
    assert_int_equal(g.data_len, 5);
    assert_false(g.done);
}

static void done_comes_with_the_last_byte(void **state)
{
    struct h1_body b;
    struct h1_error err;
    slice data;
    size_t used;

    (void)state;
    h1_body_init(&b, H1_LENGTH, 2);
    assert_false(b.done);
    assert_int_equal(
        h1_body_next(&b, SLICE("hi"), &http_limits_default, &used, &data, &err),
        H1_BODY_DATA);
    assert_true(b.done);
    h1_body_init(&b, H1_LENGTH, 0);
    assert_true(b.done);
    h1_body_init(&b, H1_CHUNKED, 0);
    assert_int_equal(
        h1_body_next(&b, SLICE_NONE, &http_limits_default, &used, &data, &err),
        H1_BODY_MORE);
}

static void lines_and_trailers_are_bounded(void **state)
{
    struct http_limits lim = http_limits_default;
    struct got g;

    (void)state;
    lim.chunk_line = 6;
    for (int drip = 0; drip < 2; drip++) {
        slice raw = SLICE("1;aaa\r\nZ\r\n0\r\nX: y\r\n\r\n");

        lim.trailer_bytes = 8;
        read_in_steps(H1_CHUNKED, 0, raw, drip ? 0 : raw.len, 1, &lim, &g);
        assert_int_equal(g.last, H1_BODY_END);
        lim.trailer_bytes = 7;
        read_in_steps(H1_CHUNKED, 0, raw, drip ? 0 : raw.len, 1, &lim, &g);
        assert_int_equal(g.last, H1_BODY_BAD);
        assert_string_equal(g.err.why, "trailer section over the limit");
        raw = SLICE("1;aaaa\r\nZ\r\n0\r\n\r\n");
        read_in_steps(H1_CHUNKED, 0, raw, drip ? 0 : raw.len, 1, &lim, &g);
        assert_int_equal(g.last, H1_BODY_BAD);
        assert_string_equal(g.err.why, "chunk size line over the limit");
    }
}

/* A flood of extensions ends, however short each is; honest small chunks do not,
 * nor does what data makes up for. */
static void extensions_are_bounded_in_all(void **state)
{
    static const struct {
        const char *chunk;
        bool ends;
    } cases[] = {
        {"1\r\nx\r\n", false},
        {"1;sig=0123456789\r\nx\r\n", false},
        {"1;e=012345678901234567890123456789\r\nx\r\n", true},
        {"14;e=01234567890123456789\r\n12345678901234567890\r\n", false},
    };
    struct http_limits lim = http_limits_default;

    (void)state;
    lim.chunk_line = 40;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        slice chunk = slice_str(cases[i].chunk);
        struct h1_error err = {0};
        struct h1_body b;
        int n = 0;

        h1_body_init(&b, H1_CHUNKED, 0);
        while (n < 1000 && !err.why) {
            for (slice in = chunk; in.len && !err.why;) {
                slice data;
                size_t used;
                h1_body_next(&b, in, &lim, &used, &data, &err);
                in = slice_sub(in, used, in.len);
            }
            n++;
        }
        assert_int_equal(err.why != NULL, cases[i].ends);
        assert_int_equal(err.limit, cases[i].ends ? HTTP_LIMIT_CHUNK_LINE : 0);
        if (cases[i].ends) /* 32 lines' worth beyond 16 bytes and the data */
            assert_in_range(n, 60, 100);
    }
}

static enum status parse_trailers(slice section, struct headers *out,
                                  struct h1_error *err)
{
    return h1_parse_trailers(section, &http_limits_default, out, err);
}

static void trailers_keep_what_may_come_late(void **state)
{
    struct header room[100];
    struct headers t = {.at = room, .cap = 100};
    struct h1_error err;

    (void)state;
    assert_int_equal(parse_trailers(SLICE("Grpc-Status: 0\r\nHost: evil\r\n"
                                          "Content-Length: 5\r\nX-T:  v \r\n"
                                          "transfer-encoding: chunked\r\n"
                                          "Authorization: x\r\nTE: x\r\n"
                                          "Tulle-Identity: x\r\n"
                                          "Set-Cookie: x\r\nTrailer: x\r\n"
                                          "Cache-Control: x\r\n"),
                                    &t, &err),
                     OK);
    assert_int_equal(t.len, 2);
    assert_true(slice_eq(t.at[0].name, SLICE("Grpc-Status")));
    assert_true(slice_eq(t.at[1].value, SLICE("v")));
    assert_int_equal(t.cap, 100);
    assert_int_equal(parse_trailers(SLICE_NONE, &t, &err), OK);
    assert_int_equal(t.len, 0);
}

static void bad_trailers_are_refused(void **state)
{
    static const struct {
        slice section;
        const char *why;
    } cases[] = {
        {SLICE_INIT("X-T: v"), "trailer section without an end"},
        {SLICE_INIT("X-T"), "trailer section without an end"},
        {SLICE_INIT("X T: v\r\n"), "blank in or after a field name"},
        {SLICE_INIT("X-T: v\r\n w\r\n"), "folded or indented field line"},
        {SLICE_INIT("X-T: a\0\r\n"), "control byte in a field value"},
        {SLICE_INIT("X-T: a\rb\r\n"), "bare CR"},
        {SLICE_INIT("\rZ: v\r\n"), "bad byte in a field name"},
        {SLICE_INIT("Host : v\r\n"), "blank in or after a field name"},
    };
    struct header room[100];
    struct headers t = {.at = room, .cap = 100};
    struct h1_error err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        slice section = exact_copy(cases[i].section);

        assert_int_equal(parse_trailers(section, &t, &err), ERR_INVALID);
        assert_string_equal(err.why, cases[i].why);
        exact_free(section);
    }
}

static void trailers_are_counted(void **state)
{
    struct header room[2];
    struct headers t = {.at = room, .cap = 2};
    struct h1_error err;

    (void)state;
    assert_int_equal(parse_trailers(SLICE("a:\r\nb:\r\n"), &t, &err), OK);
    assert_int_equal(parse_trailers(SLICE("a:\r\nb:\r\nc:\r\n"), &t, &err),
                     ERR_TOO_BIG);
    assert_string_equal(err.why, "too many fields");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_are_joined),
        cmocka_unit_test(loose_chunks_are_refused),
        cmocka_unit_test(refused_stays_refused),
        cmocka_unit_test(lengths_are_counted),
        cmocka_unit_test(others_end_at_once_or_never),
        cmocka_unit_test(done_comes_with_the_last_byte),
        cmocka_unit_test(lines_and_trailers_are_bounded),
        cmocka_unit_test(extensions_are_bounded_in_all),
        cmocka_unit_test(trailers_keep_what_may_come_late),
        cmocka_unit_test(bad_trailers_are_refused),
        cmocka_unit_test(trailers_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
