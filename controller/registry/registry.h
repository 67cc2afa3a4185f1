/* SPDX-License-Identifier: Apache-2.0 */
/* All records, by kind and name, with the indexes that resolve.c needs. Every
 * change makes the version grow and is told to the watches: to people as the
 * object that changed, to the publisher as the topics that views depend on.
 * Level, not edge: a topic says "look again", never what happened. Pure. */
#ifndef TULLE_CONTROLLER_REGISTRY_REGISTRY_H
#define TULLE_CONTROLLER_REGISTRY_REGISTRY_H

#include "controller/registry/record.h"
#include "lib/base/list.h"
#include "lib/base/vec.h"

struct registry;

struct registry_change {
    uint64_t version;
    enum record_kind kind;
    slice ns, name;
    bool gone;
};

/* Embed. Neither callback may change the registry or the list of watches. */
struct registry_watch {
    struct list node;
    /* After the change. May be NULL. */
    void (*on_change)(struct registry_watch *w,
                      const struct registry_change *c);
    /* A topic is dirty. Some come before the registry has changed, so only take
     * note. The same topic may come many times. May be NULL. */
    void (*on_topic)(struct registry_watch *w, slice topic);
};

/* Topics: what views depend on. */
enum { TOPIC_TEXT = KEY_TEXT + 16 };
slice topic_service(char buf[TOPIC_TEXT], slice ns, slice name);
slice topic_pod(char buf[TOPIC_TEXT], slice ns, slice name);
slice topic_namespace(char buf[TOPIC_TEXT], slice name);
slice topic_ip(char buf[TOPIC_TEXT], slice ip);
#define TOPIC_SYNCED SLICE("synced")

typedef VEC(const struct record *) record_list;

/* Who is at an IP. */
struct registry_ip {
    record_list services; /* whose cluster IP it is */
    record_list pods;
    record_list slices; /* that list it */
};

struct registry *registry_new(void);
void registry_free(struct registry *r);

/* Takes the record. Puts it in place of the one of the same kind and name;
 * nothing happens when its content is the same. */
void registry_put(struct registry *r, struct record *rec);
/* Nothing happens when it is not there. */
void registry_del(struct registry *r, enum record_kind kind, slice ns,
                  slice name);
/* The source has told all that there is: from now on what is not here does not
 * exist. */
void registry_set_synced(struct registry *r, bool synced);
bool registry_synced(const struct registry *r);
/* Grows with every change; 0 when empty. */
uint64_t registry_version(const struct registry *r);
size_t registry_count(const struct registry *r, enum record_kind kind);

void registry_watch(struct registry *r, struct registry_watch *w);
void registry_unwatch(struct registry_watch *w);

/* All borrow until the next change. NULL when there is none. */
const struct record *registry_find(const struct registry *r,
                                   enum record_kind kind, slice ns, slice name);
const struct registry_ip *registry_at(const struct registry *r, slice ip);
/* The EndpointSlices of a Service. */
const record_list *registry_slices(const struct registry *r, slice ns,
                                   slice service);
/* Walks a kind in any order: start with *i = 0. */
bool registry_next(const struct registry *r, enum record_kind kind, size_t *i,
                   const struct record **out);

#endif
