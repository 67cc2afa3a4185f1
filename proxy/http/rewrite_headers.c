/* SPDX-License-Identifier: Apache-2.0 */
/* Fields that begin with "tulle-" are ours: nobody outside may set them.
 *
 * Request: all are dropped, both sides; inbound then says who the peer is, if TLS
 * proved it. Response: dropped inbound (they come from the application) and from
 * unmeshed endpoints; from a proxy over a link they are kept: it has cleaned
 * them. Hop-by-hop fields were marked when the head was parsed (RFC 9110 section
 * 7.6.1). */
#include "proxy/http/filters.h"
#include "proxy/http/request.h"

static enum verdict on_request(struct request *r)
{
    const struct target *t = r->target;
    headers_drop(&r->head->headers, HDR_TULLE);
    if (slice_empty(r->head->authority)) /* HTTP/1.0 without Host */
        r->head->authority = slice_str(t->service);
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
