/* SPDX-License-Identifier: Apache-2.0 */
/* Opens a byte stream to an endpoint: over a link, plain, or in-process. */
#ifndef TULLE_PROXY_UPSTREAM_OPEN_STREAM_H
#define TULLE_PROXY_UPSTREAM_OPEN_STREAM_H

#include "proxy/upstream/endpoint.h"

struct open_stream;
/* FAULT_NONE with a stream (not reading, no owner), or why there is none. */
typedef void open_stream_fn(struct open_stream *o, enum fault f,
                            struct stream *s);

/* Embed; zero it. */
struct open_stream {
    struct acquire acquire;
    struct endpoint *ep; /* holds a reference while under way */
    struct tcp_dial *dial;
    struct stream *pending; /* CONNECT sent, no answer yet */
    struct timer timeout;
    open_stream_fn *done;
    slice first; /* bytes to send with the first packet; borrowed */
};

/* `done` runs exactly once, later, unless canceled. `first` (borrowed until then)
 * goes out as early as may be: on a link with the CONNECT itself, so it may reach
 * the application although `done` says otherwise only when the fault is not
 * never_delivered. */
void open_stream_start(struct open_stream *o, struct endpoint *ep, slice first,
                       open_stream_fn *done);
/* Idempotent. */
void open_stream_cancel(struct open_stream *o);

#endif
