/* SPDX-License-Identifier: Apache-2.0 */
/* Probes and hooks that the kubelet cannot ask past the proxy, or that the proxy
 * would answer in the app's place, are turned to the proxy's port, which asks the
 * app. Pure.
 *
 *   tcpSocket                 a proxy takes every connection: rewritten
 *   httpGet, scheme HTTPS     the proxy cannot see the path: rewritten
 *   lifecycle hooks, httpGet  rewritten
 *   httpGet, grpc             exempt by port, path and node: left as they are
 *   exec                      left as it is
 * So are those that name a host (they ask somebody else), those whose port does
 * not pass the proxy, and those whose port name means nothing. */
#ifndef TULLE_INJECTOR_PROBES_H
#define TULLE_INJECTOR_PROBES_H

#include "injector/patch.h"

struct probes_input {
    struct json pod;
    /* What an earlier rewriting noted; absent: none. */
    struct json before;
    slice skip_inbound_ports; /* checked */
    int64_t grace_seconds;    /* of the pod: bounds a preStop hook */
};

/* Pushes the changes, and gives what TULLE_PROBES says of them: an object by
 * path; "{}" without any. Kept in the patch's arena. ERR_INVALID with a sentence
 * for a probe that asks a port of ours. */
CHECKED enum status probes_rewrite(const struct probes_input *in,
                                   struct patch *patch, slice *table,
                                   struct error *e);

#endif
