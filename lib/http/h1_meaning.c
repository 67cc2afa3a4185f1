/* SPDX-License-Identifier: Apache-2.0 */
/* What the fields of one head mean together. First they are gathered in one
 * pass, then each question is asked once: what goes no further than this
 * connection? for which host? how is the body framed? is another protocol, or
 * a 100 (Continue), wanted? Two answers to one question refuse the message. */
#include "lib/http/h1_meaning.h"

#include "lib/http/chars.h"
#include "lib/http/h1_fields.h"
#include "lib/http/h1_target.h"
#include "lib/http/upgrade.h"

enum { OPTIONS_MAX = 64 }; /* Connection options of one head */

/* What was found, before it is judged. */
struct found {
    const struct header *host, *coding;
    slice upgrade; /* what may be offered of it */
    unsigned hosts, codings, lengths, connections;
    int64_t length;
    bool length_bad, length_differs;
    bool expect, expect_other;
    bool te_trailers;
    bool close, keep_alive, upgrade_option; /* Connection options */
};

/* RFC 9110 section 8.6: digits only; -1 when it is not that, or too large. */
static int64_t parse_length(slice v)
{
    int64_t n = 0;

    if (v.len == 0)
        return -1;
    for (size_t i = 0; i < v.len; i++) {
        int digit = v.ptr[i] - '0';

        if (!char_is(v.ptr[i], CHAR_DIGIT) || n > (INT64_MAX - digit) / 10)
            return -1;
        n = n * 10 + digit;
    }
    return n;
}

static void note_length(struct found *f, slice value)
{
    int64_t n = parse_length(value);

    if (n < 0)
        f->length_bad = true;
    if (f->lengths && n != f->length)
        f->length_differs = true;
    f->length = n;
    f->lengths++;
}

static void note(struct found *f, const struct header *h)
{
    switch (h->id) {
    case HDR_CONNECTION:
        f->connections++;
        break;
    case HDR_CONTENT_LENGTH:
        note_length(f, h->value);
        break;
    case HDR_EXPECT:
        f->expect = true;
        if (!slice_eq_nocase(h->value, SLICE("100-continue")))
            f->expect_other = true;
        break;
    case HDR_HOST:
        f->host = h;
        f->hosts++;
        break;
    case HDR_TE:
        if (header_has_token(h->value, SLICE("trailers")))
            f->te_trailers = true;
        break;
    case HDR_TRANSFER_ENCODING:
        f->coding = h;
        f->codings++;
        break;
    case HDR_UPGRADE:
        if (slice_empty(f->upgrade))
            f->upgrade = upgrade_offer(h->value);
        break;
    default:
        break;
    }
}

/* RFC 9110 section 7.6.1: a field named in Connection stays on this connection.
 * Never those that the message cannot be understood without, and never ours:
 * nobody takes them away by naming them. */
static void nominate(struct headers *fields, slice name)
{
    for (uint32_t i = 0; i < fields->len; i++) {
        struct header *h = &fields->at[i];

        if (h->name.len != name.len || h->id == HDR_HOST ||
            h->id == HDR_CONTENT_LENGTH || h->id == HDR_TULLE)
            continue;
        if (slice_eq_nocase(h->name, name))
            h->hop = true;
    }
}

static void read_option(struct headers *fields, struct found *f, slice option)
{
    if (slice_eq_nocase(option, SLICE("keep-alive")))
        f->keep_alive = true;
    else if (slice_eq_nocase(option, SLICE("close")))
        f->close = true;
    else if (slice_eq_nocase(option, SLICE("upgrade")))
        f->upgrade_option = true;
    else if (option.len)
        nominate(fields, option);
}

static enum status read_options(struct headers *fields, struct found *f,
                                struct h1_error *err)
{
    unsigned count = 0;
    slice rest, option;

    for (uint32_t i = 0; i < fields->len && f->connections; i++) {
        if (fields->at[i].id != HDR_CONNECTION)
            continue;
        rest = fields->at[i].value;
        while (slice_next(&rest, ',', &option)) {
            if (++count > OPTIONS_MAX)
                return h1_refuse(err, 400, "too many connection options");
            read_option(fields, f, slice_trim(option));
        }
    }
    return OK;
}

static enum status gather(struct head *h, struct found *f, struct h1_error *err)
{
    enum status rc;

    *f = (struct found){.length = -1};
    for (uint32_t i = 0; i < h->headers.len; i++)
        note(f, &h->headers.at[i]);
    rc = read_options(&h->headers, f, err);
    if (rc)
        return rc;
    h->keep_alive = !f->close && (h->minor > 0 || f->keep_alive);
    return OK;
}

/* RFC 9112 sections 6.1 and 6.3, without any of the repairs they allow. */
static enum status read_framing(struct head *h, const struct found *f,
                                struct h1_error *err)
{
    if (f->length_bad)
        return h1_refuse(err, 400, "bad Content-Length");
    if (f->length_differs)
        return h1_refuse(err, 400, "conflicting Content-Length");
    h->content_length = f->length;
    if (!f->codings)
        return OK;
    if (f->lengths)
        return h1_refuse(err, 400, "Transfer-Encoding beside Content-Length");
    if (h->minor == 0)
        return h1_refuse(err, 400, "Transfer-Encoding in HTTP/1.0");
    if (f->codings > 1)
        return h1_refuse(err, 400, "repeated Transfer-Encoding");
    if (!slice_eq_nocase(f->coding->value, SLICE("chunked")))
        return h1_refuse(err, 501, "transfer coding other than chunked");
    h->chunked = true;
    return OK;
}

/* RFC 9112 section 3.2. The authority of the target wins, but Host must make
 * sense beside it. Empty only where nobody could say a host. */
static enum status read_host(struct head *h, const struct found *f,
                             struct h1_error *err)
{
    slice host = f->host ? f->host->value : SLICE_NONE;

    if (f->hosts > 1)
        return h1_refuse(err, 400, "repeated Host");
    if (f->hosts == 0 && h->minor > 0)
        return h1_refuse(err, 400, "no Host");
    if (host.len && !http_authority_valid(host))
        return h1_refuse(err, 400, "bad Host");
    if (h->authority.len)
        return OK;
    if (!host.len && h->minor > 0)
        return h1_refuse(err, 400, "empty Host");
    h->authority = host;
    return OK;
}

/* Upgrade counts if Connection names it (RFC 9110 section 7.8). */
static slice upgrade_wanted(const struct found *f)
{
    return f->upgrade_option ? f->upgrade : SLICE_NONE;
}

static bool has_body(const struct head *h)
{
    return h->chunked || h->content_length > 0;
}

/* RFC 9110 section 10.1.1: only towards 1.1, only when a body may be held
 * back. Elsewhere the field must not go on, or a 100 would come back. */
static enum status read_expect(struct head *h, const struct found *f,
                               struct h1_error *err)
{
    if (!f->expect)
        return OK;
    if (h->minor > 0 && f->expect_other)
        return h1_refuse(err, 417, "unknown expectation");
    h->expect_continue = h->minor > 0 && has_body(h);
    if (!h->expect_continue)
        headers_drop(&h->headers, HDR_EXPECT);
    return OK;
}

/* RFC 9110 section 7.6.2: counted down for TRACE and OPTIONS, as one hop. We
 * support nine hops at most, so a digit of ours replaces the value. */
static enum status read_max_forwards(struct head *h, struct h1_error *err)
{
    static const char digits[] = "0123456789";

    for (uint32_t i = 0; i < h->headers.len; i++) {
        struct header *at = &h->headers.at[i];
        int64_t n;

        if (!slice_eq_nocase(at->name, SLICE("max-forwards")))
            continue;
        n = parse_length(at->value);
        if (n < 0)
            return h1_refuse(err, 400, "bad Max-Forwards");
        if (n == 0)
            return h1_refuse(err, 501, "Max-Forwards used up");
        at->value = slice_of(digits + (n > 10 ? 9 : n - 1), 1);
    }
    return OK;
}

enum status h1_request_meaning(struct head *h, struct h1_error *err)
{
    struct found f;
    enum status rc;

    rc = gather(h, &f, err);
    if (rc)
        return rc;
    rc = read_host(h, &f, err);
    if (rc)
        return rc;
    if (f.lengths > 1)
        return h1_refuse(err, 400, "repeated Content-Length");
    rc = read_framing(h, &f, err);
    if (rc)
        return rc;
    if (h->method_id == HTTP_CONNECT && has_body(h))
        return h1_refuse(err, 400, "CONNECT with a body");
    rc = read_expect(h, &f, err);
    if (rc)
        return rc;
    if (h->method_id == HTTP_TRACE || h->method_id == HTTP_OPTIONS)
        rc = read_max_forwards(h, err);
    h->te_trailers = f.te_trailers;
    if (h->method_id != HTTP_CONNECT && h->minor > 0)
        h->protocol = upgrade_wanted(&f);
    h->upgrade = h->protocol.len > 0;
    return rc;
}

/* RFC 9110 section 15.2.2: 101 names the protocol that it grants. */
static enum status read_switch(struct head *h, const struct found *f,
                               struct h1_error *err)
{
    h->protocol = upgrade_wanted(f);
    if (!h->protocol.len || h->minor == 0)
        return h1_refuse(err, 502, "101 to a protocol we never ask for");
    h->upgrade = true;
    return OK;
}

enum status h1_response_meaning(struct head *h, enum http_method request,
                                struct h1_error *err)
{
    struct found f;
    enum status rc;

    rc = gather(h, &f, err);
    if (rc)
        return rc;
    rc = read_framing(h, &f, err);
    if (rc)
        return rc;
    /* A body announced where none may be: who knows whether it comes. */
    if (h->status == 204 && has_body(h))
        h->keep_alive = false;
    if (h1_response_framing(h, request) == H1_UNTIL_CLOSE)
        h->keep_alive = false;
    if (h->status == 101)
        return read_switch(h, &f, err);
    if (h->status == 426)
        h->protocol = f.upgrade;
    return OK;
}

enum h1_framing h1_request_framing(const struct head *h)
{
    if (h->method_id == HTTP_CONNECT)
        return H1_NO_BODY;
    if (h->chunked)
        return H1_CHUNKED;
    return h->content_length >= 0 ? H1_LENGTH : H1_NO_BODY;
}

enum h1_framing h1_response_framing(const struct head *h,
                                    enum http_method request)
{
    if (http_status_bodyless(h->status) || request == HTTP_HEAD)
        return H1_NO_BODY;
    if (request == HTTP_CONNECT && h->status < 300)
        return H1_NO_BODY;
    if (h->chunked)
        return H1_CHUNKED;
    return h->content_length >= 0 ? H1_LENGTH : H1_UNTIL_CLOSE;
}
