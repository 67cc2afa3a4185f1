/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1 messages, bytes to values and back (RFC 9112). Pure: no I/O, no
 * memory. Strict: what is ambiguous is refused. Bare LF, bare CR, NUL, folded
 * lines, blanks before the colon, repeated or conflicting Content-Length,
 * Transfer-Encoding beside Content-Length, any coding but "chunked" alone,
 * missing or repeated Host in HTTP/1.1, control bytes, loose chunk grammar. */
#ifndef TULLE_HTTP_H1_PARSE_H
#define TULLE_HTTP_H1_PARSE_H

#include "lib/base/bufq.h"
#include "lib/http/message.h"

/* Why a message was refused: constant text for logs and tests, plus the status
 * a server answers (400, 414, 431, 501, 505, 417). */
struct h1_error {
    const char *why;
    unsigned status;
    uint8_t limit; /* enum http_limit that was hit, or 0 */
};

/* `bytes` starts at the first byte of a head (empty lines before a request are
 * skipped: RFC 9112 section 2.2, at most 4). On OK `*used` bytes were the head,
 * and `out` borrows from `bytes`. ERR_AGAIN: no complete head yet; `*scanned`
 * remembers how far was looked, so a head that drips is not read n^2 times
 * (start with 0, pass it again with the grown bytes). ERR_TOO_BIG, ERR_INVALID:
 * refused, see `err`. `out->headers.at` must have room for limits->max_headers
 * fields. */
CHECKED enum status h1_parse_request(slice bytes, const struct http_limits *lim,
                                     size_t *scanned, struct head *out,
                                     size_t *used, struct h1_error *err);
/* The same for a response. `request` is the method of the request it answers:
 * it decides with the status how the body is framed. */
CHECKED enum status h1_parse_response(slice bytes,
                                      const struct http_limits *lim,
                                      enum http_method request, size_t *scanned,
                                      struct head *out, size_t *used,
                                      struct h1_error *err);

/* How the bytes after a head are framed (RFC 9112 section 6.3). */
enum h1_framing {
    H1_NO_BODY,
    H1_LENGTH,
    H1_CHUNKED,
    H1_UNTIL_CLOSE, /* responses only */
};
enum h1_framing h1_request_framing(const struct head *h);
enum h1_framing h1_response_framing(const struct head *h,
                                    enum http_method request);

/* Reads one body. */
struct h1_body {
    uint8_t framing; /* enum h1_framing */
    uint8_t state;
    bool done;
    uint64_t left; /* of the length or the chunk */
    uint32_t line; /* bytes of the current size line or trailer section */
    uint32_t digits;
    uint32_t excess; /* bytes of size lines, beyond what the data excuses */
};
void h1_body_init(struct h1_body *b, enum h1_framing framing, uint64_t length);

enum h1_body_event {
    H1_BODY_MORE,     /* everything was used: needs more bytes */
    H1_BODY_DATA,     /* `*data` borrows from `in` */
    H1_BODY_TRAILERS, /* `in` starts at a complete trailer section: `*data` is
                         it, without the final empty line; may be empty. The
                         body is done after it. */
    H1_BODY_END,      /* done (length reached), nothing used */
    H1_BODY_BAD,      /* refused: see err; the connection must be closed */
};
/* Takes from the front of `in`; `*used` says how much. Call until MORE or END.
 * For TRAILERS the section must be contiguous: with MORE and *used < in.len the
 * caller keeps the rest and calls again with more bytes after it (bounded by
 * lim->trailer_bytes / lim->chunk_line). */
enum h1_body_event h1_body_next(struct h1_body *b, slice in,
                                const struct http_limits *lim, size_t *used,
                                slice *data, struct h1_error *err);
/* Parses a trailer section as given by H1_BODY_TRAILERS. Fields that must not be
 * in trailers (framing, routing: RFC 9110 section 6.5.1) are dropped. */
CHECKED enum status h1_parse_trailers(slice section,
                                      const struct http_limits *lim,
                                      struct headers *out,
                                      struct h1_error *err);

/* Writes a head to the end of `q`: start line, the fields that are not `hop`,
 * then what the framing needs. Content-Length is written from
 * head->content_length when framing is H1_LENGTH, "transfer-encoding: chunked"
 * with H1_CHUNKED; both fields in the list are ignored. `close` adds
 * "connection: close"; with head->protocol "connection: upgrade" and "upgrade:
 * <protocol>" are written. Host is written first, from head->authority. */
void h1_write_request(struct bufq *q, const struct head *h,
                      enum h1_framing framing, bool close);
void h1_write_response(struct bufq *q, const struct head *h,
                       enum h1_framing framing, bool close);
/* "<hex>\r\n" <data> "\r\n"; data must not be empty. */
void h1_write_chunk(struct bufq *q, slice data);
/* "0\r\n" fields "\r\n"; `trailers` may be NULL. */
void h1_write_last_chunk(struct bufq *q, const struct headers *trailers);

#endif
