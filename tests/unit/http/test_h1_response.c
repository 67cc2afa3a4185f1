/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/http/h1_feed.h"

#define OK_(fields) "HTTP/1.1 200 OK\r\n" fields "\r\n"

static const struct {
    const char *raw;
    size_t len;
    const char *why;
} bad_responses[] = {
#define BAD_R(why, raw)           \
    {                             \
        raw, sizeof(raw) - 1, why \
    }
    BAD_R("no HTTP version", "SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    BAD_R("no HTTP version", "\0\0\0\4\0\0\0\0\0"),
    BAD_R("no HTTP version", "\r\nHTTP/1.1 200 OK\r\n\r\n"),
    BAD_R("HTTP version other than 1", "HTTP/2.0 200 OK\r\n\r\n"),
    BAD_R("bad status code", "HTTP/1.1 99 X\r\n\r\n"),
    BAD_R("bad status code", "HTTP/1.1 099 X\r\n\r\n"),
    BAD_R("bad status code", "HTTP/1.1 600 X\r\n\r\n"),
    BAD_R("bad status code", "HTTP/1.1 2x0 X\r\n\r\n"),
    BAD_R("bad status code", "HTTP/1.1  200 X\r\n\r\n"),
    BAD_R("bad status code", "HTTP/1.1\r\n\r\n  "),
    BAD_R("bad status line", "HTTP/1.1 2000 X\r\n\r\n"),
    BAD_R("bad status line", "HTTP/1.1 200\tOK\r\n\r\n"),
    BAD_R("unexpected byte in a line", "HTTP/1.1 200 O\x01K\r\n\r\n"),
    BAD_R("bare LF", "HTTP/1.1 200 OK\nX-A: a\n\n"),
    BAD_R("bare CR", OK_("X-A: a\rSet-Cookie: b\r\n")),
    BAD_R("control byte in a field value", OK_("X-A: a\0b\r\n")),
    BAD_R("blank in or after a field name", OK_("X-A : v\r\n")),
    BAD_R("folded or indented field line", OK_("X-A: v\r\n w\r\n")),
    BAD_R("conflicting Content-Length",
          OK_("Content-Length: 2\r\nContent-Length: 5\r\n")),
    BAD_R("bad Content-Length", OK_("Content-Length: 2x\r\n")),
    BAD_R("bad Content-Length", OK_("Content-Length: -1\r\n")),
    BAD_R("bad Content-Length", OK_("Content-Length: 2, 2\r\n")),
    BAD_R("bad Content-Length",
          OK_("Content-Length: x\r\nContent-Length: x\r\n")),
    BAD_R("Transfer-Encoding beside Content-Length",
          OK_("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n")),
    BAD_R("transfer coding other than chunked",
          OK_("Transfer-Encoding: gzip\r\n")),
    BAD_R("repeated Transfer-Encoding",
          OK_("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")),
    BAD_R("Transfer-Encoding in HTTP/1.0",
          "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    BAD_R("101 to a protocol we never ask for",
          "HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    BAD_R("101 to a protocol we never ask for",
          "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
    BAD_R("101 to a protocol we never ask for",
          "HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n"),
};

static void bad_responses_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_responses / sizeof bad_responses[0];
         i++) {
        slice raw = slice_of(bad_responses[i].raw, bad_responses[i].len);
        struct result r;

        start(&r, HTTP_GET);
        feed(&r, raw, &http_limits_default);
        if (r.rc != ERR_INVALID)
            fail_msg("accepted (%s): %s", status_name(r.rc), raw.ptr);
        assert_string_equal(r.err.why, bad_responses[i].why);
        assert_int_equal(r.err.status, 502);
        expect_same_however_split(raw, HTTP_GET, false);
    }
}

static const struct {
    const char *raw;
    enum http_method request;
    unsigned status;
    const char *reason;
    bool keep_alive;
    enum h1_framing framing;
    int64_t length;
} good_responses[] = {
    {OK_("Content-Length: 2\r\n"), HTTP_GET, 200, "OK", true, H1_LENGTH, 2},
    {OK_("Content-Length: 2\r\nContent-Length: 02\r\n"), HTTP_GET, 200, "OK",
     true, H1_LENGTH, 2},
    {OK_("Transfer-Encoding: chunked\r\n"), HTTP_POST, 200, "OK", true,
     H1_CHUNKED, -1},
    {OK_("Connection: close\r\nContent-Length: 2\r\n"), HTTP_GET, 200, "OK",
     false, H1_LENGTH, 2},
    {OK_(""), HTTP_GET, 200, "OK", false, H1_UNTIL_CLOSE, -1},
    {"HTTP/1.0 200 OK\r\n\r\n", HTTP_GET, 200, "OK", false, H1_UNTIL_CLOSE, -1},
    {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n",
     HTTP_GET, 200, "OK", true, H1_LENGTH, 1},
    {"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", HTTP_GET, 200, "", true,
     H1_LENGTH, 0},
    {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", HTTP_GET, 200, "", true,
     H1_LENGTH, 0},
    {"HTTP/1.1 299 Own\twords \xc3\xa9\r\nContent-Length: 0\r\n\r\n", HTTP_GET,
     299, "Own\twords \xc3\xa9", true, H1_LENGTH, 0},
    /* bodyless */
    {OK_("Content-Length: 6\r\n"), HTTP_HEAD, 200, "OK", true, H1_NO_BODY, 6},
    {OK_("Transfer-Encoding: chunked\r\n"), HTTP_HEAD, 200, "OK", true,
     H1_NO_BODY, -1},
    {OK_(""), HTTP_HEAD, 200, "OK", true, H1_NO_BODY, -1},
    {OK_("Content-Length: 6\r\n"), HTTP_CONNECT, 200, "OK", true, H1_NO_BODY,
     6},
    {"HTTP/1.1 407 No\r\nContent-Length: 6\r\n\r\n", HTTP_CONNECT, 407, "No",
     true, H1_LENGTH, 6},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\n", HTTP_GET, 304,
     "Not Modified", true, H1_NO_BODY, 6},
    {"HTTP/1.1 204 No\r\n\r\n", HTTP_GET, 204, "No", true, H1_NO_BODY, -1},
    {"HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", HTTP_GET, 204, "No", true,
     H1_NO_BODY, 0},
    /* a 204 that announces a body is not trusted with a second answer */
    {"HTTP/1.1 204 No\r\nContent-Length: 6\r\n\r\n", HTTP_GET, 204, "No", false,
     H1_NO_BODY, 6},
    {"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_GET, 204,
     "No", false, H1_NO_BODY, -1},
    {"HTTP/1.1 100 Continue\r\n\r\n", HTTP_POST, 100, "Continue", true,
     H1_NO_BODY, -1},
    {"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
     HTTP_GET, 101, "Go", true, H1_NO_BODY, -1},
};

static void good_responses_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good_responses / sizeof good_responses[0];
         i++) {
        slice raw = slice_str(good_responses[i].raw);
        enum http_method request = good_responses[i].request;
        struct result r;

        parse_whole(&r, (int)request, raw);
        assert_int_equal(r.used, raw.len);
        assert_int_equal(r.head.status, good_responses[i].status);
        assert_true(
            slice_eq(r.head.reason, slice_str(good_responses[i].reason)));
        assert_int_equal(r.head.keep_alive, good_responses[i].keep_alive);
        assert_int_equal(r.head.content_length, good_responses[i].length);
        assert_int_equal(h1_response_framing(&r.head, request),
                         good_responses[i].framing);
        assert_int_equal(r.head.upgrade, r.head.status == 101);
        expect_same_however_split(raw, (int)request, true);
    }
}

static void responses_are_bounded(void **state)
{
    struct http_limits lim = http_limits_default;
    struct result r;

    (void)state;
    lim.head_bytes = 24;
    start(&r, HTTP_GET);
    feed(&r, SLICE(OK_("X-A: 012345\r\n")), &lim);
    assert_int_equal(r.rc, ERR_TOO_BIG);
    assert_int_equal(r.err.status, 502);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_responses_are_refused),
        cmocka_unit_test(good_responses_are_read),
        cmocka_unit_test(responses_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
