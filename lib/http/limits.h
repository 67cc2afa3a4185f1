/* SPDX-License-Identifier: Apache-2.0 */
/* Every bound that a peer can hit, in one place. The programs fill it from
 * their settings; each has a fault and a metric there. */
#ifndef TULLE_HTTP_LIMITS_H
#define TULLE_HTTP_LIMITS_H

#include <stddef.h>
#include <stdint.h>

enum {
    HTTP_HEADERS_MAX = 256, /* the most that `max_headers` may be set to */
};

/* What a peer ran into; each is one of the numbers below. */
enum http_limit {
    HTTP_LIMIT_NONE,
    HTTP_LIMIT_HEAD_BYTES,
    HTTP_LIMIT_HEADERS,
    HTTP_LIMIT_TRAILER_BYTES,
    HTTP_LIMIT_CHUNK_LINE,
    HTTP_LIMIT_HEAD_TIMEOUT,
    HTTP_LIMIT_IDLE_TIMEOUT,
    HTTP_LIMIT_BODY_TIMEOUT,
    HTTP_LIMIT_STREAMS,
    HTTP_LIMIT_RESETS,
    HTTP_LIMIT_CONTROLS,
    HTTP_LIMIT_SILENCE, /* of a whole link: see pulse.h */
    HTTP_LIMIT_WHYS,
};

struct http_limits {
    uint32_t head_bytes;    /* start line and fields together */
    uint32_t max_headers;   /* fields of one head, <= HTTP_HEADERS_MAX */
    uint32_t trailer_bytes; /* trailer section */
    uint32_t chunk_line;    /* chunk size line with extensions; and a body may
                               have 32 times as much of them beyond its data */
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
    /* Called each time a peer has hit one; may close nothing. May be NULL. */
    void (*on_hit)(void *owner, enum http_limit which);
    void *owner;
};

/* 64 KiB heads, 100 fields, 60 s idle ... */
extern const struct http_limits http_limits_default;

static inline void http_limits_hit(const struct http_limits *lim,
                                   enum http_limit which)
{
    if (which && lim->on_hit)
        lim->on_hit(lim->owner, which);
}

#endif
