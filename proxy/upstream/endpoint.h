/* SPDX-License-Identifier: Apache-2.0 */
/* One address that a worker sends to: with an identity by links, without one by
 * plain pooled connections, and if it is this very pod, in-process. Whoever wants
 * to send acquires an exchange, or opens a byte stream.
 *
 * An endpoint is shared by all backends that list it and stays while anybody
 * holds a reference. */
#ifndef TULLE_PROXY_UPSTREAM_ENDPOINT_H
#define TULLE_PROXY_UPSTREAM_ENDPOINT_H

#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/http/exchange.h"
#include "lib/link/link.h"
#include "lib/mesh/views.h"
#include "lib/net/dial.h"
#include "proxy/balance/balancer.h"
#include "proxy/http/fault.h"

struct endpoint;
struct acquire;

/* What all endpoints of a worker share. */
struct upstream {
    struct loop *loop;
    struct link_options link;      /* tls is swapped when the identity changes;
                                      NULL before the first */
    struct http_limits app_limits; /* connections to the application, */
    struct http_limits plain_limits; /* and to other endpoints without mTLS */
    int64_t connect_timeout, user_timeout;
    int64_t pending_timeout; /* in line for a connection or link */
    uint32_t max_pending, max_links, max_pool;
    struct map endpoints; /* by their keys */
    /* In-process delivery: gives this pod's inbound side one end of a stream,
     * as if `to` had been dialled. False when `to` is not this pod. */
    bool (*is_self)(void *owner, const struct address *to);
    void (*deliver_self)(void *owner, const struct address *to,
                         struct stream *s);
    /* Where an application may listen if it does not at `of`: an application of
     * one family is reached by either of its pod's addresses. False: nowhere
     * else. May be NULL. */
    bool (*sibling)(void *owner, const struct address *of, struct address *out);
    void (*on_handshake)(void *owner, bool ok); /* for metrics */
    /* For metrics: the line for the application, or another endpoint, was too
     * long, or somebody was in it for too long. May be NULL. */
    void (*on_pending)(void *owner, bool app, bool late);
    void *owner;
    uint32_t links_up, pool_open; /* for metrics */
};

void upstream_init(struct upstream *up, struct loop *l);
/* Closes what is left; every endpoint must have been released. */
void upstream_fini(struct upstream *up);
/* New links use these; old ones are retired: they end with their streams. */
void upstream_set_tls(struct upstream *up, struct tls_settings *tls);
/* Breaks all links and connections, now. */
void upstream_close(struct upstream *up);

/* Runs once, later: FAULT_NONE with an exchange (own it and send in this call),
 * or why there is none. */
typedef void acquire_fn(struct acquire *a, enum fault f, struct exchange *x);

/* Embed in who waits. */
struct acquire {
    struct list node;
    struct endpoint *ep; /* holds a reference while waiting */
    struct timer patience;
    acquire_fn *done;
};

struct endpoint {
    struct upstream *up;
    unsigned refs;
    char *key; /* address, kind, identity */
    struct address address;
    struct address sibling; /* of an application; AF_UNSPEC: none */
    slice text, identity;   /* in `key` */
    bool self;
    bool app;
    bool http2; /* its plain connections speak that */
    /* A reference: the same over plain HTTP/2, or NULL. It has a line and a pool
     * of its own; the load is counted here. */
    struct endpoint *second;
    struct endpoint_load load;
    struct list waiters; /* struct acquire */
    uint32_t waiting;
    struct list links;                  /* struct endpoint_link */
    uint32_t links_len, links_dialling; /* retired ones not counted */
    int64_t
        dial_failed;  /* loop time of the last link that never came up, or 0 */
    struct list idle; /* struct pooled with room for an exchange, youngest
                         first */
    struct list busy; /* struct pooled, dialling, full or draining */
    uint32_t pool_len, pool_dialling;
};

/* The endpoint of that address and identity (empty: plaintext); gives a
 * reference. NULL when the address is not valid. */
struct endpoint *endpoint_get(struct upstream *up, slice address,
                              slice identity, uint32_t weight);
/* The same for the application behind the inbound side: it is dialled, also where
 * its address is one of this pod, and shares nothing with the endpoint by which
 * the pod calls itself. */
struct endpoint *endpoint_of_app(struct upstream *up, slice address);
struct endpoint *endpoint_ref(struct endpoint *ep);
void endpoint_unref(struct endpoint *ep);

/* OK: `*x` at once. ERR_AGAIN: `done` runs later. Else a fault in `*f`: too many
 * wait, or no identity yet. `http2`: the version of a plain connection; a link
 * carries either. */
CHECKED enum status endpoint_acquire(struct endpoint *ep, bool http2,
                                     struct acquire *a, acquire_fn *done,
                                     struct exchange **x, enum fault *f);
/* Idempotent; `done` does not run. */
void acquire_cancel(struct acquire *a);

/* ---- between endpoint.c, links.c, pool.c and open_stream.c ---- */

/* Connects a socket with it. Fails only later, through `done`; see tcp_dial_start. */
void endpoint_dial(const struct endpoint *ep, struct tcp_dial **out,
                   tcp_dial_fn *done, void *arg);
/* An exchange on a link that is up, or NULL. */
struct exchange *links_open(struct endpoint *ep);
/* Starts a link if those there are not enough for who waits. */
void links_grow(struct endpoint *ep);
void links_retire(struct endpoint *ep);
void links_close(struct endpoint *ep);
struct exchange *pool_open(struct endpoint *ep);
void pool_grow(struct endpoint *ep);
void pool_drain(struct endpoint *ep);
void pool_close(struct endpoint *ep);
/* Gives exchanges to who waits, as long as there are any. */
void endpoint_serve_waiters(struct endpoint *ep);
/* Nobody will serve them. */
void endpoint_fail_waiters(struct endpoint *ep, enum fault f);

#endif
