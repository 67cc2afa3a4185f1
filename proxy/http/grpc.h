/* SPDX-License-Identifier: Apache-2.0 */
/* What a gRPC client must be told otherwise than an HTTP client: it reads a status
 * of its own, in trailers ("gRPC over HTTP2", Responses). */
#ifndef TULLE_PROXY_HTTP_GRPC_H
#define TULLE_PROXY_HTTP_GRPC_H

#include "proxy/http/fault.h"

/* By its content type: application/grpc, also with a suffix. Not grpc-web, which
 * has its status in the body. */
bool grpc_is(const struct head *request);
/* What says the fault in an answer of HTTP's own, whose status a gRPC client then
 * passes over. They borrow until the next call in this thread. */
const struct headers *grpc_fault_fields(enum fault f);
/* Answers with the fault: status 200 and nothing but trailers; or, when the head
 * of the response has left, with the trailers that end it. */
void grpc_refuse(struct exchange *x, enum fault f);

#endif
