/* SPDX-License-Identifier: Apache-2.0 */
/* Heads and chunks to bytes. What was hop by hop is not written; what this hop
 * needs (host, framing, connection) is written by us alone, so that it is
 * there once and says what we do. The pieces are valid already: a parser of
 * ours, or header_name_valid and header_value_valid, saw them. */
#include "lib/http/h1_parse.h"

/* Writes straight into the queue's chunk while there is room. */
struct writer {
    struct bufq *q;
    char *start, *at, *end;
};

static void writer_init(struct writer *w, struct bufq *q)
{
    size_t room;

    w->q = q;
    w->start = w->at = bufq_room(q, 1, &room);
    w->end = w->start + room;
}

static void writer_done(struct writer *w)
{
    bufq_wrote(w->q, (size_t)(w->at - w->start));
}

/* It does not fit: continue in another chunk. */
static void put_over(struct writer *w, slice s)
{
    writer_done(w);
    bufq_add(w->q, s.ptr, s.len);
    writer_init(w, w->q);
}

static inline void put(struct writer *w, slice s)
{
    if (s.len > (size_t)(w->end - w->at)) {
        put_over(w, s);
        return;
    }
    if (s.len)
        memcpy(w->at, s.ptr, s.len);
    w->at += s.len;
}

#define PUT(w, lit) put(w, SLICE(lit))

static void put_number(struct writer *w, uint64_t n, unsigned base)
{
    char text[20]; /* 2^64 has 20 digits */
    char *at = text + sizeof text;

    do {
        *--at = "0123456789abcdef"[n % base];
        n /= base;
    } while (n);
    put(w, slice_of(at, (size_t)(text + sizeof text - at)));
}

static void put_field(struct writer *w, const struct header *h)
{
    put(w, h->name);
    PUT(w, ": ");
    put(w, h->value);
    PUT(w, "\r\n");
}

/* Fields that go on, but for `ours` and the framing, which are said anew. */
static void put_fields(struct writer *w, const struct headers *h,
                       enum header_id ours)
{
    for (uint32_t i = 0; i < h->len; i++) {
        uint8_t id = h->at[i].id;

        if (h->at[i].hop || id == HDR_CONTENT_LENGTH ||
            id == HDR_TRANSFER_ENCODING || (id == ours && ours != HDR_OTHER))
            continue;
        put_field(w, &h->at[i]);
    }
}

static void put_length(struct writer *w, int64_t length)
{
    PUT(w, "content-length: ");
    put_number(w, (uint64_t)(length > 0 ? length : 0), 10);
    PUT(w, "\r\n");
}

/* One Connection field for all that this hop says. */
static void put_connection(struct writer *w, const struct head *h, bool close)
{
    slice comma = SLICE_NONE;
    bool upgrade = h->protocol.len > 0;

    if (upgrade) {
        PUT(w, "upgrade: ");
        put(w, h->protocol);
        PUT(w, "\r\n");
    }
    if (h->te_trailers)
        PUT(w, "te: trailers\r\n");
    if (!close && !upgrade && !h->te_trailers)
        return;
    PUT(w, "connection: ");
    if (upgrade) {
        PUT(w, "upgrade");
        comma = SLICE(", ");
    }
    if (h->te_trailers) {
        put(w, comma);
        PUT(w, "te");
        comma = SLICE(", ");
    }
    if (close) {
        put(w, comma);
        PUT(w, "close");
    }
    PUT(w, "\r\n");
}

/* RFC 9112 section 3.2. An absolute target of OPTIONS has no path when the server
 * as a whole is meant (section 3.2.4). */
static void put_target(struct writer *w, const struct head *h)
{
    if (h->method_id == HTTP_CONNECT) {
        put(w, h->authority);
        return;
    }
    if (h->absolute) {
        put(w, h->scheme);
        PUT(w, "://");
        put(w, h->authority);
        if (slice_eq(h->path, SLICE("*")))
            return;
    }
    put(w, h->path);
}

void h1_write_request(struct bufq *q, const struct head *h,
                      enum h1_framing framing, bool close)
{
    struct writer w;

    writer_init(&w, q);
    put(&w, h->method);
    PUT(&w, " ");
    put_target(&w, h);
    PUT(&w, " HTTP/1.1\r\nhost: ");
    put(&w, h->authority);
    PUT(&w, "\r\n");
    put_fields(&w, &h->headers, HDR_HOST);
    if (framing == H1_CHUNKED)
        PUT(&w, "transfer-encoding: chunked\r\n");
    if (framing == H1_LENGTH)
        put_length(&w, h->content_length);
    put_connection(&w, h, close);
    PUT(&w, "\r\n");
    writer_done(&w);
}

void h1_write_response(struct bufq *q, const struct head *h,
                       enum h1_framing framing, bool close)
{
    struct writer w;

    writer_init(&w, q);
    PUT(&w, "HTTP/1.1 ");
    put_number(&w, h->status, 10);
    PUT(&w, " ");
    put(&w, h->reason.len ? h->reason : http_reason(h->status));
    PUT(&w, "\r\n");
    put_fields(&w, &h->headers, HDR_OTHER);
    if (framing == H1_CHUNKED)
        PUT(&w, "transfer-encoding: chunked\r\n");
    if (framing == H1_LENGTH)
        put_length(&w, h->content_length);
    put_connection(&w, h, close);
    PUT(&w, "\r\n");
    writer_done(&w);
}

void h1_write_chunk(struct bufq *q, slice data)
{
    struct writer w;

    writer_init(&w, q);
    put_number(&w, data.len, 16);
    PUT(&w, "\r\n");
    put(&w, data);
    PUT(&w, "\r\n");
    writer_done(&w);
}

void h1_write_last_chunk(struct bufq *q, const struct headers *trailers)
{
    struct writer w;

    writer_init(&w, q);
    PUT(&w, "0\r\n");
    if (trailers)
        put_fields(&w, trailers, HDR_OTHER);
    PUT(&w, "\r\n");
    writer_done(&w);
}
