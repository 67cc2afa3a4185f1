/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 without TLS, from a client or an application that says what it likes:
 * frames into the session with exchanges behind it (conn.h). A request that was
 * taken is one request, and the same one, to the next hop, whichever version it
 * speaks: nothing in it can end a line of HTTP/1. */
#include "fuzz/conn.h"
#include "lib/http/h1_parse.h"
#include "lib/http/h1_target.h"
#include "lib/http/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WRITTEN_MAX = 1 << 18 };

static struct http_conn *server(struct loop *l, struct stream *s,
                                const struct http_limits *lim,
                                const struct http_conn_events *ev, void *owner)
{
    return h2_server_new(l, s, lim, SLICE_NONE, ev, owner);
}

static char written[WRITTEN_MAX];

static slice write_http1(const struct head *h)
{
    struct bufq_pool pool;
    struct bufq q;

    bufq_pool_init(&pool, 0);
    bufq_init(&q, &pool);
    h1_write_request(&q, h, h1_request_framing(h), false);
    assert(q.len <= sizeof written);
    slice text = slice_of(written, bufq_copy(&q, written, sizeof written));
    bufq_fini(&q);
    return text;
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

/* What HTTP/1 refuses of it, it may refuse: 417, hops used up. */
static void check_same(const struct head *h, slice text)
{
    static struct header fields[HTTP_HEADERS_MAX + 8];
    struct head again = {
        .headers = {.at = fields, .cap = HTTP_HEADERS_MAX + 8}};
    struct http_limits lim = fuzz_limits;
    struct h1_error err;
    size_t scanned = 0, used;

    lim.head_bytes = WRITTEN_MAX;
    lim.max_headers = HTTP_HEADERS_MAX + 8;
    enum status rc = h1_parse_request(text, &lim, &scanned, &again, &used,
                                      &err);
    assert(rc != ERR_AGAIN);
    if (rc)
        return;
    assert(used == text.len);
    assert(slice_eq(again.method, h->method));
    assert(slice_eq(again.path, h->path));
    assert(slice_eq(again.authority, h->authority));
    assert(again.content_length == h->content_length);
    assert(again.chunked == h->chunked);
    if (h->method_id != HTTP_OPTIONS && h->method_id != HTTP_TRACE)
        check_fields(&h->headers, &again.headers); /* else counted down */
}

static void check_path(slice path)
{
    for (enum path_rule r = PATH_BASE; r <= PATH_STRICT; r++) {
        size_t room = path_room(r, path);
        char *to = mem_alloc(room);
        slice out = path;

        if (room && path_normalise(r, path, to, &out) == OK)
            assert(out.len <= room && out.ptr[0] == '/');
        mem_free(to);
    }
}

static void check_request(const struct head *h)
{
    assert(!h->authority.len || http_authority_valid(h->authority));
    if (h->method_id == HTTP_CONNECT)
        return;
    assert(h->path.len && (h->path.ptr[0] == '/' || h->path.len == 1));
    check_path(h->path);
    if (h->authority.len && h->headers.len <= HTTP_HEADERS_MAX)
        check_same(h, write_http1(h));
}

/* Preface, SETTINGS and its acknowledgement. */
static const char client_greeting[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                      "\0\0\0\4\0\0\0\0\0"
                                      "\0\0\0\4\1\0\0\0";
static const char server_greeting[] = "\0\0\0\4\0\0\0\0\0"
                                      "\0\0\0\4\1\0\0\0";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_check_request = check_request;
    /* With the NUL that the compiler adds: the last byte of a frame. */
    fuzz_conn_run(slice_of(data, size), server, h2_client_new,
                  slice_of(server_greeting, sizeof server_greeting),
                  slice_of(client_greeting, sizeof client_greeting));
    return 0;
}
