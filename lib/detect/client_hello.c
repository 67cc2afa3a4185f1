/* SPDX-License-Identifier: Apache-2.0 */
/* A reader walks the handshake bytes one after the other and steps over record
 * headers where they fall, so a hello in one record and one in many are the
 * same to the code above it. Blocks with a length of their own are nested by
 * `end`, counted in handshake bytes.
 *
 * The first thing that is wrong is kept in `rc` and stops all further reading:
 * check once, after a group of reads, and always before trusting a length. */
#include "lib/detect/client_hello.h"

enum {
    RECORD_HANDSHAKE = 0x16,
    RECORD_MAX = 16384,
    CLIENT_HELLO = 1,
    RANDOM_LEN = 32,
    SESSION_ID_MAX = 32,
    EXT_SERVER_NAME = 0,
    EXT_ALPN = 16,
    NAME_TYPE_HOST = 0,
};

struct reader {
    slice in;
    size_t at;     /* in `in` */
    size_t record; /* bytes left in the record */
    size_t pos;    /* handshake bytes read */
    size_t end;    /* of the innermost block, as a `pos` */
    enum status rc;
};

static void fail(struct reader *r, enum status rc)
{
    if (!r->rc)
        r->rc = rc;
}

/* One byte of the connection, 0 when there is none. */
static uint8_t raw(struct reader *r)
{
    if (r->rc)
        return 0;
    if (r->at == r->in.len) {
        fail(r, r->at < CLIENT_HELLO_MAX ? ERR_AGAIN : ERR_TOO_BIG);
        return 0;
    }
    return (uint8_t)r->in.ptr[r->at++];
}

static void expect(struct reader *r, bool ok)
{
    if (!r->rc && !ok)
        fail(r, ERR_PROTOCOL);
}

static void open_record(struct reader *r)
{
    size_t len;

    expect(r, raw(r) == RECORD_HANDSHAKE);
    expect(r, raw(r) == 3);
    expect(r, raw(r) <= 4);
    len = (size_t)raw(r) << 8;
    expect(r, len <= RECORD_MAX);
    len |= raw(r);
    expect(r, len > 0 && len <= RECORD_MAX);
    r->record = r->rc ? 0 : len;
}

static uint8_t u8(struct reader *r)
{
    expect(r, r->pos < r->end);
    if (!r->rc && r->record == 0)
        open_record(r);
    uint8_t byte = raw(r);
    if (r->rc)
        return 0;
    r->record--;
    r->pos++;
    return byte;
}

static size_t u16(struct reader *r)
{
    size_t high = u8(r);

    return high << 8 | u8(r);
}

/* Reads `n` bytes to `dst`, or over them when it is NULL. */
static void take(struct reader *r, char *dst, size_t n)
{
    expect(r, n <= r->end - r->pos);
    for (size_t i = 0; i < n && !r->rc; i++) {
        char c = (char)u8(r);
        if (dst)
            dst[i] = c;
    }
}

/* Enters a block of `len` bytes; gives the end of the one around it. */
static size_t enter(struct reader *r, size_t len)
{
    size_t outer = r->end;

    expect(r, len <= r->end - r->pos);
    if (!r->rc)
        r->end = r->pos + len;
    return outer;
}

/* Everything in the block must have been read. */
static void leave(struct reader *r, size_t outer)
{
    expect(r, r->pos == r->end);
    r->end = outer;
}

static void read_server_name(struct reader *r, struct client_hello *h)
{
    size_t outer;
    bool found = false;

    outer = enter(r, u16(r));
    expect(r, r->pos < r->end);
    while (!r->rc && r->pos < r->end) {
        uint8_t type = u8(r);
        size_t len = u16(r);
        bool host = type == NAME_TYPE_HOST;

        expect(r, len > 0 && !(host && found));
        if (!r->rc && host && len > CLIENT_HELLO_NAME_MAX)
            fail(r, ERR_TOO_BIG);
        take(r, host ? h->name : NULL, len);
        if (!r->rc && host) {
            found = true;
            h->name_len = (uint8_t)len;
            expect(r, !memchr(h->name, 0, len));
        }
    }
    leave(r, outer);
}

static void read_alpn(struct reader *r, struct client_hello *h)
{
    size_t len = u16(r), outer = enter(r, len);

    expect(r, len > 0);
    if (!r->rc && len > CLIENT_HELLO_ALPN_MAX)
        fail(r, ERR_TOO_BIG);
    while (!r->rc && r->pos < r->end) {
        uint8_t name = u8(r);

        expect(r, name > 0);
        if (r->rc)
            break;
        h->alpn[h->alpn_len] = (char)name;
        take(r, h->alpn + h->alpn_len + 1, name);
        if (!r->rc)
            h->alpn_len = (uint16_t)(h->alpn_len + 1 + name);
    }
    leave(r, outer);
}

static void read_extensions(struct reader *r, struct client_hello *h)
{
    bool name = false, alpn = false;
    size_t all = enter(r, u16(r));

    while (!r->rc && r->pos < r->end) {
        size_t type = u16(r);
        size_t outer = enter(r, u16(r));

        if (r->rc)
            break;
        if (type == EXT_SERVER_NAME) {
            expect(r, !name); /* RFC 8446 section 4.2: no type twice */
            name = true;
            read_server_name(r, h);
        } else if (type == EXT_ALPN) {
            expect(r, !alpn);
            alpn = true;
            read_alpn(r, h);
        } else {
            take(r, NULL, r->end - r->pos);
        }
        leave(r, outer);
    }
    leave(r, all);
}

static void read_body(struct reader *r, struct client_hello *h)
{
    size_t len;

    expect(r, u8(r) == 3);
    (void)u8(r);
    take(r, NULL, RANDOM_LEN);
    len = u8(r);
    expect(r, len <= SESSION_ID_MAX);
    take(r, NULL, len);
    len = u16(r);
    expect(r, len >= 2 && len % 2 == 0);
    take(r, NULL, len);
    len = u8(r);
    expect(r, len >= 1);
    take(r, NULL, len);
    if (!r->rc && r->pos < r->end) /* before TLS 1.3 they may be missing */
        read_extensions(r, h);
}

enum status client_hello_read(slice bytes, struct client_hello *out)
{
    struct reader r = {.in = slice_sub(bytes, 0, CLIENT_HELLO_MAX),
                       .end = CLIENT_HELLO_MAX};
    size_t len, outer;

    out->name_len = 0;
    out->alpn_len = 0;
    expect(&r, u8(&r) == CLIENT_HELLO);
    len = (size_t)u8(&r) << 16;
    len |= u16(&r);
    if (!r.rc && len > CLIENT_HELLO_MAX - r.pos)
        fail(&r, ERR_TOO_BIG);
    outer = enter(&r, len);
    read_body(&r, out);
    leave(&r, outer);
    if (r.rc) {
        out->name_len = 0;
        out->alpn_len = 0;
    }
    return r.rc;
}

slice client_hello_name(const struct client_hello *h)
{
    return slice_of(h->name, h->name_len);
}

bool client_hello_next_alpn(const struct client_hello *h, size_t *at,
                            slice *name)
{
    size_t len;

    if (*at >= h->alpn_len)
        return false;
    len = (uint8_t)h->alpn[*at];
    *name = slice_of(h->alpn + *at + 1, len);
    *at += 1 + len;
    return true;
}

bool client_hello_has_alpn(const struct client_hello *h, slice name)
{
    size_t at = 0;
    slice one;

    while (client_hello_next_alpn(h, &at, &one)) {
        if (slice_eq(one, name))
            return true;
    }
    return false;
}
