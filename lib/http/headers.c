/* SPDX-License-Identifier: Apache-2.0 */
/* Field lists, and the table of the names we know: which id a name has, and
 * whether it belongs to one connection only (RFC 9110 section 7.6.1).
 *
 * Hop by hop are Connection, Keep-Alive, Proxy-Connection, TE,
 * Transfer-Encoding, Upgrade and HTTP2-Settings. Not Trailer: it describes the
 * message and goes on with it. Not Proxy-Authenticate and Proxy-Authorization:
 * a sidecar is not the proxy that they speak to, the app behind it may be. */
#include "lib/http/chars.h"
#include "lib/http/message.h"

struct known {
    slice name;
    uint8_t id;
    bool hop;
};

#define ROW(text, id, hop)        \
    {                             \
        SLICE_INIT(text), id, hop \
    }

/* By length. */
static const struct known known[] = {
    ROW("te", HDR_TE, true),
    ROW("date", HDR_DATE, false),
    ROW("host", HDR_HOST, false),
    ROW("expect", HDR_EXPECT, false),
    ROW("trailer", HDR_TRAILER, false),
    ROW("upgrade", HDR_UPGRADE, true),
    ROW("forwarded", HDR_FORWARDED, false),
    ROW("connection", HDR_CONNECTION, true),
    ROW("keep-alive", HDR_KEEP_ALIVE, true),
    ROW("user-agent", HDR_USER_AGENT, false),
    ROW("traceparent", HDR_TRACEPARENT, false),
    ROW("content-type", HDR_CONTENT_TYPE, false),
    ROW("x-request-id", HDR_X_REQUEST_ID, false),
    ROW("content-length", HDR_CONTENT_LENGTH, false),
    ROW("http2-settings", HDR_HTTP2_SETTINGS, true),
    ROW("x-forwarded-for", HDR_X_FORWARDED_FOR, false),
    ROW("proxy-connection", HDR_PROXY_CONNECTION, true),
    ROW("transfer-encoding", HDR_TRANSFER_ENCODING, true),
    ROW("proxy-authenticate", HDR_PROXY_AUTHENTICATE, false),
    ROW("proxy-authorization", HDR_PROXY_AUTHORIZATION, false),
};
#undef ROW

enum { LONGEST = 19 };

/* Rows of that length start at at_length[n] and end before at_length[n + 1]. */
static const uint8_t at_length[LONGEST + 2] = {
    0, 0, 0, 1, 1, 3, 3, 4, 6, 6, 7, 10, 11, 13, 13, 15, 16, 17, 18, 19, 20,
};

/* Names that claim an identity. Many applications read "_" and "-" as one. */
static const slice ours = SLICE_INIT("tulle-");
static const slice client_cert = SLICE_INIT("x-forwarded-client-cert");

static uint64_t word_at(const char *p)
{
    uint64_t w;

    memcpy(&w, p, sizeof w);
    return w;
}

/* Are these eight bytes the same but for case? `lower` holds no capitals, and
 * only bytes from 0x20 on: so a control byte, which the 0x20 would make equal
 * to a digit or dash, is caught by asking for that bit or a letter's. */
static bool word_same(const char *lower, const char *name)
{
    const uint64_t ones = ~UINT64_C(0) / 255;
    uint64_t w = word_at(name);
    uint64_t graphic = w | (w >> 1); /* 0x20: set in 0x20-0x3f, 0x40-0x7f */

    return (w | ones * 0x20) == word_at(lower) &&
           (graphic & ones * 0x20) == ones * 0x20;
}

/* `lower` is in lower case, and of the same length. */
static bool same_name(slice lower, slice name)
{
    size_t i = 0;

    if (name.len < 8)
        return slice_eq_nocase(lower, name);
    for (; i + 8 <= name.len; i += 8)
        if (!word_same(lower.ptr + i, name.ptr + i))
            return false;
    i = name.len - 8; /* again some that were seen: no odd bytes to handle */
    return word_same(lower.ptr + i, name.ptr + i);
}

static const struct known *find_known(slice name)
{
    const struct known *k, *end;
    char first;

    if (name.len == 0 || name.len > LONGEST)
        return NULL;
    first = (char)(name.ptr[0] | 0x20);
    end = known + at_length[name.len + 1];
    for (k = known + at_length[name.len]; k < end; k++)
        if (k->name.ptr[0] == first && same_name(k->name, name))
            return k;
    return NULL;
}

/* Does `name` start with `lower`, "_" being as good as "-"? */
static bool starts_as(slice name, slice lower)
{
    if (name.len < lower.len)
        return false;
    for (size_t i = 0; i < lower.len; i++) {
        char c = name.ptr[i] == '_' ? '-' : name.ptr[i];

        if (c >= 'A' && c <= 'Z')
            c = (char)(c | 0x20);
        if (c != lower.ptr[i])
            return false;
    }
    return true;
}

static enum header_id claim_of(slice name)
{
    if (starts_as(name, ours))
        return HDR_TULLE;
    if (name.len == client_cert.len && starts_as(name, client_cert))
        return HDR_CLIENT_CERT;
    return HDR_OTHER;
}

/* Fills id and hop from the name. */
static void classify(struct header *h)
{
    const struct known *k = find_known(h->name);

    h->id = k ? k->id : claim_of(h->name);
    h->hop = k && k->hop;
}

enum header_id header_id_of(slice name)
{
    struct header h = {.name = name};

    classify(&h);
    return h.id;
}

enum status headers_add(struct headers *h, slice name, slice value)
{
    struct header *at;

    if (h->len >= h->cap)
        return ERR_TOO_BIG;
    at = &h->at[h->len++];
    at->name = name;
    at->value = value;
    classify(at);
    return OK;
}

const struct header *headers_find(const struct headers *h, enum header_id id)
{
    for (uint32_t i = 0; i < h->len; i++)
        if (h->at[i].id == id)
            return &h->at[i];
    return NULL;
}

const struct header *headers_find_name(const struct headers *h, slice name)
{
    for (uint32_t i = 0; i < h->len; i++)
        if (slice_eq_nocase(h->at[i].name, name))
            return &h->at[i];
    return NULL;
}

void headers_drop(struct headers *h, enum header_id id)
{
    for (uint32_t i = 0; i < h->len; i++)
        if (h->at[i].id == id)
            h->at[i].hop = true;
}

bool header_name_valid(slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!char_is(name.ptr[i], CHAR_TOKEN))
            return false;
    return name.len > 0;
}

bool header_value_valid(slice value)
{
    const char *end;

    if (value.len == 0) /* without an address, perhaps: no arithmetic */
        return true;
    end = value.ptr + value.len;
    return chars_skip_text(value.ptr, end) == end;
}

bool header_has_token(slice value, slice token)
{
    slice part;

    while (slice_next(&value, ',', &part))
        if (slice_eq_nocase(slice_trim(part), token))
            return true;
    return false;
}

/* RFC 9110 section 6.5.1: what decides framing, routing, authentication, or
 * how the content is read, comes too late in a trailer. */
bool header_trails(const struct header *h)
{
    static const slice refused[] = {
        SLICE_INIT("age"),
        SLICE_INIT("authorization"),
        SLICE_INIT("cache-control"),
        SLICE_INIT("content-encoding"),
        SLICE_INIT("content-range"),
        SLICE_INIT("cookie"),
        SLICE_INIT("expires"),
        SLICE_INIT("if-match"),
        SLICE_INIT("if-modified-since"),
        SLICE_INIT("if-none-match"),
        SLICE_INIT("if-range"),
        SLICE_INIT("if-unmodified-since"),
        SLICE_INIT("location"),
        SLICE_INIT("max-forwards"),
        SLICE_INIT("pragma"),
        SLICE_INIT("range"),
        SLICE_INIT("retry-after"),
        SLICE_INIT("set-cookie"),
        SLICE_INIT("vary"),
        SLICE_INIT("www-authenticate"),
    };

    if (h->id != HDR_OTHER) /* all names that somebody acts upon */
        return false;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (slice_eq_nocase(h->name, refused[i]))
            return false;
    return true;
}
