/* SPDX-License-Identifier: Apache-2.0 */
/* One pass over the bytes, one bit of memory for each open bracket. The
 * tokens move it between five expectations:
 *
 *        [ {              value          , :
 *   VALUE ---> FIRST_... ------> AFTER <------> VALUE | NAME
 *
 * cJSON accepts more than RFC 8259 does and loses some of it (text after
 * \u0000, digits after the 63rd): what passes here means the same to both. */
#include "lib/json/json_scan.h"

#include <assert.h>

#include "lib/json/utf8.h"

enum { NUMBER_MAX = 60 }; /* cJSON copies a number into 64 bytes */

enum expect {
    EXPECT_VALUE,
    EXPECT_FIRST_ITEM, /* a value, or ']' */
    EXPECT_FIRST_NAME, /* a name, or '}' */
    EXPECT_NAME,
    EXPECT_MORE, /* ',' or the closing bracket */
    EXPECT_NOTHING,
};

static const char *const expectations[] = {
    [EXPECT_VALUE] = "expected a value",
    [EXPECT_FIRST_ITEM] = "expected a value or ']'",
    [EXPECT_FIRST_NAME] = "expected a name in quotes or '}'",
    [EXPECT_NAME] = "expected a name in quotes",
    [EXPECT_MORE] = "expected ',' or the closing bracket",
    [EXPECT_NOTHING] = "expected nothing more",
};

struct scan {
    slice text;
    size_t at;
    uint64_t objects; /* bit i: the open bracket i is a '{' */
    unsigned depth;
    size_t values, values_max;
    struct error *e;
};

_Static_assert(JSON_DEPTH_MAX <= 64, "one bit an open bracket");

static enum status fail(struct scan *s, enum status rc, const char *what)
{
    unsigned line = 1;
    size_t start = 0;

    for (size_t i = 0; i < s->at; i++) {
        if (s->text.ptr[i] == '\n') {
            line++;
            start = i + 1;
        }
    }
    return error_set(s->e, rc, "line %u, column %zu: %s", line,
                     s->at - start + 1, what);
}

/* The byte at the cursor, or -1 at the end. */
static int peek(const struct scan *s)
{
    return s->at < s->text.len ? (unsigned char)s->text.ptr[s->at] : -1;
}

static void skip_space(struct scan *s)
{
    int c = peek(s);

    while (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
        s->at++;
        c = peek(s);
    }
}

static bool digit(int c)
{
    return c >= '0' && c <= '9';
}

static size_t skip_digits(struct scan *s)
{
    size_t from = s->at;

    while (digit(peek(s)))
        s->at++;
    return s->at - from;
}

/* RFC 8259, section 6. */
static enum status scan_number(struct scan *s)
{
    size_t from = s->at;

    if (peek(s) == '-')
        s->at++;
    if (peek(s) == '0')
        s->at++;
    else if (skip_digits(s) == 0)
        return fail(s, ERR_INVALID, "expected a digit");
    if (digit(peek(s)))
        return fail(s, ERR_INVALID, "a number may not start with 0");
    if (peek(s) == '.') {
        s->at++;
        if (skip_digits(s) == 0)
            return fail(s, ERR_INVALID, "expected a digit");
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        s->at++;
        if (peek(s) == '+' || peek(s) == '-')
            s->at++;
        if (skip_digits(s) == 0)
            return fail(s, ERR_INVALID, "expected a digit");
    }
    if (s->at - from > NUMBER_MAX)
        return fail(s, ERR_TOO_BIG, "a number of more than 60 characters");
    return OK;
}

static enum status scan_word(struct scan *s, slice word)
{
    slice rest = slice_sub(s->text, s->at, s->text.len);

    if (!slice_starts(rest, word))
        return fail(s, ERR_INVALID, "expected a value");
    s->at += word.len;
    return OK;
}

/* The four digits after \u; s->at is at the first. */
static enum status scan_hex4(struct scan *s, uint64_t *out)
{
    slice digits = slice_sub(s->text, s->at, s->at + 4);

    if (digits.len < 4 || slice_to_hex64(digits, out))
        return fail(s, ERR_INVALID, "expected four hexadecimal digits");
    s->at += 4;
    return OK;
}

static enum status scan_unicode(struct scan *s)
{
    uint64_t first = 0, second = 0;
    enum status rc = scan_hex4(s, &first);

    if (rc)
        return rc;
    if (first == 0)
        return fail(s, ERR_INVALID, "a string may not hold NUL");
    if (first < 0xd800 || first > 0xdfff)
        return OK;
    if (first > 0xdbff ||
        !slice_starts(slice_sub(s->text, s->at, s->text.len), SLICE("\\u")))
        return fail(s, ERR_INVALID, "half of a surrogate pair");
    s->at += 2;
    rc = scan_hex4(s, &second);
    if (rc)
        return rc;
    if (second < 0xdc00 || second > 0xdfff)
        return fail(s, ERR_INVALID, "half of a surrogate pair");
    return OK;
}

static enum status scan_escape(struct scan *s)
{
    int c;

    s->at++; /* the backslash */
    c = peek(s);
    if (c < 0 || c == 0 || !strchr("\"\\/bfnrtu", c))
        return fail(s, ERR_INVALID, "an escape that JSON does not know");
    s->at++;
    return c == 'u' ? scan_unicode(s) : OK;
}

/* One character inside a string. */
static enum status scan_char(struct scan *s)
{
    int c = peek(s);
    size_t n;

    if (c < 0)
        return fail(s, ERR_INVALID, "a string without its closing quote");
    if (c == '\\')
        return scan_escape(s);
    if (c < 0x20)
        return fail(s, ERR_INVALID, "a control character in a string");
    n = c < 0x80 ? 1 : utf8_length(slice_sub(s->text, s->at, s->at + 4));
    if (n == 0)
        return fail(s, ERR_INVALID, "a string that is not UTF-8");
    s->at += n;
    return OK;
}

/* From the opening to after the closing quote. */
static enum status scan_string(struct scan *s)
{
    enum status rc;

    s->at++;
    while (peek(s) != '"') {
        rc = scan_char(s);
        if (rc)
            return rc;
    }
    s->at++;
    return OK;
}

static enum expect after_value(const struct scan *s)
{
    return s->depth ? EXPECT_MORE : EXPECT_NOTHING;
}

static enum status open_bracket(struct scan *s, bool object,
                                enum expect *expect)
{
    uint64_t bit = UINT64_C(1) << (s->depth & 63);

    if (s->depth == JSON_DEPTH_MAX)
        return fail(s, ERR_TOO_BIG, "more than 64 levels deep");
    s->objects = object ? s->objects | bit : s->objects & ~bit;
    s->depth++;
    s->at++;
    *expect = object ? EXPECT_FIRST_NAME : EXPECT_FIRST_ITEM;
    return OK;
}

static enum status scan_value(struct scan *s, enum expect *expect)
{
    int c = peek(s);
    enum status rc;

    if (s->values++ == s->values_max)
        return fail(s, ERR_TOO_BIG, "too many values");
    if (c == '{' || c == '[')
        return open_bracket(s, c == '{', expect);
    if (c == '"')
        rc = scan_string(s);
    else if (c == '-' || digit(c))
        rc = scan_number(s);
    else if (c == 't')
        rc = scan_word(s, SLICE("true"));
    else if (c == 'f')
        rc = scan_word(s, SLICE("false"));
    else if (c == 'n')
        rc = scan_word(s, SLICE("null"));
    else
        return fail(s, ERR_INVALID, expectations[*expect]);
    *expect = after_value(s);
    return rc;
}

static enum status scan_name(struct scan *s, enum expect *expect)
{
    enum status rc;

    if (peek(s) != '"')
        return fail(s, ERR_INVALID, expectations[*expect]);
    rc = scan_string(s);
    if (rc)
        return rc;
    skip_space(s);
    if (peek(s) != ':')
        return fail(s, ERR_INVALID, "expected ':'");
    s->at++;
    *expect = EXPECT_VALUE;
    return OK;
}

static bool in_object(const struct scan *s)
{
    return s->depth && (s->objects >> (s->depth - 1) & 1);
}

/* A closing bracket, when one may come and is the right one. */
static bool close_bracket(struct scan *s, enum expect *expect)
{
    bool may = *expect == EXPECT_MORE || *expect == EXPECT_FIRST_ITEM ||
               *expect == EXPECT_FIRST_NAME;

    if (!may || peek(s) != (in_object(s) ? '}' : ']'))
        return false;
    s->depth--;
    s->at++;
    *expect = after_value(s);
    return true;
}

static enum status scan_more(struct scan *s, enum expect *expect)
{
    if (peek(s) != ',')
        return fail(s, ERR_INVALID, expectations[*expect]);
    s->at++;
    *expect = in_object(s) ? EXPECT_NAME : EXPECT_VALUE;
    return OK;
}

static enum status step(struct scan *s, enum expect *expect)
{
    if (close_bracket(s, expect))
        return OK;
    switch (*expect) {
    case EXPECT_FIRST_NAME:
    case EXPECT_NAME:
        return scan_name(s, expect);
    case EXPECT_MORE:
        return scan_more(s, expect);
    case EXPECT_VALUE:
    case EXPECT_FIRST_ITEM:
        return scan_value(s, expect);
    case EXPECT_NOTHING:
        break;
    }
    return fail(s, ERR_INVALID, expectations[EXPECT_NOTHING]);
}

enum status json_scan(slice text, const struct json_limits *limits,
                      struct error *e)
{
    struct scan s = {.text = text, .values_max = limits->values, .e = e};
    enum expect expect = EXPECT_VALUE;
    enum status rc;

    if (text.len > limits->bytes)
        return error_set(e, ERR_TOO_BIG, "%zu bytes, of at most %zu", text.len,
                         limits->bytes);
    for (;;) {
        skip_space(&s);
        if (expect == EXPECT_NOTHING && s.at == text.len)
            return OK;
        rc = step(&s, &expect);
        if (rc)
            return rc;
    }
}
