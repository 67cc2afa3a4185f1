/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/detect/protocol.h"

/* The answer for the whole, which every shorter piece must share or wait for;
 * gives how many bytes were needed. */
static size_t settles(slice bytes, enum detected want)
{
    size_t needed = bytes.len + 1;

    for (size_t n = bytes.len + 1; n-- > 0;) {
        enum detected d = protocol_detect(slice_sub(bytes, 0, n));

        if (d == DETECTED_NEED_MORE)
            break;
        if (d != want)
            fail_msg("\"%.*s\": %zu bytes are %s, not %s", FMT(bytes), n,
                     detected_name(d), detected_name(want));
        needed = n;
    }
    if (want != DETECTED_NEED_MORE && needed > bytes.len)
        fail_msg("\"%.*s\" is undecided", FMT(bytes));
    for (size_t n = 0; n < needed && n <= bytes.len; n++)
        assert_int_equal(protocol_detect(slice_sub(bytes, 0, n)),
                         DETECTED_NEED_MORE);
    return needed;
}

static void knows_requests(void **state)
{
    static const slice requests[] = {
        SLICE_INIT("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        SLICE_INIT("GET / HTTP/1.0\n\n"),
        SLICE_INIT("POST /a/b?c=d HTTP/1.1\r\n"),
        SLICE_INIT("OPTIONS * HTTP/1.1\r\n"),
        SLICE_INIT("CONNECT db.example:5432 HTTP/1.1\r\n"),
        SLICE_INIT("CONNECT [::1]:443 HTTP/1.1\r\n"),
        SLICE_INIT("GET http://example.com/ HTTP/1.1\r\n"),
        SLICE_INIT("PURGE /cache HTTP/1.1\r\n"),
        SLICE_INIT("M-SEARCH * HTTP/1.1\r\n"),
        SLICE_INIT("VERSION-CONTROL http://a/b HTTP/1.1\r\n"),
        SLICE_INIT("\r\n\r\nGET / HTTP/1.1\r\n"),
        /* Malformed, but a request: the parser answers 400 or 505. */
        SLICE_INIT("GET /a b HTTP/1.1\r\n"),
        SLICE_INIT("GET / HTTP/3.0\r\n"),
        SLICE_INIT("GET /\xc3\xa4 HTTP/1.1\r\n"),
        SLICE_INIT("GET /\1 HTTP/1.1\r\n"),
        SLICE_INIT("GET  / HTTP/1.1\r\n"),
        SLICE_INIT(" GET / HTTP/1.1\r\n"),
        SLICE_INIT("GET\t/\tHTTP/1.1\r\n"),
        SLICE_INIT("GET / http/1.1\r\n"),
        SLICE_INIT("GET p HTTP/1.1\r\n"),
        SLICE_INIT("GET /key\r\n"),
        SLICE_INIT("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"),
        SLICE_INIT("G=\":<>(e) /p HTTP/1.1\r\n"),
        SLICE_INIT("PURGE /\x7f HTTP/1.1\r\n"),
        SLICE_INIT("A-METHOD-OF-MORE-THAN-32-BYTES-IS / HTTP/1.1\r\n"),
        SLICE_INIT("FOO a23456789b123456789c123456789d12://x HTTP/1.1\r\n"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
        settles(requests[i], DETECTED_HTTP1);
}

static void long_lines_settle_early(void **state)
{
    char line[DETECT_MAX + 1];

    (void)state;
    memset(line, 'a', sizeof line);
    memcpy(line, "GET /", 5);
    assert_int_equal(settles(slice_of(line, 200), DETECTED_HTTP1), 5);
    /* An unknown method must show its version, within the bound. */
    memcpy(line, "FOO /", 5);
    assert_int_equal(protocol_detect(slice_of(line, DETECT_MAX - 1)),
                     DETECTED_NEED_MORE);
    assert_int_equal(protocol_detect(slice_of(line, DETECT_MAX)),
                     DETECTED_OPAQUE);
    assert_int_equal(protocol_detect(slice_of(line, DETECT_MAX + 1)),
                     DETECTED_OPAQUE);
    memcpy(line + 300, " HTTP/1.1\r\n", 11);
    assert_int_equal(settles(slice_of(line, 400), DETECTED_HTTP1), 306);
}

static void other_text_is_opaque(void **state)
{
    static const slice others[] = {
        SLICE_INIT("EHLO mail.example.com\r\n"),
        SLICE_INIT("HELO x\r\n"),
        SLICE_INIT("PING\r\n"),
        SLICE_INIT("SET a b\r\n"),
        SLICE_INIT("SET /a HTTP\r\n"),
        SLICE_INIT("GET key\r\n"),
        SLICE_INIT("get k\r\n"),
        SLICE_INIT("get / http/1.1\r\n"),
        SLICE_INIT("*2\r\n$3\r\nGET\r\n$1\r\na\r\n"),
        SLICE_INIT("USER anonymous\r\n"),
        SLICE_INIT("NICK joe\r\n"),
        SLICE_INIT("CONNECT {\"verbose\":false}\r\n"),
        SLICE_INIT("CONNECT\naccept-version:1.2\n\n"),
        SLICE_INIT("OPTIONS rtsp://cam/1 RTSP/1.0\r\n"),
        SLICE_INIT("OPTIONS sip:carol@example.com SIP/2.0\r\n"),
        SLICE_INIT("SOURCE /live ICE/1.0\r\n"),
        SLICE_INIT("SSH-2.0-OpenSSH_9.2\r\n"),
        SLICE_INIT("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n"),
        SLICE_INIT("-FOO / HTTP/1.1\r\n"),
        SLICE_INIT("\0\0\0\x08\x04\xd2\x16\x2f"),
        SLICE_INIT("\xff"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        settles(others[i], DETECTED_OPAQUE);
    /* Decided at the first byte that cannot be. */
    assert_int_equal(settles(SLICE("PING\r\n"), DETECTED_OPAQUE), 6);
    assert_int_equal(settles(SLICE("get k\r\n"), DETECTED_OPAQUE), 1);
    assert_int_equal(settles(SLICE("EHLO a.b\r\n"), DETECTED_OPAQUE), 10);
}

static void knows_the_http2_preface(void **state)
{
    slice preface = SLICE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4");

    (void)state;
    assert_int_equal(settles(preface, DETECTED_HTTP2), 24);
}

static void knows_tls(void **state)
{
    static const slice tls[] = {
        SLICE_INIT("\x16\3\1\2\0\1\0\1\xfc\3\3"),
        SLICE_INIT("\x16\3\3\0\1\1"),
        SLICE_INIT("\x16\3\4\x40\0\1"),
    };
    static const slice not_tls[] = {
        SLICE_INIT("\x16\2\1\2\0\1"),     SLICE_INIT("\x16\3\0\2\0\1"),
        SLICE_INIT("\x16\3\5\2\0\1"),     SLICE_INIT("\x16\3\1\0\0\1"),
        SLICE_INIT("\x16\3\1\x40\1\1"),   SLICE_INIT("\x16\3\1\xff\0\1"),
        SLICE_INIT("\x16\3\1\2\0\2"),     SLICE_INIT("\x17\3\3\2\0\1"),
        SLICE_INIT("\x15\3\1\0\2\2\x28"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof tls / sizeof tls[0]; i++)
        assert_int_equal(settles(tls[i], DETECTED_TLS), 6);
    for (size_t i = 0; i < sizeof not_tls / sizeof not_tls[0]; i++)
        settles(not_tls[i], DETECTED_OPAQUE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_requests),
        cmocka_unit_test(long_lines_settle_early),
        cmocka_unit_test(other_text_is_opaque),
        cmocka_unit_test(knows_the_http2_preface),
        cmocka_unit_test(knows_tls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
