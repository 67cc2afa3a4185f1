/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/http/h1_parse.h"
#include "tests/unit/http/heads.h"

enum { TEXT = 64 * 1024 };

struct fixture {
    struct bufq_pool pool;
    struct bufq q;
    struct header fields[40];
    struct head head;
    char text[TEXT];
};

static struct fixture *setup_fixture(void)
{
    struct fixture *f = mem_zalloc(sizeof *f);

    bufq_pool_init(&f->pool, 4);
    bufq_init(&f->q, &f->pool);
    return f;
}

static int setup(void **state)
{
    *state = setup_fixture();
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    bufq_fini(&f->q);
    bufq_pool_trim(&f->pool);
    mem_free(f);
    return 0;
}

/* What was written since the last time. */
static slice written(struct fixture *f)
{
    size_t n = bufq_copy(&f->q, f->text, TEXT);

    assert_int_equal(n, f->q.len);
    bufq_drop(&f->q, n);
    return slice_of(f->text, n);
}

static void expect_written(struct fixture *f, const char *want)
{
    slice s = written(f);

    if (!slice_eq(s, slice_str(want)))
        fail_msg("wrote:\n%.*s\nwanted:\n%s", FMT(s), want);
}

static void request(struct fixture *f, const char *method, const char *path)
{
    head_init_request(&f->head, slice_str(method), SLICE("a.test:80"),
                      slice_str(path), f->fields, 40);
}

static void add(struct fixture *f, const char *name, const char *value)
{
    assert_int_equal(
        headers_add(&f->head.headers, slice_str(name), slice_str(value)), OK);
}

static void requests_say_only_what_this_hop_means(void **state)
{
    struct fixture *f = *state;

    request(f, "GET", "/p?q");
    add(f, "X-A", "v");
    add(f, "Host", "other.test");
    add(f, "Content-Length", "9");
    add(f, "Connection", "X-B, close");
    add(f, "X-B", "secret");
    add(f, "Keep-Alive", "1");
    add(f, "Transfer-Encoding", "gzip");
    add(f, "X-C", "");
    f->fields[4].hop = true;
    h1_write_request(&f->q, &f->head, H1_NO_BODY, false);
    expect_written(f, "GET /p?q HTTP/1.1\r\nhost: a.test:80\r\n"
                      "X-A: v\r\nX-C: \r\n\r\n");
}

static void requests_are_framed(void **state)
{
    struct fixture *f = *state;

    request(f, "POST", "/");
    f->head.content_length = 1234567890123;
    h1_write_request(&f->q, &f->head, H1_LENGTH, false);
    expect_written(f, "POST / HTTP/1.1\r\nhost: a.test:80\r\n"
                      "content-length: 1234567890123\r\n\r\n");
    f->head.content_length = 0;
    h1_write_request(&f->q, &f->head, H1_LENGTH, false);
    expect_written(f, "POST / HTTP/1.1\r\nhost: a.test:80\r\n"
                      "content-length: 0\r\n\r\n");
    h1_write_request(&f->q, &f->head, H1_CHUNKED, true);
    expect_written(f, "POST / HTTP/1.1\r\nhost: a.test:80\r\n"
                      "transfer-encoding: chunked\r\n"
                      "connection: close\r\n\r\n");
}

static void requests_ask_for_what_the_head_says(void **state)
{
    struct fixture *f = *state;

    request(f, "GET", "/");
    f->head.upgrade = true;
    f->head.protocol = SLICE("websocket");
    h1_write_request(&f->q, &f->head, H1_NO_BODY, false);
    expect_written(f, "GET / HTTP/1.1\r\nhost: a.test:80\r\n"
                      "upgrade: websocket\r\nconnection: upgrade\r\n\r\n");
    f->head.te_trailers = true;
    h1_write_request(&f->q, &f->head, H1_NO_BODY, true);
    expect_written(f, "GET / HTTP/1.1\r\nhost: a.test:80\r\n"
                      "upgrade: websocket\r\nte: trailers\r\n"
                      "connection: upgrade, te, close\r\n\r\n");
    request(f, "CONNECT", "");
    h1_write_request(&f->q, &f->head, H1_NO_BODY, false);
    expect_written(f, "CONNECT a.test:80 HTTP/1.1\r\nhost: a.test:80\r\n\r\n");
    request(f, "GET", "/p?q");
    f->head.absolute = true;
    f->head.scheme = SLICE("https");
    h1_write_request(&f->q, &f->head, H1_NO_BODY, false);
    expect_written(f, "GET https://a.test:80/p?q HTTP/1.1\r\n"
                      "host: a.test:80\r\n\r\n");
    f->head.path = SLICE("*"); /* of OPTIONS: the server as a whole */
    h1_write_request(&f->q, &f->head, H1_NO_BODY, false);
    expect_written(f, "GET https://a.test:80 HTTP/1.1\r\n"
                      "host: a.test:80\r\n\r\n");
    request(f, "OPTIONS", "*");
    f->head.authority = SLICE_NONE;
    h1_write_request(&f->q, &f->head, H1_NO_BODY, false);
    expect_written(f, "OPTIONS * HTTP/1.1\r\nhost: \r\n\r\n");
}

static void responses_are_framed(void **state)
{
    struct fixture *f = *state;

    head_init_response(&f->head, 200, f->fields, 40);
    add(f, "X-A", "v");
    add(f, "Connection", "close");
    f->head.content_length = 2;
    h1_write_response(&f->q, &f->head, H1_LENGTH, false);
    expect_written(f, "HTTP/1.1 200 OK\r\nX-A: v\r\ncontent-length: 2\r\n\r\n");
    h1_write_response(&f->q, &f->head, H1_CHUNKED, false);
    expect_written(f, "HTTP/1.1 200 OK\r\nX-A: v\r\n"
                      "transfer-encoding: chunked\r\n\r\n");
    h1_write_response(&f->q, &f->head, H1_UNTIL_CLOSE, true);
    expect_written(f, "HTTP/1.1 200 OK\r\nX-A: v\r\n"
                      "connection: close\r\n\r\n");
}

/* Whether a length may be told where no body follows (HEAD, 304: yes; 204, a
 * tunnel: no) is for the caller to know. */
static void responses_without_body_tell_no_length(void **state)
{
    struct fixture *f = *state;

    head_init_response(&f->head, 204, f->fields, 40);
    f->head.content_length = 6;
    h1_write_response(&f->q, &f->head, H1_NO_BODY, false);
    expect_written(f, "HTTP/1.1 204 No Content\r\n\r\n");
    head_init_response(&f->head, 304, f->fields, 40);
    f->head.content_length = 6;
    h1_write_response(&f->q, &f->head, H1_LENGTH, false);
    expect_written(f, "HTTP/1.1 304 Not Modified\r\n"
                      "content-length: 6\r\n\r\n");
}

static void responses_keep_their_words(void **state)
{
    struct fixture *f = *state;

    head_init_response(&f->head, 299, f->fields, 40);
    h1_write_response(&f->q, &f->head, H1_NO_BODY, false);
    expect_written(f, "HTTP/1.1 299 \r\n\r\n");
    f->head.reason = SLICE("My Own");
    h1_write_response(&f->q, &f->head, H1_NO_BODY, false);
    expect_written(f, "HTTP/1.1 299 My Own\r\n\r\n");
    head_init_response(&f->head, 101, f->fields, 40);
    f->head.upgrade = true;
    f->head.protocol = SLICE("websocket");
    h1_write_response(&f->q, &f->head, H1_NO_BODY, false);
    expect_written(f, "HTTP/1.1 101 Switching Protocols\r\n"
                      "upgrade: websocket\r\nconnection: upgrade\r\n\r\n");
}

static void chunks(void **state)
{
    struct fixture *f = *state;
    struct headers t = {.at = f->fields, .cap = 40};
    char data[0x1a];

    memset(data, 'x', sizeof data);
    h1_write_chunk(&f->q, slice_of(data, sizeof data));
    expect_written(f, "1a\r\nxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n");
    h1_write_last_chunk(&f->q, NULL);
    expect_written(f, "0\r\n\r\n");
    assert_int_equal(headers_add(&t, SLICE("X-T"), SLICE("v")), OK);
    assert_int_equal(headers_add(&t, SLICE("Connection"), SLICE("v")), OK);
    assert_int_equal(headers_add(&t, SLICE("Content-Length"), SLICE("1")), OK);
    h1_write_last_chunk(&f->q, &t);
    expect_written(f, "0\r\nX-T: v\r\n\r\n");
}

/* Heads larger than the queue's chunks, behind any number of bytes. */
static void writing_goes_over_chunk_ends(void **state)
{
    struct fixture *f = *state;
    char *value = mem_alloc(20000);
    slice text, rest;

    memset(value, 'v', 20000);
    for (size_t before = BUFQ_CHUNK - 64; before <= BUFQ_CHUNK; before++) {
        request(f, "GET", "/");
        add(f, "X-A", "v");
        assert_int_equal(headers_add(&f->head.headers, SLICE("X-Long"),
                                     slice_of(value, 20000)),
                         OK);
        bufq_add(&f->q, value, before);
        h1_write_request(&f->q, &f->head, H1_NO_BODY, false);
        text = written(f);
        rest = slice_sub(text, before, text.len);
        assert_true(slice_starts(rest, SLICE("GET / HTTP/1.1\r\n"
                                             "host: a.test:80\r\n"
                                             "X-A: v\r\nX-Long: vvv")));
        assert_true(slice_ends(rest, SLICE("vvv\r\n\r\n")));
        assert_int_equal(rest.len, 20000 + 53);
    }
    mem_free(value);
}

/* What the parser read, the writer writes, and the parser reads again. */
static void written_heads_are_read_again(void **state)
{
    struct fixture *f = *state;
    slice raw = SLICE("POST http://b.test/p?q HTTP/1.1\r\nHost: a.test\r\n"
                      "X-A: 1\r\nConnection: x-a, te\r\nX-B: 2\r\n"
                      "TE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n");
    struct header fields[40];
    struct head again = {.headers = {.at = fields, .cap = 40}};
    struct h1_error err;
    size_t scanned = 0, used = 0;

    f->head.headers = (struct headers){.at = f->fields, .cap = 40};
    assert_int_equal(h1_parse_request(raw, &http_limits_default, &scanned,
                                      &f->head, &used, &err),
                     OK);
    h1_write_request(&f->q, &f->head, h1_request_framing(&f->head), false);
    scanned = 0;
    assert_int_equal(h1_parse_request(written(f), &http_limits_default,
                                      &scanned, &again, &used, &err),
                     OK);
    assert_true(slice_eq(again.path, SLICE("/p?q")));
    assert_true(slice_eq(again.authority, SLICE("b.test")));
    assert_true(again.chunked && again.te_trailers);
    assert_null(headers_find_name(&again.headers, SLICE("x-a")));
    assert_non_null(headers_find_name(&again.headers, SLICE("x-b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(requests_say_only_what_this_hop_means),
        T(requests_are_framed),
        T(requests_ask_for_what_the_head_says),
        T(responses_are_framed),
        T(responses_without_body_tell_no_length),
        T(responses_keep_their_words),
        T(chunks),
        T(writing_goes_over_chunk_ends),
        T(written_heads_are_read_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
