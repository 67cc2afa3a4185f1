/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies. A chunked one goes round this ring, byte by byte outside the data:
 *
 *   SIZE -> (EXT...) -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE
 *                             \-> TRAILERS -> done        (size 0)
 *
 * Extensions are read after their grammar (RFC 9112 section 7.1.1) and thrown
 * away: a reader that is loose here and one that is not disagree about where a
 * chunk starts. */
#include "lib/http/chars.h"
#include "lib/http/h1_fields.h"

enum {
    SIZE_DIGITS_MAX = 15, /* below 2^60: never overflows */
    LINE_FREE = 16,       /* of a size line: what an honest one may need */
    LINES_MAX = 32,       /* so many times the limit of one, beyond that */
};

enum state {
    SIZE,
    EXT_BLANK, /* after the size: blanks, then ';' */
    EXT_START, /* after ';': blanks, then a name */
    EXT_NAME,
    EXT_NAME_BLANK, /* after a name: blanks, then '=' or ';' */
    EXT_VALUE_START,
    EXT_VALUE,
    EXT_QUOTED,
    EXT_ESCAPED,
    EXT_CLOSED, /* after a value: CR or ';', or blanks and ';' */
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILERS,
    BAD = 255,
};

void h1_body_init(struct h1_body *b, enum h1_framing framing, uint64_t length)
{
    *b = (struct h1_body){.framing = (uint8_t)framing, .state = SIZE};
    if (framing == H1_LENGTH)
        b->left = length;
    b->done = framing == H1_NO_BODY || (framing == H1_LENGTH && length == 0);
}

static unsigned hex_value(char c)
{
    if (c <= '9')
        return (unsigned)(c - '0');
    return (unsigned)((c | 0x20) - 'a') + 10;
}

/* The states after a size, up to the CR. Gives the next one or BAD. */
static enum state after_size(enum state now, char c)
{
    if (c == ';')
        return EXT_START;
    if (char_blank(c))
        return now;
    return BAD;
}

static enum state in_size(struct h1_body *b, char c)
{
    if (char_is(c, CHAR_HEX)) {
        if (++b->digits > SIZE_DIGITS_MAX)
            return BAD;
        b->left = b->left * 16 + hex_value(c);
        return SIZE;
    }
    if (b->digits == 0)
        return BAD;
    return c == '\r' ? SIZE_LF : after_size(EXT_BLANK, c);
}

static enum state in_name(char c)
{
    if (char_is(c, CHAR_TOKEN))
        return EXT_NAME;
    if (c == '=')
        return EXT_VALUE_START;
    return c == '\r' ? SIZE_LF : after_size(EXT_NAME_BLANK, c);
}

static enum state in_value_start(char c)
{
    if (c == '"')
        return EXT_QUOTED;
    if (char_blank(c))
        return EXT_VALUE_START;
    return char_is(c, CHAR_TOKEN) ? EXT_VALUE : BAD;
}

static enum state in_quoted(char c)
{
    if (c == '"')
        return EXT_CLOSED;
    if (c == '\\')
        return EXT_ESCAPED;
    return char_is(c, CHAR_TEXT) ? EXT_QUOTED : BAD;
}

/* One byte of the size line, or of the CRLF after the data. */
static enum state step(struct h1_body *b, char c)
{
    switch ((enum state)b->state) {
    case SIZE:
        return in_size(b, c);
    case EXT_BLANK:
        return after_size(EXT_BLANK, c);
    case EXT_START:
        if (char_blank(c))
            return EXT_START;
        return char_is(c, CHAR_TOKEN) ? EXT_NAME : BAD;
    case EXT_NAME:
        return in_name(c);
    case EXT_NAME_BLANK:
        return c == '=' ? EXT_VALUE_START : after_size(EXT_NAME_BLANK, c);
    case EXT_VALUE_START:
        return in_value_start(c);
    case EXT_VALUE:
        if (char_is(c, CHAR_TOKEN))
            return EXT_VALUE;
        return c == '\r' ? SIZE_LF : after_size(EXT_BLANK, c);
    case EXT_QUOTED:
        return in_quoted(c);
    case EXT_ESCAPED:
        return char_is(c, CHAR_TEXT) ? EXT_QUOTED : BAD;
    case EXT_CLOSED:
        return c == '\r' ? SIZE_LF : after_size(EXT_BLANK, c);
    case SIZE_LF:
        if (c != '\n')
            return BAD;
        return b->left ? DATA : TRAILERS;
    case DATA_CR:
        return c == '\r' ? DATA_LF : BAD;
    case DATA_LF:
        return c == '\n' ? SIZE : BAD;
    default:
        return BAD;
    }
}

static enum h1_body_event bad(struct h1_body *b, struct h1_error *err,
                              const char *why)
{
    b->state = BAD;
    err->why = why;
    err->status = 400;
    return H1_BODY_BAD;
}

/* Gives what there is of the counted bytes. */
static slice take_data(struct h1_body *b, slice in)
{
    slice data = {in.ptr, in.len < b->left ? in.len : (size_t)b->left};

    b->left -= data.len;
    return data;
}

/* Finds the empty line. `b->line` remembers how far was looked. */
static enum h1_body_event take_trailers(struct h1_body *b, slice in,
                                        uint32_t limit, size_t *used,
                                        slice *data, struct h1_error *err)
{
    size_t n = in.len < limit ? in.len : limit;
    size_t at = b->line < n ? b->line : n;

    for (; at < n; at++) {
        const char *lf = memchr(in.ptr + at, '\n', n - at);

        if (!lf)
            break;
        at = (size_t)(lf - in.ptr);
        if (at == 0 || lf[-1] != '\r')
            return bad(b, err, "bare LF in a trailer section");
        if (at > 1 && lf[-2] != '\n')
            continue;
        *data = slice_of(in.ptr, at - 1);
        *used = at + 1;
        b->done = true;
        return H1_BODY_TRAILERS;
    }
    if (in.len >= limit) {
        err->limit = HTTP_LIMIT_TRAILER_BYTES;
        return bad(b, err, "trailer section over the limit");
    }
    b->line = (uint32_t)n;
    return H1_BODY_MORE;
}

/* Extensions, which nobody reads, without end: what is not data may not be much
 * more than the data. Called at the end of a size line. */
static bool line_over(struct h1_body *b, const struct http_limits *lim)
{
    uint64_t free = LINE_FREE + 2 * b->left;

    b->excess += b->line;
    b->excess = b->excess > free ? (uint32_t)(b->excess - free) : 0;
    return b->excess > (uint64_t)LINES_MAX * lim->chunk_line;
}

/* Reads lines until there is data, the trailers, or nothing left. */
static enum h1_body_event next_of_chunked(struct h1_body *b, slice in,
                                          const struct http_limits *lim,
                                          size_t *used, slice *data,
                                          struct h1_error *err)
{
    enum h1_body_event event;
    size_t at = 0;

    while (at < in.len && b->state != DATA && b->state != TRAILERS) {
        b->state = (uint8_t)step(b, in.ptr[at++]);
        if (b->state == BAD)
            return bad(b, err, "bad chunk");
        bool over = b->state == DATA && line_over(b, lim);
        if (b->state == DATA || b->state == TRAILERS || b->state == DATA_LF)
            b->line = b->digits = 0;
        else
            over = ++b->line > lim->chunk_line;
        if (over) {
            err->limit = HTTP_LIMIT_CHUNK_LINE;
            return bad(b, err, "chunk size line over the limit");
        }
    }
    *used = at;
    in = slice_sub(in, at, in.len);
    if (in.len == 0)
        return H1_BODY_MORE;
    if (b->state == TRAILERS) {
        size_t taken = 0;

        event = take_trailers(b, in, lim->trailer_bytes, &taken, data, err);
        *used = at + taken;
        return event;
    }
    *data = take_data(b, in);
    *used = at + data->len;
    if (b->left == 0)
        b->state = DATA_CR;
    return H1_BODY_DATA;
}

enum h1_body_event h1_body_next(struct h1_body *b, slice in,
                                const struct http_limits *lim, size_t *used,
                                slice *data, struct h1_error *err)
{
    *used = 0;
    *data = SLICE_NONE;
    if (b->state == BAD)
        return bad(b, err, "the body was refused before");
    if (b->done)
        return H1_BODY_END;
    if (in.len == 0)
        return H1_BODY_MORE;
    switch ((enum h1_framing)b->framing) {
    case H1_CHUNKED:
        return next_of_chunked(b, in, lim, used, data, err);
    case H1_LENGTH:
        *data = take_data(b, in);
        *used = data->len;
        b->done = b->left == 0;
        return H1_BODY_DATA;
    case H1_UNTIL_CLOSE:
        *data = in;
        *used = in.len;
        return H1_BODY_DATA;
    case H1_NO_BODY:
        break;
    }
    return H1_BODY_END;
}

enum status h1_parse_trailers(slice section, const struct http_limits *lim,
                              struct headers *out, struct h1_error *err)
{
    struct h1_cursor c = {section.ptr, section.ptr};
    uint32_t cap = out->cap;
    enum status rc = OK;

    if (section.len)
        c.end += section.len;
    out->len = 0;
    out->cap = cap < lim->max_headers ? cap : lim->max_headers;
    while (!rc && c.at < c.end) {
        rc = h1_field_line(&c, out, err);
        if (!rc && !header_trails(&out->at[out->len - 1]))
            out->len--;
    }
    out->cap = cap;
    if (rc == ERR_AGAIN)
        rc = h1_refuse(err, 400, "trailer section without an end");
    return rc;
}
