/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing, searching and splitting. Numbers are in slice_number.c, hashes in
 * slice_hash.c. */
#include "lib/base/slice.h"

static unsigned char lower(char c)
{
    unsigned char u = (unsigned char)c;

    return u >= 'A' && u <= 'Z' ? (unsigned char)(u + 32) : u;
}

bool slice_eq_nocase(slice a, slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    }
    return true;
}

int slice_cmp(slice a, slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int diff = n ? memcmp(a.ptr, b.ptr, n) : 0;

    if (diff)
        return diff;
    return (a.len > b.len) - (a.len < b.len);
}

bool slice_starts(slice s, slice prefix)
{
    return s.len >= prefix.len && slice_eq(slice_of(s.ptr, prefix.len), prefix);
}

bool slice_ends(slice s, slice suffix)
{
    if (suffix.len == 0)
        return true;
    return s.len >= suffix.len &&
           memcmp(s.ptr + (s.len - suffix.len), suffix.ptr, suffix.len) == 0;
}

ptrdiff_t slice_find(slice s, char c)
{
    const char *hit = s.len ? memchr(s.ptr, c, s.len) : NULL;

    return hit ? hit - s.ptr : -1;
}

ptrdiff_t slice_rfind(slice s, char c)
{
    const char *hit = s.len ? memrchr(s.ptr, c, s.len) : NULL;

    return hit ? hit - s.ptr : -1;
}

slice slice_sub(slice s, size_t from, size_t to)
{
    if (to > s.len)
        to = s.len;
    if (from > to)
        from = to;
    /* A NULL pointer plus 0 is undefined in C. */
    return s.ptr ? (slice){s.ptr + from, to - from} : SLICE_NONE;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

slice slice_trim(slice s)
{
    while (s.len && blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len && blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool slice_next(slice *rest, char sep, slice *part)
{
    ptrdiff_t at;

    if (!rest->ptr)
        return false;
    at = slice_find(*rest, sep);
    if (at < 0) {
        *part = *rest;
        *rest = SLICE_NONE;
        return true;
    }
    *part = slice_of(rest->ptr, (size_t)at);
    *rest = slice_of(rest->ptr + at + 1, rest->len - (size_t)at - 1);
    return true;
}

static bool cut_at(slice s, ptrdiff_t at, slice *before, slice *after)
{
    if (at < 0)
        return false;
    *before = slice_of(s.ptr, (size_t)at);
    *after = slice_of(s.ptr + at + 1, s.len - (size_t)at - 1);
    return true;
}

bool slice_cut(slice s, char sep, slice *before, slice *after)
{
    return cut_at(s, slice_find(s, sep), before, after);
}

bool slice_rcut(slice s, char sep, slice *before, slice *after)
{
    return cut_at(s, slice_rfind(s, sep), before, after);
}

enum status slice_to_cstr(slice s, char *dst, size_t cap)
{
    if (s.len >= cap)
        return ERR_TOO_BIG;
    if (slice_find(s, 0) >= 0)
        return ERR_INVALID;
    if (s.len)
        memcpy(dst, s.ptr, s.len);
    dst[s.len] = 0;
    return OK;
}
