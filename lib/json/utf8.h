/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TULLE_JSON_UTF8_H
#define TULLE_JSON_UTF8_H

#include "lib/base/slice.h"

/* The bytes of the UTF-8 character (RFC 3629) at the front of `s`, which is not
 * empty; 0 when it is none: cut off, overlong, a surrogate, over U+10FFFF. */
static inline size_t utf8_length(slice s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t n = 0;

    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] < 0xe0)
        n = 2;
    if (p[0] >= 0xe0 && p[0] < 0xf0)
        n = 3;
    if (p[0] >= 0xf0 && p[0] < 0xf5)
        n = 4;
    if (n > s.len)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

#endif
