/* SPDX-License-Identifier: Apache-2.0 */
/* Two things keep Events few: the same one (object, reason, note) again within
 * ten minutes is not written but counted, and what was counted is written by one
 * patch a minute later at most; and a bucket of tokens bounds all writes. */
#include "lib/kube/event.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/json/json_write.h"
#include "lib/kube/request.h"

#define SAME_FOR (600 * NSEC_PER_SEC)
#define COUNT_EVERY (60 * NSEC_PER_SEC)

enum {
    WRITES_A_MINUTE = 60,
    KNOWN_MAX = 1000,
    NOTE_MAX = 1024,
    BODY_MAX = 16 << 10,
};

static struct log_area area = LOG_AREA("events");
static struct log log_ = {&area, 0};

/* An event that was written. */
struct known_event {
    char *ns, *name; /* of the Event object */
    int64_t first;   /* since when it is the same */
    uint64_t count, written;
};

struct kube_events {
    struct kube *kube;
    struct loop *loop;
    char *component;
    struct map known; /* "kind ns/name reason note" -> known_event */
    struct timer tick;
    struct reap reap;
    double tokens;
    int64_t refilled;
    uint64_t dropped, serial;
};

static void on_written(void *owner, const struct kube_answer *a)
{
    (void)owner;
    /* Nobody can do more about it: Events are best effort. */
    if (a->rc && a->rc != ERR_CANCELED)
        log_debug(&log_, "event not written", "why=" LOG_QUOTED,
                  FMT(slice_str(a->e->text)));
}

static bool take_token(struct kube_events *ev)
{
    int64_t now = loop_now(ev->loop);

    ev->tokens += (double)(now - ev->refilled) / (60.0 * NSEC_PER_SEC) *
                  WRITES_A_MINUTE;
    if (ev->tokens > WRITES_A_MINUTE)
        ev->tokens = WRITES_A_MINUTE;
    ev->refilled = now;
    if (ev->tokens < 1)
        return false;
    ev->tokens -= 1;
    return true;
}

static void send_event(struct kube_events *ev, enum kube_method method,
                       slice ns, slice name, slice body)
{
    struct kube_call call = {.method = method, .body = body};
    struct text path;

    text_init(&path, KUBE_PATH_MAX);
    text_add(&path, SLICE("/api/v1/namespaces/"));
    kube_path_add(&path, ns);
    text_add(&path, SLICE("/events"));
    if (!slice_empty(name))
        text_add_char(&path, '/');
    kube_path_add(&path, name);
    call.path = text_slice(&path);
    if (kube_send(ev->kube, &call, on_written, NULL, NULL))
        ev->dropped++;
    text_fini(&path);
}

/* --- a new one --- */

static void write_object(struct json_write *w, const struct kube_object *on)
{
    json_write_name(w, "involvedObject");
    json_write_object(w);
    json_member_text(w, "apiVersion", on->api_version);
    json_member_text(w, "kind", on->kind);
    json_member_text(w, "namespace", on->ns);
    json_member_text(w, "name", on->name);
    json_member_text(w, "uid", on->uid);
    json_write_object_end(w);
}

static void write_source(struct kube_events *ev, struct json_write *w)
{
    json_write_name(w, "source");
    json_write_object(w);
    json_member_string(w, "component", slice_str(ev->component));
    json_write_object_end(w);
    json_member_string(w, "reportingComponent", slice_str(ev->component));
    json_member_string(w, "reportingInstance", SLICE(""));
}

static void write_dates(struct json_write *w, bool first)
{
    char now[21];

    clock_format_rfc3339(clock_real_ns() / NSEC_PER_SEC, now);
    if (first)
        json_member_string(w, "firstTimestamp", slice_str(now));
    json_member_string(w, "lastTimestamp", slice_str(now));
}

/* Events on what has no namespace live in "default", as everybody's do. */
static slice home_of(const struct kube_object *on)
{
    return slice_empty(on->ns) ? SLICE("default") : on->ns;
}

static void create(struct kube_events *ev, const struct known_event *k,
                   const struct kube_object *on, bool warning, slice reason,
                   slice note)
{
    struct json_write w;
    struct text body;

    text_init(&body, BODY_MAX);
    json_write_init(&w, &body);
    json_write_object(&w);
    json_member_string(&w, "apiVersion", SLICE("v1"));
    json_member_string(&w, "kind", SLICE("Event"));
    json_write_name(&w, "metadata");
    json_write_object(&w);
    json_member_string(&w, "name", slice_str(k->name));
    json_member_string(&w, "namespace", slice_str(k->ns));
    json_write_object_end(&w);
    write_object(&w, on);
    write_source(ev, &w);
    json_member_string(&w, "type",
                       warning ? SLICE("Warning") : SLICE("Normal"));
    json_member_string(&w, "reason", reason);
    json_member_string(&w, "message", note);
    write_dates(&w, true);
    json_member_int(&w, "count", 1);
    json_write_object_end(&w);
    if (body.failed)
        ev->dropped++;
    else
        send_event(ev, KUBE_POST, slice_str(k->ns), SLICE_NONE,
                   text_slice(&body));
    text_fini(&body);
}

/* "cart-1.17c3a9e5d2b4f001", as others name theirs. */
static char *new_name(struct kube_events *ev, slice object)
{
    struct text name;
    size_t len;

    text_init(&name, 300);
    text_printf(&name, "%.*s.%016llx%04x", FMT(slice_sub(object, 0, 200)),
                (unsigned long long)clock_real_ns(),
                (unsigned)(ev->serial++ & 0xffff));
    return text_take(&name, &len);
}

/* --- the same again --- */

static void count(struct kube_events *ev, struct known_event *k)
{
    struct json_write w;
    struct text body;

    if (k->count == k->written || !take_token(ev))
        return;
    k->written = k->count;
    text_init(&body, BODY_MAX);
    json_write_init(&w, &body);
    json_write_object(&w);
    json_member_u64(&w, "count", k->count);
    write_dates(&w, false);
    json_write_object_end(&w);
    send_event(ev, KUBE_MERGE_PATCH, slice_str(k->ns), slice_str(k->name),
               text_slice(&body));
    text_fini(&body);
}

static void known_free(struct known_event *k)
{
    mem_free(k->ns);
    mem_free(k->name);
    mem_free(k);
}

static void on_tick(struct timer *t)
{
    struct kube_events *ev = CONTAINER_OF(t, struct kube_events, tick);
    int64_t now = loop_now(ev->loop);
    void *value;
    slice key;

    for (size_t i = 0; map_next(&ev->known, &i, &key, &value);) {
        struct known_event *k = value;

        count(ev, k);
        if (now - k->first < SAME_FOR)
            continue;
        (void)map_del(&ev->known, key);
        known_free(k);
    }
    timer_set(&ev->loop->timers, t, now + COUNT_EVERY);
}

static void make_key(struct text *key, const struct kube_object *on,
                     slice reason, slice note)
{
    text_init(key, 8192);
    text_printf(key, "%.*s %.*s/%.*s %.*s ", FMT(on->kind), FMT(on->ns),
                FMT(on->name), FMT(on->uid));
    text_add(key, reason);
    text_add_char(key, ' ');
    text_add(key, note);
}

void kube_events_post(struct kube_events *ev, const struct kube_object *on,
                      bool warning, slice reason, slice note)
{
    struct known_event *k;
    struct text key;

    note = slice_sub(note, 0, NOTE_MAX);
    make_key(&key, on, reason, note);
    k = map_get(&ev->known, text_slice(&key));
    if (k) {
        k->count++;
    } else if (key.failed || ev->known.len >= KNOWN_MAX || !take_token(ev)) {
        ev->dropped++;
    } else {
        k = MEM_NEW(struct known_event);
        k->ns = mem_str(home_of(on));
        k->name = new_name(ev, on->name);
        k->first = loop_now(ev->loop);
        k->count = k->written = 1;
        (void)map_put(&ev->known, text_slice(&key), k);
        create(ev, k, on, warning, reason, note);
    }
    text_fini(&key);
}

/* --- life --- */

struct kube_events *kube_events_new(struct kube *k, slice component)
{
    struct kube_events *ev = MEM_NEW(struct kube_events);

    ev->kube = k;
    kube_ref(k);
    ev->loop = kube_loop(k);
    ev->component = mem_str(component);
    ev->tokens = WRITES_A_MINUTE;
    ev->refilled = loop_now(ev->loop);
    map_init(&ev->known);
    timer_init(&ev->tick, on_tick);
    timer_set(&ev->loop->timers, &ev->tick, ev->refilled + COUNT_EVERY);
    return ev;
}

uint64_t kube_events_dropped(const struct kube_events *ev)
{
    return ev->dropped;
}

static void events_free(struct reap *r)
{
    struct kube_events *ev = CONTAINER_OF(r, struct kube_events, reap);
    void *value;
    slice key;

    for (size_t i = 0; map_next(&ev->known, &i, &key, &value);)
        known_free(value);
    map_fini(&ev->known);
    mem_free(ev->component);
    mem_free(ev);
}

void kube_events_free(struct kube_events *ev)
{
    if (!ev)
        return;
    timer_stop(&ev->loop->timers, &ev->tick);
    kube_unref(ev->kube);
    loop_reap(ev->loop, &ev->reap, events_free);
}
