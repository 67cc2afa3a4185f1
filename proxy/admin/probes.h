/* SPDX-License-Identifier: Apache-2.0 */
/* What the paths of the health port ask the application: TULLE_PROBES, which the
 * injector writes where it rewrites a pod's probes and hooks. Pure.
 *
 *   {"/probe/app/readiness": {"kind": "tcp", "port": 8080, "timeout": "1s"},
 *    "/probe/app/liveness": {"kind": "https", "port": 8443, "path": "/healthz",
 *                            "headers": [["X", "y"]], "host": "me.example"},
 *    "/hook/app/preStop": {"kind": "http", "port": 8080, "path": "/stop"}}
 *
 * `host` is the field Host that is sent. Who is dialled is always the pod: a probe
 * of another host is the kubelet's own affair. */
#ifndef TULLE_PROXY_ADMIN_PROBES_H
#define TULLE_PROXY_ADMIN_PROBES_H

#include "lib/http/message.h"

enum {
    PROBES_MAX = 256,
    PROBES_BYTES_MAX = 256 << 10,
    PROBE_PATH_MAX = 512, /* of the health port */
    PROBE_HEADERS_MAX = 64,
};

enum probe_kind { PROBE_TCP, PROBE_HTTP, PROBE_HTTPS };

struct probe {
    slice path; /* of the health port */
    enum probe_kind kind;
    bool hook; /* below /hook/: any answer is a success, as for the kubelet */
    uint16_t port;
    int64_t timeout;
    slice host;      /* to dial; empty: the pod's address */
    slice target;    /* path and query to ask for */
    slice authority; /* a header "Host"; empty: what is dialled */
    struct header *headers;
    uint32_t headers_len;
};

struct probes {
    struct arena arena;
    struct probe *at;
    uint32_t len;
};

/* `json` empty: none. Nothing is borrowed. ERR_INVALID, ERR_TOO_BIG with a
 * sentence that names the path. Pair with probes_fini also on error. */
CHECKED enum status probes_parse(slice json, struct probes *out,
                                 struct error *e);
void probes_fini(struct probes *p);
/* NULL when there is none. */
const struct probe *probes_find(const struct probes *p, slice path);

#endif
