/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a path, under the rule that the first byte picks:
 *  - what comes out is in the one form, and comes out of itself;
 *  - the query is as it was, and room was asked for that is enough;
 *  - a slow reading of the rule, written otherwise, gives the same;
 *  - both versions of HTTP take the same paths, and give them unchanged. */
#include <assert.h>
#include <stdio.h>

#include "lib/http/chars.h"
#include "lib/http/h1_parse.h"
#include "lib/http/h2_conn.h"
#include "lib/http/path.h"
#include "tests/unit/http/heads.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 4096, FIELDS = 4 };

static bool merges(enum path_rule rule)
{
    return rule >= PATH_MERGE;
}

static bool unreserved(int c)
{
    return c > 0 && (strchr("-._~", c) || (c >= '0' && c <= '9') ||
                     ((c | 0x20) >= 'a' && (c | 0x20) <= 'z' && c < 0x80));
}

static int nibble(char c)
{
    const char *digits = "0123456789ABCDEF", *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

static slice path_of(slice p)
{
    ptrdiff_t query = slice_find(p, '?');

    return query < 0 ? p : slice_sub(p, 0, (size_t)query);
}

/* ---- the one form ---- */

static void check_segment(slice s, enum path_rule rule)
{
    assert(!slice_eq(s, SLICE(".")) && !slice_eq(s, SLICE("..")));
    for (size_t i = 0; i < s.len; i++) {
        int c = s.ptr[i];

        if (c != '%') {
            assert(char_is((char)c, CHAR_PATH));
            assert(rule != PATH_STRICT || c != ';');
            continue;
        }
        assert(s.len - i >= 3);
        c = nibble(s.ptr[i + 1]) * 16 + nibble(s.ptr[i + 2]);
        assert(c > 0 && c < 256 && !unreserved(c));
        assert(rule != PATH_STRICT || (!strchr("/\\%;\x7f", c) && c >= 0x20));
        i += 2;
    }
}

static void check_form(slice path, enum path_rule rule)
{
    slice segment, rest = path_of(path);

    assert(slice_next(&rest, '/', &segment) && segment.len == 0 && rest.ptr);
    while (slice_next(&rest, '/', &segment)) {
        assert(segment.len || !rest.ptr || !merges(rule));
        check_segment(segment, rule);
    }
}

/* ---- the slow reading: decoded to numbers, segments on a stack ---- */

/* A plain byte is itself, an encoded one ENCODED more, if it is no unreserved
 * one. */
enum { SLASH = 256, ENCODED = 1000 };

struct slow {
    int at[MOST];
    size_t len;
};

static int digit(char c)
{
    return nibble((char)(c >= 'a' && c <= 'f' ? c - 'a' + 'A' : c));
}

/* False: cannot be read. */
static bool decode(slice p, struct slow *out)
{
    out->len = 0;
    for (size_t i = 0; i < p.len; i++) {
        int c = (unsigned char)p.ptr[i];

        if (c == '\\' || c == '#' || c <= ' ' || c >= 0x7f)
            return false;
        if (c == '/')
            c = SLASH;
        if (c == '%') {
            if (p.len - i < 3 || digit(p.ptr[i + 1]) < 0 ||
                digit(p.ptr[i + 2]) < 0)
                return false;
            c = digit(p.ptr[i + 1]) * 16 + digit(p.ptr[i + 2]);
            c += unreserved(c) ? 0 : ENCODED;
            i += 2;
        }
        out->at[out->len++] = c;
    }
    return true;
}

static const char hex[] = "0123456789ABCDEF";

static void put(struct slow *s, slice *out, char *to)
{
    char *at = to;

    for (size_t i = 0; i < s->len; i++) {
        int c = s->at[i] == SLASH ? '/' : s->at[i];

        if (c < ENCODED && char_is((char)c, CHAR_PATH)) {
            *at++ = (char)c;
            continue;
        }
        c %= ENCODED;
        *at++ = '%';
        *at++ = hex[c >> 4];
        *at++ = hex[c & 15];
    }
    *out = slice_of(to, (size_t)(at - to));
}

/* Segments that begin at `starts`, ends behind their last one. */
static bool without_dots(const struct slow *in, struct slow *out)
{
    static size_t starts[MOST];
    size_t depth = 0;

    out->len = 0;
    for (size_t i = 0, end; i < in->len; i = end) {
        for (end = i + 1; end < in->len && in->at[end] != SLASH;)
            end++;
        bool one = end - i == 2 && in->at[i + 1] == '.';
        bool two = end - i == 3 && in->at[i + 1] == '.' && in->at[i + 2] == '.';

        if (two && depth == 0)
            return false;
        if (two)
            out->len = starts[--depth];
        if (!one && !two)
            starts[depth++] = out->len;
        if (!one && !two)
            for (size_t k = i; k < end; k++)
                out->at[out->len++] = in->at[k];
        else if (end == in->len)
            out->at[out->len++] = SLASH;
    }
    return true;
}

static void without_double(struct slow *s)
{
    size_t to = 0;

    for (size_t i = 0; i < s->len; i++)
        if (s->at[i] != SLASH || to == 0 || s->at[to - 1] != SLASH)
            s->at[to++] = s->at[i];
    s->len = to;
}

/* What was let through must be what the slow reading gives. (What it refuses is
 * only a part: hidden dots and long UTF-8 are the unit test's.) */
static void check_slowly(slice in, slice out, enum path_rule rule)
{
    static struct slow read, clean;
    static char text[3 * MOST];
    slice want;

    assert(decode(path_of(in), &read));
    assert(without_dots(&read, &clean));
    if (merges(rule))
        without_double(&clean);
    put(&clean, &want, text);
    assert(slice_eq(want, path_of(out)));
}

static void fuzz_rule(enum path_rule rule, slice path)
{
    slice in = exact_copy(path), out = in, query = path_of(in);
    size_t room = path_room(rule, in);
    char *to;

    assert(room <= 3 * in.len);
    assert(!room || (rule != PATH_NONE && in.ptr[0] == '/'));
    to = mem_alloc(room);
    if (room && path_normalise(rule, in, to, &out)) {
        assert(out.ptr == in.ptr);
    } else if (rule != PATH_NONE && in.len && in.ptr[0] == '/') {
        assert(out.len <= (room ? room : in.len));
        check_form(out, rule);
        check_slowly(in, out, rule);
        query = slice_sub(in, query.len, in.len);
        assert(slice_ends(out, query));
        size_t again = path_room(rule, out);
        char *twice = mem_alloc(again);
        slice same = out;
        assert(!again || path_normalise(rule, out, twice, &same) == OK);
        assert(slice_eq(out, same));
        mem_free(twice);
    } else {
        assert(slice_eq(in, out));
    }
    mem_free(to);
    exact_free(in);
}

/* ---- both versions ---- */

static bool by_http1(slice path)
{
    static char bytes[MOST + 64];
    struct header fields[FIELDS];
    struct head h = {.headers = {.at = fields, .cap = FIELDS}};
    struct http_limits lim = http_limits_default;
    struct h1_error err;
    size_t scanned = 0, used;
    int n = snprintf(bytes, sizeof bytes, "GET ");

    memcpy(bytes + n, path.ptr, path.len);
    slice rest = SLICE(" HTTP/1.1\r\nHost: a\r\n\r\n");
    memcpy(bytes + n + path.len, rest.ptr, rest.len);
    lim.max_headers = FIELDS;
    slice all = slice_of(bytes, (size_t)n + path.len + rest.len);
    enum status rc = h1_parse_request(all, &lim, &scanned, &h, &used, &err);
    /* A line's end in it makes other lines: that is not this path. */
    return rc == OK && used == all.len && slice_eq(h.path, path);
}

static void block_add(struct h2_block *b, slice name, slice value)
{
    struct h2_field *f = &b->fields[b->count++];

    f->name = (uint32_t)b->len;
    f->name_len = (uint32_t)name.len;
    memcpy(b->bytes + b->len, name.ptr, name.len);
    b->len += name.len;
    f->value = (uint32_t)b->len;
    f->value_len = (uint32_t)value.len;
    memcpy(b->bytes + b->len, value.ptr, value.len);
    b->len += value.len;
}

static bool by_http2(slice path)
{
    static char bytes[MOST + 64];
    static struct h2_block b; /* large */
    struct header fields[FIELDS];
    struct head h = {.headers = {.at = fields, .cap = FIELDS}};

    b = (struct h2_block){.bytes = bytes, .cap = sizeof bytes};

    block_add(&b, SLICE(":method"), SLICE("GET"));
    block_add(&b, SLICE(":authority"), SLICE("a"));
    block_add(&b, SLICE(":path"), path);
    if (h2_head_request(&b, false, &h))
        return false;
    assert(slice_eq(h.path, path));
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice path;

    if (size < 2 || size > MOST)
        return 0;
    path = slice_of((const char *)data + 1, size - 1);
    fuzz_rule((enum path_rule)(data[0] % (PATH_STRICT + 1)), path);
    if (path.ptr[0] == '/')
        assert(by_http1(path) == by_http2(path));
    return 0;
}
