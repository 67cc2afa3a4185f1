/* SPDX-License-Identifier: Apache-2.0 */
/* Says how our parser reads the bytes of connections: cases on the standard
 * input, for each one line of JSON on the standard output. Both are described in
 * the README beside this file. All bytes of a connection are there at once, and
 * it ends with them.
 *
 * A message is read as h1_take.c reads it: head, body, trailers, and then, unless
 * the head ends the connection, the next. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/http/h1_parse.h"

enum { REQUESTS = -1, CASE_MAX = 1 << 20 };

/* One connection. */
struct reader {
    slice all, rest;
    int answers;  /* enum http_method of the request, or REQUESTS */
    bool stopped; /* the connection carries no further message */
    const char *why;
};

static void put_text(slice s)
{
    (void)putchar('"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            printf("\\u%04x", c);
        else
            (void)putchar(c);
    }
    (void)putchar('"');
}

static void put_fields(const char *key, const struct headers *list)
{
    printf(", \"%s\": [", key);
    for (uint32_t i = 0; i < list->len; i++) {
        printf(i ? ", [" : "[");
        put_text(list->at[i].name);
        printf(", ");
        put_text(list->at[i].value);
        printf("]");
    }
    printf("]");
}

static void put_head(const struct head *h, size_t at)
{
    printf("{\"at\": %zu, \"start\": [", at);
    if (h->status) {
        printf("%u", h->status);
    } else {
        put_text(h->method);
        printf(", ");
        put_text(h->target);
    }
    printf("]");
    put_fields("fields", &h->headers);
}

static bool put_trailers(slice section, struct h1_error *err)
{
    struct header fields[HTTP_HEADERS_MAX];
    struct headers list = {.at = fields, .cap = HTTP_HEADERS_MAX};

    if (h1_parse_trailers(section, &http_limits_default, &list, err))
        return false;
    put_fields("trailers", &list);
    return true;
}

/* Prints what there is of the body; gives how it ends. */
static const char *read_body(struct reader *r, struct h1_body *b,
                             struct h1_error *err)
{
    enum h1_body_event event;
    slice data;
    size_t used;
    struct {
        char *at;
        size_t len;
    } body = {mem_alloc(r->rest.len), 0};
    bool good = true;

    do {
        event = h1_body_next(b, r->rest, &http_limits_default, &used, &data,
                             err);
        if (event == H1_BODY_DATA) {
            memcpy(body.at + body.len, data.ptr, data.len);
            body.len += data.len;
        }
        r->rest = slice_sub(r->rest, used, r->rest.len);
        if (event == H1_BODY_TRAILERS)
            good = put_trailers(data, err);
    } while (event == H1_BODY_DATA);
    printf(", \"body\": ");
    put_text(slice_of(body.at, body.len));
    mem_free(body.at);
    if (event == H1_BODY_BAD || !good)
        return "refused";
    return b->done || b->framing == H1_UNTIL_CLOSE ? "complete" : "partial";
}

static enum status read_head(struct reader *r, struct head *h, size_t *used,
                             struct h1_error *err)
{
    size_t scanned = 0;

    if (r->answers == REQUESTS)
        return h1_parse_request(r->rest, &http_limits_default, &scanned, h,
                                used, err);
    return h1_parse_response(r->rest, &http_limits_default,
                             (enum http_method)r->answers, &scanned, h, used,
                             err);
}

static bool is_informational(const struct head *h)
{
    return h->status && h->status < 200 && h->status != 101;
}

/* Whether nothing that could be read comes after this message. */
static bool is_last(const struct reader *r, const struct head *h)
{
    if (r->answers != REQUESTS)
        return !is_informational(h);
    return !h->keep_alive || h->minor == 0 || h->method_id == HTTP_CONNECT;
}

/* One message; false when it was not one, or not to its end. */
static bool read_message(struct reader *r, bool first)
{
    struct header fields[HTTP_HEADERS_MAX];
    struct head h = {.headers = {.at = fields, .cap = HTTP_HEADERS_MAX}};
    struct h1_error err = {0};
    struct h1_body b;
    size_t used = 0;
    enum status rc = read_head(r, &h, &used, &err);
    const char *end;

    r->why = rc == ERR_AGAIN ? "partial" : err.why;
    if (rc)
        return false;
    printf(first ? "" : ", ");
    put_head(&h, (size_t)(r->rest.ptr - r->all.ptr));
    r->rest = slice_sub(r->rest, used, r->rest.len);
    h1_body_init(&b,
                 r->answers == REQUESTS
                     ? h1_request_framing(&h)
                     : h1_response_framing(&h, (enum http_method)r->answers),
                 h.content_length > 0 ? (uint64_t)h.content_length : 0);
    end = read_body(r, &b, &err);
    printf(", \"end\": \"%s\", \"to\": %zu}", end, r->all.len - r->rest.len);
    r->why = err.why;
    r->stopped = is_last(r, &h);
    return strcmp(end, "complete") == 0;
}

/* The input of every parser lies in a block of exactly its size. */
static void read_connection(slice bytes, int answers)
{
    struct reader r = {.all = bytes, .rest = bytes, .answers = answers};
    bool first = true;

    printf("{\"messages\": [");
    while (r.rest.len && !r.stopped) {
        if (!read_message(&r, first))
            break;
        first = false;
    }
    printf("], \"stopped\": %s, \"why\": ", r.stopped ? "true" : "false");
    put_text(r.why ? slice_str(r.why) : SLICE_NONE);
    printf("}\n");
}

static int answers_of(int kind)
{
    switch (kind) {
    case 'q':
        return REQUESTS;
    case 'h':
        return HTTP_HEAD;
    case 'c':
        return HTTP_CONNECT;
    default:
        return HTTP_GET;
    }
}

int main(void)
{
    unsigned char head[5];

    while (fread(head, 1, sizeof head, stdin) == sizeof head) {
        size_t len = (size_t)head[1] << 24 | (size_t)head[2] << 16 |
                     (size_t)head[3] << 8 | head[4];
        char *bytes;

        if (len > CASE_MAX)
            return 2;
        bytes = mem_alloc(len);
        if (fread(bytes, 1, len, stdin) != len)
            return 2;
        read_connection(slice_of(bytes, len), answers_of(head[0]));
        mem_free(bytes);
    }
    return 0;
}
