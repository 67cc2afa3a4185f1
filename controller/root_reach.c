/* SPDX-License-Identifier: Apache-2.0 */
/* Who says nothing does not have it. */
#include "controller/root_reach.h"

enum { NAMED = 5 };

struct looking {
    const struct root_reach *r;
    const struct root_state *s;
    struct root_sight *out;
    struct text *names;
    unsigned named;
};

static void name(struct looking *l, slice ns, slice pod)
{
    if (l->named++ < NAMED)
        text_printf(l->names, "%s%.*s/%.*s", l->names->len ? ", " : "", FMT(ns),
                    FMT(pod));
}

bool replica_pods_next(const struct registry *r,
                       const struct controller_config *config, size_t *i,
                       const struct record **out)
{
    const struct record *self = registry_find(r, RECORD_POD, config->namespace,
                                              config->pod_name);
    const struct record *pod;

    while (self && registry_next(r, RECORD_POD, i, &pod)) {
        if (pod == self || !slice_eq(pod->ns, config->namespace) ||
            !slice_eq(pod->pod.service_account, self->pod.service_account))
            continue;
        *out = pod;
        return true;
    }
    return false;
}

/* Those that run and do not tell us, and those that tell us of other roots. */
static void look_at_replicas(struct looking *l)
{
    const struct root_reach *r = l->r;
    const struct record *pod;
    size_t i = 0;

    l->out->replicas = gather_behind(r->gather, slice_str(l->s->next));
    while (replica_pods_next(r->registry, r->config, &i, &pod)) {
        if (!pod->pod.live || pod->pod.terminating || !pod->pod.ips_len ||
            gather_hears(r->gather, pod->name))
            continue;
        l->out->replicas++;
        name(l, pod->ns, pod->name);
    }
}

/* A proxy that says nothing, though the kubelet says that it is well, is
 * somewhere. */
static void look_at_pod(struct looking *l, const struct record *pod)
{
    const struct proxy_state *p;
    char buf[KEY_TEXT];
    bool behind, old;

    if (!pod->pod.meshed || !pod->pod.live || pod->pod.terminating)
        return;
    p = proxies_find(l->r->proxies, key_name(buf, pod->ns, pod->name),
                     pod->pod.uid);
    if (!p && !pod->pod.proxy_ready)
        return;
    behind = l->s->phase == ROOT_DISTRIBUTING &&
             !(p && root_marked(p->roots, slice_str(l->s->next)));
    old = l->s->phase == ROOT_RETIRING && p &&
          root_signed_by_old(l->s, &l->r->rules, p->cert_issued);
    l->out->proxies++;
    l->out->behind += behind;
    l->out->old += old;
    if (behind || old)
        name(l, pod->ns, pod->name);
}

bool root_reach_see(const struct root_reach *r, const struct root_state *s,
                    slice own, int64_t fresh, struct root_sight *out,
                    struct text *names)
{
    struct looking l = {r, s, out, names, 0};
    const struct record *pod;
    size_t i = 0;

    if (s->phase == ROOT_DISTRIBUTING)
        look_at_replicas(&l);
    while (registry_next(r->registry, RECORD_POD, &i, &pod))
        look_at_pod(&l, pod);
    return root_marked(own, slice_str(s->next)) &&
           bundle_writer_written(r->bundles, fresh, &out->missing) &&
           webhook_cert_written(r->webhook, fresh);
}
