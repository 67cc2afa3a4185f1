/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "abcdefghijklmnopqrstuvwxyz0123456789+/";

static uint32_t byte_at(slice s, size_t i)
{
    return i < s.len ? (unsigned char)s.ptr[i] : 0;
}

void base64_encode(slice bytes, struct text *out)
{
    for (size_t i = 0; i < bytes.len; i += 3) {
        uint32_t three = byte_at(bytes, i) << 16 | byte_at(bytes, i + 1) << 8 |
                         byte_at(bytes, i + 2);
        char four[4];

        for (unsigned n = 0; n < 4; n++)
            four[n] = alphabet[three >> (18 - 6 * n) & 63];
        if (i + 2 >= bytes.len)
            four[3] = '=';
        if (i + 1 >= bytes.len)
            four[2] = '=';
        text_add(out, slice_of(four, 4));
    }
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

/* Four characters; `pad` of them at the end are '='. */
static bool decode_four(const char *at, unsigned pad, struct text *out)
{
    uint32_t three = 0;
    char bytes[3];

    for (unsigned n = 0; n < 4; n++) {
        int v = n < 4 - pad ? value_of(at[n]) : 0;

        if (v < 0)
            return false;
        three = three << 6 | (uint32_t)v;
    }
    /* Bits that no byte takes must be 0. */
    if ((pad == 1 && (three & 0xff)) || (pad == 2 && (three & 0xffff)))
        return false;
    for (unsigned n = 0; n < 3; n++)
        bytes[n] = (char)(three >> (16 - 8 * n) & 0xff);
    text_add(out, slice_of(bytes, 3 - pad));
    return true;
}

enum status base64_decode(slice text, struct text *out)
{
    size_t before = out->len;

    if (text.len % 4)
        return ERR_INVALID;
    for (size_t i = 0; i < text.len; i += 4) {
        unsigned pad = 0;

        if (i + 4 == text.len && text.ptr[i + 3] == '=')
            pad = text.ptr[i + 2] == '=' ? 2 : 1;
        if (!decode_four(text.ptr + i, pad, out)) {
            out->len = before;
            return ERR_INVALID;
        }
    }
    return OK;
}
