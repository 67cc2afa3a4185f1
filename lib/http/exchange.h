/* SPDX-License-Identifier: Apache-2.0 */
/* One request and its response, as one end sees them, whichever version carries
 * them. An exchange knows no protocol: a carrier (an HTTP/1 connection, an
 * HTTP/2 session, a link, or another exchange in the same process) sits below
 * it, an owner (a server's handler, a proxy's forward) above.
 *
 *          owner   --- send_head, send_body, send_trailers, reset -->
 *          owner   <-- on_head, on_body, on_trailers, on_sent ------   carrier
 *
 * SERVER side: on_head brings the request, send_head the response.
 * CLIENT side: send_head sends the request, on_head brings the response.
 *
 * Order in each direction: head (for responses: any number of 1xx heads, then
 * the final one), body bytes, end. The end comes with the last head or body
 * (`end` true) or as trailers. After a successful CONNECT both bodies are the
 * bytes of a tunnel. A request that asks for an upgrade first ends like any
 * other; if 101 is the answer, its direction is open again, after that end, for
 * the bytes of the tunnel. Before, there are none.
 *
 * Back-pressure is credit: of what on_body delivered the owner owes
 * exchange_consumed(n), as soon as the bytes have gone on; a carrier stops
 * reading (or keeps its window shut) while too much is owed. What the owner sent
 * is queued in the carrier; on_sent(n) tells as body bytes leave that queue. So
 * a proxy joins two exchanges by calling exchange_consumed(down, n) in
 * on_sent(up, n), and nothing is ever queued without bound.
 *
 * A response may end before its request. The request then goes on, if both
 * sides want that: on the SERVER side the owner says so with
 * exchange_keep_rest() before the response ends, or the rest is not read.
 *
 * Life: exactly one of these ends an exchange, and nothing follows it:
 *   on_done (both directions ended cleanly; or the response did and the rest of
 *   the request will not go on: end_in is false then on the SERVER side, end_out
 *   on the CLIENT side), on_reset (the peer or the carrier broke it), or the
 *   owner's own exchange_reset. The memory stays valid until the end of the
 *   pass; the owner forgets its pointer at once. */
#ifndef TULLE_HTTP_EXCHANGE_H
#define TULLE_HTTP_EXCHANGE_H

#include "lib/http/message.h"
#include "lib/net/loop.h"

struct exchange;

/* What went wrong, seen from the owner of an exchange. */
enum reset_why {
    RESET_CANCELED, /* the other side gave up (RST_STREAM, closed) */
    RESET_REFUSED,  /* never processed: safe to send again (REFUSED_STREAM,
                         beyond GOAWAY) */
    RESET_STALE,    /* a kept connection ended before one byte of the response:
                         almost surely never processed (RFC 9112 section 9.3.1:
                         send again what is idempotent) */
    RESET_CONNECTION, /* the connection broke while it ran */
    RESET_TIMEOUT,
    RESET_PROTOCOL,  /* the peer's message was refused */
    RESET_LIMIT,     /* the peer's message was over a limit */
    RESET_TOO_LARGE, /* our head is over the peer's: nothing was sent */
    RESET_WHYS,
};
/* "canceled", "refused" ... */
const char *reset_why_name(enum reset_why why);

struct exchange_events {
    /* `head` borrows for the length of the call: copy with head_copy into
     * x->arena what must stay. `end`: no body follows. */
    void (*on_head)(struct exchange *x, const struct head *head, bool end);
    /* `data` borrows for the length of the call; may be empty when `end`. */
    void (*on_body)(struct exchange *x, slice data, bool end);
    /* Ends the direction. Borrows. */
    void (*on_trailers)(struct exchange *x, const struct headers *trailers);
    void (*on_sent)(struct exchange *x, size_t n);
    void (*on_reset)(struct exchange *x, enum reset_why why);
    void (*on_done)(struct exchange *x);
};

struct carrier {
    const char *name; /* "http/1.1", "h2", "link", "self" */
    void (*send_head)(struct exchange *x, const struct head *head, bool end);
    void (*send_body)(struct exchange *x, slice data, bool end);
    void (*send_trailers)(struct exchange *x, const struct headers *trailers);
    void (*consumed)(struct exchange *x, size_t n);
    /* SERVER: exchange_drop_rest was called. */
    void (*drop_rest)(struct exchange *x);
    void (*reset)(struct exchange *x, enum reset_why why);
};

struct exchange {
    const struct carrier *carrier;
    const struct exchange_events *events;
    void *owner;
    struct loop *loop;
    struct arena arena; /* the owner's, freed with the exchange */
    bool server;
    bool head_in, end_in;   /* the final head, the end came from the peer */
    bool head_out, end_out; /* the final head, the end were sent by the owner */
    bool tunnel;            /* after 101 or CONNECT 2xx */
    bool over;
    bool rest_wanted;             /* see exchange_keep_rest */
    bool patient;                 /* see exchange_be_patient */
    bool is_head_request;         /* HEAD: the response has no body */
    bool connect;                 /* CONNECT or upgrade was asked */
    bool upgrade;                 /* the latter: only 101 grants it */
    bool request_over;            /* with `upgrade`: the request has ended */
    int64_t started;              /* loop time of creation */
    uint64_t bytes_in, bytes_out; /* body bytes delivered, sent */
};

/* For carriers: sets up / frees what is here. */
void exchange_init(struct exchange *x, const struct carrier *c, struct loop *l,
                   bool server, size_t arena_limit);
void exchange_fini(struct exchange *x);

/* --- what an owner calls. All are ignored once the exchange is over. --- */
static inline void exchange_own(struct exchange *x,
                                const struct exchange_events *ev, void *owner)
{
    x->events = ev;
    x->owner = owner;
}
/* The head is written or copied before this returns. A response of status 1xx
 * (but 101) is informational; more heads may follow. */
void exchange_send_head(struct exchange *x, const struct head *h, bool end);
/* Copies. An empty `data` with `end` ends. */
void exchange_send_body(struct exchange *x, slice data, bool end);
/* Ends with trailers (copied); a carrier that has none drops them and ends. */
void exchange_send_trailers(struct exchange *x, const struct headers *trailers);
/* `n` bytes of on_body's have gone on. */
void exchange_consumed(struct exchange *x, size_t n);
/* SERVER: the request is to be read to its end, also when the response has ended
 * before; the exchange is over when both have. */
static inline void exchange_keep_rest(struct exchange *x)
{
    x->rest_wanted = true;
}
/* SERVER: the request may rest for as long as it likes before it is answered: it
 * is one side of a conversation. */
static inline void exchange_be_patient(struct exchange *x)
{
    x->patient = true;
}
/* SERVER: or not any more. The peer hears that it may stop, once the response
 * has left (RFC 9112 section 9.6, RFC 9113 section 8.1). */
void exchange_drop_rest(struct exchange *x);
/* Breaks it off in both directions. `why` picks the code the peer sees. */
void exchange_reset(struct exchange *x, enum reset_why why);

/* --- what a carrier calls: they keep the flags above, then tell the owner;
 * each may end with the exchange reset by its owner: check x->over after. --- */
void exchange_got_head(struct exchange *x, const struct head *h, bool end);
void exchange_got_body(struct exchange *x, slice data, bool end);
void exchange_got_trailers(struct exchange *x, const struct headers *trailers);
void exchange_got_sent(struct exchange *x, size_t n);
/* True when this response opens a tunnel: 101 to an upgrade, 2xx to CONNECT. An
 * upgrade that is answered with 200 was ignored. */
bool exchange_grants_tunnel(const struct exchange *x, const struct head *h);
/* Broken: tells the owner, once. */
void exchange_broke(struct exchange *x, enum reset_why why);
/* Both directions ended and everything was handed down: tells the owner. */
void exchange_finish(struct exchange *x);

/* A response of our own with a short text body, for handlers: sends head and
 * body. `fields` may be NULL. */
void exchange_reply(struct exchange *x, unsigned status, slice content_type,
                    slice body, const struct headers *fields);

#endif
