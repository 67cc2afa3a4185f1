/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/registry/owner.h"

#include "lib/detect/declared.h"

static bool declares(const struct record *pod, uint16_t port)
{
    for (uint32_t i = 0; i < pod->pod.ports_len; i++)
        if (pod->pod.ports[i] == port)
            return true;
    return false;
}

/* Among those that are being deleted too, or without them. */
static const struct record *find_owner(const struct registry_ip *at,
                                       uint16_t port, bool terminating)
{
    const struct record *alone = NULL, *declared = NULL;
    unsigned live = 0, declaring = 0;

    for (size_t i = 0; i < at->pods.len; i++) {
        const struct record *pod = at->pods.at[i];

        if (!pod->pod.live || pod->pod.host_network ||
            (pod->pod.terminating && !terminating))
            continue;
        live++;
        alone = pod;
        if (!declares(pod, port))
            continue;
        declaring++;
        declared = pod;
    }
    if (live == 1)
        return alone;
    return declaring == 1 ? declared : NULL;
}

/* An address may have been given to a new pod while the old one's object is
 * still there, being deleted. */
const struct record *owner_of(const struct registry *r, slice ip, uint16_t port)
{
    const struct registry_ip *at = registry_at(r, ip);
    const struct record *pod = at ? find_owner(at, port, false) : NULL;

    return at && !pod ? find_owner(at, port, true) : pod;
}

void owner_settings(const struct registry *r, const struct record *pod,
                    struct mesh_settings *out)
{
    const struct record *space = registry_find(r, RECORD_NAMESPACE, SLICE_NONE,
                                               pod->ns);

    *out = pod->pod.settings;
    if (!space)
        return;
    if (out->mtls == MTLS_UNSET)
        out->mtls = space->space.settings.mtls;
    if (!out->opaque_ports.ptr)
        out->opaque_ports = space->space.settings.opaque_ports;
    if (!out->skip_inbound_ports.ptr)
        out->skip_inbound_ports = space->space.settings.skip_inbound_ports;
}

/* What the Service of a slice declares for the slice's port. */
static enum protocol by_service(const struct registry *r,
                                const struct record *slice_,
                                const struct slice_port *p)
{
    const struct record *svc = registry_find(r, RECORD_SERVICE, slice_->ns,
                                             slice_->epslice.service);

    for (uint32_t i = 0; svc && i < svc->service.ports_len; i++) {
        const struct service_port *sp = &svc->service.ports[i];
        struct declaration d = {
            .opaque = declared_ports_have(svc->service.opaque_ports, sp->port),
            .app_protocol = sp->app_protocol,
            .port_name = sp->name,
            .port = sp->port,
        };

        if (slice_eq(sp->name, p->name))
            return declared_protocol(&d);
    }
    return PROTOCOL_DETECT;
}

/* A Service selects pods of its own namespace. Slices of others that name a pod's
 * address were written by hand, and have no say. */
static enum protocol by_services(const struct registry *r,
                                 const struct record *pod, slice ip,
                                 uint16_t port)
{
    const struct registry_ip *at = registry_at(r, ip);
    bool seen[PROTOCOLS] = {false};
    enum protocol last = PROTOCOL_DETECT;
    unsigned kinds = 0;

    for (size_t i = 0; at && i < at->slices.len; i++) {
        const struct slice_record *s = &at->slices.at[i]->epslice;

        if (pod && !slice_eq(at->slices.at[i]->ns, pod->ns))
            continue;
        for (uint32_t j = 0; j < s->ports_len; j++) {
            if (s->ports[j].port != port)
                continue;
            last = by_service(r, at->slices.at[i], &s->ports[j]);
            kinds += !seen[last];
            seen[last] = true;
        }
    }
    if (kinds <= 1)
        return last;
    return seen[PROTOCOL_OPAQUE] ? PROTOCOL_OPAQUE : PROTOCOL_DETECT;
}

enum protocol owner_protocol(const struct registry *r, const struct record *pod,
                             slice ip, uint16_t port)
{
    struct declaration own = {.port = port};
    struct mesh_settings s;
    enum protocol p;

    if (pod) {
        owner_settings(r, pod, &s);
        own.opaque = declared_ports_have(s.opaque_ports, port);
    }
    if (own.opaque)
        return PROTOCOL_OPAQUE;
    p = by_services(r, pod, ip, port);
    return p == PROTOCOL_DETECT ? declared_protocol(&own) : p;
}

bool owner_meshed(const struct registry *r, const struct record *pod,
                  uint16_t port)
{
    struct mesh_settings s;

    if (!pod->pod.meshed)
        return false;
    owner_settings(r, pod, &s);
    return !declared_ports_have(s.skip_inbound_ports, port);
}
