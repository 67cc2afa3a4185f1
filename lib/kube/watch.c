/* SPDX-License-Identifier: Apache-2.0 */
/*            +--------------------------- 410 ---------------------------+
 *            v                                                           |
 *    LISTING (a stream) -- listed --> FOLLOWING (a stream) -- end --> FOLLOWING
 *       |  refused: for good           ^
 *       v                              |
 *    PAGING (GETs) ---- last page -----+
 *
 * Whatever fails goes to WAITING, which tries again: from the last version that
 * was heard of, or by a new list when there is none. The server ends streams
 * after some minutes (timeoutSeconds), which is no failure. It sends a bookmark
 * about every minute: a stream without any sign for longer is not trusted, even
 * if the connection lives (kube.c looks after connections).
 *
 * `names` holds each object told, with the number of the list that told it last:
 * after a list, those with an older number are gone. */
#include "lib/kube/watch.h"

#include <inttypes.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/kube/request.h"
#include "lib/kube/watch_event.h"

#define BACKOFF_MIN (200 * NSEC_PER_MSEC)
#define BACKOFF_MAX (30 * NSEC_PER_SEC)
#define RETRY_AFTER_MAX (60 * NSEC_PER_SEC)
#define ABSENT_AGAIN (30 * NSEC_PER_SEC)
#define SILENT_LIST (30 * NSEC_PER_SEC)
#define SILENT_STREAM (150 * NSEC_PER_SEC)
#define SHORT_STREAM NSEC_PER_SEC
#define HEALTHY (10 * NSEC_PER_SEC)
#define PAGE_TIMEOUT (60 * NSEC_PER_SEC)

enum {
    PAGE = 500,
    STREAM_SECONDS = 240, /* and up to half as much more */
    VALUES_MAX = 1000000, /* of one object */
    VERSION_MAX = 256,
    CONTINUE_MAX = 1500,
    ABSENT_AFTER = 3, /* what was there is not gone at the first 404 */
    FORGET_AFTER = 5, /* refusals, then the version may be the reason */
};

static struct log_area area = LOG_AREA("kube");

enum watch_state {
    WATCH_WAITING,
    WATCH_LISTING,
    WATCH_PAGING,
    WATCH_FOLLOWING,
    WATCH_ENDED,
};

struct kube_watch {
    struct log log;
    struct kube *kube;
    struct loop *loop;
    char *path, *query;
    bool metadata_only;
    const struct kube_watch_events *ev;
    void *owner;
    enum watch_state state;
    struct kube_request *request; /* NULL while waiting */
    struct timer timer;           /* waiting: next try; streams: silence */
    struct reap reap;
    struct lines lines;
    struct text version; /* to go on from; empty: list */
    struct text more;    /* the next page; empty: from the start */
    struct map names;    /* "ns/name" -> number of a list, as a pointer */
    uintptr_t list;      /* number of the list under way, or the last */
    unsigned page;
    unsigned failures; /* in a row */
    unsigned missing;  /* 404s in a row */
    uint64_t interruptions;
    int64_t heard, opened, followed; /* followed: since when; 0: not */
    bool synced, absent, pages_only;
    bool told; /* the log says that it is interrupted */
};

static void try_now(struct kube_watch *w);

/* --- what is known --- */

static slice name_key(struct text *buf, slice ns, slice name)
{
    text_clear(buf);
    text_add(buf, ns);
    text_add_char(buf, '/');
    text_add(buf, name);
    return text_slice(buf);
}

static void take_version(struct kube_watch *w, slice version)
{
    if (slice_empty(version) || version.len > VERSION_MAX)
        return;
    text_clear(&w->version);
    text_add(&w->version, version);
}

static void tell_object(struct kube_watch *w, slice ns, slice name,
                        struct json object)
{
    struct text buf;

    text_init(&buf, 2048);
    (void)map_put(&w->names, name_key(&buf, ns, name), (void *)w->list);
    text_fini(&buf);
    w->ev->on_object(w->owner, object);
}

static void tell_gone(struct kube_watch *w, slice ns, slice name,
                      struct json object)
{
    struct text buf;
    void *known;

    text_init(&buf, 2048);
    known = map_del(&w->names, name_key(&buf, ns, name));
    text_fini(&buf);
    if (known && w->ev->on_deleted)
        w->ev->on_deleted(w->owner, object);
    if (known && w->state != WATCH_ENDED)
        w->ev->on_gone(w->owner, ns, name);
}

/* Those that the last list did not tell. */
static void sweep(struct kube_watch *w)
{
    slice key, ns, name;
    void *value;

    for (size_t i = 0; map_next(&w->names, &i, &key, &value);) {
        char *copy;

        if ((uintptr_t)value == w->list)
            continue;
        copy = mem_str(key);
        (void)map_del(&w->names, key);
        (void)slice_cut(slice_str(copy), '/', &ns, &name);
        w->ev->on_gone(w->owner, ns, name);
        mem_free(copy);
        if (w->state == WATCH_ENDED)
            return;
    }
}

static void set_synced(struct kube_watch *w)
{
    w->synced = true;
    w->ev->on_synced(w->owner);
}

static void set_absent(struct kube_watch *w, bool absent)
{
    if (w->absent == absent)
        return;
    w->absent = absent;
    if (w->ev->on_absent)
        w->ev->on_absent(w->owner, absent);
}

/* --- waiting --- */

static void wait(struct kube_watch *w, int64_t delay)
{
    w->state = WATCH_WAITING;
    w->followed = 0;
    timer_set(&w->loop->timers, &w->timer, loop_now(w->loop) + delay);
}

static void fail(struct kube_watch *w, int64_t at_least, slice why)
{
    unsigned doublings = w->failures < 8 ? w->failures : 8;
    int64_t delay = BACKOFF_MIN << doublings;

    if (delay > BACKOFF_MAX)
        delay = BACKOFF_MAX;
    delay -= (int64_t)((double)delay / 2 * rand_unit(&w->loop->rand));
    if (at_least > RETRY_AFTER_MAX)
        at_least = RETRY_AFTER_MAX;
    if (delay < at_least)
        delay = at_least;
    w->failures++;
    w->interruptions++;
    /* The 1st, 2nd, 4th, 8th ... time of a row. */
    if ((w->failures & (w->failures - 1)) == 0) {
        log_warn(&w->log, "watch interrupted",
                 "path=%s times=%u again_ms=%" PRId64 " why=" LOG_QUOTED,
                 w->path, w->failures, delay / NSEC_PER_MSEC, FMT(why));
        w->told = true;
    }
    wait(w, delay);
}

static void set_silence(struct kube_watch *w)
{
    timer_set(&w->loop->timers, &w->timer,
              loop_now(w->loop) +
                  (w->state == WATCH_LISTING ? SILENT_LIST : SILENT_STREAM));
}

/* What comes from now on is the present. */
static void follow(struct kube_watch *w)
{
    w->state = WATCH_FOLLOWING;
    set_silence(w);
    w->heard = w->followed = loop_now(w->loop);
    if (w->told)
        log_info(&w->log, "watch goes on", "path=%s", w->path);
    w->told = false;
}

/* Only what has gone well for some time is forgiven: a server that lists and
 * breaks off in turns must not be asked more and more often. */
static void forgive(struct kube_watch *w)
{
    if (w->followed && loop_now(w->loop) - w->followed >= HEALTHY)
        w->failures = 0;
}

/* From the last bookmark there is no way on. */
static void list_again(struct kube_watch *w, slice why)
{
    text_clear(&w->version);
    text_clear(&w->more);
    fail(w, 0, why);
}

static void on_missing(struct kube_watch *w, slice why)
{
    if (w->synced && !w->absent && ++w->missing < ABSENT_AFTER) {
        fail(w, 0, why);
        return;
    }
    text_clear(&w->version);
    text_clear(&w->more);
    w->failures = 0;
    w->list++;
    w->heard = loop_now(w->loop);
    wait(w, rand_jitter(&w->loop->rand, ABSENT_AGAIN, 0.1));
    sweep(w);
    if (w->state != WATCH_ENDED)
        set_absent(w, true);
    if (w->state != WATCH_ENDED && !w->synced)
        set_synced(w);
}

/* The list is complete: follows from here. */
static void listed(struct kube_watch *w)
{
    sweep(w);
    if (w->state != WATCH_ENDED)
        set_synced(w);
}

/* --- streams --- */

static void drop_stream(struct kube_watch *w)
{
    struct kube_request *r = w->request;

    w->request = NULL;
    timer_stop(&w->loop->timers, &w->timer);
    if (r)
        kube_cancel(r);
}

static void on_bookmark(struct kube_watch *w, const struct watch_event *ev)
{
    if (w->state == WATCH_LISTING && !ev->listed) {
        /* A server that does not know how to stream a list. */
        w->pages_only = true;
        drop_stream(w);
        list_again(w, SLICE("a bookmark before the end of the list"));
        return;
    }
    take_version(w, ev->version);
    if (w->state != WATCH_LISTING)
        return;
    follow(w);
    listed(w);
}

static void on_event(struct kube_watch *w, const struct watch_event *ev)
{
    switch (ev->type) {
    case WATCH_BOOKMARK:
        on_bookmark(w, ev);
        return;
    case WATCH_FAILED:
        drop_stream(w);
        if (ev->expired || w->failures + 1 >= FORGET_AFTER)
            list_again(w, ev->message);
        else
            fail(w, 0, ev->message);
        return;
    case WATCH_PUT:
    case WATCH_GONE:
        break;
    }
    /* A list cannot be gone on with in its middle. */
    if (w->state == WATCH_FOLLOWING)
        take_version(w, ev->version);
    if (ev->type == WATCH_PUT)
        tell_object(w, ev->ns, ev->name, ev->object);
    else
        tell_gone(w, ev->ns, ev->name, ev->object);
}

static void on_line(struct kube_watch *w, slice line)
{
    static const struct json_limits limits = {KUBE_OBJECT_MAX, VALUES_MAX};
    struct json_doc *doc = NULL;
    struct watch_event ev;
    struct error e;
    enum status rc = json_parse_defused(line, &limits, &doc, &e);

    if (!rc)
        rc = watch_event_read(json_root(doc), &ev, &e);
    if (rc) {
        /* What else was in it is not known. */
        (void)error_prefix(&e, rc, "an event that cannot be read");
        drop_stream(w);
        list_again(w, slice_str(e.text));
    } else {
        forgive(w);
        on_event(w, &ev);
    }
    json_free(doc);
}

static void on_open(void *owner)
{
    struct kube_watch *w = owner;

    w->opened = loop_now(w->loop);
    w->missing = 0;
    set_silence(w);
    if (w->state == WATCH_FOLLOWING)
        follow(w);
    set_absent(w, false);
}

static void on_data(void *owner, slice bytes)
{
    struct kube_watch *w = owner;
    struct kube_request *r = w->request;
    enum line got = LINE_WHOLE;
    slice line;

    set_silence(w);
    while (w->request == r && w->state != WATCH_ENDED) {
        got = lines_next(&w->lines, &bytes, &line);
        if (got == LINE_NONE)
            return;
        if (w->state == WATCH_FOLLOWING)
            w->heard = loop_now(w->loop);
        if (got == LINE_WHOLE)
            on_line(w, line);
        else
            log_error(&w->log, "object passed over: larger than we take",
                      "path=%s most=%d", w->path, KUBE_OBJECT_MAX);
    }
}

static void on_refused(struct kube_watch *w, const struct kube_answer *a)
{
    slice why = slice_str(a->e->text);
    bool no_streams = w->state == WATCH_LISTING && a->rc == ERR_INVALID;

    if (a->rc == ERR_NOT_FOUND) {
        on_missing(w, why);
    } else if (no_streams) {
        log_info(&w->log, "the API server does not stream lists, reading pages",
                 "path=%s why=" LOG_QUOTED, w->path, FMT(why));
        w->pages_only = true;
        try_now(w);
    } else if (a->http_status == 410 ||
               (w->failures + 1 >= FORGET_AFTER && a->rc != ERR_RESOURCES &&
                a->rc != ERR_DENIED)) {
        list_again(w, why);
    } else {
        fail(w, a->retry_after, why);
    }
}

static void on_end(void *owner, const struct kube_answer *a)
{
    struct kube_watch *w = owner;
    bool was_short = loop_now(w->loop) - w->opened < SHORT_STREAM;

    w->request = NULL;
    timer_stop(&w->loop->timers, &w->timer);
    if (w->state == WATCH_ENDED)
        return;
    if (a->rc == ERR_CANCELED) {
        w->state = WATCH_ENDED;
        return;
    }
    forgive(w);
    if (a->http_status && a->rc) {
        on_refused(w, a);
        return;
    }
    if (a->rc || w->state == WATCH_LISTING || was_short)
        fail(w, 0, a->rc ? slice_str(a->e->text) : SLICE("ended too early"));
    else
        try_now(w);
}

static const struct stream_events stream_events = {on_open, on_data, on_end};

/* --- pages --- */

static enum status page_items(struct kube_watch *w, struct json body,
                              struct error *e)
{
    struct json items = {0};
    enum status rc = json_opt_array(body, "items", &items, e);

    for (struct json i = json_first(items); json_present(i) && !rc;
         i = json_next(i)) {
        slice ns, name;

        rc = object_names(i, &ns, &name, e);
        if (!rc)
            tell_object(w, ns, name, i);
        if (w->state == WATCH_ENDED)
            return OK;
    }
    return rc;
}

static enum status read_page(struct kube_watch *w, struct json body,
                             struct error *e)
{
    struct json metadata = {0};
    slice more = SLICE_NONE, version = SLICE_NONE;
    enum status rc = json_object(body, "metadata", &metadata, e);

    if (!rc)
        rc = json_opt_string(metadata, "continue", &more, e);
    if (!rc)
        rc = json_string(metadata, "resourceVersion", &version, e);
    if (!rc && more.len > CONTINUE_MAX)
        rc = error_set(e, ERR_TOO_BIG, "the name of the next page is too long");
    if (!rc)
        rc = page_items(w, body, e);
    if (rc || w->state == WATCH_ENDED)
        return rc;
    text_clear(&w->more);
    text_add(&w->more, more);
    if (slice_empty(more)) {
        take_version(w, version);
        w->heard = loop_now(w->loop);
        listed(w);
    }
    return OK;
}

static void on_page(void *owner, const struct kube_answer *a)
{
    struct kube_watch *w = owner;
    struct error e;

    w->request = NULL;
    if (w->state == WATCH_ENDED)
        return;
    if (a->rc == ERR_CANCELED) {
        w->state = WATCH_ENDED;
        return;
    }
    if (a->rc == ERR_TOO_BIG && w->page > 1) {
        w->page = w->page > 4 ? w->page / 4 : 1;
        try_now(w);
    } else if (a->http_status && a->rc) {
        on_refused(w, a);
    } else if (a->rc) {
        fail(w, 0, slice_str(a->e->text));
    } else {
        w->missing = 0;
        set_absent(w, false);
        if (w->state == WATCH_PAGING && read_page(w, a->body, &e))
            list_again(w, slice_str(e.text));
        if (w->state == WATCH_PAGING)
            try_now(w);
    }
}

/* --- asking --- */

static void add_query(struct kube_watch *w, struct text *path)
{
    text_add(path, slice_str(w->path));
    text_add_char(path, '?');
    if (*w->query)
        text_printf(path, "%s&", w->query);
    if (w->state == WATCH_PAGING) {
        text_printf(path, "limit=%u", w->page);
        if (w->more.len)
            text_add(path, SLICE("&continue="));
        kube_path_add(path, text_slice(&w->more));
        return;
    }
    text_printf(path, "watch=true&allowWatchBookmarks=true&timeoutSeconds=%u",
                STREAM_SECONDS +
                    (unsigned)rand_below(&w->loop->rand, STREAM_SECONDS / 2));
    if (w->state == WATCH_LISTING) {
        text_add(path, SLICE("&sendInitialEvents=true"
                             "&resourceVersionMatch=NotOlderThan"));
        return;
    }
    text_add(path, SLICE("&resourceVersion="));
    kube_path_add(path, text_slice(&w->version));
}

static const char *accepted(const struct kube_watch *w)
{
    if (!w->metadata_only)
        return NULL;
    if (w->state == WATCH_PAGING)
        return "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;"
               "v=v1";
    return "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
}

/* What to do next follows from what is known. */
static void choose(struct kube_watch *w)
{
    if (w->version.len) {
        w->state = WATCH_FOLLOWING;
        return;
    }
    w->state = w->pages_only ? WATCH_PAGING : WATCH_LISTING;
    if (w->more.len == 0)
        w->list++;
}

static void try_now(struct kube_watch *w)
{
    struct kube_call call = {.method = KUBE_GET, .timeout = PAGE_TIMEOUT};
    struct request_options opt = {0};
    struct text path;
    enum status rc;

    timer_stop(&w->loop->timers, &w->timer);
    choose(w);
    lines_fini(&w->lines);
    lines_init(&w->lines, KUBE_OBJECT_MAX);
    text_init(&path, KUBE_PATH_MAX);
    add_query(w, &path);
    call.path = text_slice(&path);
    opt.accept = accepted(w);
    if (w->state != WATCH_PAGING) {
        opt.stream = &stream_events;
        set_silence(w);
    }
    rc = path.failed
             ? ERR_TOO_BIG
             : kube_send_as(w->kube, &call, &opt, on_page, w, &w->request);
    text_fini(&path);
    if (rc == ERR_CANCELED)
        w->state = WATCH_ENDED;
    else if (rc)
        fail(w, 0, slice_str(status_name(rc)));
}

static void on_timer(struct timer *t)
{
    struct kube_watch *w = CONTAINER_OF(t, struct kube_watch, timer);

    if (w->state == WATCH_WAITING) {
        try_now(w);
        return;
    }
    drop_stream(w);
    fail(w, 0, SLICE("the stream fell silent"));
}

/* --- life --- */

enum status kube_watch_start(struct kube_watch **out, struct kube *k,
                             const struct kube_watch_options *opt,
                             const struct kube_watch_events *ev, void *owner,
                             struct error *e)
{
    struct kube_watch *w;

    if (opt->path.len + opt->query.len > KUBE_PATH_MAX / 4)
        return error_set(e, ERR_TOO_BIG, "the path of a watch is too long");
    w = MEM_NEW(struct kube_watch);
    w->log = (struct log){&area, 0};
    w->kube = k;
    kube_ref(k);
    w->loop = kube_loop(k);
    w->path = mem_str(opt->path);
    w->query = mem_str(opt->query);
    w->metadata_only = opt->metadata_only;
    w->ev = ev;
    w->owner = owner;
    w->page = PAGE;
    lines_init(&w->lines, KUBE_OBJECT_MAX);
    text_init(&w->version, VERSION_MAX);
    text_init(&w->more, CONTINUE_MAX);
    map_init(&w->names);
    timer_init(&w->timer, on_timer);
    wait(w, 0);
    *out = w;
    return OK;
}

bool kube_watch_synced(const struct kube_watch *w)
{
    return w->synced;
}

int64_t kube_watch_heard(const struct kube_watch *w)
{
    return w->heard;
}

uint64_t kube_watch_interruptions(const struct kube_watch *w)
{
    return w->interruptions;
}

static void watch_free(struct reap *r)
{
    struct kube_watch *w = CONTAINER_OF(r, struct kube_watch, reap);

    lines_fini(&w->lines);
    text_fini(&w->version);
    text_fini(&w->more);
    map_fini(&w->names);
    mem_free(w->path);
    mem_free(w->query);
    mem_free(w);
}

void kube_watch_close(struct kube_watch *w)
{
    if (!w)
        return;
    w->state = WATCH_ENDED;
    drop_stream(w);
    kube_unref(w->kube);
    loop_reap(w->loop, &w->reap, watch_free);
}
