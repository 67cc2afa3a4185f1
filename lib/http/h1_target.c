/* SPDX-License-Identifier: Apache-2.0 */
/* The four forms of a request target, and the one reading of a host. */
#include "lib/http/h1_target.h"

#include "lib/http/chars.h"
#include "lib/http/h1_fields.h"

bool http_scheme_valid(slice scheme)
{
    for (size_t i = 0; i < scheme.len; i++) {
        char c = scheme.ptr[i], lower = (char)(c | 0x20);
        bool letter = lower >= 'a' && lower <= 'z';
        if (!letter && (i == 0 || (!char_is(c, CHAR_DIGIT) && c != '+' &&
                                   c != '-' && c != '.')))
            return false;
    }
    return scheme.len > 0;
}

static bool port_valid(slice port)
{
    unsigned n = 0;

    if (port.len > 5)
        return false;
    for (size_t i = 0; i < port.len; i++) {
        if (!char_is(port.ptr[i], CHAR_DIGIT))
            return false;
        n = n * 10 + (unsigned)(port.ptr[i] - '0');
    }
    return n <= 65535;
}

/* The length of "[...]" at the front of `a`; 0 when it is malformed. */
static size_t literal_length(slice a)
{
    bool colon = false;

    for (size_t i = 1; i < a.len; i++) {
        if (a.ptr[i] == ']')
            return colon ? i + 1 : 0;
        if (a.ptr[i] == ':')
            colon = true;
        else if (!char_is(a.ptr[i], CHAR_HEX) && a.ptr[i] != '.')
            return 0;
    }
    return 0;
}

/* The length of the name or IPv4 address at the front of `a`. */
static size_t name_length(slice a)
{
    const char *end = a.ptr + a.len;
    const char *p = chars_skip(a.ptr, end, CHAR_HOST);

    while (end - p >= 3 && *p == '%' && char_is(p[1], CHAR_HEX) &&
           char_is(p[2], CHAR_HEX))
        p = chars_skip(p + 3, end, CHAR_HOST);
    return (size_t)(p - a.ptr);
}

bool http_authority_valid(slice a)
{
    size_t host;

    if (a.len == 0)
        return false;
    host = a.ptr[0] == '[' ? literal_length(a) : name_length(a);
    if (host == 0)
        return false;
    if (host == a.len)
        return true;
    return a.ptr[host] == ':' && port_valid(slice_sub(a, host + 1, a.len));
}

/* host ":" port, both there: RFC 9112 section 3.2.3. */
static enum status read_authority_form(struct head *h, struct h1_error *err)
{
    slice host, port;

    if (!http_authority_valid(h->target) ||
        !slice_rcut(h->target, ':', &host, &port) || port.len == 0 ||
        !char_is(port.ptr[port.len - 1], CHAR_DIGIT))
        return h1_refuse(err, 400, "CONNECT without host:port");
    h->authority = h->target;
    h->path = SLICE_NONE;
    return OK;
}

/* Skips "http://" or "https://"; 0 without. */
static size_t scheme_length(slice target)
{
    static const slice schemes[] = {SLICE_INIT("http://"),
                                    SLICE_INIT("https://")};

    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (slice_eq_nocase(slice_sub(target, 0, schemes[i].len), schemes[i]))
            return schemes[i].len;
    return 0;
}

/* RFC 9112 section 3.2.2. An empty path becomes "/", or "*" for OPTIONS
 * (section 3.2.4). A query without a path ("http://a?b") would need a byte that
 * is not there: refused, nobody sends it. */
static enum status read_absolute_form(struct head *h, struct h1_error *err)
{
    size_t start = scheme_length(h->target);
    size_t end = start;

    if (!start)
        return h1_refuse(err, 400, "request target of no known form");
    while (end < h->target.len && h->target.ptr[end] != '/' &&
           h->target.ptr[end] != '?')
        end++;
    h->absolute = true;
    h->scheme = slice_sub(h->target, 0, start - SLICE("://").len);
    h->authority = slice_sub(h->target, start, end);
    if (!http_authority_valid(h->authority))
        return h1_refuse(err, 400, "bad authority in the request target");
    h->path = slice_sub(h->target, end, h->target.len);
    if (h->path.len == 0)
        h->path = h->method_id == HTTP_OPTIONS ? SLICE("*") : SLICE("/");
    if (h->path.ptr[0] == '?')
        return h1_refuse(err, 400, "request target with a query but no path");
    return OK;
}

enum status h1_read_target(struct head *h, struct h1_error *err)
{
    if (h->method_id == HTTP_CONNECT)
        return read_authority_form(h, err);
    if (h->target.ptr[0] == '/') {
        h->path = h->target;
        return OK;
    }
    if (slice_eq(h->target, SLICE("*"))) {
        if (h->method_id != HTTP_OPTIONS)
            return h1_refuse(err, 400, "\"*\" without OPTIONS");
        h->path = h->target;
        return OK;
    }
    return read_absolute_form(h, err);
}
