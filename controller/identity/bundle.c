/* SPDX-License-Identifier: Apache-2.0 */
/* What should be follows from the registry (namespaces) and the bundle; what is
 * comes from a watch of the ConfigMaps of our name. A namespace where they differ
 * is written, and looked at again when either changes. */
#include "controller/identity/bundle.h"

#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/json/json_write.h"
#include "lib/kube/watch.h"
#include "lib/mesh/labels.h"

static struct log_area area = LOG_AREA("bundle");
static struct log log_ = {&area, 0};

/* What the ConfigMap of a namespace holds: a mark of the bundle that it is, or
 * that it is none. Not in the map: there is no ConfigMap. */
static const char no_bundle[] = "something else";
#define NO_BUNDLE ((void *)(uintptr_t)no_bundle)
/* Cannot be changed, only deleted. */
static const char immutable_bundle[] = "immutable";
#define IMMUTABLE ((void *)(uintptr_t)immutable_bundle)

struct bundle_writer {
    struct kube *kube;
    struct registry *registry;
    struct registry_watch changes;
    struct kube_watch *maps;
    struct writes *writes;
    struct map maps_seen; /* namespace -> mark of its ConfigMap */
    char *bundle;         /* NULL: not known yet */
    bool leading;
    struct reap reap;
};

/* Pods of these are never meshed. */
static bool system_namespace(slice ns)
{
    return slice_eq(ns, SLICE("kube-system")) ||
           slice_eq(ns, SLICE("kube-public")) ||
           slice_eq(ns, SLICE("kube-node-lease"));
}

static void *mark(slice bundle)
{
    return (void *)(uintptr_t)(slice_hash(bundle) | 1);
}

static bool right(const struct bundle_writer *b, slice ns)
{
    return map_get(&b->maps_seen, ns) == mark(slice_str(b->bundle));
}

static bool wanted(const struct bundle_writer *b, slice ns)
{
    const struct record *r = registry_find(b->registry, RECORD_NAMESPACE,
                                           SLICE_NONE, ns);

    return r && !r->space.terminating && !system_namespace(ns);
}

static void look(struct bundle_writer *b, slice ns)
{
    if (b->leading && b->bundle && kube_watch_synced(b->maps) &&
        !right(b, ns) && wanted(b, ns))
        writes_add(b->writes, ns);
}

static void look_at_all(struct bundle_writer *b)
{
    const struct record *r;
    size_t i = 0;

    while (registry_next(b->registry, RECORD_NAMESPACE, &i, &r))
        look(b, r->name);
}

/* --- what is --- */

static void on_map(void *owner, struct json obj)
{
    struct bundle_writer *b = owner;
    struct json data = json_get(obj, "data");
    bool alone = json_count(data) == 1 &&
                 json_count(json_get(obj, "binaryData")) == 0;
    slice ns = SLICE_NONE, bundle = SLICE_NONE;
    bool immutable = false;
    struct error e;

    if (json_string(json_get(obj, "metadata"), "namespace", &ns, &e))
        return;
    if (!alone || json_opt_string(data, TRUST_BUNDLE_KEY, &bundle, &e))
        bundle = SLICE_NONE;
    if (json_opt_bool(obj, "immutable", &immutable, &e))
        immutable = false;
    (void)map_put(&b->maps_seen, ns,
                  immutable             ? IMMUTABLE
                  : slice_empty(bundle) ? NO_BUNDLE
                                        : mark(bundle));
    look(b, ns);
}

static void on_map_gone(void *owner, slice ns, slice name)
{
    struct bundle_writer *b = owner;

    (void)name;
    (void)map_del(&b->maps_seen, ns);
    look(b, ns);
}

static void on_maps_synced(void *owner)
{
    look_at_all(owner);
}

static const struct kube_watch_events map_events = {
    .on_object = on_map,
    .on_gone = on_map_gone,
    .on_synced = on_maps_synced,
};

static void on_change(struct registry_watch *w, const struct registry_change *c)
{
    struct bundle_writer *b = CONTAINER_OF(w, struct bundle_writer, changes);

    if (c->kind == RECORD_NAMESPACE)
        look(b, c->name);
}

/* --- writing --- */

/* Made, or replaced as a whole: whatever else somebody put there goes. */
static bool build(void *owner, slice ns, struct write_call *out)
{
    const struct bundle_writer *b = owner;
    const void *seen = map_get(&b->maps_seen, ns);
    struct json_write w;

    if (!b->bundle || right(b, ns) || !wanted(b, ns))
        return false;
    out->method = seen ? KUBE_PUT : KUBE_POST;
    text_printf(&out->path, "/api/v1/namespaces/%.*s/configmaps%s", FMT(ns),
                seen ? "/" TRUST_BUNDLE_NAME : "");
    if (seen == IMMUTABLE) {
        out->method = KUBE_DELETE; /* and made anew when it is gone */
        return true;
    }
    json_write_init(&w, &out->body);
    json_write_object(&w);
    json_member_string(&w, "apiVersion", SLICE("v1"));
    json_member_string(&w, "kind", SLICE("ConfigMap"));
    json_write_name(&w, "metadata");
    json_write_object(&w);
    json_member_string(&w, "name", SLICE(TRUST_BUNDLE_NAME));
    json_member_string(&w, "namespace", ns);
    json_write_object_end(&w);
    json_write_name(&w, "data");
    json_write_object(&w);
    json_member_string(&w, TRUST_BUNDLE_KEY, slice_str(b->bundle));
    json_write_object_end(&w);
    json_write_object_end(&w);
    return true;
}

/* The watch tells how it is now: it may already know more than this answer. When
 * what we believed about the ConfigMap (there, not there) was wrong, the next try is
 * another one. */
static enum write_next answer(void *owner, slice ns,
                              const struct kube_answer *a)
{
    struct bundle_writer *b = owner;

    if (!a->rc)
        return WRITE_DONE;
    if (a->rc == ERR_EXISTS) {
        if (!map_get(&b->maps_seen, ns))
            (void)map_put(&b->maps_seen, ns, NO_BUNDLE);
    } else if (a->rc == ERR_NOT_FOUND)
        (void)map_del(&b->maps_seen, ns);
    else
        log_warn(&log_, "trust bundle not written",
                 "namespace=%.*s why=" LOG_QUOTED, FMT(ns),
                 FMT(slice_str(a->e->text)));
    return WRITE_RETRY;
}

/* --- for the owner --- */

enum status bundle_writer_start(struct bundle_writer **out, struct kube *k,
                                struct registry *r, struct error *e)
{
    static const struct kube_watch_options where = {
        .path = SLICE_INIT("/api/v1/configmaps"),
        .query = SLICE_INIT("fieldSelector=metadata.name%3D" TRUST_BUNDLE_NAME),
    };
    struct writes_options wo = {
        .name = "trust bundle",
        .per_second = 50, /* a few hundred namespaces at an install */
        .burst = 50,
        .in_flight = 4,
        .build = build,
        .answer = answer,
    };
    struct bundle_writer *b = MEM_NEW(struct bundle_writer);
    enum status rc = kube_watch_start(&b->maps, k, &where, &map_events, b, e);

    if (rc) {
        mem_free(b);
        return rc;
    }
    b->kube = k;
    b->registry = r;
    wo.owner = b;
    b->writes = writes_new(k, &wo);
    map_init(&b->maps_seen);
    b->changes.on_change = on_change;
    registry_watch(r, &b->changes);
    *out = b;
    return OK;
}

void bundle_writer_set(struct bundle_writer *b, slice bundle)
{
    if (b->bundle && slice_eq(slice_str(b->bundle), bundle))
        return;
    mem_free(b->bundle);
    b->bundle = mem_str(bundle);
    look_at_all(b);
}

void bundle_writer_lead(struct bundle_writer *b, bool leading)
{
    b->leading = leading;
    writes_pause(b->writes, !leading);
    if (leading)
        look_at_all(b);
    else
        writes_clear(b->writes);
}

size_t bundle_writer_behind(const struct bundle_writer *b)
{
    return writes_waiting(b->writes);
}

bool bundle_writer_written(const struct bundle_writer *b, int64_t fresh,
                           bool *missing)
{
    const struct record *r;
    size_t i = 0;

    if (!b->leading || !b->bundle || !kube_watch_synced(b->maps) ||
        kube_watch_heard(b->maps) < fresh)
        return false;
    while (registry_next(b->registry, RECORD_NAMESPACE, &i, &r)) {
        if (!wanted(b, r->name) || right(b, r->name))
            continue;
        if (map_get(&b->maps_seen, r->name))
            return false;
        *missing = true;
    }
    return true;
}

static void bundle_writer_free(struct reap *r)
{
    struct bundle_writer *b = CONTAINER_OF(r, struct bundle_writer, reap);

    map_fini(&b->maps_seen);
    mem_free(b->bundle);
    mem_free(b);
}

void bundle_writer_close(struct bundle_writer *b)
{
    if (!b)
        return;
    kube_watch_close(b->maps);
    writes_close(b->writes);
    registry_unwatch(&b->changes);
    loop_reap(kube_loop(b->kube), &b->reap, bundle_writer_free);
}
