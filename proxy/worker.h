/* SPDX-License-Identifier: Apache-2.0 */
/* One event loop on one thread: its listeners, connections, endpoints, links.
 * Workers share nothing but snapshots. */
#ifndef TULLE_PROXY_WORKER_H
#define TULLE_PROXY_WORKER_H

#include "lib/base/log.h"
#include "lib/http/path.h"
#include "lib/net/listener.h"
#include "lib/net/loop.h"
#include "proxy/config.h"
#include "proxy/discovery/lookup.h"
#include "proxy/telemetry/telemetry.h"
#include "proxy/upstream/backend.h"

struct proxy;

enum { WORKER_LISTENERS = 64 };

/* Where a worker listens, and what that means. */
struct listen_spec {
    struct address at; /* port 0: chosen at the first open */
    bool inbound, transparent;
    bool v6only;        /* another takes the IPv4 connections of its port */
    struct address app; /* explicit inbound: where the application is */
    char service[256];  /* explicit outbound: "namespace/service:port" */
};

struct worker_listener {
    struct worker *worker;
    const struct listen_spec *spec;
    struct listener *listener;
};

/* Who keeps bytes for somebody that may not take them: a request, a connection.
 * When memory runs out, those that keep the most for the slowest end: shed.c. */
struct holder {
    struct list node;
    int64_t began; /* loop time */
    uint64_t gone; /* bytes that were taken so far, as far as is known */
    /* Bytes now, and loop time when the last of them was taken. */
    size_t (*held)(const struct holder *h, int64_t *moved);
    void (*shed)(struct holder *h); /* ends it, with FAULT_SHED */
    bool inbound;
};

struct worker {
    struct proxy *proxy;
    const struct config *config;
    unsigned id;
    struct loop loop;
    pthread_t thread;
    bool running;
    struct lookup *lookup;
    struct lookup_watch workload_watch;
    /* Whose limits a connection's are, for the metrics. */
    struct side {
        struct telemetry *telemetry;
        bool inbound;
    } sides[2];                 /* outbound, inbound */
    struct http_limits http[2]; /* accepted connections, by the same */
    struct http_limits inbound_link, link_limits;
    enum path_rule path_rule;
    struct upstream up;
    struct backends *backends;
    struct tls_settings *tls_server;
    struct telemetry *telemetry;
    struct worker_listener listeners[WORKER_LISTENERS];
    unsigned listeners_len;
    struct list connections; /* struct connection */
    struct list holders;     /* struct holder */
    int64_t shed_at; /* loop time before which memory is not looked at again */
    int64_t shed_told;   /* of the last line in the log */
    size_t memory_peak;  /* the most of late, */
    int64_t memory_high; /* and when it was last more than half of that */
    uint32_t open_inbound, open_outbound, links_in;
    uint32_t requests_inbound, requests_outbound;
    uint32_t max_connections, max_requests; /* this worker's share */
    bool open; /* listeners accept: identity and workload are there */
    bool draining, refusing, closing;
    uint32_t
        awaited; /* inbound connections that were there when draining began */
    int64_t grace_until, refuse_at;
    struct timer tick;
    struct identity_watch *identity_watch;
    struct post drain_post;
};

/* Whatever was accepted is in the worker's list, so that a drain reaches it. */
struct connection {
    struct list node;
    struct worker *worker;
    bool inbound;
    bool plaintext; /* inbound, from a peer who proved nothing */
    bool late;      /* was accepted while draining */
    void (*drain)(struct connection *c); /* no new requests, end soon */
    void (*close)(struct connection *c); /* end now */
};
void connection_add(struct connection *c, struct worker *w, bool inbound);
void connection_remove(struct connection *c);

/* Current view of the own pod, or NULL. Lent. */
const struct workload_view *worker_workload(const struct worker *w);
/* What the own pod declares for a port. */
enum protocol worker_port_protocol(const struct worker *w, uint16_t port);
bool worker_strict(const struct worker *w);
/* Shall nobody stay who connects now? Everybody when we drain; while the pod is
 * being deleted its clients, but whoever it calls itself may. */
bool worker_leaving(const struct worker *w, bool inbound);
/* May new work start? Counts what is refused. FAULT_NONE, or why not. */
enum fault worker_admit_request(struct worker *w, bool inbound);
/* An opaque stream of a link is a connection, too. Counts what is refused. */
enum fault worker_admit_connection(struct worker *w, bool inbound);

/* --- life, called on the main thread --- */
CHECKED enum status worker_init(struct worker *w, struct proxy *p, unsigned id,
                                const struct listen_spec *specs, size_t n,
                                struct error *e);
/* The address a listener got, for port 0. */
const struct address *worker_listening(const struct worker *w, size_t i);
CHECKED enum status worker_start(struct worker *w, struct error *e);
/* From any thread: stop accepting, end what ends within the grace period, then
 * leave the loop. */
void worker_drain(struct worker *w);
void worker_join(struct worker *w);
void worker_fini(struct worker *w);

#endif
