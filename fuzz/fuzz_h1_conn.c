/* SPDX-License-Identifier: Apache-2.0 */
/* A whole HTTP/1 connection, either end: what fuzz_h1 does to the parser, here
 * with pipelining, bodies under back-pressure, tunnels and ends anywhere. See
 * conn.h. */
#include "fuzz/conn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct http_conn *server(struct loop *l, struct stream *s,
                                const struct http_limits *lim,
                                const struct http_conn_events *ev, void *owner)
{
    return h1_server_new(l, s, lim, SLICE_NONE, ev, owner);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_conn_run(slice_of(data, size), server, h1_client_new, SLICE_NONE,
                  SLICE_NONE);
    return 0;
}
