/* SPDX-License-Identifier: Apache-2.0 */
/* Takes no more than the limits allow, and nothing above the memory budget: a
 * quick answer is better than a kill by the kernel. */
#include "proxy/http/filters.h"
#include "proxy/http/request.h"

static uint32_t *counter(struct request *r)
{
    return r->target->inbound ? &r->worker->requests_inbound
                              : &r->worker->requests_outbound;
}

static enum verdict on_request(struct request *r)
{
    enum fault f = worker_admit_request(r->worker, r->target->inbound);
    if (f) {
        request_fault(r, f);
        return ANSWERED;
    }
    ++*counter(r);
    r->counted = true;
    return GO_ON;
}

static void on_end(struct request *r)
{
    if (r->counted)
        --*counter(r);
}

const struct filter admit_filter = {
    .name = "admit",
    .on_request = on_request,
    .on_end = on_end,
};
