/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: HTTP/2 frames by hand, so that a peer can say what nghttp2 never
 * would. */
#ifndef TULLE_TESTS_H2_FRAMES_H
#define TULLE_TESTS_H2_FRAMES_H

#include <string.h>

#include "lib/base/text.h"

enum {
    F_DATA = 0,
    F_HEADERS = 1,
    F_PRIORITY = 2,
    F_RST = 3,
    F_SETTINGS = 4,
    F_PING = 6,
    F_GOAWAY = 7,
    F_WINDOW = 8,
    F_CONTINUATION = 9,
    F_ACK = 1,
    F_END_STREAM = 1,
    F_END_HEADERS = 4,
};

UNUSED static void frame_u32(struct text *out, uint32_t n)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        text_add_char(out, (char)(n >> shift));
}

UNUSED static void frame_head(struct text *out, size_t len, int type, int flags,
                              uint32_t id)
{
    text_add_char(out, (char)(len >> 16));
    text_add_char(out, (char)(len >> 8));
    text_add_char(out, (char)len);
    text_add_char(out, (char)type);
    text_add_char(out, (char)flags);
    frame_u32(out, id);
}

UNUSED static void frame(struct text *out, int type, int flags, uint32_t id,
                         slice payload)
{
    frame_head(out, payload.len, type, flags, id);
    text_add(out, payload);
}

UNUSED static void frame_number(struct text *out, int type, uint32_t id,
                                uint32_t n)
{
    frame_head(out, 4, type, 0, id);
    frame_u32(out, n);
}

UNUSED static void frame_preface(struct text *out)
{
    text_add(out, SLICE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    frame(out, F_SETTINGS, 0, 0, SLICE_NONE);
}

/* A literal field, never indexed. */
UNUSED static void field(struct text *block, const char *name, slice value)
{
    size_t n = strlen(name);
    text_add_char(block, 0);
    text_add_char(block, (char)n);
    text_add(block, slice_of(name, n));
    if (value.len < 127) {
        text_add_char(block, (char)value.len);
    } else {
        size_t left = value.len - 127;
        text_add_char(block, 127);
        for (; left >= 128; left /= 128)
            text_add_char(block, (char)(128 + left % 128));
        text_add_char(block, (char)left);
    }
    text_add(block, value);
}

UNUSED static void request_block(struct text *block, const char *method,
                                 const char *path)
{
    field(block, ":method", slice_of(method, strlen(method)));
    field(block, ":scheme", SLICE("http"));
    field(block, ":path", slice_of(path, strlen(path)));
    field(block, ":authority", SLICE("test"));
}

UNUSED static void frame_request(struct text *out, uint32_t id,
                                 const char *method, const char *path, bool end)
{
    struct text block;
    text_init(&block, 1 << 12);
    request_block(&block, method, path);
    frame(out, F_HEADERS, F_END_HEADERS | (end ? F_END_STREAM : 0), id,
          text_slice(&block));
    text_fini(&block);
}

/* What came: calls `fn` for each whole frame of `got`. */
struct seen {
    unsigned count[16];
    uint32_t goaway_code, goaway_last, rst_code;
    size_t data;
};

UNUSED static uint32_t seen_u32(const char *p)
{
    const unsigned char *b = (const unsigned char *)p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 |
           b[3];
}

UNUSED static struct seen frames_seen(const struct text *got)
{
    struct seen s = {.goaway_code = 999, .rst_code = 999};
    size_t at = 0;
    while (got->len - at >= 9) {
        const char *p = got->ptr + at;
        size_t len = seen_u32(p) >> 8;
        unsigned type = (unsigned char)p[3];
        if (got->len - at < 9 + len)
            break;
        if (type < 16)
            s.count[type]++;
        if (type == F_GOAWAY) {
            s.goaway_last = seen_u32(p + 9);
            s.goaway_code = seen_u32(p + 13);
        }
        if (type == F_RST)
            s.rst_code = seen_u32(p + 9);
        if (type == F_DATA)
            s.data += len;
        at += 9 + len;
    }
    return s;
}

#endif
