/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/accept/target.h"

#include "lib/base/mem.h"
#include "lib/detect/declared.h"

static struct target *new_target(struct worker *w, bool inbound,
                                 const struct address *client)
{
    struct target *t = MEM_NEW(struct target);
    t->refs = 1;
    t->worker = w;
    t->inbound = inbound;
    t->client = *client;
    return t;
}

struct target *target_inbound(struct worker *w, const struct address *app,
                              uint16_t port, slice peer, bool secured,
                              const struct address *client)
{
    char text[ADDRESS_TEXT], name[8];
    struct target *t = new_target(w, true, client);
    t->secured = secured;
    t->peer = mem_str(peer);
    t->port = port;
    int n = snprintf(name, sizeof name, "%u", port);
    t->service = mem_str(slice_of(name, (size_t)n));
    t->fixed = endpoint_of_app(&w->up, address_format(app, text));
    return t;
}

struct target *target_service(struct worker *w, slice key,
                              const struct address *client)
{
    struct target *t = new_target(w, false, client);
    struct view *v = lookup_hold(w->lookup, VIEW_DESTINATION, key, &t->dest,
                                 NULL, NULL);
    t->service =
        mem_str(v && v->destination.service.len ? v->destination.service : key);
    return t;
}

struct target *target_address(struct worker *w, slice address, slice name,
                              const struct address *client)
{
    struct endpoint *ep = endpoint_get(&w->up, address, SLICE_NONE, 1);
    if (!ep)
        return NULL;
    struct target *t = new_target(w, false, client);
    t->fixed = ep;
    t->service = mem_str(name);
    return t;
}

struct target *target_ref(struct target *t)
{
    t->refs++;
    return t;
}

void target_unref(struct target *t)
{
    if (!t || --t->refs)
        return;
    lookup_release(&t->dest);
    endpoint_unref(t->fixed);
    traffic_unref(t->row);
    mem_free(t->row_peer);
    mem_free(t->service);
    mem_free(t->peer);
    mem_free(t);
}

const struct destination_view *target_destination(const struct target *t)
{
    struct view *v = t->fixed ? NULL : lookup_held(&t->dest);
    return v ? &v->destination : NULL;
}

/* An address that nobody declares anything of. */
static enum protocol by_number(const struct target *t)
{
    struct declaration d = {0};

    if (t->fixed)
        d.port = address_port(&t->fixed->address);
    return declared_protocol(&d);
}

enum protocol target_protocol(const struct target *t)
{
    if (t->probes_only)
        return PROTOCOL_HTTP; /* nothing else is let in */
    if (t->inbound)
        return worker_port_protocol(t->worker, t->port);
    const struct destination_view *d = target_destination(t);
    return d ? d->protocol : by_number(t);
}

static const struct backend_ref *choose(const struct destination_view *d,
                                        struct rand *r)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < d->backends_len; i++)
        sum += d->backends[i].weight;
    if (sum == 0)
        return NULL;
    uint64_t at = d->backends_len == 1 ? 0 : rand_below(r, sum);
    for (uint32_t i = 0; i < d->backends_len; i++) {
        if (at < d->backends[i].weight)
            return &d->backends[i];
        at -= d->backends[i].weight;
    }
    return NULL;
}

static enum fault why_none(const struct target *t, const struct backend *b,
                           const struct destination_view *d)
{
    if (lookup_held_over_limit(&t->dest) || (b && backend_over_limit(b)))
        return FAULT_TOO_MANY_DESTINATIONS;
    return d && d->resolution != RESOLUTION_UNKNOWN ? FAULT_NO_ENDPOINTS
                                                    : FAULT_UNKNOWN_DESTINATION;
}

struct endpoint *target_pick(struct target *t, struct backend **backend,
                             const struct tried *tried, enum fault *f)
{
    struct worker *w = t->worker;
    *f = FAULT_NONE;
    if (t->fixed)
        return endpoint_ref(t->fixed);
    const struct destination_view *d = target_destination(t);
    if (!*backend && d) {
        const struct backend_ref *ref = choose(d, &w->loop.rand);
        if (ref)
            *backend = backend_get(w->backends, ref->key);
    }
    struct endpoint *ep =
        *backend ? backend_pick(*backend, tried, loop_now(&w->loop)) : NULL;
    if (!ep)
        *f = why_none(t, *backend, d);
    return ep;
}

struct traffic *target_row(struct target *t, const struct endpoint *ep)
{
    slice peer = t->inbound ? slice_str(t->peer)
                            : (ep ? ep->identity : SLICE_NONE);
    bool secured = t->inbound ? t->secured : peer.len > 0;
    if (t->row && t->row_secured == secured &&
        slice_eq(slice_str(t->row_peer), peer))
        return t->row;
    traffic_unref(t->row);
    mem_free(t->row_peer);
    t->row = traffic_get(t->worker->telemetry, t->inbound,
                         slice_str(t->service), peer, secured);
    t->row_peer = mem_str(peer);
    t->row_secured = secured;
    return t->row;
}
