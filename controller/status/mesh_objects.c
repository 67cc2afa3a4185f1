/* SPDX-License-Identifier: Apache-2.0 */
/* What should be is computed anew for each write; what is comes from watches of
 * the objects. An object takes two writes to be made, as its status is a part of
 * its own, and one for each change after that. Keys of writes: "ns/pod" for a
 * MeshProxy, "" for the MeshConfig.
 *
 * Who begins to lead, or to serve, knows nothing yet of the proxies that have
 * their session elsewhere: for a while it leaves what is said of them. */
#include "controller/status/mesh_objects.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/kube/watch.h"

enum {
    WRITES_PER_SECOND = 5, /* a status write costs the API server about 3 ms */
    WRITES_BURST = 20,     /* the first pods of a small mesh show at once */
    WRITES_IN_FLIGHT = 4,
    UID_MAX = 64,
};
/* Numbers of the MeshConfig move with every pod: not more often than this. */
#define CONFIG_EVERY (5 * NSEC_PER_SEC)
/* Certificates end without a word: all is looked at every 5 minutes. */
enum { CONFIGS_A_LOOK = 60 };
/* Until every replica has found a new leader (it looks at the lease every third of
 * its duration, and its stream backs off for 5 s at most), and the proxies of the
 * old one another controller: when it hangs they notice after 30 s. */
#define SETTLE (30 * NSEC_PER_SEC)
#define PATH "/apis/tulle.dev/v1alpha1"
#define CONFIG_NAME "mesh"
#define KEY_CONFIG SLICE("")

static struct log_area area = LOG_AREA("status");
static struct log log_ = {&area, 0};

static const struct json_limits own_limits = {1 << 16, 1000};

/* An object that is there. */
struct seen {
    uint64_t version; /* of what is here */
    uint64_t hash;    /* of its status */
    /* Of what we wrote last; and of what came out of it as something else,
     * because the server dropped a part: to write it again would not help. */
    uint64_t wrote, in_vain;
    char owner[UID_MAX + 1];
    bool synced; /* it says so */
    bool ending; /* deleted, but something of it is waited for */
    struct condition_times times;
};

struct mesh_objects {
    struct kube *kube;
    struct mesh_objects_options opt;
    struct kube_watch *proxies, *config;
    struct registry_watch changes;
    struct writes *writes;
    struct map seen;        /* "ns/pod" -> struct seen */
    struct map met;         /* "ns/pod" that had a session -> mark of its UID */
    struct seen *config_is; /* NULL: there is none */
    struct timer tick, settled;
    unsigned ticks;
    bool leading;
    bool serving;               /* proxies can have their session here */
    bool no_proxies, no_config; /* their definitions are missing */
    struct reap reap;
};

static int64_t today(void)
{
    return clock_real_ns() / NSEC_PER_SEC;
}

/* Before the registry is whole a pod that is missing there may well exist. */
static bool ready(const struct mesh_objects *m)
{
    return m->leading && registry_synced(m->opt.registry) &&
           kube_watch_synced(m->proxies) && kube_watch_synced(m->config);
}

static bool settling(const struct mesh_objects *m)
{
    return !m->serving || timer_is_set(&m->settled);
}

static void touch(struct mesh_objects *m, slice key)
{
    if (ready(m))
        writes_add(m->writes, key);
}

/* --- what should be --- */

static const struct record *pod_of(const struct mesh_objects *m, slice key)
{
    slice ns, name;

    if (!slice_cut(key, '/', &ns, &name))
        return NULL;
    return registry_find(m->opt.registry, RECORD_POD, ns, name);
}

static bool wanted(const struct record *pod)
{
    return pod && pod->pod.meshed && pod->pod.live;
}

static const struct proxy_state *state_of(const struct mesh_objects *m,
                                          const struct record *pod, slice key)
{
    return proxies_find(m->opt.proxies, key, pod->pod.uid);
}

static void *mark(slice uid)
{
    return (void *)(uintptr_t)(slice_hash(uid) | 1);
}

static bool met(const struct mesh_objects *m, const struct record *pod,
                slice key)
{
    return map_get(&m->met, key) == mark(pod->pod.uid);
}

/* False: what there is to be said is not known yet. */
static bool write_proxy_status(const struct mesh_objects *m,
                               const struct record *pod, slice key,
                               const struct condition_times *times,
                               struct json_write *w)
{
    const struct proxy_state *s = state_of(m, pod, key);
    enum mtls_mode mtls = resolve_mtls(m->opt.registry, m->opt.settings, pod);
    struct mesh_proxy state;

    if (!s && met(m, pod, key) && settling(m))
        return false;
    mesh_proxy_compute(pod, mtls, s, met(m, pod, key), today(), &state);
    mesh_proxy_write(&state, times, today(), w);
    return true;
}

static bool in_sync(const struct mesh_objects *m, const struct record *pod,
                    slice key)
{
    const struct proxy_state *s = state_of(m, pod, key);
    const struct seen *is = map_get(&m->seen, key);

    if (!s && settling(m) && met(m, pod, key))
        return is && is->synced;
    return s && s->in_sync;
}

/* False: what there is to be said is not known yet. */
static bool write_config_status(const struct mesh_objects *m,
                                const struct condition_times *times,
                                struct json_write *w)
{
    struct mesh_config_facts f = {
        .mtls = m->opt.settings->default_mtls,
        .trust_domain = m->opt.settings->trust_domain,
    };
    const struct record *r;
    struct mesh_config c;
    char buf[KEY_TEXT];
    size_t i = 0;

    while (registry_next(m->opt.registry, RECORD_POD, &i, &r)) {
        if (!wanted(r))
            continue;
        f.proxies++;
        f.synced += in_sync(m, r, key_name(buf, r->ns, r->name));
    }
    m->opt.facts(m->opt.arg, &f);
    if (!f.ca_not_after && slice_empty(f.problem))
        return false; /* its Secret is being read, or made */
    mesh_config_compute(&f, today(), &c);
    mesh_config_write(&c, times, today(), w);
    return true;
}

/* {"status":...}; false when that is what is there. */
static bool changed(const struct text *body, struct seen *is)
{
    struct json_doc *doc = NULL;
    struct error e;

    if (json_parse(text_slice(body), &own_limits, &doc, &e) == OK)
        is->wrote = state_hash(json_get(json_root(doc), "status"));
    json_free(doc);
    return is->wrote != is->hash && is->wrote != is->in_vain;
}

/* --- writing --- */

static void object_begin(struct json_write *w, const char *kind)
{
    json_write_object(w);
    json_member_string(w, "apiVersion", SLICE("tulle.dev/v1alpha1"));
    json_member_string(w, "kind", slice_str(kind));
    json_write_name(w, "metadata");
    json_write_object(w);
}

static void create_proxy(const struct record *pod, struct write_call *out)
{
    struct json_write w;

    out->method = KUBE_POST;
    text_printf(&out->path, PATH "/namespaces/%.*s/meshproxies", FMT(pod->ns));
    json_write_init(&w, &out->body);
    object_begin(&w, "MeshProxy");
    json_member_string(&w, "name", pod->name);
    json_member_string(&w, "namespace", pod->ns);
    json_write_name(&w, "ownerReferences");
    json_write_array(&w);
    json_write_object(&w);
    json_member_string(&w, "apiVersion", SLICE("v1"));
    json_member_string(&w, "kind", SLICE("Pod"));
    json_member_string(&w, "name", pod->name);
    json_member_string(&w, "uid", pod->pod.uid);
    json_write_object_end(&w);
    json_write_array_end(&w);
    json_write_object_end(&w);
    json_write_object_end(&w);
}

/* False: there is nothing to delete, or it has been. */
static bool delete_proxy(slice key, const struct seen *is,
                         struct write_call *out)
{
    slice ns, name;

    if (!is || is->ending || !slice_cut(key, '/', &ns, &name))
        return false;
    out->method = KUBE_DELETE;
    text_printf(&out->path, PATH "/namespaces/%.*s/meshproxies/%.*s", FMT(ns),
                FMT(name));
    return true;
}

static bool build_proxy(const struct mesh_objects *m, slice key,
                        struct write_call *out)
{
    const struct record *pod = pod_of(m, key);
    struct seen *is = map_get(&m->seen, key);
    struct json_write w;

    if (m->no_proxies)
        return false;
    if (!wanted(pod))
        return delete_proxy(key, is, out);
    if (!is) {
        create_proxy(pod, out);
        return true;
    }
    /* Another pod's of the same name: made anew, so that it goes with its own. */
    if (!slice_eq(slice_str(is->owner), pod->pod.uid))
        return delete_proxy(key, is, out);
    out->method = KUBE_MERGE_PATCH;
    text_printf(&out->path, PATH "/namespaces/%.*s/meshproxies/%.*s/status",
                FMT(pod->ns), FMT(pod->name));
    json_write_init(&w, &out->body);
    json_write_object(&w);
    json_write_name(&w, "status");
    if (!write_proxy_status(m, pod, key, &is->times, &w))
        return false;
    json_write_object_end(&w);
    return changed(&out->body, is);
}

static bool build_config(const struct mesh_objects *m, struct write_call *out)
{
    struct seen *is = m->config_is;
    struct json_write w;

    if (m->no_config)
        return false;
    json_write_init(&w, &out->body);
    if (!is) {
        out->method = KUBE_POST;
        text_printf(&out->path, PATH "/meshconfigs");
        object_begin(&w, "MeshConfig");
        json_member_string(&w, "name", SLICE(CONFIG_NAME));
        json_write_object_end(&w);
        json_write_object_end(&w);
        return true;
    }
    out->method = KUBE_MERGE_PATCH;
    text_printf(&out->path, PATH "/meshconfigs/" CONFIG_NAME "/status");
    json_write_object(&w);
    json_write_name(&w, "status");
    if (!write_config_status(m, &is->times, &w))
        return false;
    json_write_object_end(&w);
    return changed(&out->body, is);
}

static bool build(void *owner, slice key, struct write_call *out)
{
    const struct mesh_objects *m = owner;

    if (!ready(m))
        return false;
    return slice_empty(key) ? build_config(m, out) : build_proxy(m, key, out);
}

/* --- what is --- */

static void remember(struct seen *is, struct json obj,
                     const char *const conditions[], unsigned n)
{
    struct json meta = json_get(obj, "metadata");
    struct json owners = json_get(meta, "ownerReferences");
    struct json status = json_get(obj, "status");
    slice uid = SLICE_NONE, sync = SLICE_NONE;
    uint64_t hash = state_hash(status);
    struct error e;

    is->version = kube_version(obj);
    if (hash != is->hash)
        is->in_vain = 0;
    is->hash = hash;
    if (json_opt_string(status, "sync", &sync, &e))
        sync = SLICE_NONE;
    is->synced = slice_eq(sync, SLICE("yes"));
    is->ending = json_present(json_get(meta, "deletionTimestamp"));
    condition_times_read(status, conditions, n, &is->times);
    if (json_opt_string(json_first(owners), "uid", &uid, &e) ||
        slice_to_cstr(uid, is->owner, sizeof is->owner))
        is->owner[0] = '\0';
}

static void forget(struct mesh_objects *m, slice key)
{
    if (!slice_empty(key)) {
        mem_free(map_del(&m->seen, key));
        return;
    }
    mem_free(m->config_is);
    m->config_is = NULL;
}

static struct seen *seen(const struct mesh_objects *m, slice key)
{
    return slice_empty(key) ? m->config_is : map_get(&m->seen, key);
}

static struct seen *see(struct mesh_objects *m, slice key, struct json obj)
{
    bool config = slice_empty(key);
    struct seen *is = seen(m, key);

    if (!is) {
        is = MEM_NEW(struct seen);
        if (config)
            m->config_is = is;
        else
            (void)map_put(&m->seen, key, is);
    }
    remember(is, obj, config ? mesh_config_conditions : mesh_proxy_conditions,
             config ? 2 : 3);
    return is;
}

/* What we wrote counts as seen before the watch tells, so that the status of a new
 * object comes next; unless the watch already knows more. */
static void wrote(struct mesh_objects *m, slice key, struct json obj)
{
    struct seen *is = seen(m, key);

    /* What has a status was there before; if we do not see it any more, the watch
     * told meanwhile that it has gone. */
    if (!is && json_present(json_get(obj, "status")))
        return;
    if (!is || kube_version(obj) > is->version)
        is = see(m, key, obj);
    /* 0: it was created just now, and has none yet. */
    if (is->wrote && is->wrote != state_hash(json_get(obj, "status")))
        is->in_vain = is->wrote;
}

/* Not the Status that answers a delete. */
static bool is_object(struct json body)
{
    slice kind = SLICE_NONE;
    struct error e;

    return json_opt_string(body, "kind", &kind, &e) == OK &&
           slice_starts(kind, SLICE("Mesh"));
}

static enum write_next answer(void *owner, slice key,
                              const struct kube_answer *a)
{
    struct mesh_objects *m = owner;

    if (a->rc == OK && is_object(a->body)) {
        wrote(m, key, a->body);
        touch(m, key); /* until `build` finds nothing to change */
        return WRITE_DONE;
    }
    if (a->rc == OK)
        return WRITE_DONE;
    /* It has gone, as the pod or the namespace has; or is to be made again. */
    if (a->rc == ERR_NOT_FOUND)
        forget(m, key);
    log_info(&log_, "not written", "what=\"%.*s\" why=" LOG_QUOTED, FMT(key),
             FMT(slice_str(a->e->text)));
    return WRITE_RETRY;
}

static void on_object(void *owner, struct json obj)
{
    struct mesh_objects *m = owner;
    struct json meta = json_get(obj, "metadata");
    slice ns = SLICE_NONE, name = SLICE_NONE, sync = SLICE_NONE, key;
    const struct seen *is;
    char buf[KEY_TEXT];
    struct error e;

    if (json_string(meta, "namespace", &ns, &e) ||
        json_string(meta, "name", &name, &e) ||
        ns.len + name.len + 2 > sizeof buf)
        return;
    key = key_name(buf, ns, name);
    is = see(m, key, obj);
    /* It had a session before we led, or before we started. */
    if (json_opt_string(json_get(obj, "status"), "sync", &sync, &e) == OK &&
        !slice_empty(sync) && !slice_eq(sync, SLICE("never")))
        (void)map_put(&m->met, key, mark(slice_str(is->owner)));
    touch(m, key);
}

static void on_gone(void *owner, slice ns, slice name)
{
    struct mesh_objects *m = owner;
    char buf[KEY_TEXT];
    slice key = key_name(buf, ns, name);

    forget(m, key);
    if (!pod_of(m, key)) /* that it goes was told before */
        (void)map_del(&m->met, key);
    touch(m, key);
}

void mesh_objects_look(struct mesh_objects *m)
{
    const struct record *r;
    char buf[KEY_TEXT];
    void *value;
    slice key;
    size_t i = 0;

    if (!ready(m))
        return;
    touch(m, KEY_CONFIG);
    while (registry_next(m->opt.registry, RECORD_POD, &i, &r))
        if (wanted(r))
            touch(m, key_name(buf, r->ns, r->name));
    i = 0;
    while (map_next(&m->seen, &i, &key, &value))
        if (!wanted(pod_of(m, key)))
            touch(m, key);
}

static void on_synced(void *owner)
{
    mesh_objects_look(owner);
}

/* Without the definitions there is nothing to write to; they may come. */
static void on_absent(void *owner, bool absent)
{
    struct mesh_objects *m = owner;

    m->no_proxies = absent;
    mesh_objects_look(m);
}

static const struct kube_watch_events proxy_events = {
    .on_object = on_object,
    .on_gone = on_gone,
    .on_synced = on_synced,
    .on_absent = on_absent,
};

static void on_config(void *owner, struct json obj)
{
    struct mesh_objects *m = owner;
    slice name = SLICE_NONE;
    struct error e;

    if (json_string(json_get(obj, "metadata"), "name", &name, &e) ||
        !slice_eq(name, SLICE(CONFIG_NAME)))
        return;
    (void)see(m, KEY_CONFIG, obj);
    touch(m, KEY_CONFIG);
}

static void on_config_gone(void *owner, slice ns, slice name)
{
    struct mesh_objects *m = owner;

    (void)ns;
    if (!slice_eq(name, SLICE(CONFIG_NAME)))
        return;
    forget(m, KEY_CONFIG);
    touch(m, KEY_CONFIG);
}

static void on_config_absent(void *owner, bool absent)
{
    struct mesh_objects *m = owner;

    m->no_config = absent;
    mesh_objects_look(m);
}

static const struct kube_watch_events config_events = {
    .on_object = on_config,
    .on_gone = on_config_gone,
    .on_synced = on_synced,
    .on_absent = on_config_absent,
};

/* --- what changes --- */

static void on_change(struct registry_watch *w, const struct registry_change *c)
{
    struct mesh_objects *m = CONTAINER_OF(w, struct mesh_objects, changes);
    char buf[KEY_TEXT];
    slice key;

    /* A namespace's word on mTLS reaches its pods: look at all, rarely. */
    if (c->kind == RECORD_NAMESPACE)
        mesh_objects_look(m);
    if (c->kind != RECORD_POD)
        return;
    key = key_name(buf, c->ns, c->name);
    if (c->gone)
        (void)map_del(&m->met, key);
    if (map_get(&m->seen, key) || wanted(pod_of(m, key)))
        touch(m, key);
}

/* In the mesh for the first time: told on the pod, for `kubectl describe`. */
static void tell_meshed(struct mesh_objects *m, const struct record *pod,
                        const struct proxy_state *s)
{
    struct kube_object on = {SLICE("v1"), SLICE("Pod"), pod->ns, pod->name,
                             pod->pod.uid};
    struct text note;

    text_init(&note, 1024);
    text_printf(&note, "in the mesh as %.*s", FMT(s->identity));
    kube_events_post(m->opt.events, &on, false, SLICE("Meshed"),
                     text_slice(&note));
    text_fini(&note);
}

void mesh_objects_touch(struct mesh_objects *m, slice key)
{
    const struct record *pod = pod_of(m, key);
    const struct proxy_state *s = wanted(pod) ? state_of(m, pod, key) : NULL;

    if (s && !met(m, pod, key)) {
        (void)map_put(&m->met, key, mark(pod->pod.uid));
        if (ready(m))
            tell_meshed(m, pod, s);
    }
    touch(m, key);
}

static void on_tick(struct timer *t)
{
    struct mesh_objects *m = CONTAINER_OF(t, struct mesh_objects, tick);
    struct loop *l = kube_loop(m->kube);

    if (++m->ticks % CONFIGS_A_LOOK == 0)
        mesh_objects_look(m);
    touch(m, KEY_CONFIG);
    timer_set(&l->timers, t, loop_now(l) + CONFIG_EVERY);
}

static void on_settled(struct timer *t)
{
    mesh_objects_look(CONTAINER_OF(t, struct mesh_objects, settled));
}

/* --- for the owner --- */

static enum status start_watches(struct mesh_objects *m, struct error *e)
{
    static const struct kube_watch_options proxies = {
        .path = SLICE_INIT(PATH "/meshproxies"),
    };
    static const struct kube_watch_options config = {
        .path = SLICE_INIT(PATH "/meshconfigs"),
    };
    enum status rc = kube_watch_start(&m->proxies, m->kube, &proxies,
                                      &proxy_events, m, e);

    if (!rc)
        rc = kube_watch_start(&m->config, m->kube, &config, &config_events, m,
                              e);
    return rc;
}

enum status mesh_objects_start(struct mesh_objects **out, struct kube *k,
                               const struct mesh_objects_options *opt,
                               struct error *e)
{
    struct writes_options wo = {
        .name = "mesh state",
        .per_second = WRITES_PER_SECOND,
        .burst = WRITES_BURST,
        .in_flight = WRITES_IN_FLIGHT,
        .build = build,
        .answer = answer,
    };
    struct mesh_objects *m = MEM_NEW(struct mesh_objects);
    struct loop *l = kube_loop(k);
    enum status rc;

    m->kube = k;
    m->opt = *opt;
    map_init(&m->seen);
    map_init(&m->met);
    wo.owner = m;
    m->writes = writes_new(k, &wo);
    m->changes.on_change = on_change;
    registry_watch(opt->registry, &m->changes);
    timer_init(&m->settled, on_settled);
    timer_init(&m->tick, on_tick);
    timer_set(&l->timers, &m->tick, loop_now(l) + CONFIG_EVERY);
    rc = start_watches(m, e);
    if (rc) {
        mesh_objects_close(m);
        return rc;
    }
    *out = m;
    return OK;
}

static void settle(struct mesh_objects *m)
{
    struct loop *l = kube_loop(m->kube);

    timer_stop(&l->timers, &m->settled);
    if (m->leading && m->serving)
        timer_set(&l->timers, &m->settled, loop_now(l) + SETTLE);
}

void mesh_objects_serve(struct mesh_objects *m, bool serving)
{
    m->serving = serving;
    settle(m);
}

void mesh_objects_lead(struct mesh_objects *m, bool leading)
{
    m->leading = leading;
    settle(m);
    if (!leading)
        writes_clear(m->writes);
    writes_pause(m->writes, !leading);
    mesh_objects_look(m);
}

size_t mesh_objects_behind(const struct mesh_objects *m)
{
    return writes_waiting(m->writes);
}

static void mesh_objects_free(struct reap *r)
{
    struct mesh_objects *m = CONTAINER_OF(r, struct mesh_objects, reap);
    void *value;
    slice key;
    size_t i = 0;

    while (map_next(&m->seen, &i, &key, &value))
        mem_free(value);
    map_fini(&m->seen);
    map_fini(&m->met);
    mem_free(m->config_is);
    mem_free(m);
}

void mesh_objects_close(struct mesh_objects *m)
{
    if (!m)
        return;
    kube_watch_close(m->proxies);
    kube_watch_close(m->config);
    writes_close(m->writes);
    registry_unwatch(&m->changes);
    timer_stop(&kube_loop(m->kube)->timers, &m->tick);
    timer_stop(&kube_loop(m->kube)->timers, &m->settled);
    loop_reap(kube_loop(m->kube), &m->reap, mesh_objects_free);
}
