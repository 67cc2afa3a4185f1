/* SPDX-License-Identifier: Apache-2.0 */
/* The head of a message: a start line and a field list, whichever version
 * carried it. A head only borrows: its slices point into a read buffer that is
 * lent for the length of one callback, or, after head_copy(), into an arena. */
#ifndef TULLE_HTTP_MESSAGE_H
#define TULLE_HTTP_MESSAGE_H

#include "lib/base/arena.h"
#include "lib/base/slice.h"
#include "lib/http/limits.h"

enum http_method {
    HTTP_OTHER, /* any token; the text is in head.method */
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_CONNECT,
    HTTP_OPTIONS,
    HTTP_TRACE,
    HTTP_PATCH,
};

/* Fields that some code asks for; everything else is HDR_OTHER. The list is in
 * headers.c's table. */
enum header_id {
    HDR_OTHER,
    HDR_CONNECTION,
    HDR_CONTENT_LENGTH,
    HDR_DATE,
    HDR_EXPECT,
    HDR_HOST,
    HDR_HTTP2_SETTINGS,
    HDR_KEEP_ALIVE,
    HDR_PROXY_AUTHENTICATE,
    HDR_PROXY_AUTHORIZATION,
    HDR_PROXY_CONNECTION,
    HDR_TE,
    HDR_TRAILER,
    HDR_TRANSFER_ENCODING,
    HDR_UPGRADE,
    HDR_CONTENT_TYPE,
    HDR_USER_AGENT,
    HDR_FORWARDED,
    HDR_X_FORWARDED_FOR,
    HDR_X_REQUEST_ID,
    HDR_TRACEPARENT,
    HDR_CLIENT_CERT, /* x-forwarded-client-cert; "_" counts as "-" */
    HDR_TULLE, /* any name that starts with "tulle-" or "tulle_": ours, stripped
                  from apps */
    HDR_COUNT,
};

struct header {
    slice name;  /* as received; compare without case */
    slice value; /* without surrounding blanks */
    uint8_t id;  /* enum header_id */
    bool hop;    /* belongs to one connection only: never forwarded */
};

/* The list is inline in a scratch or an arena: `at` has room for `cap`. */
struct headers {
    struct header *at;
    uint32_t len, cap;
};

struct head {
    /* request */
    slice method;
    slice target;    /* exactly as received: origin, absolute, "*" form */
    slice authority; /* host[:port] of an absolute target, else of Host; may be
                        empty for HTTP/1.0 */
    slice path;      /* path and query: what goes on, "/" for an empty one,
                        "*" for OPTIONS *, none for CONNECT */
    slice scheme; /* of an absolute target, or that HTTP/2 named; else empty */
    slice protocol;    /* with `upgrade`: those asked for, by commas, or the one
                        granted; of a 426: those the server would grant */
    uint8_t method_id; /* enum http_method */
    /* response */
    uint16_t status;
    slice reason; /* HTTP/1 only, may be empty */
    /* both */
    uint8_t minor; /* HTTP/1.x: x; 1 for HTTP/2 */
    bool http2;    /* request: its client speaks HTTP/2, and so should who
                        gets it, where nothing else is known of that */
    bool absolute; /* request: the target had the absolute form, as for a
                        forward proxy, and has it again in HTTP/1 */
    bool opaque;   /* a CONNECT of a link's own: no request, but the bytes of a
                        connection */
    bool keep_alive; /* the connection may carry another exchange */
    bool chunked;    /* HTTP/1 framing */
    bool upgrade;    /* asks for, or with 101 grants, another protocol */
    bool expect_continue;
    bool te_trailers;       /* the client said TE: trailers */
    int64_t content_length; /* -1: not given */
    struct headers headers;
};

/* No body can follow a response of this status, whatever its fields say
 * (RFC 9112 section 6.3): 1xx, 204, 304. HEAD and CONNECT are the caller's. */
static inline bool http_status_bodyless(unsigned status)
{
    return status < 200 || status == 204 || status == 304;
}

enum http_method http_method_id(slice method);
/* Known reason phrase or "". Never NULL. */
slice http_reason(unsigned status);
/* RFC 9110 section 9.2.2. */
bool http_method_idempotent(enum http_method m);

/* First field of that id; NULL when absent. */
const struct header *headers_find(const struct headers *h, enum header_id id);
/* By name, without case, for HDR_OTHER. */
const struct header *headers_find_name(const struct headers *h, slice name);
/* Appends; ERR_TOO_BIG when `cap` is reached. Borrows both. */
CHECKED enum status headers_add(struct headers *h, slice name, slice value);
/* Marks every field of that id as `hop`: it is not forwarded. */
void headers_drop(struct headers *h, enum header_id id);
enum header_id header_id_of(slice name);
/* RFC 9110 section 5.1 and 5.5: token; no control bytes but tab. */
bool header_name_valid(slice name);
bool header_value_valid(slice value);
/* May it come in a trailer section? What may not is dropped there: framing, routing,
 * authentication, names that we act upon (RFC 9110 section 6.5.1). */
bool header_trails(const struct header *h);
/* True when the comma-separated value holds `token` (without case). */
bool header_has_token(slice value, slice token);

/* The same fields in a list of its own, which may be changed; what they point at is
 * borrowed. */
struct headers headers_copy(const struct headers *from,
                            struct header at[HTTP_HEADERS_MAX]);

/* Copies everything a head points at into the arena in one piece; `*out` then
 * lives as long as the arena and has room for `extra` more fields. ERR_TOO_BIG
 * when over the arena's limit. */
CHECKED enum status head_copy(struct arena *a, const struct head *from,
                              uint32_t extra, struct head **out);

/* A request head of our own making, for clients. Borrows; fields are added with
 * headers_add to storage given by the caller. */
void head_init_request(struct head *h, slice method, slice authority,
                       slice path, struct header *fields, uint32_t cap);
void head_init_response(struct head *h, unsigned status, struct header *fields,
                        uint32_t cap);

#endif
