/* SPDX-License-Identifier: Apache-2.0 */
/* workload:    the client's own pod and its namespace
 * destination: key -> Service or pod -> names of backends
 * backend:     Service port -> slices -> endpoints, each with its owner's facts */
#include "controller/registry/resolve.h"

#include <stdlib.h>

#include "controller/registry/owner.h"
#include "lib/base/map.h"
#include "lib/base/vec.h"
#include "lib/detect/declared.h"
#include "lib/mesh/identity.h"

struct job {
    const struct registry *r;
    const struct resolve_settings *s;
    const struct client *c;
    struct view *v;
};

static enum status too_big(const struct job *j, struct error *e)
{
    return error_set(e, ERR_TOO_BIG, "%s '%.*s' is larger than a view may be",
                     view_kind_name(j->v->kind), FMT(j->v->key));
}

/* Copies text into the view. */
static enum status keep(struct job *j, slice text, slice *out, struct error *e)
{
    return arena_copy(&j->v->arena, text, out) ? too_big(j, e) : OK;
}

/* --- workload --- */

struct ports { /* a set, in order */
    uint8_t bits[65536 / 8];
    uint32_t len;
};

/* Beyond the most that a view may hold, ports are left out: what containers and
 * Services name comes first, so only a long annotation can lose some. */
static void ports_add(struct ports *p, uint16_t port)
{
    uint8_t bit = (uint8_t)(1u << (port & 7));

    if (p->len >= VIEW_PORTS_MAX || (p->bits[port >> 3] & bit))
        return;
    p->bits[port >> 3] |= bit;
    p->len++;
}

static void ports_add_list(struct ports *p, slice list)
{
    uint16_t first, last;

    while (declared_ports_next(&list, &first, &last))
        for (uint32_t n = first; n <= last; n++)
            ports_add(p, (uint16_t)n);
}

/* Ports to which a Service leads, named by the container or not. */
static void ports_add_served(struct ports *p, const struct job *j,
                             const struct record *pod, slice ip)
{
    const struct registry_ip *at = registry_at(j->r, ip);

    for (size_t i = 0; at && i < at->slices.len; i++) {
        const struct slice_record *s = &at->slices.at[i]->epslice;

        if (!slice_eq(at->slices.at[i]->ns, pod->ns))
            continue;
        for (uint32_t n = 0; n < s->ports_len; n++)
            if (owner_of(j->r, ip, s->ports[n].port) == pod)
                ports_add(p, s->ports[n].port);
    }
}

/* Pods may have two addresses; a Service may list only one of them. */
static enum protocol pod_protocol(const struct job *j, const struct record *pod,
                                  uint16_t port)
{
    enum protocol p = PROTOCOL_DETECT;

    for (uint32_t i = 0; i < pod->pod.ips_len && p == PROTOCOL_DETECT; i++)
        p = owner_protocol(j->r, pod, pod->pod.ips[i], port);
    return p;
}

static enum status fill_ports(struct job *j, const struct record *pod,
                              const struct mesh_settings *s,
                              const struct ports *p, struct error *e)
{
    struct workload_view *w = &j->v->workload;

    w->ports = arena_alloc(&j->v->arena, p->len * sizeof *w->ports + 1);
    if (!w->ports)
        return too_big(j, e);
    for (uint32_t n = 0; n <= UINT16_MAX; n++) {
        if (!(p->bits[n >> 3] & (1u << (n & 7))))
            continue;
        w->ports[w->ports_len++] = (struct workload_port){
            .port = (uint16_t)n,
            .protocol = pod_protocol(j, pod, (uint16_t)n),
            .skip = declared_ports_have(s->skip_inbound_ports, (uint16_t)n),
        };
    }
    return OK;
}

static enum status add_ports(struct job *j, const struct record *pod,
                             const struct mesh_settings *s, struct error *e)
{
    struct ports *p = MEM_NEW(struct ports);
    enum status rc;

    for (uint32_t i = 0; i < pod->pod.ports_len; i++)
        ports_add(p, pod->pod.ports[i]);
    for (uint32_t i = 0; i < pod->pod.ips_len; i++)
        ports_add_served(p, j, pod, pod->pod.ips[i]);
    ports_add_list(p, s->skip_inbound_ports);
    ports_add_list(p, s->opaque_ports);
    rc = fill_ports(j, pod, s, p, e);
    mem_free(p);
    return rc;
}

/* What strict mode lets in without mTLS. */
static enum status add_probes(struct job *j, const struct record *pod,
                              struct error *e)
{
    struct workload_view *w = &j->v->workload;
    const struct pod_record *p = &pod->pod;
    enum status rc = OK;

    w->probes = arena_alloc(&j->v->arena,
                            p->probes_len * sizeof *w->probes + 1);
    w->node_ips = arena_alloc(&j->v->arena,
                              p->node_ips_len * sizeof *w->node_ips + 1);
    if (!w->probes || !w->node_ips)
        return too_big(j, e);
    for (uint32_t i = 0; i < p->probes_len && !rc; i++) {
        struct workload_probe *out = &w->probes[w->probes_len++];

        *out = (struct workload_probe){.port = p->probes[i].port,
                                       .grpc = p->probes[i].grpc};
        rc = keep(j, p->probes[i].path, &out->path, e);
    }
    for (uint32_t i = 0; i < p->node_ips_len && !rc; i++)
        rc = keep(j, p->node_ips[i], &w->node_ips[w->node_ips_len++], e);
    return rc;
}

/* The record of the client's pod. One of the same name but another UID is
 * another pod: a StatefulSet makes such. */
static const struct record *client_pod(const struct job *j)
{
    const struct record *pod = registry_find(j->r, RECORD_POD, j->c->ns,
                                             j->c->pod);

    if (pod && !slice_empty(j->c->uid) && !slice_empty(pod->pod.uid) &&
        !slice_eq(j->c->uid, pod->pod.uid))
        return NULL;
    return pod;
}

static enum mtls_mode mtls_of(const struct resolve_settings *all,
                              const struct mesh_settings *s)
{
    if (s->mtls == MTLS_UNSET)
        return all->default_mtls;
    return s->mtls == MTLS_SAYS_STRICT ? MTLS_STRICT : MTLS_PERMISSIVE;
}

enum mtls_mode resolve_mtls(const struct registry *r,
                            const struct resolve_settings *s,
                            const struct record *pod)
{
    struct mesh_settings own;

    owner_settings(r, pod, &own);
    return mtls_of(s, &own);
}

/* A certificate without a pod (a join token for one name) is a client outside:
 * it gets its namespace's mode and the bundle. One that names a pod which is not
 * there gets nothing: guessing could be more open than the pod asks for. */
static enum status workload(struct job *j, struct error *e)
{
    struct workload_view *w = &j->v->workload;
    struct record outside = {.kind = RECORD_POD, .ns = j->c->ns};
    const struct record *pod = &outside;
    struct mesh_settings s;
    enum status rc;

    if (!slice_empty(j->c->pod))
        pod = client_pod(j);
    if (!pod)
        return error_set(e, ERR_NOT_FOUND, "pod '%.*s/%.*s' is not known",
                         FMT(j->c->ns), FMT(j->c->pod));
    owner_settings(j->r, pod, &s);
    w->mtls = mtls_of(j->s, &s);
    w->terminating = pod->pod.terminating;
    rc = keep(j, j->c->ns, &w->ns, e);
    if (!rc)
        rc = keep(j, j->c->pod, &w->pod, e);
    if (!rc)
        rc = keep(j, j->c->service_account, &w->service_account, e);
    if (!rc)
        rc = keep(j, j->s->bundle, &w->bundle, e);
    if (!rc)
        rc = add_ports(j, pod, &s, e);
    if (!rc)
        rc = add_probes(j, pod, e);
    return rc;
}

/* --- destination --- */

static const struct service_port *find_port(const struct record *svc,
                                            uint16_t port)
{
    for (uint32_t i = 0; i < svc->service.ports_len; i++)
        if (svc->service.ports[i].port == port)
            return &svc->service.ports[i];
    return NULL;
}

static enum status one_backend(struct job *j, slice key, struct error *e)
{
    struct destination_view *d = &j->v->destination;

    d->backends = arena_alloc(&j->v->arena, sizeof *d->backends);
    if (!d->backends)
        return too_big(j, e);
    d->backends[0] = (struct backend_ref){.weight = 1};
    d->backends_len = 1;
    return keep(j, key, &d->backends[0].key, e);
}

static enum status service_destination(struct job *j, const struct record *svc,
                                       uint16_t port, struct error *e)
{
    struct destination_view *d = &j->v->destination;
    const struct service_port *p = find_port(svc, port);
    struct declaration decl = {.port = port};
    char buf[KEY_TEXT];
    slice key = key_service(buf, svc->ns, svc->name, port);
    enum status rc;

    if (svc->service.external_name) {
        d->resolution = RESOLUTION_EXTERNAL;
        return OK;
    }
    d->resolution = RESOLUTION_KNOWN;
    rc = keep(j, key, &d->service, e);
    /* A port that the Service does not have: known, with no backend, so that
     * proxies refuse it as kube-proxy does. "Unknown" would let it pass. */
    if (rc || !p)
        return rc;
    decl.opaque = declared_ports_have(svc->service.opaque_ports, port);
    decl.app_protocol = p->app_protocol;
    decl.port_name = p->name;
    d->protocol = declared_protocol(&decl);
    return one_backend(j, key, e);
}

static enum status pod_destination(struct job *j, const struct record *pod,
                                   slice ip, uint16_t port, struct error *e)
{
    struct destination_view *d = &j->v->destination;
    char buf[KEY_TEXT];

    d->resolution = RESOLUTION_KNOWN;
    d->direct = true;
    d->protocol = owner_protocol(j->r, pod, ip, port);
    return one_backend(j, key_address(buf, ip, port), e);
}

/* Two Services with one cluster IP are a mistake that only files can hold; the
 * first by name is it, whatever the order of arrival. */
static const struct record *service_at(const struct registry_ip *at)
{
    const struct record *best = NULL;

    for (size_t i = 0; at && i < at->services.len; i++) {
        const struct record *s = at->services.at[i];
        int order = best ? slice_cmp(s->ns, best->ns) : -1;

        if (order < 0 || (order == 0 && slice_cmp(s->name, best->name) < 0))
            best = s;
    }
    return best;
}

static enum status address_destination(struct job *j, slice ip, uint16_t port,
                                       struct error *e)
{
    const struct record *svc = service_at(registry_at(j->r, ip));
    const struct record *pod = owner_of(j->r, ip, port);

    if (svc)
        return service_destination(j, svc, port, e);
    if (pod)
        return pod_destination(j, pod, ip, port, e);
    j->v->destination.resolution = registry_synced(j->r) ? RESOLUTION_EXTERNAL
                                                         : RESOLUTION_UNKNOWN;
    return OK;
}

static enum status destination(struct job *j, struct error *e)
{
    const struct record *svc;
    char buf[IP_TEXT];
    slice ip, ns, name;
    uint16_t port;

    if (key_split_service(j->v->key, &ns, &name, &port)) {
        svc = registry_find(j->r, RECORD_SERVICE, ns, name);
        if (svc)
            return service_destination(j, svc, port, e);
        j->v->destination.resolution = RESOLUTION_UNKNOWN;
        return OK;
    }
    if (key_split_address(j->v->key, buf, &ip, &port))
        return address_destination(j, ip, port, e);
    return error_set(e, ERR_INVALID,
                     "'%.*s' is neither address:port nor "
                     "namespace/service:port",
                     FMT(j->v->key));
}

/* --- backend --- */

struct found {
    slice ip, zone;
    uint16_t port;
    enum endpoint_state state;
};
typedef VEC(struct found) found_list;

static int by_address(const void *a, const void *b)
{
    return slice_cmp(((const struct backend_endpoint *)a)->address,
                     ((const struct backend_endpoint *)b)->address);
}

/* Slices of one Service may list an endpoint twice while it moves from one to
 * another: one stays, ready if either says so. */
static void drop_doubles(struct backend_view *b)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < b->endpoints_len; i++) {
        struct backend_endpoint *last = &b->endpoints[kept ? kept - 1 : 0];

        if (kept && slice_eq(last->address, b->endpoints[i].address)) {
            if (b->endpoints[i].state == ENDPOINT_READY)
                last->state = ENDPOINT_READY;
            continue;
        }
        b->endpoints[kept++] = b->endpoints[i];
    }
    b->endpoints_len = kept;
}

static enum status name_endpoint(struct job *j, const struct record *pod,
                                 struct backend_endpoint *out, struct error *e)
{
    struct workload_name n = {j->s->trust_domain, pod->ns,
                              pod->pod.service_account};
    struct text name;
    enum status rc;

    text_init(&name, WORKLOAD_NAME_MAX);
    rc = workload_name_build(&n, &name, e);
    if (!rc)
        rc = keep(j, text_slice(&name), &out->identity, e);
    text_fini(&name);
    return rc;
}

static enum status make_endpoint(struct job *j, const struct found *f,
                                 struct backend_endpoint *out, struct error *e)
{
    const struct record *pod = owner_of(j->r, f->ip, f->port);
    char buf[KEY_TEXT];
    enum status rc;

    *out = (struct backend_endpoint){.weight = 1, .state = f->state};
    out->protocol = owner_protocol(j->r, pod, f->ip, f->port);
    rc = keep(j, key_address(buf, f->ip, f->port), &out->address, e);
    if (!rc)
        rc = keep(j, f->zone, &out->zone, e);
    if (rc || !pod)
        return rc;
    rc = keep(j, key_name(buf, pod->ns, pod->name), &out->pod, e);
    if (!rc && owner_meshed(j->r, pod, f->port))
        rc = name_endpoint(j, pod, out, e);
    return rc;
}

static enum status make_endpoints(struct job *j, const found_list *found,
                                  struct error *e)
{
    struct backend_view *b = &j->v->backend;
    enum status rc;

    if (found->len > VIEW_ENDPOINTS_MAX)
        return too_big(j, e);
    b->endpoints = arena_alloc(&j->v->arena,
                               found->len * sizeof *b->endpoints + 1);
    if (!b->endpoints)
        return too_big(j, e);
    for (size_t i = 0; i < found->len; i++) {
        rc = make_endpoint(j, &found->at[i], &b->endpoints[i], e);
        if (rc)
            return rc;
    }
    b->endpoints_len = (uint32_t)found->len;
    qsort(b->endpoints, b->endpoints_len, sizeof *b->endpoints, by_address);
    drop_doubles(b);
    return OK;
}

/* Kubernetes decides who is ready (publishNotReadyAddresses shows as ready);
 * one that is going away but still answers is the last resort. */
static bool state_of(const struct slice_endpoint *ep, enum endpoint_state *out)
{
    *out = ep->ready ? ENDPOINT_READY : ENDPOINT_DRAINING;
    return ep->ready || (ep->serving && ep->terminating);
}

static void find_in_slice(const struct slice_record *s,
                          const struct service_port *p, found_list *out)
{
    struct found f = {0};

    for (uint32_t i = 0; i < s->ports_len; i++) {
        if (!slice_eq(s->ports[i].name, p->name))
            continue;
        f.port = s->ports[i].port;
        for (uint32_t n = 0; n < s->endpoints_len; n++) {
            f.ip = s->endpoints[n].ip;
            f.zone = s->endpoints[n].zone;
            if (state_of(&s->endpoints[n], &f.state))
                VEC_PUSH(out, f);
        }
    }
}

/* By an address that was found already. */
static bool is_found(const struct map *ips, const struct record *pod)
{
    for (uint32_t i = 0; i < pod->pod.ips_len; i++)
        if (map_get(ips, pod->pod.ips[i]))
            return true;
    return false;
}

/* A dual-stack Service lists each pod twice: its first family counts, and of the
 * other one those pods that have no other address. Of what is no pod's nobody can
 * tell what is the same: the other family counts if the first has nothing. */
static void add_other_family(const struct job *j, const found_list *other,
                             found_list *found)
{
    size_t first = found->len;
    struct map ips;

    map_init(&ips);
    for (size_t i = 0; i < first; i++)
        (void)map_put(&ips, found->at[i].ip, found);
    for (size_t i = 0; i < other->len; i++) {
        const struct found *f = &other->at[i];
        const struct record *pod = owner_of(j->r, f->ip, f->port);

        if (first == 0 || (pod && !is_found(&ips, pod)))
            VEC_PUSH(found, *f);
    }
    map_fini(&ips);
}

static enum status service_backend(struct job *j, const struct record *svc,
                                   const struct service_port *p,
                                   struct error *e)
{
    const record_list *slices = registry_slices(j->r, svc->ns, svc->name);
    found_list found = {0}, other = {0};
    enum status rc;

    for (size_t i = 0; slices && i < slices->len; i++) {
        const struct slice_record *s = &slices->at[i]->epslice;

        find_in_slice(s, p, s->v6 == svc->service.v6 ? &found : &other);
    }
    if (other.len)
        add_other_family(j, &other, &found);
    rc = keep(j, j->v->key, &j->v->backend.service, e);
    if (!rc)
        rc = make_endpoints(j, &found, e);
    VEC_FINI(&found);
    VEC_FINI(&other);
    return rc;
}

static enum status pod_backend(struct job *j, slice ip, uint16_t port,
                               struct error *e)
{
    struct found f = {.ip = ip, .port = port};
    found_list one = {&f, 1, 1};

    if (!owner_of(j->r, ip, port))
        return error_set(e, ERR_NOT_FOUND, "no pod owns '%.*s'",
                         FMT(j->v->key));
    return make_endpoints(j, &one, e);
}

static enum status backend(struct job *j, struct error *e)
{
    const struct record *svc;
    const struct service_port *p;
    char buf[IP_TEXT];
    slice ip, ns, name;
    uint16_t port;

    if (key_split_address(j->v->key, buf, &ip, &port))
        return pod_backend(j, ip, port, e);
    if (!key_split_service(j->v->key, &ns, &name, &port))
        return error_set(e, ERR_INVALID,
                         "'%.*s' is neither address:port nor "
                         "namespace/service:port",
                         FMT(j->v->key));
    svc = registry_find(j->r, RECORD_SERVICE, ns, name);
    p = svc && !svc->service.external_name ? find_port(svc, port) : NULL;
    if (!p)
        return error_set(e, ERR_NOT_FOUND, "no Service has '%.*s'",
                         FMT(j->v->key));
    return service_backend(j, svc, p, e);
}

/* --- */

enum status resolve(const struct registry *r, const struct resolve_settings *s,
                    enum view_kind kind, const struct client *c, slice key,
                    struct view **out, struct error *e)
{
    static enum status (*const kinds[VIEW_KINDS])(struct job *,
                                                  struct error *) = {
        [VIEW_WORKLOAD] = workload,
        [VIEW_DESTINATION] = destination,
        [VIEW_BACKEND] = backend,
    };
    struct job j = {r, s, c, NULL};
    enum status rc;

    if (key.len > KEY_TEXT)
        return error_set(e, ERR_TOO_BIG, "a key of %zu bytes", key.len);
    j.v = view_new(kind, key);
    rc = kinds[kind](&j, e);
    if (rc) {
        view_unref(j.v);
        return rc;
    }
    *out = j.v;
    return OK;
}

unsigned resolve_topics(enum view_kind kind, const struct client *c, slice key,
                        struct topics *out)
{
    char buf[IP_TEXT];
    slice ip, ns, name;
    uint16_t port;
    unsigned n = 0;

    if (kind == VIEW_WORKLOAD) {
        out->at[n] = topic_pod(out->text[n], c->ns, c->pod);
        n++;
        out->at[n] = topic_namespace(out->text[n], c->ns);
        n++;
        out->at[n++] = TOPIC_BUNDLE;
        return n;
    }
    if (key_split_service(key, &ns, &name, &port)) {
        out->at[n] = topic_service(out->text[n], ns, name);
        return ++n;
    }
    if (!key_split_address(key, buf, &ip, &port))
        return 0;
    out->at[n] = topic_ip(out->text[n], ip);
    n++;
    if (kind == VIEW_DESTINATION)
        out->at[n++] = TOPIC_SYNCED;
    return n;
}
