/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/http/h1_target.h"
#include "tests/unit/http/h1_feed.h"

#define H "Host: a.test\r\n"

static const struct {
    const char *raw;
    size_t len;
    unsigned status;
    const char *why;
} bad_requests[] = {
#define BAD(status, why, raw)             \
    {                                     \
        raw, sizeof(raw) - 1, status, why \
    }
    /* request line */
    BAD(400, "bad method", " GET / HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "bad method", "G=\"<e> / HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "bad method", "\x16\x03\x01\x02 hello\r\n\r\n"),
    BAD(400, "bad method", "GET\t/ HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "bad method", "GET\0 / HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "bad method", "GET\r\n"),
    BAD(400, "bad request target", "GET  / HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "bad request target", "GET /p\r\n"),
    BAD(400, "bad request target", "GET /\x7f HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "bad request target", "GET /\0 HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "bad request target", "GET /a\tb HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "bad request target", "GET /a\rb HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "bad request target", "GET /#frag HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "bad request target", "GET /\xc0\xaf HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "no HTTP version", "GET /a b HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "no HTTP version", "GET / http/1.1\r\n" H "\r\n"),
    BAD(400, "no HTTP version", "GET / \r\n"),
    BAD(400, "no HTTP version", "GET /  HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "bad HTTP version", "GET / HTTP/01.1\r\n" H "\r\n"),
    BAD(400, "bad HTTP version", "GET / HTTP/1,1\r\n" H "\r\n"),
    BAD(400, "bad HTTP version", "GET / HTTP/1.x\r\n" H "\r\n"),
    BAD(400, "bad HTTP version", "GET / HTTP/\r1.1\r\n" H "\r\n"),
    BAD(505, "HTTP version other than 1", "GET / HTTP/2.0\r\n" H "\r\n"),
    BAD(505, "HTTP version other than 1", "GET / HTTP/0.9\r\n" H "\r\n"),
    BAD(505, "HTTP version other than 1", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    BAD(400, "PRI is no method", "PRI /p HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "PRI is no method", "PRI * HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "unexpected byte in a line", "GET / HTTP/1.10\r\n" H "\r\n"),
    BAD(400, "unexpected byte in a line", "GET / HTTP/1.1 \r\n" H "\r\n"),
    BAD(400, "bare LF", "GET / HTTP/1.1\n" H "\r\n"),
    BAD(400, "bare CR", "GET / HTTP/1.1\r\r\n" H "\r\n"),
    BAD(400, "too many empty lines",
        "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "bare LF", "\nGET / HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "bare CR", "\rGET / HTTP/1.1\r\n" H "\r\n"),
    /* target forms */
    BAD(400, "request target of no known form", "GET p HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "request target of no known form",
        "GET ftp://a/ HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "request target of no known form",
        "GET a.test:80 HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "request target of no known form",
        "OPTIONS ** HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "\"*\" without OPTIONS", "GET * HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "bad authority in the request target",
        "GET http:///p HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "bad authority in the request target",
        "GET http://u:p@a.test/ HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "bad authority in the request target",
        "GET http://a.test:80:80/ HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "bad authority in the request target",
        "GET http://a.test\\evil/ HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "request target with a query but no path",
        "GET http://a.test?q HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "CONNECT without host:port", "CONNECT / HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "CONNECT without host:port",
        "CONNECT a.test HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "CONNECT without host:port",
        "CONNECT a.test: HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "CONNECT without host:port",
        "CONNECT [::1] HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "CONNECT without host:port",
        "CONNECT http://a.test:80/ HTTP/1.1\r\n" H "\r\n"),
    BAD(400, "CONNECT with a body",
        "CONNECT a.test:80 HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello"),
    /* fields */
    BAD(400, "blank in or after a field name",
        "GET / HTTP/1.1\r\n" H "X-A : v\r\n\r\n"),
    BAD(400, "blank in or after a field name",
        "GET / HTTP/1.1\r\n" H "X A: v\r\n\r\n"),
    BAD(400, "blank in or after a field name",
        "GET / HTTP/1.1\r\n" H "X-A\t: v\r\n\r\n"),
    BAD(400, "bad byte in a field name",
        "GET / HTTP/1.1\r\n" H "NoColon\r\n\r\n"),
    BAD(400, "bad byte in a field name",
        "GET / HTTP/1.1\r\n" H "X\0A: v\r\n\r\n"),
    BAD(400, "bad byte in a field name",
        "GET / HTTP/1.1\r\n" H "X\x01: v\r\n\r\n"),
    BAD(400, "bad byte in a field name",
        "GET / HTTP/1.1\r\n" H "X(A): v\r\n\r\n"),
    BAD(400, "bad byte in a field name",
        "GET / HTTP/1.1\r\n" H "caf\xc3\xa9: v\r\n\r\n"),
    BAD(400, "empty field name", "GET / HTTP/1.1\r\n" H ": v\r\n\r\n"),
    BAD(400, "folded or indented field line",
        "GET / HTTP/1.1\r\n" H "X-A: a\r\n b\r\n\r\n"),
    BAD(400, "folded or indented field line",
        "GET / HTTP/1.1\r\n" H "X-A: a\r\n\tb\r\n\r\n"),
    BAD(400, "folded or indented field line", "GET / HTTP/1.1\r\n " H "\r\n"),
    BAD(400, "control byte in a field value",
        "GET / HTTP/1.1\r\n" H "X-A: a\0b\r\n\r\n"),
    BAD(400, "control byte in a field value",
        "GET / HTTP/1.1\r\n" H "X-A: a\x01\r\n\r\n"),
    BAD(400, "control byte in a field value",
        "GET / HTTP/1.1\r\n" H "X-A: a\x7f\r\n\r\n"),
    BAD(400, "control byte in a field value",
        "GET / HTTP/1.1\r\n" H "X-A: a\vb\r\n\r\n"),
    BAD(400, "bare CR", "GET / HTTP/1.1\r\n" H "X-A: a\rX-B: b\r\n\r\n"),
    BAD(400, "bare LF",
        "GET / HTTP/1.1\r\n" H "X-A: v\nContent-Length: 5\r\n\r\nhello"),
    BAD(400, "bare LF", "GET / HTTP/1.1\r\n" H "\n"),
    BAD(400, "bare CR", "GET / HTTP/1.1\r\n" H "\rZ\r\n\r\n"),
    BAD(400, "bare CR", "GET / HTTP/1.1\r\n" H "\r\r\n\r\n"),
    /* host */
    BAD(400, "no Host", "GET / HTTP/1.1\r\n\r\n"),
    BAD(400, "no Host", "GET http://a.test/ HTTP/1.1\r\n\r\n"),
    BAD(400, "repeated Host", "GET / HTTP/1.1\r\n" H H "\r\n"),
    BAD(400, "repeated Host", "GET / HTTP/1.0\r\n" H "host: b\r\n\r\n"),
    BAD(400, "empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    BAD(400, "bad Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    BAD(400, "bad Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    BAD(400, "bad Host", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    BAD(400, "bad Host", "GET http://a/ HTTP/1.1\r\nHost: u@a\r\n\r\n"),
/* framing */
#define POST "POST / HTTP/1.1\r\n" H
    BAD(400, "repeated Content-Length",
        POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    BAD(400, "repeated Content-Length",
        POST "Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello"),
    BAD(400, "bad Content-Length", POST "Content-Length: 5, 5\r\n\r\nhello"),
    BAD(400, "bad Content-Length", POST "Content-Length: +5\r\n\r\nhello"),
    BAD(400, "bad Content-Length", POST "Content-Length: -5\r\n\r\nhello"),
    BAD(400, "bad Content-Length", POST "Content-Length: 5 5\r\n\r\nhello"),
    BAD(400, "bad Content-Length", POST "Content-Length: 0x5\r\n\r\nhello"),
    BAD(400, "bad Content-Length", POST "Content-Length: 5.0\r\n\r\nhello"),
    BAD(400, "bad Content-Length", POST "Content-Length:\r\n\r\nhello"),
    BAD(400, "bad Content-Length",
        POST "Content-Length: 9223372036854775808\r\n\r\n"),
    BAD(400, "bad Content-Length",
        POST "Content-Length: 99999999999999999999\r\n\r\n"),
    BAD(400, "Transfer-Encoding beside Content-Length",
        POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
    BAD(400, "Transfer-Encoding beside Content-Length",
        POST "Transfer-Encoding: x\r\nContent-Length: 5\r\n\r\n"),
    BAD(400, "Transfer-Encoding in HTTP/1.0",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    BAD(400, "repeated Transfer-Encoding",
        POST
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
#define CODING(v)                                  \
    BAD(501, "transfer coding other than chunked", \
        POST "Transfer-Encoding: " v "\r\n\r\n")
    CODING("identity"),
    CODING("gzip, chunked"),
    CODING("chunked, gzip"),
    CODING("chunked, chunked"),
    CODING("chunked,"),
    CODING("chunked;a=b"),
    CODING("\"chunked\""),
    CODING("chu nked"),
    CODING("xchunked"),
    CODING(""),
    /* the rest */
    BAD(417, "unknown expectation",
        POST "Expect: 200-maybe\r\nContent-Length: 1\r\n\r\n"),
    BAD(417, "unknown expectation",
        POST "Expect: 100-continue, x\r\nContent-Length: 1\r\n\r\n"),
    BAD(501, "Max-Forwards used up",
        "TRACE / HTTP/1.1\r\n" H "Max-Forwards: 0\r\n\r\n"),
    BAD(400, "bad Max-Forwards",
        "OPTIONS * HTTP/1.1\r\n" H "Max-Forwards: x\r\n\r\n"),
};

static void bad_requests_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_requests / sizeof bad_requests[0]; i++) {
        slice raw = slice_of(bad_requests[i].raw, bad_requests[i].len);
        struct result r;
        slice bytes;

        start(&r, -1);
        bytes = feed_in_steps(&r, raw, raw.len, 1, &http_limits_default);
        if (r.rc != ERR_INVALID)
            fail_msg("accepted (%s): %s", status_name(r.rc), raw.ptr);
        assert_string_equal(r.err.why, bad_requests[i].why);
        assert_int_equal(r.err.status, bad_requests[i].status);
        exact_free(bytes);
        expect_same_however_split(raw, -1, false);
    }
}

/* What of a good request is looked at. */
struct good {
    const char *raw;
    const char *method, *authority, *path, *protocol;
    uint8_t minor;
    bool keep_alive, chunked, upgrade, expect, te;
    int64_t length;
};

#define GET(fields) "GET / HTTP/1.1\r\n" H fields "\r\n"
#define GET_10(fields) "GET / HTTP/1.0\r\n" fields "\r\n"
#define PLAIN "GET", "a.test", "/", "", 1

static const struct good good_requests[] = {
    {GET(""), PLAIN, .keep_alive = true, .length = -1},
    {"\r\n\r\n\r\n\r\n" GET(""), PLAIN, .keep_alive = true, .length = -1},
    {"M-SEARCH /a?b=c|{} HTTP/1.1\r\n" H "\r\n", "M-SEARCH", "a.test",
     "/a?b=c|{}", "", 1, .keep_alive = true, .length = -1},
    {"GET / HTTP/1.9\r\n" H "\r\n", PLAIN, .keep_alive = true, .length = -1},
    /* hosts */
    {"GET / HTTP/1.1\r\nHost: \t[::1]:8080 \t\r\n\r\n", "GET", "[::1]:8080",
     "/", "", 1, .keep_alive = true, .length = -1},
    {GET_10(""), "GET", "", "/", "", 0, .length = -1},
    {GET_10("Host:\r\n"), "GET", "", "/", "", 0, .length = -1},
    {GET_10("Host: b\r\n"), "GET", "b", "/", "", 0, .length = -1},
    /* target forms */
    {"GET http://B.test:80/p?q HTTP/1.1\r\n" H "\r\n", "GET", "B.test:80",
     "/p?q", "", 1, .keep_alive = true, .length = -1},
    {"GET HTTPS://b HTTP/1.1\r\n" H "\r\n", "GET", "b", "/", "", 1,
     .keep_alive = true, .length = -1},
    {"GET http://b HTTP/1.1\r\nHost:\r\n\r\n", "GET", "b", "/", "", 1,
     .keep_alive = true, .length = -1},
    {"OPTIONS * HTTP/1.1\r\n" H "\r\n", "OPTIONS", "a.test", "*", "", 1,
     .keep_alive = true, .length = -1},
    {"OPTIONS http://b:1 HTTP/1.1\r\n" H "\r\n", "OPTIONS", "b:1", "*", "", 1,
     .keep_alive = true, .length = -1},
    {"CONNECT b.test:443 HTTP/1.1\r\n" H "\r\n", "CONNECT", "b.test:443", "",
     "", 1, .keep_alive = true, .length = -1},
    {"CONNECT [::1]:443 HTTP/1.1\r\n" H "\r\n", "CONNECT", "[::1]:443", "", "",
     1, .keep_alive = true, .length = -1},
    /* connections */
    {GET("Connection: close\r\n"), PLAIN, .length = -1},
    {GET("Connection: keep-alive, CLOSE\r\n"), PLAIN, .length = -1},
    {GET("Connection: x\r\nconnection: close\r\n"), PLAIN, .length = -1},
    {GET("Connection: , ,\r\n"), PLAIN, .keep_alive = true, .length = -1},
    {GET("Proxy-Connection: close\r\n"), PLAIN, .keep_alive = true,
     .length = -1},
    {GET_10("Connection: Keep-Alive\r\n"), "GET", "", "/", "", 0,
     .keep_alive = true, .length = -1},
    {GET_10("Connection: keep-alive, close\r\n"), "GET", "", "/", "", 0,
     .length = -1},
    /* framing */
    {GET("Content-Length: 005\r\n"), PLAIN, .keep_alive = true, .length = 5},
    {GET("Content-Length: 0\r\n"), PLAIN, .keep_alive = true, .length = 0},
    {GET("Content-Length: 9223372036854775807\r\n"), PLAIN, .keep_alive = true,
     .length = INT64_MAX},
    {GET("Transfer-Encoding: \tChunked\t\r\n"), PLAIN, .keep_alive = true,
     .chunked = true, .length = -1},
    {GET("Transfer_Encoding: chunked\r\nContent-Length: 5\r\n"), PLAIN,
     .keep_alive = true, .length = 5},
    {GET("Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n"),
     PLAIN, .keep_alive = true, .chunked = true, .length = -1},
    /* upgrade */
    {GET("Connection: Upgrade\r\nUpgrade: WebSocket\r\n"), "GET", "a.test", "/",
     "WebSocket", 1, .keep_alive = true, .upgrade = true, .length = -1},
    {GET("Connection: upgrade\r\nUpgrade: h2c , websocket\r\n"), "GET",
     "a.test", "/", "websocket", 1, .keep_alive = true, .upgrade = true,
     .length = -1},
    {GET("Upgrade: websocket\r\n"), PLAIN, .keep_alive = true, .length = -1},
    {GET("Connection: upgrade\r\n"), PLAIN, .keep_alive = true, .length = -1},
    {GET("Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\n"
         "HTTP2-Settings: AA\r\n"),
     PLAIN, .keep_alive = true, .length = -1},
    {GET("Connection: upgrade\r\nUpgrade: foo/2 , bar\r\n"), "GET", "a.test",
     "/", "foo/2 , bar", 1, .keep_alive = true, .upgrade = true, .length = -1},
    {GET("Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: foo\r\n"), "GET",
     "a.test", "/", "foo", 1, .keep_alive = true, .upgrade = true,
     .length = -1},
    {GET("Connection: upgrade\r\nUpgrade: H2C-14, TLS/1.2, HTTP/2.0, h2\r\n"),
     PLAIN, .keep_alive = true, .length = -1},
    {GET("Connection: upgrade\r\nUpgrade: /2, foo/, a b, a/b/c,\r\n"), PLAIN,
     .keep_alive = true, .length = -1},
    {GET("Connection: upgrade\r\nUpgrade:\r\n"), PLAIN, .keep_alive = true,
     .length = -1},
    {GET("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n"),
     "GET", "a.test", "/", "websocket", 1, .keep_alive = true, .upgrade = true,
     .length = 1},
    {"CONNECT b.test:443 HTTP/1.1\r\n" H
     "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
     "CONNECT", "b.test:443", "", "", 1, .keep_alive = true, .length = -1},
    {GET_10("Connection: upgrade\r\nUpgrade: websocket\r\n"), "GET", "", "/",
     "", 0, .length = -1},
    /* expectations */
    {GET("Expect: 100-Continue\r\nContent-Length: 5\r\n"), PLAIN,
     .keep_alive = true, .expect = true, .length = 5},
    {GET("Expect: 100-continue\r\n"), PLAIN, .keep_alive = true, .length = -1},
    {GET_10("Expect: 100-continue\r\nContent-Length: 5\r\n"), "GET", "", "/",
     "", 0, .length = 5},
    {GET_10("Expect: 200-maybe\r\n"), "GET", "", "/", "", 0, .length = -1},
    /* TE */
    {GET("TE: deflate, trailers\r\n"), PLAIN, .keep_alive = true, .te = true,
     .length = -1},
    {GET("TE: deflate\r\n"), PLAIN, .keep_alive = true, .length = -1},
};

static void expect_good(const struct good *g, const struct result *r,
                        size_t used)
{
    const struct head *h = &r->head;

    if (r->rc)
        fail_msg("refused (%s): %s", r->err.why ? r->err.why : "?", g->raw);
    assert_int_equal(r->used, used);
    assert_true(slice_eq(h->method, slice_str(g->method)));
    assert_int_equal(h->method_id, http_method_id(h->method));
    assert_true(slice_eq(h->authority, slice_str(g->authority)));
    assert_true(slice_eq(h->path, slice_str(g->path)));
    assert_true(slice_eq(h->protocol, slice_str(g->protocol)));
    assert_int_equal(h->minor, g->minor);
    assert_int_equal(h->keep_alive, g->keep_alive);
    assert_int_equal(h->chunked, g->chunked);
    assert_int_equal(h->upgrade, g->upgrade);
    assert_int_equal(h->expect_continue, g->expect);
    assert_int_equal(h->te_trailers, g->te);
    assert_int_equal(h->content_length, g->length);
}

static void good_requests_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good_requests / sizeof good_requests[0];
         i++) {
        const struct good *g = &good_requests[i];
        char text[512];
        int n = snprintf(text, sizeof text, "%sGET /next", g->raw);
        struct result r;
        slice bytes;

        assert_true(n > 0 && (size_t)n < sizeof text);
        start(&r, -1);
        bytes = feed_in_steps(&r, slice_of(text, (size_t)n), (size_t)n, 1,
                              &http_limits_default);
        expect_good(g, &r, strlen(g->raw));
        exact_free(bytes);
        expect_same_however_split(slice_str(g->raw), -1, true);
    }
}

static const struct header *field(const struct result *r, const char *name)
{
    return headers_find_name(&r->head.headers, slice_str(name));
}

static void connection_names_what_stays_here(void **state)
{
    struct result r;

    (void)state;
    parse_whole(&r, -1,
                SLICE(GET("X-Secret: 1\r\nX-secret: 2\r\nX-Secret2: 3\r\n"
                          "Tulle-Identity: 4\r\nContent-Length: 0\r\n"
                          "Connection: x-secret, Host, tulle-identity\r\n"
                          "Connection: content-length, x-b\r\nX-B: 5\r\n"
                          "Keep-Alive: 6\r\nTE: 7\r\nUpgrade: 8\r\n"
                          "Trailer: 9\r\nProxy-Authorization: 10\r\n")));
    assert_true(r.head.headers.at[1].hop && r.head.headers.at[2].hop);
    assert_false(field(&r, "x-secret2")->hop);
    assert_false(field(&r, "tulle-identity")->hop);
    assert_false(field(&r, "content-length")->hop);
    assert_false(field(&r, "host")->hop);
    assert_true(field(&r, "x-b")->hop);
    assert_true(field(&r, "connection")->hop);
    assert_true(field(&r, "keep-alive")->hop);
    assert_true(field(&r, "te")->hop);
    assert_true(field(&r, "upgrade")->hop);
    assert_false(field(&r, "trailer")->hop);
    assert_false(field(&r, "proxy-authorization")->hop);
}

static void expectations_go_on_only_where_they_hold(void **state)
{
    struct result r;

    (void)state;
    parse_whole(&r, -1,
                SLICE(GET("Expect: 100-continue\r\nContent-Length: 5\r\n")));
    assert_false(field(&r, "expect")->hop);
    parse_whole(&r, -1, SLICE(GET("Expect: 100-continue\r\n")));
    assert_true(field(&r, "expect")->hop);
    parse_whole(&r, -1,
                SLICE(GET_10("Expect: 100-continue\r\nContent-Length: 5\r\n")));
    assert_true(field(&r, "expect")->hop);
}

static void connection_options_are_bounded(void **state)
{
    char commas[81], text[256];
    struct result r;
    int n;

    (void)state;
    memset(commas, ',', sizeof commas);
    for (int options = 64; options <= 65; options++) {
        n = snprintf(text, sizeof text, GET("Connection: %.*s\r\n"),
                     options - 1, commas);
        start(&r, -1);
        feed(&r, slice_of(text, (size_t)n), &http_limits_default);
        assert_int_equal(r.rc, options == 64 ? OK : ERR_INVALID);
    }
    assert_string_equal(r.err.why, "too many connection options");
}

static void max_forwards_counts_down(void **state)
{
    static const char *const cases[][2] = {
        {"1", "0"}, {"9", "8"}, {"10", "9"}, {"11", "9"}, {"007", "6"}};
    struct result r;
    char text[128];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int n = snprintf(text, sizeof text,
                         "TRACE / HTTP/1.1\r\n" H "max-forwards: %s\r\n\r\n",
                         cases[i][0]);

        parse_whole(&r, -1, slice_of(text, (size_t)n));
        assert_true(
            slice_eq(field(&r, "Max-Forwards")->value, slice_str(cases[i][1])));
    }
    parse_whole(&r, -1, SLICE(GET("Max-Forwards: 0\r\n")));
    assert_true(slice_eq(field(&r, "max-forwards")->value, SLICE("0")));
}

static void values_are_trimmed_and_kept(void **state)
{
    struct result r;

    (void)state;
    parse_whole(&r, -1,
                SLICE(GET("X-A: \t v\tw\xff  \t\r\nX-B:\r\nX-C:   \r\n"
                          "X-D:d\r\n")));
    assert_true(slice_eq(field(&r, "x-a")->value, SLICE("v\tw\xff")));
    assert_int_equal(field(&r, "x-b")->value.len, 0);
    assert_int_equal(field(&r, "x-c")->value.len, 0);
    assert_true(slice_eq(field(&r, "x-d")->value, SLICE("d")));
    assert_true(slice_eq(r.head.headers.at[1].name, SLICE("X-A")));
}

/* ---- limits ---- */

static void heads_are_bounded(void **state)
{
    struct http_limits lim = http_limits_default;
    slice raw = SLICE(GET("X-A: v\r\n"));
    struct result r;

    (void)state;
    for (size_t max = 1; max <= raw.len; max++) {
        size_t line = strlen("GET / HTTP/1.1\r\n");

        lim.head_bytes = (uint32_t)max;
        for (int drip = 0; drip < 2; drip++) {
            slice bytes;

            start(&r, -1);
            bytes = feed_in_steps(&r, raw, drip ? 0 : raw.len, 1, &lim);
            exact_free(bytes);
            if (max == raw.len) {
                assert_int_equal(r.rc, OK);
                continue;
            }
            assert_int_equal(r.rc, ERR_TOO_BIG);
            assert_int_equal(r.err.status, max < line ? 414 : 431);
        }
    }
}

static void fields_are_counted(void **state)
{
    struct http_limits lim = http_limits_default;
    slice raw = SLICE(GET("A:\r\nB:\r\n"));
    struct result r;

    (void)state;
    lim.max_headers = 3;
    start(&r, -1);
    feed(&r, raw, &lim);
    assert_int_equal(r.rc, OK);
    assert_int_equal(r.head.headers.len, 3);
    lim.max_headers = 2;
    start(&r, -1);
    feed(&r, raw, &lim);
    assert_int_equal(r.rc, ERR_TOO_BIG);
    assert_int_equal(r.err.status, 431);
    assert_string_equal(r.err.why, "too many fields");
    start(&r, -1); /* nor more than the caller has room for */
    r.head.headers.cap = 1;
    feed(&r, raw, &http_limits_default);
    assert_int_equal(r.rc, ERR_TOO_BIG);
}

static void nothing_is_not_a_head(void **state)
{
    struct result r;

    (void)state;
    start(&r, -1);
    feed(&r, SLICE_NONE, &http_limits_default);
    assert_int_equal(r.rc, ERR_AGAIN);
    start(&r, HTTP_GET);
    feed(&r, SLICE_NONE, &http_limits_default);
    assert_int_equal(r.rc, ERR_AGAIN);
}

static void request_framing(void **state)
{
    struct result r;

    (void)state;
    parse_whole(&r, -1, SLICE(GET("")));
    assert_int_equal(h1_request_framing(&r.head), H1_NO_BODY);
    parse_whole(&r, -1, SLICE(GET("Content-Length: 0\r\n")));
    assert_int_equal(h1_request_framing(&r.head), H1_LENGTH);
    parse_whole(&r, -1, SLICE(GET("Transfer-Encoding: chunked\r\n")));
    assert_int_equal(h1_request_framing(&r.head), H1_CHUNKED);
    parse_whole(&r, -1, SLICE("CONNECT a:1 HTTP/1.1\r\n" H "\r\n"));
    assert_int_equal(h1_request_framing(&r.head), H1_NO_BODY);
}

static void authorities(void **state)
{
    static const char *const good[] = {
        "a",       "a.test", "A-1_~.test", "127.0.0.1", "a:0",
        "a:65535", "a:",     "[::1]",      "[::1]:80",  "[::ffff:1.2.3.4]",
        "a%2Fb",   "a,b;c",  "a.test.",    "!$&'()*+=",
    };
    static const char *const bad[] = {
        "",         ":80",    "a:65536",      "a:123456", "a:-1",  "a:80x",
        "a:80:80",  "a b",    "a/b",          "a?b",      "a#b",   "u@a",
        "[::1",     "::1",    "[]",           "[1234]",   "[::g]", "[::1]a",
        "[::1]:x",  "a[::1]", "a%",           "a%2",      "a%2g",  "a\\b",
        "\xc3\xa9", "a\tb",   "[::1%25eth0]", "a\"b",     "<a>",   "[v1.a]",
    };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (!http_authority_valid(slice_str(good[i])))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (http_authority_valid(slice_str(bad[i])))
            fail_msg("accepted: %s", bad[i]);
    assert_false(http_authority_valid(SLICE("a\0b")));
}

static void authorities_that_are_the_same(void **state)
{
    static const char *const same[][2] = {
        {"a", "a"},
        {"A.Test", "a.tEST"},
        {"a", "a:"},
        {"a:", "a:80"},
        {"a:80", "A"},
        {"a:080", "a"},
        {"[::A]", "[::a]:80"},
        {"a:8080", "a:08080"},
        {"", ""},
    };
    static const char *const other[][2] = {
        {"a", "b"},        {"a", "a."},  {"a:8080", "a"},
        {"a:8", "a:80"},   {"a:0", "a"}, {"[::1]", "[::2]"},
        {"[::80]", "[:]"}, {"a", ""},    {"a:8080", "a:80"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        assert_true(
            http_authority_same(slice_str(same[i][0]), slice_str(same[i][1])));
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
        assert_false(http_authority_same(slice_str(other[i][0]),
                                         slice_str(other[i][1])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(good_requests_are_read),
        cmocka_unit_test(connection_names_what_stays_here),
        cmocka_unit_test(expectations_go_on_only_where_they_hold),
        cmocka_unit_test(connection_options_are_bounded),
        cmocka_unit_test(max_forwards_counts_down),
        cmocka_unit_test(values_are_trimmed_and_kept),
        cmocka_unit_test(heads_are_bounded),
        cmocka_unit_test(fields_are_counted),
        cmocka_unit_test(nothing_is_not_a_head),
        cmocka_unit_test(request_framing),
        cmocka_unit_test(authorities),
        cmocka_unit_test(authorities_that_are_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
