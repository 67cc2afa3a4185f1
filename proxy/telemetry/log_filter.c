/* SPDX-License-Identifier: Apache-2.0 */
/* Counts a request and writes its line when it has ended. */
#include "lib/base/clock.h"
#include "proxy/http/filters.h"
#include "proxy/http/request.h"

static void write_line(struct request *r, int64_t duration)
{
    char client[ADDRESS_TEXT];
    const struct target *t = r->target;
    const struct header *id = headers_find(&r->head->headers, HDR_X_REQUEST_ID);
    struct access_entry e = {
        .inbound = t->inbound,
        .http = true,
        .client = address_format(&t->client, client),
        .peer = t->inbound ? slice_str(t->peer) : slice_str(t->row_peer),
        .service = slice_str(t->service),
        .endpoint = r->endpoint,
        .method = r->head->method,
        .authority = r->head->authority,
        .path = r->head->path,
        .request_id = id ? id->value : SLICE_NONE,
        .status = r->status,
        .fault = r->fault,
        .attempts = r->attempts,
        .bytes_in = r->bytes_in,
        .bytes_out = r->bytes_out,
        .duration = duration,
        .secured = t->inbound ? t->secured : t->row_secured,
    };
    access_log_write(r->worker->telemetry, &e);
}

static void on_end(struct request *r)
{
    int64_t duration = clock_mono_ns() - r->started;
    if (!r->row)
        r->row = traffic_ref(target_row(r->target, NULL));
    if (!r->begun)
        traffic_request_begin(r->row);
    traffic_request_end(r->row, r->status, r->fault, duration);
    if (access_log_on(r->worker->telemetry))
        write_line(r, duration);
}

const struct filter log_filter = {
    .name = "log",
    .on_end = on_end,
};
