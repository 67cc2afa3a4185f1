/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on a field list, driven by the bytes, beside a model that knows
 * names by comparing all of them: the same ids, the same marks, the same finds;
 * and a copy is the same and stands alone. */
#include <assert.h>

#include "lib/http/chars.h"
#include "tests/unit/http/heads.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROOM = 20, ARENA_MAX = 8192 };

/* ---- the model ---- */

static const struct {
    const char *name;
    enum header_id id;
    bool hop;
} known[] = {
    {"connection", HDR_CONNECTION, true},
    {"content-length", HDR_CONTENT_LENGTH, false},
    {"content-type", HDR_CONTENT_TYPE, false},
    {"date", HDR_DATE, false},
    {"expect", HDR_EXPECT, false},
    {"forwarded", HDR_FORWARDED, false},
    {"host", HDR_HOST, false},
    {"http2-settings", HDR_HTTP2_SETTINGS, true},
    {"keep-alive", HDR_KEEP_ALIVE, true},
    {"proxy-authenticate", HDR_PROXY_AUTHENTICATE, false},
    {"proxy-authorization", HDR_PROXY_AUTHORIZATION, false},
    {"proxy-connection", HDR_PROXY_CONNECTION, true},
    {"te", HDR_TE, true},
    {"traceparent", HDR_TRACEPARENT, false},
    {"trailer", HDR_TRAILER, false},
    {"transfer-encoding", HDR_TRANSFER_ENCODING, true},
    {"upgrade", HDR_UPGRADE, true},
    {"user-agent", HDR_USER_AGENT, false},
    {"x-forwarded-for", HDR_X_FORWARDED_FOR, false},
    {"x-request-id", HDR_X_REQUEST_ID, false},
};
enum { KNOWN = sizeof known / sizeof known[0] };

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c + 32 : (unsigned char)c;
}

static bool same(slice a, slice b, bool dashes)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        int x = lower(a.ptr[i]), y = lower(b.ptr[i]);

        if (dashes && x == '_')
            x = '-';
        if (x != y)
            return false;
    }
    return true;
}

static struct header model_of(slice name, slice value)
{
    struct header h = {.name = name, .value = value, .id = HDR_OTHER};

    for (size_t i = 0; i < KNOWN; i++)
        if (same(name, slice_str(known[i].name), false)) {
            h.id = (uint8_t)known[i].id;
            h.hop = known[i].hop;
        }
    if (name.len >= 6 && same(slice_sub(name, 0, 6), SLICE("tulle-"), true))
        h.id = HDR_TULLE;
    if (same(name, SLICE("x-forwarded-client-cert"), true))
        h.id = HDR_CLIENT_CERT;
    return h;
}

/* ---- bytes as operations ---- */

struct input {
    slice rest;
};

static unsigned byte(struct input *in)
{
    unsigned c;

    if (in->rest.len == 0)
        return 0;
    c = (unsigned char)in->rest.ptr[0];
    in->rest = slice_sub(in->rest, 1, in->rest.len);
    return c;
}

static slice take(struct input *in)
{
    size_t n = byte(in) % 64;
    slice s = slice_sub(in->rest, 0, n);

    in->rest = slice_sub(in->rest, s.len, in->rest.len);
    return exact_copy(s);
}

/* A name of the table in some case, or any bytes. */
static slice take_name(struct input *in)
{
    unsigned pick = byte(in), flips;

    if (pick >= KNOWN)
        return take(in);
    slice s = exact_copy(slice_str(known[pick].name));
    flips = byte(in);
    for (size_t i = 0; i < s.len; i++)
        if (flips >> (i % 8) & 1)
            ((char *)(uintptr_t)s.ptr)[i] ^= 0x20;
    return s;
}

struct lists {
    struct header at[ROOM], model[ROOM];
    struct headers h;
};

static void check_value(slice name, slice value)
{
    bool good = true, token = name.len > 0;

    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        good &= c == '\t' || (c >= 0x20 && c != 0x7f);
    }
    for (size_t i = 0; i < name.len; i++)
        token &= char_is(name.ptr[i], CHAR_TOKEN);
    assert(header_value_valid(value) == good);
    assert(header_name_valid(name) == token);
}

static void add(struct lists *l, struct input *in)
{
    slice name = take_name(in), value = take(in);
    bool full = l->h.len == l->h.cap;

    check_value(name, value);
    assert((headers_add(&l->h, name, value) == ERR_TOO_BIG) == full);
    if (full) {
        exact_free(name);
        exact_free(value);
        return;
    }
    struct header *m = &l->model[l->h.len - 1];
    *m = model_of(name, value);
    assert(header_id_of(name) == m->id);
    assert(!header_trails(&l->h.at[l->h.len - 1]) || m->id == HDR_OTHER);
}

static void drop(struct lists *l, enum header_id id)
{
    headers_drop(&l->h, id);
    for (uint32_t i = 0; i < l->h.len; i++)
        l->model[i].hop |= l->model[i].id == id;
}

static void find(struct lists *l, struct input *in)
{
    const struct header *first = NULL, *named = NULL;
    enum header_id id = byte(in) % HDR_COUNT;
    slice name = take_name(in);

    for (uint32_t i = l->h.len; i-- > 0;) {
        if (l->model[i].id == id)
            first = &l->h.at[i];
        if (same(l->model[i].name, name, false))
            named = &l->h.at[i];
    }
    assert(headers_find(&l->h, id) == first);
    assert(headers_find_name(&l->h, name) == named);
    exact_free(name);
}

/* By commas, without blanks, in any case. */
static void tokens(struct input *in)
{
    slice value = take(in), token = take(in);
    bool there = false;

    for (size_t i = 0, end; i <= value.len; i = end + 1) {
        for (end = i; end < value.len && value.ptr[end] != ',';)
            end++;
        there |= same(slice_trim(slice_sub(value, i, end)), token, false);
    }
    assert(header_has_token(value, token) == there);
    exact_free(value);
    exact_free(token);
}

static void check_model(const struct lists *l, const struct headers *h)
{
    struct headers m = {.at = (struct header *)(uintptr_t)l->model,
                        .len = l->h.len};

    assert(headers_same(h, &m));
}

static void copy_list(struct lists *l)
{
    static struct header at[HTTP_HEADERS_MAX];
    struct headers two = headers_copy(&l->h, at);

    check_model(l, &two);
    assert(two.cap == HTTP_HEADERS_MAX);
    headers_drop(&two, HDR_OTHER);
    if (headers_add(&two, SLICE("x"), SLICE("y")))
        assert(false);
    check_model(l, &l->h);
}

/* All of a head in one piece of the arena, which the old one may die before. */
static void copy_head(struct lists *l, struct input *in)
{
    struct arena a;
    struct head from, *to = NULL;
    slice text = take(in);
    uint32_t extra = byte(in) % 8;

    arena_init(&a, ARENA_MAX);
    head_init_request(&from, text, text, text, NULL, 0);
    from.headers = l->h;
    from.protocol = from.reason = text;
    if (head_copy(&a, &from, extra, &to) == OK) {
        assert(to->headers.cap == l->h.len + extra);
        check_model(l, &to->headers);
        assert(head_same(to, &from));
        assert(!text.len || to->path.ptr != text.ptr);
        from = *to;
        exact_free(text);
        for (uint32_t i = 0; i < extra; i++)
            assert(headers_add(&to->headers, SLICE("x"), SLICE("")) == OK);
        assert(headers_add(&to->headers, SLICE("x"), SLICE("")));
        assert(slice_eq(from.path, to->method)); /* read after the free */
        text = SLICE_NONE;
    }
    exact_free(text);
    arena_reset(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lists l = {.h = {.at = l.at, .cap = 0}};
    struct input in = {slice_of((const char *)data, size)};

    l.h.cap = byte(&in) % (ROOM + 1);
    while (in.rest.len) {
        unsigned op = byte(&in);

        if (op < 'a')
            add(&l, &in);
        else if (op == 'a')
            drop(&l, byte(&in) % HDR_COUNT);
        else if (op == 'b')
            find(&l, &in);
        else if (op == 'c')
            copy_list(&l);
        else if (op == 'd')
            copy_head(&l, &in);
        else if (op == 'e')
            tokens(&in);
        check_model(&l, &l.h);
    }
    for (uint32_t i = 0; i < l.h.len; i++) {
        exact_free(l.h.at[i].name);
        exact_free(l.h.at[i].value);
    }
    return 0;
}
