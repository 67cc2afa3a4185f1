/* SPDX-License-Identifier: Apache-2.0 */
/* One table: "ns/pod" -> what each replica says of it, in a short list. A pod
 * whose proxy has moved from one replica to another is in it twice for a moment;
 * the one that is in sync counts, else the later one.
 *
 * Sessions end and come again, a second later and at another replica, and so do
 * the replicas' own streams. What was said last counts for PROXY_GRACE more when
 * nobody says anything else. */
#include "controller/live/proxies.h"

#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"

#define LOOK NSEC_PER_SEC

struct known {
    struct list node; /* in its pod's list; the latest first */
    unsigned replica;
    bool seen;    /* in this look */
    int64_t lost; /* when its session ended; 0: it has one */
    struct proxy_state state;
    char *memory; /* behind its slices */
};

struct pod {
    struct list known;
    char *key;
};

struct proxies {
    struct loop *loop;
    const struct publisher *publisher;
    struct map pods;
    struct timer look;
    int64_t now; /* as of the last look or loss; never 0 */
    proxy_changed_fn *changed;
    void *arg;
};

/* --- states --- */

enum { NAMES = 9, SLICES = NAMES + WIRE_SILENT_MAX };

static slice *slice_at(struct proxy_state *s, unsigned i)
{
    slice *const at[NAMES] = {&s->ns,       &s->pod,     &s->uid,
                              &s->identity, &s->config,  &s->mtls,
                              &s->roots,    &s->version, &s->problem};

    return i < NAMES ? at[i] : &s->silent[i - NAMES].service;
}

static unsigned slices(const struct proxy_state *s)
{
    return NAMES + s->silent_len;
}

static bool state_eq(struct proxy_state *a, struct proxy_state *b)
{
    for (unsigned i = 0; i < NAMES; i++)
        if (!slice_eq(*slice_at(a, i), *slice_at(b, i)))
            return false;
    return a->in_sync == b->in_sync && a->cert_not_after == b->cert_not_after &&
           a->cert_issued == b->cert_issued;
}

static bool silent_eq(const struct proxy_state *a, const struct proxy_state *b)
{
    if (a->silent_len != b->silent_len)
        return false;
    for (uint32_t i = 0; i < a->silent_len; i++)
        if (a->silent[i].inbound != b->silent[i].inbound ||
            a->silent[i].connections != b->silent[i].connections ||
            !slice_eq(a->silent[i].service, b->silent[i].service))
            return false;
    return a->detect_timeouts == b->detect_timeouts;
}

static bool numbers_eq(const struct proxy_state *a, const struct proxy_state *b)
{
    return a->requests == b->requests && a->failures == b->failures &&
           a->connections == b->connections && a->secured == b->secured &&
           silent_eq(a, b);
}

static void known_set(struct known *k, const struct proxy_state *s)
{
    struct proxy_state copy = *s;
    struct text t;
    size_t at[SLICES], len;

    text_init(&t, SIZE_MAX / 2);
    for (unsigned i = 0; i < slices(s); i++) {
        at[i] = t.len;
        text_add(&t, *slice_at(&copy, i));
    }
    mem_free(k->memory);
    k->memory = text_take(&t, &len);
    for (unsigned i = 0; i < slices(s); i++)
        slice_at(&copy, i)->ptr = k->memory ? k->memory + at[i] : NULL;
    k->state = copy;
}

static void known_free(struct known *k)
{
    list_remove(&k->node);
    mem_free(k->memory);
    mem_free(k);
}

/* --- pods --- */

static struct known *find(const struct pod *p, unsigned replica)
{
    LIST_EACH(node, &p->known) {
        struct known *k = CONTAINER_OF(node, struct known, node);

        if (k->replica == replica)
            return k;
    }
    return NULL;
}

static slice pod_key(char buf[KEY_TEXT], const struct proxy_state *s)
{
    int n = snprintf(buf, KEY_TEXT, "%.*s/%.*s", FMT(s->ns), FMT(s->pod));

    return slice_of(buf, n > 0 && n < KEY_TEXT ? (size_t)n : 0);
}

static struct pod *pod_take(struct proxies *p, slice key)
{
    struct pod *pod = map_get(&p->pods, key);

    if (pod)
        return pod;
    pod = MEM_NEW(struct pod);
    list_init(&pod->known);
    pod->key = mem_str(key);
    (void)map_put(&p->pods, key, pod);
    return pod;
}

static void pod_free(struct proxies *p, struct pod *pod)
{
    LIST_EACH(node, &pod->known)
        known_free(CONTAINER_OF(node, struct known, node));
    (void)map_del(&p->pods, slice_str(pod->key));
    mem_free(pod->key);
    mem_free(pod);
}

/* Tells, then lets go of a pod of which nobody says anything any more. */
static void tell(struct proxies *p, struct pod *pod, bool numbers)
{
    p->changed(p->arg, slice_str(pod->key), numbers);
    if (list_empty(&pod->known))
        pod_free(p, pod);
}

void proxies_put(struct proxies *p, unsigned replica,
                 const struct proxy_state *s)
{
    struct proxy_state now = *s;
    char buf[KEY_TEXT];
    slice key = pod_key(buf, s);
    struct pod *pod;
    struct known *k;
    bool same = false, back = false;

    if (p->pods.len >= PROXIES_MAX && !map_get(&p->pods, key))
        return; /* a replica that says so is not well */
    pod = pod_take(p, key);
    k = find(pod, replica);
    if (!k) {
        k = MEM_NEW(struct known);
        k->replica = replica;
        list_push_front(&pod->known, &k->node);
    } else {
        same = state_eq(&k->state, &now);
        back = k->lost != 0;
    }
    k->seen = true;
    k->lost = 0;
    if (same && !back && numbers_eq(&k->state, &now))
        return;
    known_set(k, s);
    tell(p, pod, same);
}

/* Others tell between two looks. */
static void set_now(struct proxies *p)
{
    int64_t now = loop_now(p->loop);

    if (now > p->now)
        p->now = now;
}

static void lose(struct proxies *p, struct pod *pod, struct known *k)
{
    if (k->lost)
        return;
    k->lost = p->now;
    tell(p, pod, false);
}

static void drop(struct proxies *p, struct pod *pod, struct known *k)
{
    known_free(k);
    tell(p, pod, false);
}

void proxies_del(struct proxies *p, unsigned replica, slice key)
{
    struct pod *pod = map_get(&p->pods, key);
    struct known *k = pod ? find(pod, replica) : NULL;

    set_now(p);
    if (k)
        lose(p, pod, k);
}

void proxies_forget(struct proxies *p, unsigned replica)
{
    void *value;
    slice key;
    size_t i = 0;

    set_now(p);
    while (map_next(&p->pods, &i, &key, &value)) {
        struct known *k = find(value, replica);

        if (k)
            lose(p, value, k);
    }
}

const struct proxy_state *proxies_at(const struct proxies *p, unsigned replica,
                                     slice key)
{
    const struct pod *pod = map_get(&p->pods, key);
    const struct known *k = pod ? find(pod, replica) : NULL;

    return k && !k->lost ? &k->state : NULL;
}

/* Who has a session comes first, then who is in sync, then who is later. */
static bool better(const struct known *a, const struct known *b)
{
    if (!a->lost != !b->lost)
        return !a->lost;
    return a->state.in_sync && !b->state.in_sync;
}

static const struct known *best_of(const struct pod *pod, slice uid)
{
    const struct known *best = NULL;

    LIST_EACH(node, &pod->known) {
        const struct known *k = CONTAINER_OF(node, struct known, node);

        if (!slice_empty(uid) && !slice_empty(k->state.uid) &&
            !slice_eq(uid, k->state.uid))
            continue;
        if (!best || better(k, best))
            best = k;
    }
    return best;
}

const struct proxy_state *proxies_find(const struct proxies *p, slice key,
                                       slice uid)
{
    const struct pod *pod = map_get(&p->pods, key);
    const struct known *k = pod ? best_of(pod, uid) : NULL;

    return k ? &k->state : NULL;
}

bool proxies_next(const struct proxies *p, unsigned replica, size_t *i,
                  const struct proxy_state **out)
{
    void *value;
    slice key;

    while (map_next(&p->pods, i, &key, &value)) {
        const struct known *k = find(value, replica);

        if (!k || k->lost)
            continue;
        *out = &k->state;
        return true;
    }
    return false;
}

bool proxies_all(const struct proxies *p, size_t *i,
                 const struct proxy_state **out)
{
    void *value;
    slice key;

    while (map_next(&p->pods, i, &key, &value)) {
        const struct known *k = best_of(value, SLICE_NONE);

        if (!k || k->lost)
            continue;
        *out = &k->state;
        return true;
    }
    return false;
}

static size_t count(const struct proxies *p, bool in_sync)
{
    void *value;
    slice key;
    size_t i = 0, n = 0;

    while (map_next(&p->pods, &i, &key, &value)) {
        const struct known *k = best_of(value, SLICE_NONE);

        n += k && !k->lost && (k->state.in_sync || !in_sync);
    }
    return n;
}

size_t proxies_count(const struct proxies *p)
{
    return count(p, false);
}

size_t proxies_in_sync(const struct proxies *p)
{
    return count(p, true);
}

/* --- the sessions here --- */

static void note(void *arg, const struct proxy_state *s)
{
    if (!slice_empty(s->pod))
        proxies_put(arg, 0, s);
}

static void forget_lost(struct proxies *p)
{
    void *value;
    slice key;
    size_t i = 0;

    while (map_next(&p->pods, &i, &key, &value)) {
        const struct pod *pod = value;

        /* One for each look: the others' turn comes. */
        LIST_EACH(node, &pod->known) {
            struct known *k = CONTAINER_OF(node, struct known, node);

            if (k->lost && p->now - k->lost >= PROXY_GRACE) {
                drop(p, value, k);
                break;
            }
        }
    }
}

void proxies_look(struct proxies *p, int64_t now)
{
    void *value;
    slice key;
    size_t i = 0;

    p->now = now;
    while (map_next(&p->pods, &i, &key, &value)) {
        struct known *k = find(value, 0);

        if (k)
            k->seen = false;
    }
    publisher_states(p->publisher, note, p);
    i = 0;
    while (map_next(&p->pods, &i, &key, &value)) {
        struct known *k = find(value, 0);

        if (k && !k->seen)
            lose(p, value, k);
    }
    forget_lost(p);
}

static void on_look(struct timer *t)
{
    struct proxies *p = CONTAINER_OF(t, struct proxies, look);

    proxies_look(p, loop_now(p->loop));
    timer_set(&p->loop->timers, &p->look, loop_now(p->loop) + LOOK);
}

struct proxies *proxies_new(struct loop *l, const struct publisher *publisher,
                            proxy_changed_fn *changed, void *arg)
{
    struct proxies *p = MEM_NEW(struct proxies);

    p->loop = l;
    p->publisher = publisher;
    p->changed = changed;
    p->arg = arg;
    p->now = loop_now(l);
    map_init(&p->pods);
    timer_init(&p->look, on_look);
    timer_set(&l->timers, &p->look, loop_now(l) + LOOK);
    return p;
}

void proxies_free(struct proxies *p)
{
    void *value;
    slice key;
    size_t i = 0;

    if (!p)
        return;
    timer_stop(&p->loop->timers, &p->look);
    while (map_next(&p->pods, &i, &key, &value))
        pod_free(p, value);
    map_fini(&p->pods);
    mem_free(p);
}
