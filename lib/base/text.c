/* SPDX-License-Identifier: Apache-2.0 */
/* Invariant: `ptr` is NULL, or `cap` > `len`, so that a final 0 always fits. A
 * caller may lend a buffer of its own: with cap > limit nothing is allocated.
 */
#include "lib/base/text.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/base/mem.h"

void text_init(struct text *t, size_t limit)
{
    *t = (struct text){.limit = limit};
}

void text_init_secret(struct text *t, size_t limit)
{
    *t = (struct text){.limit = limit, .secret = true};
}

static void let_go(const struct text *t)
{
    if (t->secret && t->ptr)
        mem_wipe_free(t->ptr, t->cap);
    else
        mem_free(t->ptr);
}

void text_fini(struct text *t)
{
    let_go(t);
    *t = (struct text){.limit = t->limit, .secret = t->secret};
}

static char *grown(const struct text *t, size_t cap)
{
    char *ptr;

    if (!t->secret || !t->ptr)
        return mem_resize(t->ptr, cap);
    ptr = mem_alloc(cap);
    memcpy(ptr, t->ptr, t->len);
    let_go(t);
    return ptr;
}

/* Makes room for `more` bytes, or for those that fit; returns how many. */
static size_t reserve(struct text *t, size_t more)
{
    size_t cap;

    if (more > t->limit - t->len) {
        t->failed = true;
        more = t->limit - t->len;
    }
    if (t->ptr && more < t->cap - t->len)
        return more;
    cap = t->cap ? t->cap * 2 : 64;
    if (cap < t->len + more + 1)
        cap = t->len + more + 1;
    t->ptr = grown(t, cap);
    t->cap = cap;
    return more;
}

void text_add(struct text *t, slice s)
{
    size_t n;

    if (s.len == 0)
        return;
    n = reserve(t, s.len);
    memcpy(t->ptr + t->len, s.ptr, n);
    t->len += n;
}

void text_add_char(struct text *t, char c)
{
    if (reserve(t, 1))
        t->ptr[t->len++] = c;
}

void text_printf(struct text *t, const char *fmt, ...)
{
    size_t room = t->ptr ? t->cap - t->len : 0, n;
    va_list ap;
    int len;

    /* What is free may be larger than what the limit allows. */
    if (room > t->limit - t->len + 1)
        room = t->limit - t->len + 1;
    va_start(ap, fmt);
    len = vsnprintf(room ? t->ptr + t->len : NULL, room, fmt, ap);
    va_end(ap);
    if (len < 0) {
        t->failed = true;
        return;
    }
    if (len == 0)
        return;
    n = reserve(t, (size_t)len);
    if ((size_t)len >= room) {
        va_start(ap, fmt);
        vsnprintf(t->ptr + t->len, n + 1, fmt, ap);
        va_end(ap);
    }
    t->len += n;
}

/* The length of the UTF-8 character at the front of `s` (not empty), 0 when it
 * is none: no overlong forms, surrogates, nor above U+10FFFF (RFC 3629). */
static size_t utf8_len(slice s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t n = p[0] < 0x80                   ? 1
               : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
               : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
               : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                             : 0;

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

static void add_escaped(struct text *t, char c)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    const char *hit = c ? strchr(from, c) : NULL;

    if (hit) {
        text_add_char(t, '\\');
        text_add_char(t, to[hit - from]);
        return;
    }
    text_printf(t, "\\u%04x", (unsigned)(unsigned char)c);
}

static bool plain(char c)
{
    unsigned char u = (unsigned char)c;

    return u >= 0x20 && u < 0x7f && u != '"' && u != '\\';
}

void text_add_json(struct text *t, slice s)
{
    while (s.len && !t->failed) {
        size_t n = 0;

        while (n < s.len && plain(s.ptr[n]))
            n++;
        if (n) {
            text_add(t, slice_of(s.ptr, n));
        } else if ((unsigned char)s.ptr[0] < 0x80) {
            add_escaped(t, s.ptr[0]);
            n = 1;
        } else {
            n = utf8_len(s);
            text_add(t, n ? slice_of(s.ptr, n) : SLICE("\xef\xbf\xbd"));
            n = n ? n : 1;
        }
        s = slice_sub(s, n, s.len);
    }
}

void text_clear(struct text *t)
{
    t->len = 0;
    t->failed = false;
}

const char *text_cstr(struct text *t)
{
    if (!t->ptr)
        return "";
    t->ptr[t->len] = 0;
    return t->ptr;
}

char *text_take(struct text *t, size_t *len)
{
    char *ptr = t->ptr ? t->ptr : mem_alloc(1);

    ptr[t->len] = 0;
    *len = t->len;
    *t = (struct text){.limit = t->limit, .secret = t->secret};
    return ptr;
}
