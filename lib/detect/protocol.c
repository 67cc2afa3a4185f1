/* SPDX-License-Identifier: Apache-2.0 */
/* Each reader walks the bytes from the front and stops at the first one that
 * decides; so more bytes never change an answer.
 *
 * TLS and the HTTP/2 preface are constants. HTTP/1 is a request line, and other
 * text protocols come close ("EHLO host", "SET a b", "GET key", "OPTIONS
 * rtsp://x RTSP/1.0", "CONNECT {json}"), so: an upper case method, a blank, a
 * target that could be one, and then " HTTP/1.x" before the line ends. Only for
 * a well-known method and a target that starts with "/" is less enough: a line
 * with " HTTP/" in it, or one that does not end soon. Lower case methods exist
 * in no request that a server has to accept, but in memcached. */
#include "lib/detect/protocol.h"

enum {
    METHOD_MAX = 32,
    SCHEME_MAX = 32,
    EMPTY_LINES_MAX = 4, /* as many as the HTTP/1 parser skips */
    TLS_HANDSHAKE = 0x16,
    TLS_CLIENT_HELLO = 1,
    TLS_RECORD_MAX = 16384,
};

const char *detected_name(enum detected d)
{
    static const char *const names[] = {
        [DETECTED_NEED_MORE] = "need-more", [DETECTED_TLS] = "tls",
        [DETECTED_HTTP1] = "http1",         [DETECTED_HTTP2] = "http2",
        [DETECTED_OPAQUE] = "opaque",
    };

    return names[d];
}

static enum detected detect_tls(slice s)
{
    const unsigned char *b = (const unsigned char *)s.ptr;

    if (s.len >= 2 && b[1] != 3)
        return DETECTED_OPAQUE;
    if (s.len >= 3 && (b[2] < 1 || b[2] > 4))
        return DETECTED_OPAQUE;
    if (s.len >= 4 && b[3] > TLS_RECORD_MAX >> 8)
        return DETECTED_OPAQUE;
    if (s.len >= 5) {
        unsigned len = (unsigned)b[3] << 8 | b[4];

        if (len == 0 || len > TLS_RECORD_MAX)
            return DETECTED_OPAQUE;
    }
    if (s.len < 6)
        return DETECTED_NEED_MORE;
    return b[5] == TLS_CLIENT_HELLO ? DETECTED_TLS : DETECTED_OPAQUE;
}

/* OPAQUE: not the preface. */
static enum detected detect_http2(slice s)
{
    slice preface = SLICE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

    if (slice_starts(s, preface))
        return DETECTED_HTTP2;
    return slice_starts(preface, s) ? DETECTED_NEED_MORE : DETECTED_OPAQUE;
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_alpha(char c)
{
    return is_upper(c) || (c >= 'a' && c <= 'z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_one_of(char c, slice set)
{
    return slice_find(set, c) >= 0;
}

static bool is_known(slice method)
{
    static const slice known[] = {
        SLICE_INIT("GET"),     SLICE_INIT("HEAD"),   SLICE_INIT("POST"),
        SLICE_INIT("PUT"),     SLICE_INIT("DELETE"), SLICE_INIT("CONNECT"),
        SLICE_INIT("OPTIONS"), SLICE_INIT("TRACE"),  SLICE_INIT("PATCH"),
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (slice_eq(method, known[i]))
            return true;
    }
    return false;
}

/* Reads "scheme://" at the start: HTTP1 stands for "it is one". */
static enum detected read_scheme(slice target)
{
    slice rest = SLICE("://");
    size_t i = 0;

    while (i < target.len && i < SCHEME_MAX &&
           (is_alpha(target.ptr[i]) || is_digit(target.ptr[i]) ||
            (i && is_one_of(target.ptr[i], SLICE("+-.")))))
        i++;
    if (i == SCHEME_MAX)
        return DETECTED_OPAQUE;
    if (i == target.len)
        return DETECTED_NEED_MORE;
    target = slice_sub(target, i, target.len);
    if (slice_starts(target, rest))
        return DETECTED_HTTP1;
    return slice_starts(rest, target) ? DETECTED_NEED_MORE : DETECTED_OPAQUE;
}

/* How the target starts (RFC 9112 section 3.2): HTTP1 stands for "well". */
static enum detected read_target(slice method, slice target)
{
    char c;

    if (slice_empty(target))
        return DETECTED_NEED_MORE;
    c = target.ptr[0];
    if (c == '/' || c == '*')
        return DETECTED_HTTP1;
    if (slice_eq(method, SLICE("CONNECT")))
        return is_alpha(c) || is_digit(c) || c == '[' ? DETECTED_HTTP1
                                                      : DETECTED_OPAQUE;
    return is_alpha(c) ? read_scheme(target) : DETECTED_OPAQUE;
}

/* The rest of the line from the target on. `enough`: see the header; 0 when the
 * version must be seen. */
static enum detected read_version(slice line, size_t enough)
{
    slice version = enough ? SLICE(" HTTP/") : SLICE(" HTTP/1.");

    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.ptr[i];
        slice before = slice_sub(line, 0, i);

        if (slice_ends(before, version) && (enough || is_digit((char)c)))
            return DETECTED_HTTP1;
        if (enough && i >= enough)
            return DETECTED_HTTP1;
        if (c == '\n' || c == 0x7f || (c < 0x20 && c != '\r' && c != '\t'))
            return DETECTED_OPAQUE;
    }
    return DETECTED_NEED_MORE;
}

static enum detected detect_http1(slice s)
{
    size_t n = 0;
    slice method, target;
    enum detected d;

    while (n < s.len && n <= METHOD_MAX &&
           (is_upper(s.ptr[n]) || (n && is_one_of(s.ptr[n], SLICE("-_")))))
        n++;
    if (n > METHOD_MAX || (n < s.len && (n == 0 || s.ptr[n] != ' ')))
        return DETECTED_OPAQUE;
    if (n == s.len)
        return DETECTED_NEED_MORE;
    method = slice_sub(s, 0, n);
    target = slice_sub(s, n + 1, s.len);
    d = read_target(method, target);
    if (d != DETECTED_HTTP1)
        return d;
    return read_version(target, is_known(method) && target.ptr[0] == '/'
                                    ? DETECT_LINE_ENOUGH - n - 1
                                    : 0);
}

/* A server should skip an empty line before a request (RFC 9112 section 2.2),
 * so what hides behind one is a request too. */
static enum detected detect_request(slice s)
{
    slice empty = SLICE("\r\n");

    for (int i = 0; i < EMPTY_LINES_MAX && slice_starts(s, empty); i++)
        s = slice_sub(s, empty.len, s.len);
    if (slice_starts(empty, s))
        return DETECTED_NEED_MORE;
    return detect_http1(s);
}

enum detected protocol_detect(slice first)
{
    slice s = slice_sub(first, 0, DETECT_MAX);
    enum detected d;

    if (slice_empty(s))
        return DETECTED_NEED_MORE;
    if ((unsigned char)s.ptr[0] == TLS_HANDSHAKE)
        return detect_tls(s);
    d = detect_http2(s);
    if (d == DETECTED_OPAQUE)
        d = detect_request(s);
    if (d == DETECTED_NEED_MORE && s.len == DETECT_MAX)
        return DETECTED_OPAQUE;
    return d;
}
