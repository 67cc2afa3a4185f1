/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1 bytes: the first byte picks what the rest is (a request, a response, a
 * chunked body, trailers), the second how it arrives. Beside memory safety:
 *  - bytes that come in two parts give what they give whole;
 *  - slices of a head lie within the bytes;
 *  - a head written by us is read again as the same head;
 *  - of a refused message nothing is used. */
#include <assert.h>

#include "lib/http/h1_parse.h"
#include "lib/http/h1_target.h"
#include "tests/unit/http/heads.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROOM = 100, WRITTEN_MAX = 1 << 18 };

struct reading {
    struct header fields[ROOM];
    struct head head;
    struct h1_error err;
    size_t scanned, used;
    enum status rc;
};

static const struct http_limits limits = {
    .head_bytes = 4096,
    .max_headers = ROOM,
    .trailer_bytes = 1024,
    .chunk_line = 64,
};

/* What a written head needs: "connection", framing and host lines more. */
static const struct http_limits wide = {
    .head_bytes = WRITTEN_MAX,
    .max_headers = ROOM,
    .trailer_bytes = WRITTEN_MAX,
    .chunk_line = 64,
};

enum { REQUEST = -1 };

static void read_head(struct reading *r, slice s, int request,
                      const struct http_limits *lim)
{
    r->head.headers.at = r->fields;
    r->head.headers.cap = ROOM;
    if (request == REQUEST)
        r->rc = h1_parse_request(s, lim, &r->scanned, &r->head, &r->used,
                                 &r->err);
    else
        r->rc = h1_parse_response(s, lim, (enum http_method)request,
                                  &r->scanned, &r->head, &r->used, &r->err);
    if (r->rc && r->rc != ERR_AGAIN)
        assert(r->err.why && r->err.status >= 400);
}

static void assert_within(slice s, slice bytes)
{
    assert(s.ptr >= bytes.ptr && s.ptr + s.len <= bytes.ptr + bytes.len);
}

static void check_head(const struct head *h, slice bytes, int request)
{
    for (uint32_t i = 0; i < h->headers.len; i++) {
        assert_within(h->headers.at[i].name, bytes);
        assert(header_name_valid(h->headers.at[i].name));
        assert(header_value_valid(h->headers.at[i].value));
        assert(h->headers.at[i].id == header_id_of(h->headers.at[i].name));
    }
    assert(!(h->chunked && h->content_length >= 0));
    if (request != REQUEST) {
        assert(h->status >= 100 && h->status < 600);
        return;
    }
    assert_within(h->method, bytes);
    assert_within(h->target, bytes);
    assert(h->method_id == HTTP_CONNECT || h->path.len > 0);
    if (h->authority.len || h->minor > 0)
        assert(http_authority_valid(h->authority));
    assert(!headers_find(&h->headers, HDR_HOST) ||
           !headers_find(&h->headers, HDR_HOST)->hop);
}

/* Fields that go on, in order, must be there again, also in order. */
static void check_fields(const struct headers *sent, const struct headers *got)
{
    uint32_t at = 0;

    for (uint32_t i = 0; i < sent->len; i++) {
        const struct header *h = &sent->at[i];

        if (h->hop || h->id == HDR_CONTENT_LENGTH || h->id == HDR_HOST)
            continue;
        while (at < got->len && (got->at[at].id == HDR_HOST ||
                                 got->at[at].id == HDR_CONTENT_LENGTH))
            at++;
        assert(at < got->len);
        assert(slice_eq(h->name, got->at[at].name));
        assert(slice_eq(h->value, got->at[at].value));
        at++;
    }
}

static slice take_written(struct bufq *q)
{
    char *text = mem_alloc(q->len);
    size_t n = bufq_copy(q, text, q->len);

    return slice_of(text, n);
}

static void check_written(const struct head *h, int request)
{
    static struct reading again; /* large; cleared here */
    struct bufq_pool pool;
    struct bufq q;
    slice text;

    if (h->headers.len + 6 > ROOM)
        return;
    bufq_pool_init(&pool, 0);
    bufq_init(&q, &pool);
    if (request == REQUEST)
        h1_write_request(&q, h, h1_request_framing(h), !h->keep_alive);
    else
        h1_write_response(&q, h,
                          h1_response_framing(h, (enum http_method)request),
                          !h->keep_alive);
    text = take_written(&q);
    memset(&again, 0, sizeof again);
    read_head(&again, text, request, &wide);
    if (request == REQUEST && !h->authority.len) {
        assert(again.rc == ERR_INVALID); /* 1.0 without host: the proxy's */
    } else if (again.head.method_id != HTTP_TRACE &&
               again.head.method_id != HTTP_OPTIONS) { /* counted down */
        assert(again.rc == OK && again.used == text.len);
        assert(again.head.method_id == h->method_id);
        assert(slice_eq(again.head.method, h->method));
        assert(slice_eq(again.head.authority, h->authority));
        assert(slice_eq(again.head.path, h->path));
        assert(again.head.status == h->status);
        assert(again.head.upgrade == h->upgrade);
        assert(again.head.te_trailers == h->te_trailers);
        assert(again.head.expect_continue == h->expect_continue);
        assert(request != REQUEST || again.head.chunked == h->chunked);
        assert(request != REQUEST || h->method_id == HTTP_CONNECT ||
               again.head.content_length == h->content_length);
        check_fields(&h->headers, &again.head.headers);
    }
    exact_free(text);
    bufq_fini(&q);
}

static void fuzz_head(slice s, size_t cut, int request)
{
    static struct reading whole, split; /* large; cleared here */
    slice first = exact_copy(slice_sub(s, 0, cut));

    memset(&whole, 0, sizeof whole);
    memset(&split, 0, sizeof split);
    read_head(&whole, s, request, &limits);
    read_head(&split, first, request, &limits);
    if (split.rc == ERR_AGAIN)
        read_head(&split, s, request, &limits);
    else if (split.rc == OK)
        assert(split.used <= cut && head_same(&split.head, &whole.head));
    if (whole.rc == OK || whole.rc == ERR_AGAIN || split.rc != ERR_AGAIN)
        assert(split.rc == whole.rc);
    if (whole.rc == OK) {
        assert(split.used == whole.used && whole.used <= s.len);
        check_head(&whole.head, s, request);
        check_written(&whole.head, request);
    }
    exact_free(first);
}

/* The bytes of a body, and where it ended. */
struct body {
    struct h1_body b;
    char *data;
    size_t len, used;
    slice trailers;
    enum h1_body_event last;
};

static void read_body(struct body *r, slice s)
{
    struct h1_error err;
    slice data;
    size_t used;

    do {
        r->last = h1_body_next(&r->b, slice_sub(s, r->used, s.len), &limits,
                               &used, &data, &err);
        assert(used <= s.len - r->used);
        if (data.len)
            assert_within(data, s);
        if (r->last == H1_BODY_TRAILERS)
            r->trailers = data;
        if (r->last == H1_BODY_DATA) {
            assert(data.len && data.len <= used);
            memcpy(r->data + r->len, data.ptr, data.len);
            r->len += data.len;
        }
        r->used += used;
    } while (r->last == H1_BODY_DATA || r->last == H1_BODY_TRAILERS);
    assert(r->b.done == (r->last == H1_BODY_END));
}

static void fuzz_trailers(slice section)
{
    struct header fields[ROOM];
    struct headers t = {.at = fields, .cap = ROOM};
    struct h1_error err;

    if (h1_parse_trailers(section, &limits, &t, &err))
        return;
    for (uint32_t i = 0; i < t.len; i++) {
        assert(header_name_valid(t.at[i].name));
        assert(header_value_valid(t.at[i].value));
        assert(t.at[i].id == HDR_OTHER && !t.at[i].hop);
    }
}

static void fuzz_body(slice s, size_t cut, enum h1_framing framing)
{
    struct body whole = {.data = mem_alloc(s.len)};
    struct body split = {.data = mem_alloc(s.len)};

    h1_body_init(&whole.b, framing, cut / 2);
    split.b = whole.b;
    read_body(&whole, s);
    read_body(&split, slice_sub(s, 0, cut));
    if (split.last == H1_BODY_MORE)
        read_body(&split, s);
    assert(split.last == whole.last);
    if (whole.last != H1_BODY_BAD) {
        assert(split.used == whole.used && split.len == whole.len);
        assert(whole.len == 0 ||
               memcmp(split.data, whole.data, whole.len) == 0);
        assert(slice_eq(split.trailers, whole.trailers));
        fuzz_trailers(whole.trailers);
    }
    mem_free(whole.data);
    mem_free(split.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice s;
    size_t cut;

    if (size < 3)
        return 0;
    s = slice_of((const char *)data + 2, size - 2);
    cut = data[1] * (s.len + 1) / 256;
    switch (data[0]) {
    case 'r':
        fuzz_head(s, cut, HTTP_GET);
        break;
    case 'h':
        fuzz_head(s, cut, HTTP_HEAD);
        break;
    case 'c':
        fuzz_body(s, cut, H1_CHUNKED);
        break;
    case 'l':
        fuzz_body(s, cut, H1_LENGTH);
        break;
    case 't':
        fuzz_trailers(s);
        break;
    default:
        fuzz_head(s, cut, REQUEST);
        break;
    }
    return 0;
}
