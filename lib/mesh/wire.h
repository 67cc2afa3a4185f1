/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of a session between a proxy and its controller: one JSON object
 * a line, each with "type". Pure: text to values and back. Unknown members are
 * ignored, unknown types and kinds give MSG_UNKNOWN (ignored by both sides).
 * docs/wire-protocol.md is the prose. */
#ifndef TULLE_MESH_WIRE_H
#define TULLE_MESH_WIRE_H

#include "lib/base/text.h"
#include "lib/mesh/views.h"

enum {
    WIRE_LINE_MAX = VIEW_BYTES_MAX + 65536, /* one message */
    WIRE_KEY_MAX = 512,
    WIRE_REASON_MAX = 1024,
    WIRE_SERIES_MAX = 2000, /* rows of one report */
    WIRE_BUCKETS = 24,      /* latency buckets of a row */
    WIRE_SILENT_MAX = 16,   /* of one report, half of them inbound */
    SILENT_NAME_MAX = 256,
};

/* Of the answer that begins a session: how many keys the proxy may subscribe to. */
#define WIRE_SUBSCRIPTIONS_HEADER "tulle-max-subscriptions"

/* What this build can do; a view's `needs` are checked against it. */
extern const char *const wire_capabilities[]; /* NULL-terminated */
bool wire_capable(slice need);

enum msg_type {
    MSG_UNKNOWN,
    /* up: proxy to controller */
    MSG_HELLO,       /* version, capabilities, name of the pod for people */
    MSG_SUBSCRIBE,   /* kind, key, hash of what it has (may be empty) */
    MSG_UNSUBSCRIBE, /* kind, key */
    MSG_ACK,         /* kind, key, hash */
    MSG_NACK,        /* kind, key, hash, reason */
    MSG_REPORT,
    /* both */
    MSG_HEARTBEAT,
    /* down */
    MSG_VIEW,   /* a snapshot: `view` is set. JSON type is the kind's name */
    MSG_DELTA,  /* kind backend: base hash, new hash, put, gone */
    MSG_SAME,   /* kind, key, hash: what you have is right */
    MSG_REMOVE, /* kind, key: no longer offered to you */
};

/* One row of a report: absolute values since the proxy started. */
struct report_row {
    bool inbound;
    slice service; /* inbound: own workload port ("8080"); outbound: service */
    slice peer;    /* identity of the other end, may be empty */
    uint64_t requests, failures;               /* failures: 5xx and faults */
    uint64_t connections, bytes_in, bytes_out; /* TCP */
    uint64_t concurrent;
    uint64_t secured; /* requests + connections over mTLS */
    uint64_t latency_sum_us;
    uint64_t latency[WIRE_BUCKETS]; /* counts; bounds: wire_bucket_us */
};
/* Upper bound of bucket i in microseconds; the last is unbounded (0). */
extern const uint32_t wire_bucket_us[WIRE_BUCKETS];

/* Connections to an undeclared port whose client said nothing until the proxy
 * stopped waiting. */
struct silent {
    bool inbound;
    slice service; /* as of a row */
    uint64_t connections;
};

struct report {
    slice epoch; /* random, new at each start of the proxy */
    uint64_t sequence;
    int64_t cert_not_after;
    uint64_t detect_timeouts; /* undeclared ports that stayed silent */
    uint64_t rss_bytes;
    struct report_row *rows;
    uint32_t rows_len;
    struct silent silent[WIRE_SILENT_MAX]; /* the most of each direction */
    uint32_t silent_len;
};

struct delta {
    slice base, hash;
    struct backend_endpoint *put; /* new or changed, by address */
    uint32_t put_len;
    slice *gone; /* addresses */
    uint32_t gone_len;
};

/* Decoded: slices borrow from `arena`. */
struct msg {
    enum msg_type type;
    enum view_kind kind;
    slice key, hash, reason;
    slice version, name; /* hello */
    slice *capabilities;
    uint32_t capabilities_len;
    struct view *view;  /* MSG_VIEW: a reference for the receiver */
    struct delta delta; /* MSG_DELTA */
    struct report report;
    struct arena arena;
};

/* Decodes one line (without the newline). ERR_INVALID, ERR_TOO_BIG with a
 * sentence naming the member. Always pair with msg_fini. On error `out` keeps
 * what was read before it: type, kind, key and hash of a view or delta that was
 * refused, for the nack (hash empty: there is nothing to nack; end the session).
 * A view gets the announced hash, which may cover members unknown here. */
CHECKED enum status msg_decode(slice line, struct msg *out, struct error *e);
void msg_fini(struct msg *m);

/* Appends one line with its newline. text.failed tells when it did not fit. */
void msg_encode(const struct msg *m, struct text *out);

/* The content part of a view as JSON: `{"resolution":...}`; sets v->hash from
 * it. Canonical: equal views give equal text. */
void view_encode(struct view *v, struct text *out);
/* The reverse; sets the hash from the canonical text. */
CHECKED enum status view_decode(enum view_kind kind, slice key, slice json,
                                struct view **out, struct error *e);

/* What turns `old` into `new_` (both backend views with hashes); false when a
 * snapshot is shorter. Slices borrow from both views. `*out` arrays come from
 * `a`. */
bool delta_make(const struct view *old, const struct view *new_,
                struct arena *a, struct delta *out);
/* The reverse: a new view; ERR_INVALID when `old` is not the base or the result
 * has another hash than announced. */
CHECKED enum status delta_apply(const struct view *old, const struct delta *d,
                                struct view **out, struct error *e);

/* POST /v1/certificates: request and answer bodies. */
struct certificate_request {
    slice csr;   /* PEM */
    slice token; /* join token or projected service account token; empty when
                    renewed by the certificate in force */
};
struct certificate_answer {
    slice chain, bundle; /* PEM */
    int64_t renew_at;    /* seconds since 1970 */
};
void certificate_request_encode(const struct certificate_request *r,
                                struct text *out);
CHECKED enum status certificate_request_decode(slice json, struct arena *a,
                                               struct certificate_request *out,
                                               struct error *e);
void certificate_answer_encode(const struct certificate_answer *r,
                               struct text *out);
CHECKED enum status certificate_answer_decode(slice json, struct arena *a,
                                              struct certificate_answer *out,
                                              struct error *e);

#endif
