/* SPDX-License-Identifier: Apache-2.0 */
/* A change is: tell the topics of the old record, take it out of the indexes,
 * put the new one in, tell its topics, tell the watches. */
#include "controller/registry/registry.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/map.h"

struct registry {
    struct map records[RECORD_KINDS]; /* "ns/name" -> record, owned */
    struct map ips;                   /* ip -> struct registry_ip */
    struct map slices;                /* "ns/service" -> record_list */
    struct list watches;
    uint64_t version;
    bool synced;
};

struct registry *registry_new(void)
{
    struct registry *r = MEM_NEW(struct registry);

    for (int k = 0; k < RECORD_KINDS; k++)
        map_init(&r->records[k]);
    map_init(&r->ips);
    map_init(&r->slices);
    list_init(&r->watches);
    return r;
}

static void ip_free(struct registry_ip *at)
{
    VEC_FINI(&at->services);
    VEC_FINI(&at->pods);
    VEC_FINI(&at->slices);
    mem_free(at);
}

void registry_free(struct registry *r)
{
    void *value;
    slice key;
    size_t i = 0;

    if (!r)
        return;
    for (int k = 0; k < RECORD_KINDS; k++) {
        for (i = 0; map_next(&r->records[k], &i, &key, &value);)
            record_unref(value);
        map_fini(&r->records[k]);
    }
    for (i = 0; map_next(&r->ips, &i, &key, &value);)
        ip_free(value);
    for (i = 0; map_next(&r->slices, &i, &key, &value);) {
        VEC_FINI((record_list *)value);
        mem_free(value);
    }
    map_fini(&r->ips);
    map_fini(&r->slices);
    mem_free(r);
}

/* --- topics --- */

static slice topic(char buf[TOPIC_TEXT], const char *kind, slice key)
{
    int n = snprintf(buf, TOPIC_TEXT, "%s %.*s", kind, FMT(key));

    return slice_of(buf, (size_t)n);
}

slice topic_service(char buf[TOPIC_TEXT], slice ns, slice name)
{
    char key[KEY_TEXT];

    return topic(buf, "service", key_name(key, ns, name));
}

slice topic_pod(char buf[TOPIC_TEXT], slice ns, slice name)
{
    char key[KEY_TEXT];

    return topic(buf, "pod", key_name(key, ns, name));
}

slice topic_namespace(char buf[TOPIC_TEXT], slice name)
{
    return topic(buf, "namespace", slice_sub(name, 0, NAME_MAX_BYTES));
}

slice topic_ip(char buf[TOPIC_TEXT], slice ip)
{
    return topic(buf, "ip", ip);
}

static void tell_topic(struct registry *r, slice t)
{
    LIST_EACH(node, &r->watches) {
        struct registry_watch *w = CONTAINER_OF(node, struct registry_watch,
                                                node);

        if (w->on_topic)
            w->on_topic(w, t);
    }
}

/* Whatever is said about an address: its own view, the pods there (what their
 * ports are declared to speak), the Services that list it (who is behind it). */
static void touch_ip(struct registry *r, slice ip)
{
    const struct registry_ip *at = registry_at(r, ip);
    char buf[TOPIC_TEXT];

    tell_topic(r, topic_ip(buf, ip));
    if (!at)
        return;
    for (size_t i = 0; i < at->pods.len; i++)
        tell_topic(r, topic_pod(buf, at->pods.at[i]->ns, at->pods.at[i]->name));
    for (size_t i = 0; i < at->slices.len; i++)
        tell_topic(r, topic_service(buf, at->slices.at[i]->ns,
                                    at->slices.at[i]->epslice.service));
}

static void touch_slice(struct registry *r, const struct record *rec)
{
    char buf[TOPIC_TEXT];

    tell_topic(r, topic_service(buf, rec->ns, rec->epslice.service));
    for (uint32_t i = 0; i < rec->epslice.endpoints_len; i++)
        touch_ip(r, rec->epslice.endpoints[i].ip);
}

static void touch_service(struct registry *r, const struct record *rec)
{
    const record_list *slices = registry_slices(r, rec->ns, rec->name);
    char buf[TOPIC_TEXT];

    tell_topic(r, topic_service(buf, rec->ns, rec->name));
    for (uint32_t i = 0; i < rec->service.ips_len; i++)
        touch_ip(r, rec->service.ips[i]);
    for (size_t i = 0; slices && i < slices->len; i++)
        touch_slice(r, slices->at[i]);
}

static void touch_pod(struct registry *r, const struct record *rec)
{
    char buf[TOPIC_TEXT];

    tell_topic(r, topic_pod(buf, rec->ns, rec->name));
    for (uint32_t i = 0; i < rec->pod.ips_len; i++)
        touch_ip(r, rec->pod.ips[i]);
}

/* A namespace's annotations are its pods' defaults. */
static void touch_namespace(struct registry *r, const struct record *rec)
{
    const struct record *pod;
    char buf[TOPIC_TEXT];
    size_t i = 0;

    tell_topic(r, topic_namespace(buf, rec->name));
    while (registry_next(r, RECORD_POD, &i, &pod))
        if (slice_eq(pod->ns, rec->name))
            touch_pod(r, pod);
}

static void touch(struct registry *r, const struct record *rec)
{
    switch (rec->kind) {
    case RECORD_NAMESPACE:
        touch_namespace(r, rec);
        break;
    case RECORD_SERVICE:
        touch_service(r, rec);
        break;
    case RECORD_SLICE:
        touch_slice(r, rec);
        break;
    case RECORD_POD:
        touch_pod(r, rec);
        break;
    case RECORD_KINDS:
        break;
    }
}

/* --- indexes --- */

static void list_add(record_list *l, const struct record *rec)
{
    for (size_t i = 0; i < l->len; i++)
        if (l->at[i] == rec)
            return; /* a slice may list an address twice */
    VEC_PUSH(l, rec);
}

static void list_drop(record_list *l, const struct record *rec)
{
    for (size_t i = 0; i < l->len; i++)
        if (l->at[i] == rec) {
            l->at[i] = l->at[--l->len];
            return;
        }
}

static record_list *list_of(struct registry_ip *at, enum record_kind kind)
{
    return kind == RECORD_SERVICE ? &at->services
           : kind == RECORD_POD   ? &at->pods
                                  : &at->slices;
}

static void index_ip(struct registry *r, slice ip, const struct record *rec,
                     bool add)
{
    struct registry_ip *at = map_get(&r->ips, ip);

    if (add) {
        if (!at) {
            at = MEM_NEW(struct registry_ip);
            (void)map_put(&r->ips, ip, at);
        }
        list_add(list_of(at, rec->kind), rec);
        return;
    }
    if (!at)
        return;
    list_drop(list_of(at, rec->kind), rec);
    if (at->services.len + at->pods.len + at->slices.len == 0)
        ip_free(map_del(&r->ips, ip));
}

static void index_service(struct registry *r, const struct record *rec,
                          bool add)
{
    char buf[KEY_TEXT];
    slice key = key_name(buf, rec->ns, rec->epslice.service);
    record_list *l = map_get(&r->slices, key);

    if (add && !l) {
        l = MEM_NEW(record_list);
        (void)map_put(&r->slices, key, l);
    }
    if (add) {
        list_add(l, rec);
        return;
    }
    if (!l)
        return;
    list_drop(l, rec);
    if (l->len == 0) {
        (void)map_del(&r->slices, key);
        VEC_FINI(l);
        mem_free(l);
    }
}

static void reindex(struct registry *r, const struct record *rec, bool add)
{
    switch (rec->kind) {
    case RECORD_SERVICE:
        for (uint32_t i = 0; i < rec->service.ips_len; i++)
            index_ip(r, rec->service.ips[i], rec, add);
        break;
    case RECORD_SLICE:
        index_service(r, rec, add);
        for (uint32_t i = 0; i < rec->epslice.endpoints_len; i++)
            index_ip(r, rec->epslice.endpoints[i].ip, rec, add);
        break;
    case RECORD_POD:
        for (uint32_t i = 0; i < rec->pod.ips_len; i++)
            index_ip(r, rec->pod.ips[i], rec, add);
        break;
    case RECORD_NAMESPACE:
    case RECORD_KINDS:
        break;
    }
}

/* --- changes --- */

static void tell_change(struct registry *r, const struct record *rec, bool gone)
{
    struct registry_change c = {++r->version, rec->kind, rec->ns, rec->name,
                                gone};

    LIST_EACH(node, &r->watches) {
        struct registry_watch *w = CONTAINER_OF(node, struct registry_watch,
                                                node);

        if (w->on_change)
            w->on_change(w, &c);
    }
}

void registry_put(struct registry *r, struct record *rec)
{
    struct map *m = &r->records[rec->kind];
    char buf[KEY_TEXT];
    slice key = key_name(buf, rec->ns, rec->name);
    struct record *old = map_get(m, key);

    if (old && record_eq(old, rec)) {
        record_unref(rec);
        return;
    }
    if (old) {
        touch(r, old);
        reindex(r, old, false);
    }
    (void)map_put(m, key, rec);
    reindex(r, rec, true);
    touch(r, rec);
    tell_change(r, rec, false);
    record_unref(old);
}

void registry_del(struct registry *r, enum record_kind kind, slice ns,
                  slice name)
{
    char buf[KEY_TEXT];
    struct record *old = map_get(&r->records[kind], key_name(buf, ns, name));

    if (!old)
        return;
    touch(r, old);
    reindex(r, old, false);
    (void)map_del(&r->records[kind], key_name(buf, old->ns, old->name));
    tell_change(r, old, true);
    record_unref(old);
}

void registry_set_synced(struct registry *r, bool synced)
{
    if (r->synced == synced)
        return;
    r->synced = synced;
    tell_topic(r, TOPIC_SYNCED);
}

bool registry_synced(const struct registry *r)
{
    return r->synced;
}

uint64_t registry_version(const struct registry *r)
{
    return r->version;
}

size_t registry_count(const struct registry *r, enum record_kind kind)
{
    return r->records[kind].len;
}

void registry_watch(struct registry *r, struct registry_watch *w)
{
    list_push_back(&r->watches, &w->node);
}

void registry_unwatch(struct registry_watch *w)
{
    list_remove(&w->node);
}

/* --- questions --- */

const struct record *registry_find(const struct registry *r,
                                   enum record_kind kind, slice ns, slice name)
{
    char buf[KEY_TEXT];

    return map_get(&r->records[kind], key_name(buf, ns, name));
}

const struct registry_ip *registry_at(const struct registry *r, slice ip)
{
    return map_get(&r->ips, ip);
}

const record_list *registry_slices(const struct registry *r, slice ns,
                                   slice service)
{
    char buf[KEY_TEXT];

    return map_get(&r->slices, key_name(buf, ns, service));
}

bool registry_next(const struct registry *r, enum record_kind kind, size_t *i,
                   const struct record **out)
{
    slice key;
    void *value;

    if (!map_next(&r->records[kind], i, &key, &value))
        return false;
    *out = value;
    return true;
}
