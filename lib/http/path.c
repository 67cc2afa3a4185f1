/* SPDX-License-Identifier: Apache-2.0 */
/* Most paths are normal: path_room sees that in one pass, and nothing is copied.
 * The others are spelled anew into the caller's room, and what has to go is
 * removed there, which only makes them shorter. */
#include "lib/http/path.h"

#include "lib/http/chars.h"

enum status path_rule_find(slice word, enum path_rule *out)
{
    static const slice words[] = {
        [PATH_NONE] = SLICE_INIT("none"),
        [PATH_BASE] = SLICE_INIT("base"),
        [PATH_MERGE] = SLICE_INIT("merge-slashes"),
        [PATH_STRICT] = SLICE_INIT("strict"),
    };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (slice_eq(word, words[i])) {
            *out = (enum path_rule)i;
            return OK;
        }
    return ERR_INVALID;
}

static bool merges(enum path_rule rule)
{
    return rule == PATH_MERGE || rule == PATH_STRICT;
}

/* Without the query. */
static slice path_only(slice path)
{
    ptrdiff_t query = slice_find(path, '?');

    return query < 0 ? path : slice_sub(path, 0, (size_t)query);
}

/* May `p` change, or be refused, at the slash `i`? "/.well-known" is looked at
 * for nothing, too. */
static bool slash_counts(enum path_rule rule, slice p, size_t i)
{
    if (i + 1 == p.len)
        return false;
    return p.ptr[i + 1] == '.' || (p.ptr[i + 1] == '/' && merges(rule));
}

size_t path_room(enum path_rule rule, slice path)
{
    slice p = path_only(path);
    size_t more = 0;
    bool normal = true;

    if (rule == PATH_NONE || p.len == 0 || p.ptr[0] != '/')
        return 0;
    for (size_t i = 0; i < p.len; i++) {
        char c = p.ptr[i];

        if (c == '/')
            normal &= !slash_counts(rule, p, i);
        else if (c == ';')
            normal &= rule != PATH_STRICT;
        else if (!char_is(c, CHAR_PATH)) {
            normal = false;
            more += c == '%' ? 0 : 2;
        }
    }
    return normal ? 0 : path.len + more;
}

/* ---- spelling ---- */

/* A path on its way into the room. */
struct speller {
    enum path_rule rule;
    char *at;
    unsigned char
        before; /* byte of the triplet just before; 0: there is none */
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte of the triplet at `i`, or -1. */
static int triplet(slice p, size_t i)
{
    int high, low;

    if (p.len - i < 3)
        return -1;
    high = hex_digit(p.ptr[i + 1]);
    low = hex_digit(p.ptr[i + 2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* RFC 3986 section 2.3. */
static bool unreserved(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
           c == '~';
}

static bool control(unsigned char c)
{
    return c < 0x20 || c == 0x7f;
}

/* Do these two bytes begin a sequence in which no bit of the first counts (RFC
 * 3629 section 3)? Those of five and six bytes, which some decoders know, too. */
static bool overlong(unsigned char first, unsigned char second)
{
    if ((second & 0xc0) != 0x80)
        return false;
    switch (first) {
    case 0xc0:
    case 0xc1:
        return true;
    case 0xe0:
        return second < 0xa0;
    case 0xf0:
        return second < 0x90;
    case 0xf8:
        return second < 0x88;
    case 0xfc:
        return second < 0x84;
    default:
        return false;
    }
}

/* What firewalls of applications refuse, since some server reads it twice. */
static bool strict_refuses(unsigned char c)
{
    return c == '/' || c == '\\' || c == '%' || c == ';' || control(c);
}

static void write_triplet(struct speller *s, unsigned char c)
{
    static const char digits[] = "0123456789ABCDEF";

    *s->at++ = '%';
    *s->at++ = digits[c >> 4];
    *s->at++ = digits[c & 15];
}

static enum status spell_triplet(struct speller *s, unsigned char c)
{
    unsigned char before = s->before;

    s->before = c;
    if (c == 0 || overlong(before, c) ||
        (s->rule == PATH_STRICT && strict_refuses(c)))
        return ERR_INVALID;
    if (unreserved(c))
        *s->at++ = (char)c;
    else
        write_triplet(s, c);
    return OK;
}

static enum status spell_plain(struct speller *s, char c)
{
    s->before = 0;
    if (c == '\\' || !char_is(c, CHAR_TARGET) ||
        (s->rule == PATH_STRICT && c == ';'))
        return ERR_INVALID;
    if (char_is(c, CHAR_PATH))
        *s->at++ = c;
    else
        write_triplet(s, (unsigned char)c);
    return OK;
}

static enum status spell(enum path_rule rule, slice p, char *room, size_t *len)
{
    struct speller s = {.rule = rule, .at = room};

    for (size_t i = 0; i < p.len; i++) {
        enum status rc;

        if (p.ptr[i] == '%') {
            int c = triplet(p, i);

            if (c < 0)
                return ERR_INVALID;
            rc = spell_triplet(&s, (unsigned char)c);
            i += 2;
        } else {
            rc = spell_plain(&s, p.ptr[i]);
        }
        if (rc)
            return rc;
    }
    *len = (size_t)(s.at - room);
    return OK;
}

/* ---- dot segments ---- */

static bool is_dots(slice s)
{
    return slice_eq(s, SLICE(".")) || slice_eq(s, SLICE(".."));
}

/* In a segment, which is spelled already, some servers see: a slash, by its
 * length, or 0; */
static size_t slash_at(slice s, size_t i)
{
    slice here = slice_sub(s, i, i + 3);

    return slice_eq(here, SLICE("%2F")) || slice_eq(here, SLICE("%5C")) ? 3 : 0;
}

/* and what begins parameters. */
static bool params_at(slice s, size_t i)
{
    return s.ptr[i] == ';' || slice_eq(slice_sub(s, i, i + 3), SLICE("%3B"));
}

/* Would a server that decodes first, or takes parameters away, see "." or ".."
 * where we see a name? */
static bool hides_dots(slice segment)
{
    slice name = slice_sub(segment, 0, 0); /* as that server would see it */
    bool params = false;

    if (is_dots(segment))
        return false;
    for (size_t i = 0; i < segment.len; i++) {
        size_t slash = slash_at(segment, i);

        params |= params_at(segment, i);
        if (slash) {
            if (is_dots(name))
                return true;
            i += slash - 1;
            name = slice_sub(segment, i + 1, i + 1);
            params = false;
        } else if (!params) {
            name.len++;
        }
    }
    return is_dots(name);
}

/* Takes "." and ".." out of p[0..*len), which begins with a slash. */
static enum status remove_dots(char *p, size_t *len)
{
    size_t to = 0, end;

    for (size_t from = 0; from < *len; from = end) {
        slice segment;

        for (end = from + 1; end < *len && p[end] != '/';)
            end++;
        segment = slice_of(p + from + 1, end - from - 1);
        if (hides_dots(segment))
            return ERR_INVALID;
        if (!is_dots(segment)) {
            memmove(p + to, p + from, end - from);
            to += end - from;
            continue;
        }
        if (segment.len == 2) {
            if (to == 0)
                return ERR_INVALID;
            while (p[--to] != '/')
                ;
        }
        if (end == *len) /* what was the last one leaves its slash */
            p[to++] = '/';
    }
    *len = to;
    return OK;
}

static size_t merge_slashes(char *p, size_t len)
{
    size_t to = 1;

    for (size_t i = 1; i < len; i++)
        if (p[i] != '/' || p[to - 1] != '/')
            p[to++] = p[i];
    return to;
}

enum status path_normalise(enum path_rule rule, slice path, char *room,
                           slice *out)
{
    slice p = path_only(path);
    size_t len, query = path.len - p.len;
    enum status rc = spell(rule, p, room, &len);

    if (rc)
        return rc;
    rc = remove_dots(room, &len);
    if (rc)
        return rc;
    if (merges(rule))
        len = merge_slashes(room, len);
    if (query)
        memcpy(room + len, p.ptr + p.len, query);
    *out = slice_of(room, len + query);
    return OK;
}
