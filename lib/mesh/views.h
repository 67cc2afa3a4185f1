/* SPDX-License-Identifier: Apache-2.0 */
/* The three views that a controller gives a proxy, as values. A view owns its
 * memory in one arena and is immutable once built; proxies share it between
 * workers by reference. */
#ifndef TULLE_MESH_VIEWS_H
#define TULLE_MESH_VIEWS_H

#include "lib/base/arena.h"
#include "lib/base/shared.h"
#include "lib/base/slice.h"

/* What a port speaks. */
enum protocol {
    PROTOCOL_DETECT, /* undeclared: look at the bytes */
    PROTOCOL_HTTP,   /* of the version that the client speaks */
    PROTOCOL_HTTP1,
    PROTOCOL_HTTP2,
    PROTOCOL_GRPC,
    PROTOCOL_TLS,    /* the application's own TLS: passed through */
    PROTOCOL_OPAQUE, /* TCP, also server-first */
    PROTOCOLS,
};
const char *protocol_name(enum protocol p); /* "detect", "http", ... */
CHECKED enum status protocol_parse(slice name, enum protocol *out);
static inline bool protocol_may_be_http1(enum protocol p)
{
    return p == PROTOCOL_HTTP || p == PROTOCOL_HTTP1;
}
static inline bool protocol_is_http(enum protocol p)
{
    return p >= PROTOCOL_HTTP && p <= PROTOCOL_GRPC;
}

enum view_kind {
    VIEW_WORKLOAD,    /* the proxy's own pod; key "" */
    VIEW_DESTINATION, /* key "10.0.0.1:80", "[::1]:80" or "shop/cart:80" */
    VIEW_BACKEND,     /* key "shop/cart:80" */
    VIEW_KINDS,
};
const char *view_kind_name(enum view_kind k); /* "workload" ... */
CHECKED enum status view_kind_parse(slice name, enum view_kind *out);

enum mtls_mode {
    MTLS_PERMISSIVE, /* plaintext from unmeshed peers is accepted */
    MTLS_STRICT,
};

/* How a pod's own port is declared. */
struct workload_port {
    uint16_t port;
    enum protocol protocol;
    bool skip; /* not in the mesh: never offered to peers */
};

/* A probe that the kubelet sends in plaintext: strict mode lets it in from the
 * node's address, HTTP as a GET of exactly this, gRPC as a call of its
 * health service. */
struct workload_probe {
    uint16_t port;
    bool grpc;
    slice path; /* "/healthz?deep=1"; empty for gRPC */
};

struct workload_view {
    slice ns, pod, service_account; /* for people */
    enum mtls_mode mtls;
    bool terminating; /* the pod is being deleted: hint clients away */
    slice bundle;     /* PEM of every root in force */
    struct workload_port *ports;
    uint32_t ports_len;
    struct workload_probe *probes;
    uint32_t probes_len;
    slice *node_ips; /* of its node: "192.0.2.1" */
    uint32_t node_ips_len;
};

enum resolution {
    RESOLUTION_KNOWN,    /* a Service or a meshed pod: backends follow */
    RESOLUTION_EXTERNAL, /* the controller knows that it is not in the mesh */
    RESOLUTION_UNKNOWN,  /* the controller cannot say (yet) */
};
const char *resolution_name(enum resolution r);

struct backend_ref {
    slice key; /* of a backend view */
    uint32_t weight;
};

/* What an address (or ns/service:port) is, for clients of one namespace. */
struct destination_view {
    enum resolution resolution;
    slice service; /* "shop/cart:80" for metrics and logs; empty for a pod IP */
    enum protocol protocol;
    bool direct; /* a pod's own address: no routes, no balancing */
    struct backend_ref *backends;
    uint32_t backends_len;
};

enum endpoint_state {
    ENDPOINT_READY,
    ENDPOINT_DRAINING, /* serving but terminating: only when none is ready */
};

struct backend_endpoint {
    slice address;  /* "10.1.2.3:8080" */
    slice identity; /* SPIFFE name: reached by a link; empty: plaintext */
    slice zone;
    slice pod;              /* "shop/cart-7f9c" for people; may be empty */
    uint32_t weight;        /* >= 1 */
    enum protocol protocol; /* what its own pod declares for that port */
    enum endpoint_state state;
};

/* The endpoints behind one service and port. */
struct backend_view {
    slice service;                      /* "shop/cart:80" */
    struct backend_endpoint *endpoints; /* sorted by address */
    uint32_t endpoints_len;
};

/* The most that one view may hold; more is refused by encode and decode. */
enum {
    VIEW_ENDPOINTS_MAX = 20000,
    VIEW_BACKENDS_MAX = 1000,
    VIEW_PORTS_MAX = 1000,
    VIEW_PROBES_MAX = 256,
    VIEW_NODE_IPS_MAX = 16,
    VIEW_BYTES_MAX = 8 << 20,
};

enum { VIEW_HASH = 32 }; /* hex characters of a content hash */

struct view {
    struct shared refs;
    struct arena arena;
    enum view_kind kind;
    slice key;
    char hash[VIEW_HASH + 1]; /* of the encoded content; set by view_encode and
                                 view_decode */
    /* Capabilities that the proxy must have to apply it; it nacks otherwise. */
    slice *needs;
    uint32_t needs_len;
    union {
        struct workload_view workload;
        struct destination_view destination;
        struct backend_view backend;
    };
};

/* Empty, kind and key (copied) set; one reference. */
struct view *view_new(enum view_kind kind, slice key);
struct view *view_ref(struct view *v);
void view_unref(struct view *v);

#endif
