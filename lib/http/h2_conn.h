/* SPDX-License-Identifier: Apache-2.0 */
/* What h2_conn.c (life), h2_drain.c (its end), h2_callbacks.c (input), h2_send.c
 * (output) and h2_head.c (fields) share. Not for others: conn.h is the
 * interface. */
#ifndef TULLE_HTTP_H2_CONN_H
#define TULLE_HTTP_H2_CONN_H

#include <nghttp2/nghttp2.h>

#include "lib/http/conn.h"
#include "lib/http/h2_order.h"

/* The field block being received: one at a time on a connection. */
struct h2_block {
    char *bytes;
    size_t len, cap;
    struct h2_field {
        uint32_t name, name_len, value, value_len;
    } fields[HTTP_HEADERS_MAX];
    uint32_t count;
    uint8_t over; /* enum http_limit that was hit: the stream will be refused */
};

struct h2_conn {
    struct http_conn c;
    nghttp2_session *ng;
    struct reap reap;
    struct timer timer;   /* looks for what is stuck, every few seconds */
    struct timer goodbye; /* between the notice and the end of a drain */
    struct list streams;
    struct h2_block *block; /* NULL between field blocks */
    int64_t block_started;
    int64_t heard,
        moved; /* loop time of the last byte in; of output progress */
    struct h2_order order; /* server */
    int64_t second;        /* the second that the counts below are of */
    uint32_t resets, controls;
    int64_t bulk_until; /* loop time; see h2_count_bulk */
    size_t held;        /* delivered and not consumed, all streams */
    bool link;          /* between two proxies */
    bool settings_got;
    bool notice_said, goodbye_said;
    bool failing; /* to be closed after the library has returned */
    bool inside;  /* the library is on the stack: do not enter again */
    char *first;  /* bytes read before the start, or NULL */
    size_t first_len;
};

struct h2_stream {
    struct exchange x;
    struct h2_conn *h;
    struct list node;
    struct reap reap;
    struct bufq out;         /* body bytes not yet framed */
    struct headers trailers; /* in the arena */
    slice upgrade;           /* client: the protocols asked for, in the arena */
    slice websocket_key;     /* server: made for its client, in the arena */
    struct bufq early;       /* server: bytes for a tunnel not granted yet */
    uint32_t piece_left;     /* of the piece being received */
    uint32_t overhead;       /* of `out`: heads of pieces, nobody's credit */
    int64_t progress;        /* loop time of the last byte out, */
    int64_t heard;           /* and in, or of room made for it */
    int64_t burst_start;     /* a second of this stream, */
    uint32_t burst;          /* and the body bytes that it moved in it */
    int32_t id;              /* 0: no head sent yet */
    uint32_t owed;           /* delivered and not consumed */
    uint16_t status_code;    /* HTTP/2 error to give when reset */
    uint8_t hints;           /* informational heads that have not left */
    bool deferred;           /* the library waits for data */
    bool has_trailers;
    bool pieces;     /* the request of an upgrade goes on: see h2_upgrade.c */
    uint8_t in_head; /* bytes had of a piece's head */
    bool grown;      /* its window is the large one */
    bool head_sent;  /* client: the request has left */
    bool end_sent;   /* our end has left */
    bool end_got;    /* the peer's has come */
    bool reset_got;  /* or its RST_STREAM */
};

extern const struct carrier h2_carrier;
enum { H2_BACKLOG = 131072, H2_BULK = 262144, H2_HINTS = 16 };

static inline struct h2_stream *h2_stream_of(struct exchange *x)
{
    return CONTAINER_OF(x, struct h2_stream, x);
}

/* What nghttp2 calls, with the connection as its argument; the caller deletes it.
 * NULL: out of memory. */
nghttp2_session_callbacks *h2_callbacks(void);
/* Tells the peer why, then closes: after the library has returned. */
void h2_doom(struct h2_conn *h, uint32_t code);
/* For the library's data provider and send callbacks. */
ssize_t h2_read_data(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t len,
                     uint32_t *flags, nghttp2_data_source *source, void *arg);
int h2_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head,
                 size_t len, nghttp2_data_source *source, void *arg);

/* Fields of a received block as a head. `fields` has room for
 * HTTP_HEADERS_MAX. Borrows from the block. ERR_PROTOCOL when pseudo fields do
 * not make sense. `link`: marks of ours mean something. */
CHECKED enum status h2_head_request(const struct h2_block *b, bool link,
                                    struct head *out);
CHECKED enum status h2_head_response(const struct h2_block *b,
                                     struct head *out);
/* One cookie field of those that HTTP/2 may split (RFC 9113 section 8.2.3): who
 * gets the request next may not know of that. */
void h2_join_cookies(struct h2_block *b);
/* What an answer says about an upgrade beside its status: true when the upgrade
 * was ignored; head->protocol is set if one was named. The marks are ours and go
 * no further. */
bool h2_head_upgrade_ignored(struct head *h);
/* Without the fields that must not be in trailers. */
void h2_head_trailers(const struct h2_block *b, struct headers *out);

enum { H2_NV_MAX = HTTP_HEADERS_MAX + 10 };
/* What a head is on the wire; borrows from it. Returns the count. `scratch`
 * holds numbers. */
struct h2_scratch {
    char length[24];
    char status[4];
};
size_t h2_nv_request(const struct head *h, bool link, nghttp2_nv nv[H2_NV_MAX],
                     struct h2_scratch *scratch);
size_t h2_nv_response(const struct head *h, bool link, nghttp2_nv nv[H2_NV_MAX],
                      struct h2_scratch *scratch);
/* Says of an upgrade that its request has a body. */
size_t h2_nv_upgrade_body(nghttp2_nv nv[H2_NV_MAX], size_t n,
                          const struct head *h, struct h2_scratch *scratch);
/* Marks an ordinary answer to an upgrade: `n` fields are there. Returns the new
 * count. */
size_t h2_nv_upgrade_ignored(nghttp2_nv nv[H2_NV_MAX], size_t n);
size_t h2_nv_trailers(const struct headers *t, nghttp2_nv nv[H2_NV_MAX]);

/* h2_upgrade.c: the request of an upgrade and the tunnel on one stream.
 * Queues body bytes, or with `end` the end, of the request. */
void h2_upgrade_send(struct h2_stream *s, slice data, bool end);
/* Takes DATA of an upgrade; all of it is accounted for. */
void h2_upgrade_got(struct h2_stream *s, slice data);
/* The peer has ended its direction. */
void h2_upgrade_got_end(struct h2_stream *s);
/* The upgrade was granted: what came early is delivered. */
void h2_upgrade_granted(struct h2_stream *s);

/* h2_websocket.c: adds to the request of a client of HTTP/2 what its handshake
 * lacks. ERR_TOO_BIG when there are too many fields. */
CHECKED enum status h2_websocket_ask(struct h2_stream *s, struct head *h);
/* Takes the server's proof out of the answer; false when it is none. */
bool h2_websocket_granted(const struct h2_stream *s, struct headers *answer);

/* Marks the connection for sending in this pass. */
void h2_wake(struct h2_conn *h);
/* The stream has bytes or an end to send. */
void h2_resume_data(struct h2_stream *s);
/* Server: the peer may still send what nobody wants. */
bool h2_unwanted(const struct h2_stream *s);
/* Bytes that need no owner's credit: they were dropped, or were ours. */
void h2_drop(struct h2_stream *s, size_t n);
/* The stream moved bytes: much within a second is bulk, for two seconds. */
void h2_count_bulk(struct h2_stream *s, size_t n);
/* h2_drain.c: of the type. */
void h2_drain(struct http_conn *c);
/* A server that drains tells the peer to open no more. */
void h2_say_notice(struct h2_conn *h);
/* Of the timer `goodbye`. */
void h2_on_goodbye(struct timer *t);
/* A stream with an exchange and no id yet; one of `running`. */
struct h2_stream *h2_stream_new(struct h2_conn *h);
/* Ends a stream's exchange memory. */
void h2_stream_free(struct h2_stream *s);
/* Tells the owner that the stream ended before its time: it is done if the
 * response was complete, or broke. */
void h2_stream_cut(struct h2_stream *s, enum reset_why why);
uint32_t h2_error_code(enum reset_why why);

#endif
