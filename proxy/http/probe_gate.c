/* SPDX-License-Identifier: Apache-2.0 */
/* In strict mode a node may send plaintext, but probes alone: each request on such
 * a connection is judged by itself. */
#include "proxy/accept/node.h"
#include "proxy/http/filters.h"
#include "proxy/http/request.h"

static enum verdict on_request(struct request *r)
{
    const struct target *t = r->target;
    if (!t->probes_only || node_is_probe(r->worker, t->port, r->head))
        return GO_ON;
    telemetry_count(r->worker->telemetry, COUNTER_PLAINTEXT_REFUSED);
    request_fault(r, FAULT_UNAUTHENTICATED);
    return ANSWERED;
}

const struct filter probe_filter = {
    .name = "probe",
    .on_request = on_request,
};
