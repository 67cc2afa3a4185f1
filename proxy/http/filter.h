/* SPDX-License-Identifier: Apache-2.0 */
/* The filter contract. A request passes the filters of its stack (stack.c) in
 * order; the last one is `forward`. Each knows exchanges, never protocols. */
#ifndef TULLE_PROXY_HTTP_FILTER_H
#define TULLE_PROXY_HTTP_FILTER_H

#include "lib/http/message.h"

struct request;

enum verdict {
    GO_ON,    /* the next filter */
    WAIT,     /* this filter calls request_continue() later */
    ANSWERED, /* it has answered (request_fault): no further filter */
};

struct filter {
    const char *name;
    /* The request head, r->head, may be changed (it is the request's own). NULL:
     * nothing to do. */
    enum verdict (*on_request)(struct request *r);
    /* The final response head may be changed; called in reverse order. */
    void (*on_response)(struct request *r, struct head *response);
    /* Exactly once for each request whose on_request was called. */
    void (*on_end)(struct request *r);
};

/* stack.c: what happens to a request, and in which order. NULL-terminated. */
extern const struct filter *const outbound_http[];
extern const struct filter *const inbound_http[];

#endif
