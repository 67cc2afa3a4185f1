/* SPDX-License-Identifier: Apache-2.0 */
/* Fields that begin with "tulle-" are ours: nobody outside may set them.
 *
 * Request: all are dropped, both sides, and X-Forwarded-Client-Cert with them,
 * which other meshes vouch for and we do not; inbound then says who the peer is,
 * if TLS proved it. Response: dropped inbound (they come from the application) and
 * from unmeshed endpoints; from a proxy over a link they are kept: it has cleaned
 * them. In trailers and informational heads there are none at all. Hop-by-hop
 * fields were marked when the head was parsed (RFC 9110 section 7.6.1). */
#include "proxy/http/filters.h"
#include "proxy/http/request.h"

void rewrite_claims(struct headers *list)
{
    headers_drop(list, HDR_TULLE);
    headers_drop(list, HDR_CLIENT_CERT);
}

/* For HTTP/1.0 without Host: "cart.shop:80" for the service shop/cart:80, else the
 * address. */
static slice default_authority(struct request *r)
{
    char text[512];
    const struct target *t = r->target;
    slice ns, name, port, out, service = slice_str(t->service);
    if (t->fixed)
        return t->fixed->text;
    if (!slice_cut(service, '/', &ns, &name) ||
        !slice_rcut(name, ':', &name, &port))
        return service;
    int n = snprintf(text, sizeof text, "%.*s.%.*s:%.*s", FMT(name), FMT(ns),
                     FMT(port));
    if (n < 0 || (size_t)n >= sizeof text ||
        arena_copy(&r->down->arena, slice_of(text, (size_t)n), &out))
        return SLICE_NONE;
    return out;
}

static enum verdict on_request(struct request *r)
{
    const struct target *t = r->target;
    rewrite_claims(&r->head->headers);
    if (slice_empty(r->head->authority))
        r->head->authority = default_authority(r);
    if (!t->inbound || !t->secured)
        return GO_ON;
    if (headers_add(&r->head->headers, SLICE("tulle-client-identity"),
                    slice_str(t->peer))) {
        request_fault(r, FAULT_HEAD_TOO_LARGE);
        return ANSWERED;
    }
    return GO_ON;
}

static void on_response(struct request *r, struct head *response)
{
    bool by_link = !r->target->inbound && r->ep && r->ep->identity.len;
    if (!by_link)
        headers_drop(&response->headers, HDR_TULLE);
}

const struct filter rewrite_filter = {
    .name = "rewrite",
    .on_request = on_request,
    .on_response = on_response,
};
