/* SPDX-License-Identifier: Apache-2.0 */
/* What each byte may be part of, in HTTP/1 grammar. */
#ifndef TULLE_HTTP_CHARS_H
#define TULLE_HTTP_CHARS_H

#include <stdbool.h>
#include <stdint.h>

enum http_char_class {
    CHAR_TOKEN = 1,  /* tchar: RFC 9110 section 5.6.2 */
    CHAR_TARGET = 2, /* a request target: visible ASCII but '#' */
    CHAR_HOST = 4,   /* unreserved, sub-delims: RFC 3986 section 3.2.2 */
    CHAR_HEX = 8,    /* HEXDIG, either case */
    CHAR_TEXT = 16,  /* a field value: visible, blank, tab, obs-text */
    CHAR_DIGIT = 32, /* 0-9 */
    CHAR_PATH = 64,  /* pchar but '%', and '/': RFC 3986 section 3.3 */
};

extern const uint8_t http_chars[256];

static inline bool char_is(char c, enum http_char_class class)
{
    return (http_chars[(unsigned char)c] & class) != 0;
}

static inline bool char_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The first byte from `p` on that is not of that class, or `end`. */
static inline const char *chars_skip(const char *p, const char *end,
                                     enum http_char_class class)
{
    const unsigned char *u = (const unsigned char *)p;

    while (end - (const char *)u >= 4 &&
           (http_chars[u[0]] & http_chars[u[1]] & http_chars[u[2]] &
            http_chars[u[3]] & class))
        u += 4;
    p = (const char *)u;
    while (p < end && char_is(*p, class))
        p++;
    return p;
}

/* The first byte from `p` on that may not stand in a field value, or `end`. */
const char *chars_skip_text(const char *p, const char *end);

#endif
