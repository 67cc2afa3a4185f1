/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "abcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(slice bytes, struct text *out)
{
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t n = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t group = 0;

        for (size_t j = 0; j < 3; j++)
            group = group << 8 | (j < n ? (uint8_t)bytes.ptr[i + j] : 0);
        for (size_t j = 0; j < 4; j++)
            text_add_char(out,
                          j > n ? '=' : digits[group >> (18 - 6 * j) & 63]);
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
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

enum status base64_decode(slice text, struct text *out)
{
    uint32_t bits = 0;
    size_t have = 0, pads = 0, count = 0; /* bits not yet written; characters */

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        int v = value_of(c);

        if (c == '\n' || c == '\r')
            continue;
        count++;
        pads += c == '=';
        if (c == '=')
            continue;
        if (v < 0 || pads)
            return ERR_INVALID;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have < 8)
            continue;
        have -= 8;
        text_add_char(out, (char)(bits >> have & 0xff));
    }
    if (count % 4 || pads != have / 2 || (bits & ((1U << have) - 1)))
        return ERR_INVALID;
    return out->failed ? ERR_TOO_BIG : OK;
}
