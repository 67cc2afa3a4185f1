/* SPDX-License-Identifier: Apache-2.0 */
/* Each reader walks the bytes from the front and stops at the first one that
 * decides; so more bytes never change an answer.
 *
 * TLS and the HTTP/2 preface are constants. HTTP/1 is a line that some server
 * might take for a request, and not only one that is right: what is wrong must
 * meet our parser, not slip past it as opaque bytes. So either a well-known
 * method and a target that starts with "/", or a line of text with a blank and
 * "HTTP/" in it. Other text protocols have neither ("EHLO host", "SET a b",
 * "GET key", "OPTIONS rtsp://x RTSP/1.0", "CONNECT {json}"); and most are known
 * by their first byte, because no method that a server has to accept starts in
 * lower case (memcached's and ZooKeeper's commands do). */
#include "lib/detect/protocol.h"

enum {
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

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* "GET /": of a well-known method, blanks, and the start of a path. NEED_MORE
 * while it may become one. */
static enum detected known_start(slice s)
{
    static const slice known[] = {
        SLICE_INIT("GET /"),     SLICE_INIT("HEAD /"),  SLICE_INIT("POST /"),
        SLICE_INIT("PUT /"),     SLICE_INIT("PATCH /"), SLICE_INIT("DELETE /"),
        SLICE_INIT("OPTIONS /"), SLICE_INIT("TRACE /"),
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (slice_starts(s, known[i]))
            return DETECTED_HTTP1;
        if (slice_starts(known[i], s))
            return DETECTED_NEED_MORE;
    }
    return DETECTED_OPAQUE;
}

/* Does a line so far end with a blank and "HTTP/", in any case? */
static bool ends_with_version(slice line)
{
    slice name = SLICE("HTTP/");
    size_t len = line.len;

    return len > name.len && is_blank(line.ptr[len - name.len - 1]) &&
           slice_eq_nocase(slice_sub(line, len - name.len, len), name);
}

static enum detected detect_http1(slice s)
{
    char first = s.ptr[0];
    enum detected d;

    if (!is_blank(first) && (first < 'A' || first > 'Z'))
        return DETECTED_OPAQUE;
    d = known_start(s);
    if (d != DETECTED_OPAQUE)
        return d;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c < 0x20 && c != '\t' && c != '\r')
            return DETECTED_OPAQUE; /* the line has ended, or is no text */
        if (c == '/' && ends_with_version(slice_sub(s, 0, i + 1)))
            return DETECTED_HTTP1;
    }
    return DETECTED_NEED_MORE;
}

/* A server should skip an empty line before a request (RFC 9112 section 2.2),
 * so what hides behind one is a request too. */
static enum detected detect_request(slice s)
{
    slice empty = SLICE("\r\n");

    for (int i = 0; i < EMPTY_LINES_MAX && slice_starts(s, empty); i++)
        s = slice_sub(s, empty.len, s.len);
    if (slice_starts(empty, s)) /* or nothing is left */
        return DETECTED_NEED_MORE;
    return detect_http1(s);
}

enum detected protocol_detect_http(slice first)
{
    enum detected d = detect_http2(first);

    return d == DETECTED_OPAQUE ? DETECTED_HTTP1 : d;
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
