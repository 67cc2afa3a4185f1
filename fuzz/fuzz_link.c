/* SPDX-License-Identifier: Apache-2.0 */
/* What comes out of the TLS of a link, at either end: HTTP/2 frames that need not
 * be right, against our limits and both kinds of streams. See conn.h. */
#include "fuzz/conn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct http_conn *server(struct loop *l, struct stream *s,
                                const struct http_limits *lim,
                                const struct http_conn_events *ev, void *owner)
{
    return h2_link_server_new(l, s, lim, SLICE_NONE, ev, owner);
}

/* Preface, SETTINGS and its acknowledgement. */
static const char client_greeting[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                      "\0\0\0\4\0\0\0\0\0"
                                      "\0\0\0\4\1\0\0\0";
static const char server_greeting[] = "\0\0\0\4\0\0\0\0\0"
                                      "\0\0\0\4\1\0\0\0";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* With the NUL that the compiler adds: the last byte of a frame. */
    fuzz_conn_run(slice_of(data, size), server, h2_link_client_new,
                  slice_of(server_greeting, sizeof server_greeting),
                  slice_of(client_greeting, sizeof client_greeting));
    return 0;
}
