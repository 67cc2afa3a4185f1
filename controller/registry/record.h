/* SPDX-License-Identifier: Apache-2.0 */
/* What the registry keeps of a Kubernetes object: only what a view can depend
 * on. A record owns its memory in one arena and does not change once made. The
 * decoders in controller/watch make them. Pure. */
#ifndef TULLE_CONTROLLER_REGISTRY_RECORD_H
#define TULLE_CONTROLLER_REGISTRY_RECORD_H

#include "controller/registry/key.h"
#include "lib/base/arena.h"

enum record_kind {
    RECORD_NAMESPACE,
    RECORD_SERVICE,
    RECORD_SLICE, /* EndpointSlice */
    RECORD_POD,
    RECORD_KINDS,
};
/* "Namespace", "Service", "EndpointSlice", "Pod" */
const char *record_kind_name(enum record_kind k);

/* Annotation tulle.dev/mtls. A bad value fails closed: strict. */
enum mtls_setting {
    MTLS_UNSET,
    MTLS_SAYS_PERMISSIVE,
    MTLS_SAYS_STRICT,
};

/* Annotations that a pod and its namespace may carry; the pod wins. */
struct mesh_settings {
    enum mtls_setting mtls;
    slice opaque_ports; /* lists that declared_ports_check accepted */
    slice skip_inbound_ports;
};

struct service_port { /* TCP only */
    slice name, app_protocol;
    uint16_t port;
};

struct service_record {
    slice *ips; /* cluster IPs, canonical; none when headless */
    uint32_t ips_len;
    struct service_port *ports;
    uint32_t ports_len;
    slice opaque_ports; /* numbers of the Service's ports */
    bool external_name; /* a DNS alias: nothing of ours behind it */
    bool v6;            /* its first family is IPv6 */
};

struct slice_port { /* TCP only */
    slice name;
    uint16_t port;
};

struct slice_endpoint {
    slice ip; /* canonical */
    slice zone;
    bool ready, serving, terminating;
};

struct slice_record {
    slice service; /* name, in the same namespace; empty: nobody's */
    struct slice_port *ports;
    uint32_t ports_len;
    struct slice_endpoint *endpoints;
    uint32_t endpoints_len;
    bool v6;
};

/* A probe that the kubelet sends itself, in plaintext: to a path by GET, or to a
 * whole port. */
struct pod_probe {
    uint16_t port;
    bool grpc;
    slice path; /* with the query; empty for gRPC */
};

struct pod_record {
    slice uid, service_account, node;
    slice *ips; /* canonical */
    uint32_t ips_len;
    slice *node_ips; /* canonical */
    uint32_t node_ips_len;
    struct pod_probe *probes;
    uint32_t probes_len;
    uint16_t *ports; /* TCP container ports, sidecar's own left out */
    uint32_t ports_len;
    struct mesh_settings settings;
    bool meshed;      /* its spec holds our sidecar */
    bool proxy_ready; /* the kubelet says so of the sidecar */
    slice
        init_problem; /* what tulle-init or the sidecar died of; may be empty */
    bool host_network;
    bool live;        /* has not ended: its addresses are its own */
    bool terminating; /* being deleted */
};

struct namespace_record {
    struct mesh_settings settings;
    bool terminating; /* being deleted: nothing can be made in it */
};

enum { RECORD_BYTES_MAX = 4 << 20 };

struct record {
    unsigned refs; /* of one thread */
    enum record_kind kind;
    slice ns, name;
    slice problem; /* a sentence about a bad annotation; empty: none */
    struct arena arena;
    union {
        struct namespace_record space;
        struct service_record service;
        struct slice_record epslice;
        struct pod_record pod;
    };
};

/* Empty. Names are copied. One reference. */
struct record *record_new(enum record_kind kind, slice ns, slice name);
struct record *record_ref(struct record *r);
/* NULL is ignored. The last one frees. */
void record_unref(struct record *r);
/* Same content (not: same object). */
bool record_eq(const struct record *a, const struct record *b);

#endif
