/* SPDX-License-Identifier: Apache-2.0 */
/* Methods, reason phrases, and heads that are made or copied rather than
 * parsed. */
#include "lib/http/message.h"

static const struct {
    slice name;
    uint8_t id;
    bool idempotent;
} methods[] = {
    {SLICE_INIT("GET"), HTTP_GET, true},
    {SLICE_INIT("POST"), HTTP_POST, false},
    {SLICE_INIT("HEAD"), HTTP_HEAD, true},
    {SLICE_INIT("PUT"), HTTP_PUT, true},
    {SLICE_INIT("DELETE"), HTTP_DELETE, true},
    {SLICE_INIT("PATCH"), HTTP_PATCH, false},
    {SLICE_INIT("OPTIONS"), HTTP_OPTIONS, true},
    {SLICE_INIT("CONNECT"), HTTP_CONNECT, false},
    {SLICE_INIT("TRACE"), HTTP_TRACE, true},
};

enum { METHODS = sizeof methods / sizeof methods[0] };

enum http_method http_method_id(slice method)
{
    for (size_t i = 0; i < METHODS; i++)
        if (slice_eq(methods[i].name, method))
            return methods[i].id;
    return HTTP_OTHER;
}

bool http_method_idempotent(enum http_method m)
{
    for (size_t i = 0; i < METHODS; i++)
        if (methods[i].id == m)
            return methods[i].idempotent;
    return false;
}

static const struct {
    uint16_t status;
    slice reason;
} reasons[] = {
    {100, SLICE_INIT("Continue")},
    {101, SLICE_INIT("Switching Protocols")},
    {103, SLICE_INIT("Early Hints")},
    {200, SLICE_INIT("OK")},
    {201, SLICE_INIT("Created")},
    {202, SLICE_INIT("Accepted")},
    {203, SLICE_INIT("Non-Authoritative Information")},
    {204, SLICE_INIT("No Content")},
    {205, SLICE_INIT("Reset Content")},
    {206, SLICE_INIT("Partial Content")},
    {300, SLICE_INIT("Multiple Choices")},
    {301, SLICE_INIT("Moved Permanently")},
    {302, SLICE_INIT("Found")},
    {303, SLICE_INIT("See Other")},
    {304, SLICE_INIT("Not Modified")},
    {307, SLICE_INIT("Temporary Redirect")},
    {308, SLICE_INIT("Permanent Redirect")},
    {400, SLICE_INIT("Bad Request")},
    {401, SLICE_INIT("Unauthorized")},
    {402, SLICE_INIT("Payment Required")},
    {403, SLICE_INIT("Forbidden")},
    {404, SLICE_INIT("Not Found")},
    {405, SLICE_INIT("Method Not Allowed")},
    {406, SLICE_INIT("Not Acceptable")},
    {407, SLICE_INIT("Proxy Authentication Required")},
    {408, SLICE_INIT("Request Timeout")},
    {409, SLICE_INIT("Conflict")},
    {410, SLICE_INIT("Gone")},
    {411, SLICE_INIT("Length Required")},
    {412, SLICE_INIT("Precondition Failed")},
    {413, SLICE_INIT("Content Too Large")},
    {414, SLICE_INIT("URI Too Long")},
    {415, SLICE_INIT("Unsupported Media Type")},
    {416, SLICE_INIT("Range Not Satisfiable")},
    {417, SLICE_INIT("Expectation Failed")},
    {421, SLICE_INIT("Misdirected Request")},
    {422, SLICE_INIT("Unprocessable Content")},
    {425, SLICE_INIT("Too Early")},
    {426, SLICE_INIT("Upgrade Required")},
    {428, SLICE_INIT("Precondition Required")},
    {429, SLICE_INIT("Too Many Requests")},
    {431, SLICE_INIT("Request Header Fields Too Large")},
    {500, SLICE_INIT("Internal Server Error")},
    {501, SLICE_INIT("Not Implemented")},
    {502, SLICE_INIT("Bad Gateway")},
    {503, SLICE_INIT("Service Unavailable")},
    {504, SLICE_INIT("Gateway Timeout")},
    {505, SLICE_INIT("HTTP Version Not Supported")},
};

slice http_reason(unsigned status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return SLICE("");
}

/* Room for the copies, taken from the front. */
struct copier {
    char *at;
};

static slice copy(struct copier *c, slice s)
{
    slice out = {c->at, s.len};

    if (s.len == 0)
        return SLICE("");
    memcpy(c->at, s.ptr, s.len);
    c->at += s.len;
    return out;
}

static size_t text_bytes(const struct head *h)
{
    size_t n = h->method.len + h->target.len + h->authority.len + h->path.len +
               h->scheme.len + h->protocol.len + h->reason.len;

    for (uint32_t i = 0; i < h->headers.len; i++)
        n += h->headers.at[i].name.len + h->headers.at[i].value.len;
    return n;
}

struct headers headers_copy(const struct headers *from,
                            struct header at[HTTP_HEADERS_MAX])
{
    memcpy(at, from->at, from->len * sizeof *at);
    return (struct headers){
        .at = at, .len = from->len, .cap = HTTP_HEADERS_MAX};
}

enum status head_copy(struct arena *a, const struct head *from, uint32_t extra,
                      struct head **out)
{
    size_t fields = ((size_t)from->headers.len + extra) * sizeof(struct header);
    size_t size = sizeof(struct head) + fields + text_bytes(from);
    struct copier c;
    struct head *h = arena_alloc(a, size);

    if (!h)
        return ERR_TOO_BIG;
    *h = *from;
    h->headers.at = (struct header *)(void *)(h + 1);
    h->headers.cap = from->headers.len + extra;
    c.at = (char *)(h + 1) + fields;
    h->method = copy(&c, from->method);
    h->target = copy(&c, from->target);
    h->authority = copy(&c, from->authority);
    h->path = copy(&c, from->path);
    h->scheme = copy(&c, from->scheme);
    h->protocol = copy(&c, from->protocol);
    h->reason = copy(&c, from->reason);
    for (uint32_t i = 0; i < from->headers.len; i++) {
        h->headers.at[i] = from->headers.at[i];
        h->headers.at[i].name = copy(&c, from->headers.at[i].name);
        h->headers.at[i].value = copy(&c, from->headers.at[i].value);
    }
    *out = h;
    return OK;
}

void head_init_request(struct head *h, slice method, slice authority,
                       slice path, struct header *fields, uint32_t cap)
{
    *h = (struct head){
        .method = method,
        .method_id = http_method_id(method),
        .target = path,
        .authority = authority,
        .path = path,
        .minor = 1,
        .keep_alive = true,
        .content_length = -1,
        .headers = {.at = fields, .cap = cap},
    };
}

void head_init_response(struct head *h, unsigned status, struct header *fields,
                        uint32_t cap)
{
    *h = (struct head){
        .status = (uint16_t)status,
        .reason = http_reason(status),
        .minor = 1,
        .keep_alive = true,
        .content_length = -1,
        .headers = {.at = fields, .cap = cap},
    };
}
