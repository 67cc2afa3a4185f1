/* SPDX-License-Identifier: Apache-2.0 */
/* What h1_conn.c (life), h1_take.c (input) and h1_send.c (output) share. Not for others:
 * conn.h is the interface. */
#ifndef TULLE_HTTP_H1_CONN_H
#define TULLE_HTTP_H1_CONN_H

#include "lib/http/conn.h"
#include "lib/http/h1_parse.h"

enum h1_read {
    H1_READ_HEAD, /* between exchanges, or inside a head */
    H1_READ_BODY,
    H1_READ_WAIT, /* the message was read; the exchange still runs */
    H1_READ_TUNNEL,
    H1_READ_DISCARD, /* answered early: what still comes is dropped */
};

struct h1_exchange;

struct h1_conn {
    struct http_conn c;
    struct reap reap;
    struct timer timer;
    struct h1_exchange *x; /* the one under way, or NULL */
    char *held;            /* bytes not yet parsed: partial head, pipelined */
    size_t held_len, held_cap;
    size_t scanned; /* how far the partial head was looked at */
    struct h1_body body;
    int64_t progress; /* loop time of the last byte in or out */
    uint32_t owed;    /* body bytes delivered and not consumed */
    uint32_t unsent;  /* body bytes sent and not yet credited */
    uint32_t discarded;
    int64_t goodbye; /* loop time: since when we only wait for the peer's end */
    uint64_t exchanges; /* carried so far */
    uint8_t read_state; /* enum h1_read */
    uint8_t method;     /* of the request under way */
    uint8_t peer_minor;
    uint8_t out_framing; /* enum h1_framing of what we send */
    uint64_t out_left;   /* with H1_LENGTH */
    bool keep_alive;     /* another exchange may follow */
    bool input_ended;    /* the peer half-closed */
    bool input_running;  /* guards against re-entry */
    bool first_pending;  /* bytes of before the start wait in `held` */
    bool expecting;      /* the body may wait for a 100 that was not sent */
    bool answered;       /* one byte of the response came (client) */
    bool asked;          /* the request head has left (client) */
    struct bufq early;   /* bytes for a tunnel not granted yet (client) */
};

struct h1_exchange {
    struct exchange x;
    struct h1_conn *h;
    struct reap reap;
};

extern const struct carrier h1_carrier;

enum { H1_QUEUE_HIGH = 65536 }; /* bytes queued below: no new exchange */

static inline bool h1_backlogged(const struct h1_conn *h)
{
    return stream_queued(h->c.stream) > H1_QUEUE_HIGH;
}

/* The next exchange; the connection is between two. */
struct exchange *h1_exchange_new(struct h1_conn *h);
/* True while input may be parsed. */
bool h1_may_take(const struct h1_conn *h);
/* Parses from `in`; returns how much was used. The connection may be closed
 * then. */
size_t h1_take(struct h1_conn *h, slice in);
/* Answers `status` if that is still possible, or breaks the connection. `why` is
 * constant text. */
void h1_refuse_peer(struct h1_conn *h, unsigned status, const char *why);
/* Either direction made progress that may end the exchange. */
void h1_settle(struct h1_conn *h);
/* Input may go on: an exchange ended, credit came back. */
void h1_resume(struct h1_conn *h);
/* Arms the timer for the state we are in. */
void h1_arm(struct h1_conn *h);
/* The answer to CONNECT or an upgrade came: what waited for the tunnel goes on,
 * or nowhere. */
void h1_tunnel_answered(struct h1_conn *h, bool granted);
/* Breaks the exchange and closes. */
void h1_break(struct h1_conn *h, enum reset_why why, enum status rc);

#endif
