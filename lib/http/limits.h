/* SPDX-License-Identifier: Apache-2.0 */
/* Every bound that a peer can hit, in one place. The programs fill it from
 * their settings; each has a fault and a metric there. */
#ifndef TULLE_HTTP_LIMITS_H
#define TULLE_HTTP_LIMITS_H

#include <stdint.h>

enum {
    HTTP_HEADERS_MAX = 256, /* the most that `max_headers` may be set to */
};

struct http_limits {
    uint32_t head_bytes;    /* start line and fields together */
    uint32_t max_headers;   /* fields of one head, <= HTTP_HEADERS_MAX */
    uint32_t trailer_bytes; /* trailer section */
    uint32_t chunk_line;    /* chunk size line with extensions */
    int64_t head_timeout;   /* ns, from first byte of a head to its end */
    int64_t idle_timeout;   /* ns, between exchanges */
    int64_t body_timeout;   /* ns without progress while an exchange runs; 0:
                                none */
    uint32_t body_window;   /* bytes delivered and not yet consumed (HTTP/1) */
    uint32_t max_streams;   /* concurrent exchanges of one HTTP/2 session */
    uint32_t stream_window; /* HTTP/2: first receive window of a stream */
    uint32_t stream_window_max; /* what a bulk stream grows to */
    uint32_t session_window;    /* HTTP/2: receive window of the session */
    uint32_t max_resets;        /* resets by the peer tolerated per second */
    uint32_t max_controls;      /* PING, SETTINGS, empty frames per second */
};

/* 64 KiB heads, 100 fields, 60 s idle ... */
extern const struct http_limits http_limits_default;

#endif
