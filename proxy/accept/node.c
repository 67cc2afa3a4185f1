/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/accept/node.h"

#include "proxy/http/grpc.h"
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

bool node_may_probe(const struct worker *w, uint16_t port,
                    const struct address *client)
{
    const struct workload_view *v = worker_workload(w);

    for (uint32_t i = 0; v && i < v->probes_len; i++)
        if (v->probes[i].port == port)
            return node_has(v, proxy_pod(w->proxy), client);
    return false;
}

/* The kubelet speaks HTTP/1 here; of HTTP/2 a head does not tell whether a body
 * follows. */
static bool is_get(const struct head *head, slice path)
{
    return head->method_id == HTTP_GET && !head->http2 && !head->upgrade &&
           !head->chunked && head->content_length <= 0 &&
           slice_eq(path, head->target);
}

/* "GRPC Health Checking Protocol": who is asked for is in the body. */
static bool is_health_check(const struct head *head)
{
    return head->http2 && head->method_id == HTTP_POST && grpc_is(head) &&
           slice_eq(head->path, SLICE("/grpc.health.v1.Health/Check"));
}

bool node_is_probe(const struct worker *w, uint16_t port,
                   const struct head *head)
{
    const struct workload_view *v = worker_workload(w);

    for (uint32_t i = 0; v && i < v->probes_len; i++) {
        const struct workload_probe *p = &v->probes[i];

        if (p->port == port &&
            (p->grpc ? is_health_check(head) : is_get(head, p->path)))
            return true;
    }
    return false;
}
