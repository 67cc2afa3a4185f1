/* SPDX-License-Identifier: Apache-2.0 */
/* What happened: counters for Prometheus, rows for the controller's reports,
 * lines for the access log. One `telemetry` per worker (increments are plain
 * stores of its thread); the main loop sums them up when asked. */
#ifndef TULLE_PROXY_TELEMETRY_H
#define TULLE_PROXY_TELEMETRY_H

#include "lib/base/text.h"
#include "lib/http/limits.h"
#include "lib/mesh/wire.h"
#include "lib/net/loop.h"
#include "proxy/http/fault.h"

struct telemetry;

struct telemetry *telemetry_new(struct loop *l, bool access_log);
/* On its loop's thread, before loop_fini; every row given back, nobody reading.
 * NULL is ignored. */
void telemetry_free(struct telemetry *t);

/* --- limits --- */

/* A limit was hit: by a peer, or by all of them together. */
enum limit {
    LIMIT_NONE,
#define X(id, name) LIMIT_##id,
#include "proxy/telemetry/limits.def"
#undef X
    LIMITS,
};
void telemetry_limit(struct telemetry *t, bool inbound, enum limit which);
/* The setting's name, or "descriptors", whose limit is the system's. */
const char *limit_name(enum limit which);

/* --- a row: everything between this pod and one other, one direction --- */

struct traffic;
/* `service`: outbound "shop/cart:80" (or the address when it is not a service),
 * inbound the pod's own port "8080". `peer`: identity of the other end as TLS
 * proved it, or of the endpoint; may be empty. Copied. Gives a reference. Rows are
 * bounded; beyond the limit one row "other" takes all. Rows that nobody holds and
 * that did not move for 10 minutes are dropped from /metrics. */
struct traffic *traffic_get(struct telemetry *t, bool inbound, slice service,
                            slice peer, bool secured);
struct traffic *traffic_ref(struct traffic *tr);
void traffic_unref(struct traffic *tr); /* NULL is ignored */

void traffic_request_begin(struct traffic *tr);
/* `status` as the downstream saw it (0: no head was sent). Latency: request head
 * to the end of the response, ns. */
void traffic_request_end(struct traffic *tr, unsigned status, enum fault f,
                         int64_t latency);
/* Opaque connections. Bytes are seen from the pod: in = towards it. */
void traffic_tcp_open(struct traffic *tr);
void traffic_tcp_bytes(struct traffic *tr, uint64_t in, uint64_t out);
void traffic_tcp_close(struct traffic *tr, enum fault f);
/* As telemetry_limit, of the row's worker and direction. */
void traffic_limit(struct traffic *tr, enum limit which);

/* --- single counters --- */

enum counter {
    COUNTER_ACCEPTED_INBOUND,
    COUNTER_ACCEPTED_OUTBOUND,
    COUNTER_CONNECTIONS_REFUSED, /* over the limit, memory, not ready */
    COUNTER_PLAINTEXT_REFUSED,   /* strict */
    COUNTER_PLAINTEXT_ACCEPTED,  /* permissive, from unmeshed peers */
    COUNTER_HANDSHAKES_IN_OK,
    COUNTER_HANDSHAKES_IN_FAILED,
    COUNTER_DETECT_TIMEOUTS, /* undeclared ports that stayed silent */
    COUNTER_UNKNOWN_DESTINATIONS,
    COUNTER_RETRIES,       /* after "never delivered" */
    COUNTER_ACCEPT_PAUSES, /* out of descriptors */
    COUNTER_HANDSHAKES_OUT_OK,
    COUNTER_HANDSHAKES_OUT_FAILED,
    COUNTER_OVER_LIMIT_DESTINATIONS,
    COUNTERS,
};
void telemetry_count(struct telemetry *t, enum counter c);
/* Counts by a name that others choose: bounded, the rest is "other"; see tally.c.
 * TALLY_SILENT goes with COUNTER_DETECT_TIMEOUTS, by a row's `service`;
 * TALLY_SERVER_NAME by the name that a passing ClientHello asks for. */
enum tally_kind { TALLY_SILENT, TALLY_SERVER_NAME, TALLIES };
void telemetry_tally(struct telemetry *t, enum tally_kind kind, bool inbound,
                     slice name);
/* Requests and connections under way, connections open: kept by the worker. */
enum gauge {
    GAUGE_INBOUND_CONNECTIONS,
    GAUGE_OUTBOUND_CONNECTIONS,
    GAUGE_LINKS_OUT,
    GAUGE_LINKS_IN,
    GAUGE_APP_CONNECTIONS,
    GAUGES
};
void telemetry_gauge(struct telemetry *t, enum gauge g, int64_t value);
/* A failure without a traffic row (nothing resolved yet). */
void telemetry_fault(struct telemetry *t, bool inbound, enum fault f);

/* --- access log: one JSON line on stdout, when on --- */

struct access_entry {
    bool inbound, http;
    slice client, peer; /* address; identity */
    slice service, endpoint;
    slice method, authority, path; /* http */
    slice request_id;
    slice sni; /* of an opaque connection that begins with a ClientHello */
    unsigned status;
    enum fault fault;
    unsigned attempts;
    uint64_t bytes_in, bytes_out;
    int64_t duration; /* ns */
    bool secured;
};
bool access_log_on(const struct telemetry *t);
void access_log_write(struct telemetry *t, const struct access_entry *e);

/* --- reading, from the main loop's thread --- */

/* What the process as a whole adds to the text. */
struct telemetry_process {
    int64_t cert_not_after; /* seconds since 1970; 0: none yet */
    bool session_up;
    uint64_t renewals, renewal_failures;
};
/* Prometheus text 0.0.4 of all workers together. */
void telemetry_render(struct telemetry *const *all, size_t n,
                      const struct telemetry_process *p, struct text *out);
/* Fills rows and totals of a report (epoch and sequence are the caller's);
 * memory from `a`; at most WIRE_SERIES_MAX rows, the busiest. */
void telemetry_report(struct telemetry *const *all, size_t n, struct arena *a,
                      struct report *out);

#endif
