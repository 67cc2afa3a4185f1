/* SPDX-License-Identifier: Apache-2.0 */
/* Field blocks to heads and back (RFC 9113 section 8). nghttp2 has checked names,
 * values, order and number of pseudo fields; what they mean is decided here.
 *
 * An Upgrade of HTTP/1.1 travels as extended CONNECT (RFC 8441): :protocol is
 * what Upgrade offers, 200 stands for 101, and what has no place there is in
 * fields of ours: the method, if it is not GET; that the request has a body, and
 * its length (how it travels: h2_upgrade.c); the protocol that was granted; that
 * the upgrade was ignored, for an application may answer 200 without a tunnel. */
#include "lib/base/mem.h"
#include "lib/http/chars.h"
#include "lib/http/h1_target.h"
#include "lib/http/h2_conn.h"
#include "lib/http/upgrade.h"

#define HTTP2_FIELD SLICE("tulle-http2")
#define ABSOLUTE_FIELD SLICE("tulle-absolute")
#define CONNECT_FIELD SLICE("tulle-connect")
#define UPGRADE_METHOD SLICE("tulle-upgrade-method")
#define UPGRADE_BODY SLICE("tulle-upgrade-body")
#define UPGRADE_PROTOCOL SLICE("tulle-upgrade-protocol")
#define UPGRADE_FIELD SLICE("tulle-upgrade")

static slice name_of(const struct h2_block *b, uint32_t i)
{
    return slice_of(b->bytes + b->fields[i].name, b->fields[i].name_len);
}

static slice value_of(const struct h2_block *b, uint32_t i)
{
    return slice_of(b->bytes + b->fields[i].value, b->fields[i].value_len);
}

static enum status take_content_length(struct head *out, slice value)
{
    uint64_t n;
    if (slice_to_u64(value, INT64_MAX, &n))
        return ERR_PROTOCOL;
    out->content_length = (int64_t)n;
    return OK;
}

/* A regular field; those that HTTP/2 forbids never get here. */
static enum status add_field(struct head *out, slice name, slice value)
{
    struct headers *list = &out->headers;
    if (list->len == list->cap)
        return ERR_TOO_BIG;
    struct header *f = &list->at[list->len++];
    *f = (struct header){
        .name = name, .value = value, .id = (uint8_t)header_id_of(name)};
    switch (f->id) {
    case HDR_CONTENT_LENGTH:
        return take_content_length(out, value);
    case HDR_HTTP2_SETTINGS: /* of an upgrade that is none */
        f->hop = true;
        return OK;
    case HDR_TE:
        f->hop = true;
        out->te_trailers = slice_eq_nocase(value, SLICE("trailers"));
        return OK;
    case HDR_EXPECT:
        out->expect_continue = slice_eq_nocase(value, SLICE("100-continue"));
        return OK;
    default:
        return OK;
    }
}

static enum status take_regular(const struct h2_block *b, uint32_t from,
                                struct head *out)
{
    for (uint32_t i = from; i < b->count; i++) {
        slice name = name_of(b, i);
        if (name.len && name.ptr[0] == ':')
            return ERR_PROTOCOL;
        enum status rc = add_field(out, name, value_of(b, i));
        if (rc)
            return rc;
    }
    return OK;
}

static void take_request_pseudo(struct head *out, slice name, slice value)
{
    if (slice_eq(name, SLICE(":method")))
        out->method = value;
    else if (slice_eq(name, SLICE(":path")))
        out->path = out->target = value;
    else if (slice_eq(name, SLICE(":authority")))
        out->authority = value;
    else if (slice_eq(name, SLICE(":scheme")))
        out->scheme = value;
    else if (slice_eq(name, SLICE(":protocol")))
        out->protocol = value;
}

/* Host stands for a missing :authority; both must agree (RFC 9113 section
 * 8.3.1), so that routing, policy and the application read one name: the authority. */
static enum status agree_on_host(struct head *out)
{
    const struct header *host = headers_find(&out->headers, HDR_HOST);
    if (host && slice_empty(out->authority))
        out->authority = host->value;
    if (host && !http_authority_same(host->value, out->authority))
        return ERR_PROTOCOL;
    headers_drop(&out->headers, HDR_HOST); /* written from the authority */
    return OK;
}

static enum status take_upgrade_field(struct head *out, struct header *f)
{
    if (slice_eq(f->name, UPGRADE_METHOD)) {
        f->hop = true;
        out->method = f->value;
        return header_name_valid(f->value) ? OK : ERR_PROTOCOL;
    }
    if (!slice_eq(f->name, UPGRADE_BODY))
        return OK;
    f->hop = true;
    out->chunked = slice_eq(f->value, SLICE("chunked"));
    return out->chunked ? OK : take_content_length(out, f->value);
}

/* A stream that asks for an upgrade has no Content-Length: its length is that of
 * the tunnel too. */
static enum status take_upgrade(struct head *out, bool link)
{
    if (!slice_eq(upgrade_offer(out->protocol), out->protocol))
        return ERR_PROTOCOL;
    out->upgrade = true;
    out->method = SLICE("GET");
    out->content_length = -1;
    if (!link)
        return OK;
    for (uint32_t i = 0; i < out->headers.len; i++) {
        enum status rc = take_upgrade_field(out, &out->headers.at[i]);
        if (rc)
            return rc;
    }
    return slice_eq(out->method, SLICE("CONNECT")) ? ERR_PROTOCOL : OK;
}

/* nghttp2 is not as strict as our HTTP/1, and beside a scheme that it does not
 * know it takes any path: the next hop would read "http://other/" as a target. */
static enum status check_target(const struct head *out)
{
    slice path = out->path;
    if (http_method_reserved(out->method) ||
        (out->scheme.len && !http_scheme_valid(out->scheme)))
        return ERR_PROTOCOL;
    if (out->authority.len && !http_authority_valid(out->authority))
        return ERR_PROTOCOL;
    if (out->method_id == HTTP_CONNECT)
        return OK; /* has no path */
    if (path.len == 0 || chars_skip(path.ptr, path.ptr + path.len,
                                    CHAR_TARGET) != path.ptr + path.len)
        return ERR_PROTOCOL;
    if (path.ptr[0] == '/')
        return OK;
    return out->method_id == HTTP_OPTIONS && slice_eq(path, SLICE("*"))
               ? OK
               : ERR_PROTOCOL;
}

static bool is_cookie(const struct h2_block *b, uint32_t i)
{
    return slice_eq(name_of(b, i), SLICE("cookie"));
}

static void append(struct h2_block *b, slice text)
{
    memcpy(b->bytes + b->len, text.ptr, text.len);
    b->len += text.len;
}

/* The crumbs behind one another at the end of the block's bytes; empty ones would
 * leave a blank at the end, which no value has. */
static struct h2_field gather_cookies(struct h2_block *b, size_t room)
{
    struct h2_field all = {.name_len = (uint32_t)SLICE("cookie").len};
    if (b->len + room > b->cap) {
        b->cap = b->len + room;
        b->bytes = mem_resize(b->bytes, b->cap);
    }
    all.name = (uint32_t)b->len;
    append(b, SLICE("cookie"));
    all.value = (uint32_t)b->len;
    for (uint32_t i = 0; i < b->count; i++) {
        if (!is_cookie(b, i) || b->fields[i].value_len == 0)
            continue;
        if (b->len > all.value)
            append(b, SLICE("; "));
        append(b, value_of(b, i));
    }
    all.value_len = (uint32_t)b->len - all.value;
    return all;
}

void h2_join_cookies(struct h2_block *b)
{
    size_t room = SLICE("cookie").len;
    uint32_t crumbs = 0, kept = 0;
    for (uint32_t i = 0; i < b->count; i++)
        if (is_cookie(b, i)) {
            crumbs++;
            room += b->fields[i].value_len + SLICE("; ").len;
        }
    if (crumbs < 2)
        return;
    struct h2_field all = gather_cookies(b, room);
    for (uint32_t i = 0; i < b->count; i++)
        if (!is_cookie(b, i))
            b->fields[kept++] = b->fields[i];
    b->fields[kept++] = all;
    b->count = kept;
}

/* On a link, what a request of HTTP/2 cannot say of the client behind: its version,
 * the form of its target, and that a CONNECT is its own. */
static void take_marks(struct head *out)
{
    out->opaque = out->method_id == HTTP_CONNECT;
    out->http2 = false;
    for (uint32_t i = 0; i < out->headers.len; i++) {
        struct header *f = &out->headers.at[i];
        if (f->id != HDR_TULLE)
            continue;
        if (slice_eq(f->name, HTTP2_FIELD))
            out->http2 = f->hop = true;
        else if (slice_eq(f->name, ABSOLUTE_FIELD))
            out->absolute = f->hop = true;
        else if (slice_eq(f->name, CONNECT_FIELD))
            out->opaque = !(f->hop = true);
    }
}

enum status h2_head_request(const struct h2_block *b, bool link,
                            struct head *out)
{
    uint32_t i = 0;
    out->content_length = -1;
    out->minor = 1;
    out->keep_alive = true;
    for (; i < b->count && b->bytes[b->fields[i].name] == ':'; i++)
        take_request_pseudo(out, name_of(b, i), value_of(b, i));
    enum status rc = take_regular(b, i, out);
    if (rc)
        return rc;
    rc = agree_on_host(out);
    if (rc)
        return rc;
    if (out->protocol.len) {
        rc = take_upgrade(out, link);
        if (rc)
            return rc;
    }
    out->method_id = (uint8_t)http_method_id(out->method);
    out->http2 = true;
    if (link)
        take_marks(out);
    return check_target(out);
}

enum status h2_head_response(const struct h2_block *b, struct head *out)
{
    uint64_t status = 0;
    out->content_length = -1;
    out->minor = 1;
    out->keep_alive = true;
    if (b->count == 0 || !slice_eq(name_of(b, 0), SLICE(":status")) ||
        slice_to_u64(value_of(b, 0), 599, &status) || status < 100 ||
        status == 101)
        return ERR_PROTOCOL;
    out->status = (uint16_t)status;
    return take_regular(b, 1, out);
}

bool h2_head_upgrade_ignored(struct head *h)
{
    bool ignored = false;
    for (uint32_t i = 0; i < h->headers.len; i++) {
        struct header *f = &h->headers.at[i];
        bool named = slice_eq(f->name, UPGRADE_PROTOCOL);
        if (named)
            h->protocol = upgrade_offer(f->value);
        ignored |= slice_eq(f->name, UPGRADE_FIELD);
        f->hop |= named || slice_eq(f->name, UPGRADE_FIELD);
    }
    return ignored;
}

void h2_head_trailers(const struct h2_block *b, struct headers *out)
{
    for (uint32_t i = 0; i < b->count; i++) {
        if (headers_add(out, name_of(b, i), value_of(b, i)))
            return;
        if (!header_trails(&out->at[out->len - 1]))
            out->len--;
    }
}

/* ---- out ---- */

static void put(nghttp2_nv *nv, size_t *n, slice name, slice value)
{
    nv[(*n)++] = (nghttp2_nv){(uint8_t *)(uintptr_t)name.ptr,
                              (uint8_t *)(uintptr_t)value.ptr, name.len,
                              value.len, NGHTTP2_NV_FLAG_NONE};
}

static bool forbidden(const struct header *f)
{
    switch (f->id) {
    case HDR_CONNECTION:
    case HDR_KEEP_ALIVE:
    case HDR_PROXY_CONNECTION:
    case HDR_TRANSFER_ENCODING:
    case HDR_UPGRADE:
    case HDR_HOST:
    case HDR_CONTENT_LENGTH:
    case HDR_TE:
    case HDR_HTTP2_SETTINGS:
        return true;
    default:
        return f->hop;
    }
}

static void put_fields(nghttp2_nv *nv, size_t *n, const struct headers *list)
{
    for (uint32_t i = 0; i < list->len && *n < H2_NV_MAX; i++)
        if (!forbidden(&list->at[i]))
            put(nv, n, list->at[i].name, list->at[i].value);
}

static void put_length(nghttp2_nv *nv, size_t *n, const struct head *h,
                       struct h2_scratch *scratch)
{
    if (h->content_length < 0)
        return;
    int len = snprintf(scratch->length, sizeof scratch->length, "%lld",
                       (long long)h->content_length);
    put(nv, n, SLICE("content-length"), slice_of(scratch->length, (size_t)len));
}

static void put_marks(nghttp2_nv *nv, size_t *n, const struct head *h)
{
    if (h->http2)
        put(nv, n, HTTP2_FIELD, SLICE("1"));
    if (h->absolute)
        put(nv, n, ABSOLUTE_FIELD, SLICE("1"));
    if (h->method_id == HTTP_CONNECT && !h->opaque)
        put(nv, n, CONNECT_FIELD, SLICE("1"));
}

size_t h2_nv_request(const struct head *h, bool link, nghttp2_nv nv[H2_NV_MAX],
                     struct h2_scratch *scratch)
{
    size_t n = 0;
    bool tunnel = !h->upgrade && h->method_id == HTTP_CONNECT;
    put(nv, &n, SLICE(":method"), h->upgrade ? SLICE("CONNECT") : h->method);
    if (!tunnel) {
        put(nv, &n, SLICE(":scheme"),
            h->scheme.len ? h->scheme : SLICE("http"));
        put(nv, &n, SLICE(":path"), h->path);
    }
    if (h->authority.len)
        put(nv, &n, SLICE(":authority"), h->authority);
    if (h->upgrade)
        put(nv, &n, SLICE(":protocol"), h->protocol);
    else
        put_length(nv, &n, h, scratch);
    if (h->upgrade && h->method_id != HTTP_GET)
        put(nv, &n, UPGRADE_METHOD, h->method);
    if (h->te_trailers)
        put(nv, &n, SLICE("te"), SLICE("trailers"));
    if (link)
        put_marks(nv, &n, h);
    put_fields(nv, &n, &h->headers);
    return n;
}

size_t h2_nv_upgrade_body(nghttp2_nv nv[H2_NV_MAX], size_t n,
                          const struct head *h, struct h2_scratch *scratch)
{
    size_t at = n;
    if (n == H2_NV_MAX)
        return n;
    put_length(nv, &n, h, scratch);
    if (n == at) {
        put(nv, &n, UPGRADE_BODY, SLICE("chunked"));
        return n;
    }
    nv[at].name = (uint8_t *)(uintptr_t)UPGRADE_BODY.ptr;
    nv[at].namelen = UPGRADE_BODY.len;
    return n;
}

size_t h2_nv_response(const struct head *h, bool link, nghttp2_nv nv[H2_NV_MAX],
                      struct h2_scratch *scratch)
{
    size_t n = 0;
    unsigned status = h->status == 101 ? 200 : h->status;
    scratch->status[0] = (char)('0' + status / 100 % 10);
    scratch->status[1] = (char)('0' + status / 10 % 10);
    scratch->status[2] = (char)('0' + status % 10);
    put(nv, &n, SLICE(":status"), slice_of(scratch->status, 3));
    if (status >= 200 && status != 204 && h->status != 101)
        put_length(nv, &n, h, scratch);
    if (link && h->protocol.len)
        put(nv, &n, UPGRADE_PROTOCOL, h->protocol);
    put_fields(nv, &n, &h->headers);
    return n;
}

size_t h2_nv_upgrade_ignored(nghttp2_nv nv[H2_NV_MAX], size_t n)
{
    if (n < H2_NV_MAX)
        put(nv, &n, UPGRADE_FIELD, SLICE("ignored"));
    return n;
}

size_t h2_nv_trailers(const struct headers *t, nghttp2_nv nv[H2_NV_MAX])
{
    size_t n = 0;
    put_fields(nv, &n, t);
    return n;
}
