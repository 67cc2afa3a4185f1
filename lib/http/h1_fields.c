/* SPDX-License-Identifier: Apache-2.0 */
/* One field line: name, colon, blanks, value, blanks, CRLF. The name is a
 * token with nothing before or after it; the value ends at its CR, and any
 * other control byte than a tab refuses the message. */
#include "lib/http/h1_fields.h"

#include "lib/http/chars.h"

enum status h1_refuse(struct h1_error *err, unsigned status, const char *why)
{
    err->why = why;
    err->status = status;
    return ERR_INVALID;
}

enum status h1_too_big(struct h1_error *err, unsigned status,
                       enum http_limit limit, const char *why)
{
    err->why = why;
    err->status = status;
    err->limit = (uint8_t)limit;
    return ERR_TOO_BIG;
}

enum status h1_end_line(struct h1_cursor *c, struct h1_error *err)
{
    if (c->at == c->end)
        return ERR_AGAIN;
    if (*c->at == '\n')
        return h1_refuse(err, 400, "bare LF");
    if (*c->at != '\r')
        return h1_refuse(err, 400, "unexpected byte in a line");
    if (++c->at == c->end)
        return ERR_AGAIN;
    if (*c->at != '\n')
        return h1_refuse(err, 400, "bare CR");
    c->at++;
    return OK;
}

/* Leaves the cursor after the colon. */
static enum status read_name(struct h1_cursor *c, slice *name,
                             struct h1_error *err)
{
    const char *p = c->at;

    if (p < c->end && char_blank(*p))
        return h1_refuse(err, 400, "folded or indented field line");
    p = chars_skip(p, c->end, CHAR_TOKEN);
    if (p == c->end)
        return ERR_AGAIN;
    if (*p != ':') {
        if (char_blank(*p))
            return h1_refuse(err, 400, "blank in or after a field name");
        return h1_refuse(err, 400, "bad byte in a field name");
    }
    if (p == c->at)
        return h1_refuse(err, 400, "empty field name");
    *name = slice_of(c->at, (size_t)(p - c->at));
    c->at = p + 1;
    return OK;
}

/* Leaves the cursor after the CRLF. */
static enum status read_value(struct h1_cursor *c, slice *value,
                              struct h1_error *err)
{
    const char *start = c->at;
    const char *end;

    while (start < c->end && char_blank(*start))
        start++;
    end = chars_skip_text(start, c->end);
    c->at = end;
    if (end < c->end && *end != '\r' && *end != '\n')
        return h1_refuse(err, 400, "control byte in a field value");
    while (end > start && char_blank(end[-1]))
        end--;
    *value = slice_of(start, (size_t)(end - start));
    return h1_end_line(c, err);
}

enum status h1_field_line(struct h1_cursor *c, struct headers *out,
                          struct h1_error *err)
{
    slice name, value;
    enum status rc;

    rc = read_name(c, &name, err);
    if (rc)
        return rc;
    rc = read_value(c, &value, err);
    if (rc)
        return rc;
    if (headers_add(out, name, value))
        return h1_too_big(err, 431, HTTP_LIMIT_HEADERS, "too many fields");
    return OK;
}
