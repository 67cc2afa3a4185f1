/* SPDX-License-Identifier: Apache-2.0 */
/* One request on its way through the filters: the exchange with the downstream,
 * the one with the upstream, and what the filters remember. It lives in the
 * downstream exchange's arena and ends with it. */
#ifndef TULLE_PROXY_HTTP_REQUEST_H
#define TULLE_PROXY_HTTP_REQUEST_H

#include "lib/http/exchange.h"
#include "proxy/accept/target.h"
#include "proxy/http/filter.h"

struct request {
    struct holder holder;
    struct worker *worker;
    struct target *target; /* a reference */
    struct exchange *down; /* NULL when it is over */
    struct exchange *up;   /* NULL before and after the upstream */
    struct head *head;     /* own copy; room for a few more fields */
    bool grpc;             /* the client reads gRPC's statuses */
    const struct filter *const *stack;
    unsigned at; /* index of the filter that runs or waits */
    /* outcome, for telemetry */
    enum fault fault;
    unsigned status; /* as the downstream saw it */
    unsigned attempts;
    int64_t started;              /* monotonic ns */
    uint64_t bytes_in, bytes_out; /* of the downstream exchange */
    struct traffic *row;          /* reference; set by forward, or at the end */
    slice endpoint;               /* text of the last endpoint, in the arena */
    bool counted;                 /* in the worker's requests under way */
    bool begun; /* traffic_request_begin was called on `row` */
    /* forward.c's own */
    struct acquire acquire;
    struct endpoint *ep;     /* reference, until the response head */
    struct backend *backend; /* reference, until the response head */
    struct tried tried;      /* until the response head */
    struct bufq body;        /* request bytes: not yet sent, or kept to be sent
                                 again */
    bool keep_body;          /* bytes sent stay in `body` */
    bool body_gone;     /* bytes were sent and not kept: the last attempt */
    bool dropping;      /* nobody wants the rest of the request: it is
                                 dropped */
    bool request_ended; /* the downstream's request has ended */
    struct headers trailers; /* of the request, in the arena */
    uint64_t sent_up;        /* bytes this attempt's upstream took */
    uint64_t credited;       /* bytes given back to the downstream */
    uint64_t taken; /* bytes of the response that the downstream took */
    int64_t moved;  /* loop time of the last of either */
    int64_t attempt_started;
};

/* A request begins on `x`; its head follows. Shares the target. */
void request_accept(struct exchange *x, struct target *t);
/* The filter that said WAIT is done. */
void request_continue(struct request *r);
/* Answers with a fault, or breaks the exchange when a head was already sent. */
void request_fault(struct request *r, enum fault f);
/* Breaks the exchange with the downstream, which is told why. */
void request_reset(struct request *r, enum reset_why why);
/* `tulle-fault: name` as a field list for answers outside of a request. Static. */
const struct headers *fault_fields(enum fault f);

/* rewrite_headers.c: drops the fields by which somebody claims an identity. */
void rewrite_claims(struct headers *list);

/* forward.c: what the downstream exchange says while a request is forwarded. */
void forward_body(struct request *r, slice data, bool end);
void forward_trailers(struct request *r, const struct headers *trailers);
void forward_sent(struct request *r, size_t n);
/* The downstream is over: lets go of everything upstream. */
void forward_end(struct request *r);

#endif
