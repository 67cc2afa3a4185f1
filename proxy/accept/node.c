/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/accept/node.h"

#include "proxy/proxy.h"

bool node_has(const struct workload_view *v, const struct pod *pod,
              const struct address *client)
{
    char text[ADDRESS_TEXT];
    slice ip = address_format_ip(client, text);

    for (uint32_t i = 0; v && i < v->node_ips_len; i++)
        if (slice_eq(v->node_ips[i], ip))
            return true;
    return pod_is_node(pod, client);
}

enum exemption node_exemption(const struct worker *w, uint16_t port,
                              const struct address *client)
{
    const struct workload_view *v = worker_workload(w);
    enum exemption found = EXEMPT_NOTHING;

    for (uint32_t i = 0; v && i < v->probes_len; i++)
        if (v->probes[i].port == port && found != EXEMPT_PORT)
            found = v->probes[i].grpc ? EXEMPT_PORT : EXEMPT_PROBES;
    return found && node_has(v, proxy_pod(w->proxy), client) ? found
                                                             : EXEMPT_NOTHING;
}

bool node_is_probe(const struct worker *w, uint16_t port,
                   const struct head *head)
{
    const struct workload_view *v = worker_workload(w);

    if (head->method_id != HTTP_GET || head->upgrade || head->chunked ||
        head->content_length > 0)
        return false;
    for (uint32_t i = 0; v && i < v->probes_len; i++)
        if (v->probes[i].port == port && !v->probes[i].grpc &&
            slice_eq(v->probes[i].path, head->target))
            return true;
    return false;
}
