/* SPDX-License-Identifier: Apache-2.0 */
/* The head of an HTTP/1 message. Happy path: the bytes are looked at once, from
 * the first to the empty line: start line, then field by field; then what the
 * fields mean together (h1_meaning.c).
 *
 * When the bytes end too early we say ERR_AGAIN. A head whose start line is
 * complete is then not read again before its last line has come: until then the
 * new bytes are only searched for line ends. So a head that drips costs little
 * more than one that comes whole, and gives the same answer, though a bad field
 * may be refused later.
 *
 * Anything unexpected refuses the message; nothing is repaired. */
#include "lib/http/h1_parse.h"

#include "lib/http/chars.h"
#include "lib/http/h1_fields.h"
#include "lib/http/h1_meaning.h"
#include "lib/http/h1_target.h"

enum { EMPTY_LINES_MAX = 4 };

static bool ends_head(slice bytes, size_t lf)
{
    return lf >= 3 && memcmp(bytes.ptr + lf - 3, "\r\n\r", 3) == 0;
}

/* Whether reading the head now can say more than ERR_AGAIN, when all up to
 * `*scanned` was seen before. A bare LF is for the reader to refuse. */
static bool worth_reading(slice bytes, const struct http_limits *lim,
                          size_t *scanned)
{
    const char *p, *end;

    if (bytes.len == 0)
        return false;
    if (*scanned == 0 || bytes.len >= lim->head_bytes)
        return true;
    p = bytes.ptr + *scanned;
    end = bytes.ptr + bytes.len;
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
        size_t lf = (size_t)(p - bytes.ptr);

        if (lf == 0 || p[-1] != '\r' || ends_head(bytes, lf))
            return true;
        p++;
    }
    *scanned = bytes.len;
    return false;
}

/* The part of `bytes` in which a head must end. */
static struct h1_cursor cursor_init(slice bytes, const struct http_limits *lim)
{
    size_t n = bytes.len < lim->head_bytes ? bytes.len : lim->head_bytes;

    if (bytes.len == 0) /* the pointer may be NULL */
        return (struct h1_cursor){0};
    return (struct h1_cursor){bytes.ptr, bytes.ptr + n};
}

/* Empties a head, but for the room of its fields. */
static void head_clear(struct head *h, const struct http_limits *lim)
{
    struct header *at = h->headers.at;
    uint32_t cap = h->headers.cap;

    *h = (struct head){.content_length = -1};
    h->headers.at = at;
    h->headers.cap = cap < lim->max_headers ? cap : lim->max_headers;
}

/* "HTTP/1.x": the cursor is after it. Higher minors of 1 are read as 1.1 (RFC
 * 9110 section 2.5). */
static enum status read_version(struct h1_cursor *c, uint8_t *minor,
                                struct h1_error *err)
{
    static const char prefix[] = "HTTP/";
    size_t left = (size_t)(c->end - c->at);
    size_t n = sizeof prefix - 1;

    if (memcmp(c->at, prefix, left < n ? left : n) != 0)
        return h1_refuse(err, 400, "no HTTP version");
    if (left < n + 3)
        return ERR_AGAIN;
    c->at += n;
    if (!char_is(c->at[0], CHAR_DIGIT) || c->at[1] != '.' ||
        !char_is(c->at[2], CHAR_DIGIT))
        return h1_refuse(err, 400, "bad HTTP version");
    if (c->at[0] != '1')
        return h1_refuse(err, 505, "HTTP version other than 1");
    *minor = c->at[2] == '0' ? 0 : 1;
    c->at += 3;
    return OK;
}

static enum status read_method(struct h1_cursor *c, struct head *out,
                               struct h1_error *err)
{
    const char *p = chars_skip(c->at, c->end, CHAR_TOKEN);

    if (p == c->end)
        return ERR_AGAIN;
    if (*p != ' ' || p == c->at)
        return h1_refuse(err, 400, "bad method");
    out->method = slice_of(c->at, (size_t)(p - c->at));
    out->method_id = (uint8_t)http_method_id(out->method);
    c->at = p + 1;
    return OK;
}

/* RFC 9112 section 3. */
static enum status read_request_line(struct h1_cursor *c, struct head *out,
                                     struct h1_error *err)
{
    enum status rc;
    const char *p;

    rc = read_method(c, out, err);
    if (rc)
        return rc;
    p = chars_skip(c->at, c->end, CHAR_TARGET);
    if (p == c->end)
        return ERR_AGAIN;
    if (*p != ' ' || p == c->at)
        return h1_refuse(err, 400, "bad request target");
    out->target = slice_of(c->at, (size_t)(p - c->at));
    c->at = p + 1;
    rc = read_version(c, &out->minor, err);
    if (rc)
        return rc;
    rc = h1_end_line(c, err);
    if (rc)
        return rc;
    if (http_method_reserved(out->method))
        return h1_refuse(err, 400, "PRI is no method");
    return h1_read_target(out, err);
}

/* RFC 9112 section 4. The blank after the status may be missing when there is
 * no reason: some servers forget it, and nothing is ambiguous then. */
static enum status read_status_line(struct h1_cursor *c, struct head *out,
                                    struct h1_error *err)
{
    const char *p;
    enum status rc = read_version(c, &out->minor, err);

    if (rc)
        return rc;
    if (c->end - c->at < 5)
        return ERR_AGAIN;
    p = c->at;
    if (p[0] != ' ' || p[1] < '1' || p[1] > '5' || !char_is(p[2], CHAR_DIGIT) ||
        !char_is(p[3], CHAR_DIGIT))
        return h1_refuse(err, 502, "bad status code");
    out->status =
        (uint16_t)((p[1] - '0') * 100 + (p[2] - '0') * 10 + (p[3] - '0'));
    if (p[4] != ' ' && p[4] != '\r')
        return h1_refuse(err, 502, "bad status line");
    c->at = p + 4 + (p[4] == ' ');
    p = chars_skip_text(c->at, c->end);
    out->reason = slice_of(c->at, (size_t)(p - c->at));
    c->at = p;
    return h1_end_line(c, err);
}

/* Fields up to and with the empty line. */
static enum status read_fields(struct h1_cursor *c, struct head *out,
                               struct h1_error *err)
{
    enum status rc;

    for (;;) {
        if (c->at == c->end)
            return ERR_AGAIN;
        if (*c->at == '\r' || *c->at == '\n')
            return h1_end_line(c, err);
        rc = h1_field_line(c, &out->headers, err);
        if (rc)
            return rc;
    }
}

/* RFC 9112 section 2.2: some old clients end a body with one CRLF too many. */
static enum status skip_empty_lines(struct h1_cursor *c, struct h1_error *err)
{
    enum status rc;

    for (int n = 0; c->at < c->end && (*c->at == '\r' || *c->at == '\n'); n++) {
        if (n == EMPTY_LINES_MAX)
            return h1_refuse(err, 400, "too many empty lines");
        rc = h1_end_line(c, err);
        if (rc)
            return rc;
    }
    return c->at < c->end ? OK : ERR_AGAIN;
}

/* The bytes ran out: more may come, unless the limit is reached. */
static enum status unfinished(enum status rc, slice bytes,
                              const struct http_limits *lim, unsigned status,
                              struct h1_error *err)
{
    if (rc == ERR_AGAIN && bytes.len >= lim->head_bytes)
        return h1_too_big(err, status, HTTP_LIMIT_HEAD_BYTES,
                          "head over the limit");
    return rc;
}

enum status h1_parse_request(slice bytes, const struct http_limits *lim,
                             size_t *scanned, struct head *out, size_t *used,
                             struct h1_error *err)
{
    struct h1_cursor c = cursor_init(bytes, lim);
    enum status rc;

    if (!worth_reading(bytes, lim, scanned))
        return ERR_AGAIN;
    head_clear(out, lim);
    rc = skip_empty_lines(&c, err);
    if (!rc)
        rc = read_request_line(&c, out, err);
    if (rc)
        return unfinished(rc, bytes, lim, 414, err);
    *scanned = bytes.len;
    rc = read_fields(&c, out, err);
    if (rc)
        return unfinished(rc, bytes, lim, 431, err);
    rc = h1_request_meaning(out, err);
    if (rc)
        return rc;
    *used = (size_t)(c.at - bytes.ptr);
    return OK;
}

static enum status parse_response(slice bytes, const struct http_limits *lim,
                                  size_t *scanned, struct head *out,
                                  size_t *used, struct h1_error *err)
{
    struct h1_cursor c = cursor_init(bytes, lim);
    enum status rc;

    if (!worth_reading(bytes, lim, scanned))
        return ERR_AGAIN;
    head_clear(out, lim);
    rc = read_status_line(&c, out, err);
    if (rc)
        return unfinished(rc, bytes, lim, 502, err);
    *scanned = bytes.len;
    rc = read_fields(&c, out, err);
    if (rc)
        return unfinished(rc, bytes, lim, 502, err);
    *used = (size_t)(c.at - bytes.ptr);
    return OK;
}

enum status h1_parse_response(slice bytes, const struct http_limits *lim,
                              enum http_method request, size_t *scanned,
                              struct head *out, size_t *used,
                              struct h1_error *err)
{
    enum status rc = parse_response(bytes, lim, scanned, out, used, err);

    if (!rc)
        rc = h1_response_meaning(out, request, err);
    if (rc && rc != ERR_AGAIN)
        err->status = 502; /* whatever is wrong, it is not the client's fault */
    return rc;
}
