/* SPDX-License-Identifier: Apache-2.0 */
/* Every second: who leads, where that is, and whether what we know is still of
 * the present. */
#include "controller/cluster.h"

#include "controller/identity/bundle.h"
#include "controller/identity/ca_secret.h"
#include "controller/identity/rotation.h"
#include "controller/identity/serving.h"
#include "controller/identity/webhook_cert.h"
#include "controller/live/messenger.h"
#include "controller/root_reach.h"
#include "controller/status/mesh_objects.h"
#include "lib/admin/build_info.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/kube/lease.h"
#include "lib/mesh/labels.h"

static struct log_area area = LOG_AREA("cluster");
static struct log log_ = {&area, 0};

#define TICK NSEC_PER_SEC
/* Without a word of the leader that the lease names. */
#define LONELY (10 * NSEC_PER_SEC)
/* A leader that died has a successor, and we its address, after so long. */
#define LEADERLESS (30 * NSEC_PER_SEC)

struct cluster {
    struct cluster_options opt;
    struct cluster_events events;
    void *owner;
    struct ca_secret *ca;
    struct rotation *rotation; /* NULL: the issuer is another's */
    struct kube_lease *lease;
    struct kube_events *notes;
    struct bundle_writer *bundles;
    struct webhook_cert *webhook;
    struct mesh_objects *objects;
    struct proxies *proxies;
    struct gather *gather;
    struct messenger *messenger;
    struct mesh_api *api;
    const struct source *source;
    const struct authority *authority;
    struct text roots; /* marks of those that we trust */
    struct root_reach reach;
    char *problem; /* with the issuer; NULL: none */
    bool leading, shedding;
    bool sure;     /* of the issuer */
    int64_t heard; /* of a leader, or when we began to look for one */
    size_t tried;  /* replica that was asked last whether it leads */
    struct timer tick;
    struct reap reap;
};

/* --- the issuer --- */

static void on_authority(void *owner, struct authority *a, bool ended)
{
    struct cluster *c = owner;

    c->events.on_authority(c->owner, a, ended);
}

static void on_ca_problem(void *owner, slice why)
{
    struct cluster *c = owner;
    slice old = slice_str(c->problem);

    if (slice_eq(old, why))
        return;
    if (!slice_empty(why))
        log_error(&log_, "issuer", "why=" LOG_QUOTED, FMT(why));
    mem_free(c->problem);
    c->problem = slice_empty(why) ? NULL : mem_str(why);
}

void cluster_set_authority(struct cluster *c, const struct authority *a)
{
    c->authority = a;
    text_clear(&c->roots);
    root_marks(authority_bundle(a), &c->roots);
    messenger_set_roots(c->messenger, text_slice(&c->roots));
    bundle_writer_set(c->bundles, authority_bundle(a));
    webhook_cert_set(c->webhook, a);
}

bool cluster_is_blind(const struct cluster *c)
{
    return c->shedding;
}

bool cluster_may_sign(const struct cluster *c)
{
    int64_t heard = ca_secret_heard(c->ca);

    return heard && loop_now(c->opt.loop) - heard < c->opt.config->stale_after;
}

/* Before the first word there is nothing that could be out of date. */
static bool sure(const struct cluster *c)
{
    return !ca_secret_heard(c->ca) || cluster_may_sign(c);
}

static void look_at_issuer(struct cluster *c)
{
    ca_secret_look(c->ca);
    if (c->sure == sure(c))
        return;
    c->sure = !c->sure;
    log_warn(&log_,
             c->sure ? "the issuer is known again"
                     : "not heard of the issuer for long: nothing is signed",
             "%s", "");
    c->events.on_sure(c->owner, c->sure);
}

static bool stale(const struct cluster *c)
{
    int64_t heard = c->source ? source_heard(c->source) : 0;

    return heard && loop_now(c->opt.loop) - heard > c->opt.config->stale_after;
}

static bool see_root(void *arg, const struct root_state *s,
                     struct root_sight *out, struct text *names)
{
    const struct cluster *c = arg;

    return root_reach_see(&c->reach, s, text_slice(&c->roots),
                          loop_now(c->opt.loop) - c->opt.config->stale_after,
                          out, names);
}

/* Only who knows the present judges it. */
static void rotate(struct cluster *c)
{
    bool known = registry_synced(c->opt.registry) && c->source && !stale(c) &&
                 cluster_may_sign(c);

    if (c->rotation)
        rotation_look(c->rotation, known ? ca_secret_root(c->ca) : NULL);
}

static void config_facts(void *arg, struct mesh_config_facts *out)
{
    const struct cluster *c = arg;

    out->problem = slice_str(c->problem);
    out->ca_not_after = c->authority ? authority_not_after(c->authority) : 0;
    /* A constant of the build: ends with a 0. */
    out->version = build_version().ptr;
}

/* --- who leads --- */

static void shed(struct cluster *c, bool on, const char *why)
{
    if (on == c->shedding || !c->api)
        return;
    c->shedding = on;
    log_warn(&log_, why, "%s", "");
    mesh_api_shed(c->api, on);
}

static void on_leading(void *owner, bool leading)
{
    struct cluster *c = owner;

    log_info(&log_, leading ? "leading" : "not leading any more",
             "replica=%.*s", FMT(c->opt.config->pod_name));
    c->leading = leading;
    if (leading) {
        messenger_to(c->messenger, NULL);
        c->heard = 0;
        shed(c, false, "leading: nobody knows more");
    }
    if (c->api)
        mesh_api_lead(c->api, leading);
    bundle_writer_lead(c->bundles, leading);
    webhook_cert_lead(c->webhook, leading);
    if (c->rotation)
        rotation_lead(c->rotation, leading);
    mesh_objects_lead(c->objects, leading);
}

/* Where the Mesh API of a replica is. */
static bool address_of(const struct cluster *c, const struct record *pod,
                       struct address *out)
{
    char buf[KEY_TEXT];
    uint16_t port = address_port(&c->opt.config->listen_address);

    return pod->pod.ips_len > 0 && pod->pod.live &&
           address_parse(key_address(buf, pod->pod.ips[0], port), out) == OK;
}

static bool leader_address(const struct cluster *c, struct address *out)
{
    slice holder = kube_lease_holder(c->lease);
    const struct record *pod;

    if (slice_empty(holder) || slice_eq(holder, c->opt.config->pod_name))
        return false;
    pod = registry_find(c->opt.registry, RECORD_POD, c->opt.config->namespace,
                        holder);
    return pod && address_of(c, pod, out);
}

/* Nobody says who leads: ask the others in turn. */
static bool next_replica(struct cluster *c, struct address *out)
{
    const struct record *pod;
    size_t i = 0, n = 0;

    while (replica_pods_next(c->opt.registry, c->opt.config, &i, &pod)) {
        if (!address_of(c, pod, out) || n++ < c->tried)
            continue;
        c->tried = n;
        return true;
    }
    c->tried = 0;
    return false;
}

/* Who follows tells the leader. Whom the lease names may be out of date: then any
 * other replica may be the leader now. */
static void find_leader(struct cluster *c, bool blind)
{
    int64_t now = loop_now(c->opt.loop);
    bool heard = messenger_connected(c->messenger);
    struct address at;

    if (heard || !c->heard)
        c->heard = now;
    if (!blind && now - c->heard < LONELY && leader_address(c, &at))
        messenger_to(c->messenger, &at);
    else if (!heard && next_replica(c, &at))
        messenger_to(c->messenger, &at);
}

/* Who cannot see the API server any more, while a leader can (it would not lead
 * else), sends its proxies there; also for the while in which that one breaks
 * down and another one takes over. */
static void follow(struct cluster *c)
{
    bool blind = stale(c) || !c->sure;

    find_leader(c, blind);
    if (!blind)
        shed(c, false, "the API server is back");
    else if (messenger_connected(c->messenger))
        shed(c, true,
             "the API server is out of reach, but not the leader's: "
             "proxies are sent to other replicas");
    else if (loop_now(c->opt.loop) - c->heard > LEADERLESS)
        shed(c, false,
             "no leader is in reach either: proxies are served as before");
}

static void on_tick(struct timer *t)
{
    struct cluster *c = CONTAINER_OF(t, struct cluster, tick);

    look_at_issuer(c);
    if (!c->leading)
        follow(c);
    else
        rotate(c);
    timer_set(&c->opt.loop->timers, t, loop_now(c->opt.loop) + TICK);
}

/* --- proxies --- */

static void on_proxy(void *arg, slice pod, bool numbers)
{
    struct cluster *c = arg;

    if (!numbers)
        mesh_objects_touch(c->objects, pod);
    messenger_touch(c->messenger, pod);
}

struct gather *cluster_gather(struct cluster *c)
{
    return c->gather;
}

void cluster_set_api(struct cluster *c, struct mesh_api *api,
                     const struct source *source)
{
    c->api = api;
    c->source = source;
    if (api)
        mesh_api_lead(api, c->leading);
    mesh_objects_serve(c->objects, api != NULL);
}

void cluster_synced(struct cluster *c)
{
    mesh_objects_look(c->objects);
}

enum status cluster_set_tls(struct cluster *c,
                            const struct tls_settings *serving, struct error *e)
{
    struct tls_settings *client = NULL;
    enum status rc = serving_client(&client, serving,
                                    authority_bundle(c->authority), e);

    if (rc)
        return rc;
    messenger_set_tls(c->messenger, client);
    tls_settings_unref(client);
    return OK;
}

const struct proxies *cluster_proxies(const struct cluster *c)
{
    return c->proxies;
}

void cluster_numbers(const struct cluster *c, struct cluster_numbers *out)
{
    *out = (struct cluster_numbers){
        .leading = c->leading,
        .replicas = gather_replicas(c->gather),
        .unwritten = bundle_writer_behind(c->bundles) +
                     mesh_objects_behind(c->objects),
        .proxies = proxies_count(c->proxies),
        .synced = proxies_in_sync(c->proxies),
    };
}

/* --- life --- */

static enum status start_issuer(struct cluster *c, struct error *e)
{
    const struct controller_config *cfg = c->opt.config;
    static const struct ca_secret_events events = {on_authority, on_ca_problem};
    struct ca_secret_options opt = {
        .ns = cfg->namespace,
        .name = cfg->issuer_secret,
        .given = !slice_empty(cfg->issuer_secret),
        .trust_domain = cfg->trust_domain,
        .root_life = cfg->root_life / NSEC_PER_SEC,
        .stale_after = cfg->stale_after,
    };

    if (!opt.given)
        opt.name = SLICE(CA_SECRET);
    return ca_secret_start(&c->ca, c->opt.kube, &opt, &events, c, e);
}

static enum status start_rotation(struct cluster *c, struct error *e)
{
    const struct controller_config *cfg = c->opt.config;
    struct rotation_options opt = {
        .ns = cfg->namespace,
        .name = SLICE(CA_SECRET),
        .trust_domain = cfg->trust_domain,
        .events = c->notes,
        .see = see_root,
        .arg = c,
    };
    enum status rc;

    if (!slice_empty(cfg->issuer_secret))
        return OK;
    rc = controller_root_rules(cfg, &opt.rules, e);
    if (rc)
        return rc;
    c->reach = (struct root_reach){
        .config = cfg,
        .registry = c->opt.registry,
        .proxies = c->proxies,
        .gather = c->gather,
        .bundles = c->bundles,
        .webhook = c->webhook,
        .rules = opt.rules,
    };
    c->rotation = rotation_new(c->opt.kube, &opt);
    return OK;
}

static enum status start_webhook(struct cluster *c, struct error *e)
{
    const struct controller_config *cfg = c->opt.config;
    struct webhook_cert_options opt = {
        .ns = cfg->namespace,
        .cluster_domain = cfg->cluster_domain,
        .trust_domain = cfg->trust_domain,
        .webhook = cfg->webhook,
        .life = cfg->cert_life / NSEC_PER_SEC,
    };

    return webhook_cert_start(&c->webhook, c->opt.kube, &opt, e);
}

static enum status start_objects(struct cluster *c, struct error *e)
{
    struct mesh_objects_options opt = {
        .registry = c->opt.registry,
        .proxies = c->proxies,
        .settings = c->opt.resolve,
        .events = c->notes,
        .facts = config_facts,
        .arg = c,
    };

    return mesh_objects_start(&c->objects, c->opt.kube, &opt, e);
}

static enum status start_lease(struct cluster *c, struct error *e)
{
    struct kube_lease_options opt = {
        .ns = c->opt.config->namespace,
        .name = SLICE(CONTROLLER_LEASE),
        .identity = c->opt.config->pod_name,
        .duration = c->opt.config->lease_duration,
    };

    return kube_lease_start(&c->lease, c->opt.kube, &opt, on_leading, c, e);
}

static enum status start_messenger(struct cluster *c, struct error *e)
{
    struct text name;
    enum status rc;

    text_init(&name, WORKLOAD_NAME_MAX);
    rc = controller_name_build(c->opt.config->trust_domain, &name, e);
    if (!rc)
        c->messenger = messenger_new(c->opt.loop, c->proxies, text_slice(&name),
                                     c->opt.config->pod_name);
    text_fini(&name);
    return rc;
}

enum status cluster_start(struct cluster **out,
                          const struct cluster_options *opt,
                          const struct cluster_events *ev, void *owner,
                          struct error *e)
{
    struct cluster *c = MEM_NEW(struct cluster);
    struct loop *l = opt->loop;
    enum status rc;

    c->opt = *opt;
    c->events = *ev;
    c->owner = owner;
    c->sure = true;
    text_init(&c->roots, ROOT_MARKS_MAX);
    c->notes = kube_events_new(opt->kube, SLICE("tulle-controller"));
    c->proxies = proxies_new(l, opt->publisher, on_proxy, c);
    c->gather = gather_new(l, c->proxies);
    timer_init(&c->tick, on_tick);
    timer_set(&l->timers, &c->tick, loop_now(l) + TICK);
    rc = start_messenger(c, e);
    if (!rc)
        rc = bundle_writer_start(&c->bundles, opt->kube, opt->registry, e);
    if (!rc)
        rc = start_webhook(c, e);
    if (!rc)
        rc = start_objects(c, e);
    if (!rc)
        rc = start_issuer(c, e);
    if (!rc)
        rc = start_rotation(c, e);
    if (!rc)
        rc = start_lease(c, e);
    if (rc) {
        cluster_close(c);
        return rc;
    }
    *out = c;
    return OK;
}

void cluster_leave(struct cluster *c)
{
    if (!c->lease)
        return;
    timer_stop(&c->opt.loop->timers, &c->tick);
    /* Before the next one may begin. */
    if (c->leading)
        on_leading(c, false);
    kube_lease_close(c->lease);
    c->lease = NULL;
}

static void cluster_free(struct reap *r)
{
    struct cluster *c = CONTAINER_OF(r, struct cluster, reap);

    text_fini(&c->roots);
    mem_free(c->problem);
    mem_free(c);
}

void cluster_close(struct cluster *c)
{
    if (!c)
        return;
    timer_stop(&c->opt.loop->timers, &c->tick);
    kube_lease_close(c->lease);
    rotation_close(c->rotation);
    ca_secret_close(c->ca);
    mesh_objects_close(c->objects);
    webhook_cert_close(c->webhook);
    bundle_writer_close(c->bundles);
    messenger_close(c->messenger);
    gather_free(c->gather);
    proxies_free(c->proxies);
    kube_events_free(c->notes);
    loop_reap(c->opt.loop, &c->reap, cluster_free);
}
