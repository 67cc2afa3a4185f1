/* SPDX-License-Identifier: Apache-2.0 */
/* A request waits in line, gets a handle on the channel in use, and is told what
 * came once libcurl is left (wire.h). Streams do not wait in line: they are few
 * and do not end.
 *
 * Is the other side still there? Streams may rightly say nothing for a minute.
 * So when a channel with streams has been silent for some seconds, something
 * cheap is asked on it. Whatever times out on a channel that said nothing
 * meanwhile shows that it is dead: its streams end, and what comes is sent on a
 * new one. */
#include "lib/kube/kube.h"

#include <assert.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/kube/access_parts.h"
#include "lib/kube/request.h"
#include "lib/kube/wire.h"

#define LOOK (2 * NSEC_PER_SEC)
#define SILENCE (10 * NSEC_PER_SEC)

static struct log_area area = LOG_AREA("kube");
static struct log log_ = {&area, 0};

struct channel {
    struct list node;
    struct wire *wire;
    struct list requests;
    int64_t heard;
    bool retired;  /* ends with its last request */
    int64_t asked; /* when last whether it is alive */
};

struct kube {
    struct loop *loop;
    struct kube_access *access;
    char *agent;
    struct list channels;
    struct channel *channel; /* for new requests; NULL: to be opened */
    struct list waiting, fresh;
    size_t waiting_len;
    unsigned in_flight;
    struct timer look;
    struct reap reap;
    unsigned refs;
    bool closed;
};

static const struct wire_events wire_events;

/* --- channels --- */

static struct channel *channel_in_use(struct kube *k)
{
    struct channel *c = k->channel;
    struct error e;

    if (c)
        return c;
    c = MEM_NEW(struct channel);
    if (wire_open(&c->wire, k->loop, &wire_events, k, &e)) {
        log_error(&log_, "no connection", "why=" LOG_QUOTED,
                  FMT(slice_str(e.text)));
        mem_free(c);
        return NULL;
    }
    list_init(&c->requests);
    c->heard = loop_now(k->loop);
    list_push_back(&k->channels, &c->node);
    k->channel = c;
    return c;
}

static void channel_free(struct kube *k, struct channel *c)
{
    if (k->channel == c)
        k->channel = NULL;
    wire_close(c->wire);
    list_remove(&c->node);
    mem_free(c);
}

static void detach(struct kube_request *r)
{
    struct kube *k = r->kube;
    struct channel *c = r->channel;

    list_remove(&r->node);
    list_remove(&r->fresh);
    if (!c) {
        k->waiting_len--;
        return;
    }
    r->channel = NULL;
    if (!r->stream)
        k->in_flight--;
    wire_remove(c->wire, r->easy);
    if (c->retired && list_empty(&c->requests))
        channel_free(k, c);
}

/* A channel is dead: what is new goes elsewhere, streams do not wait longer. Calls
 * have a time of their own. */
static void retire(struct kube *k, struct channel *c)
{
    log_warn(&log_, "the API server does not answer, connecting anew",
             "silent_ms=%lld",
             (long long)((loop_now(k->loop) - c->heard) / NSEC_PER_MSEC));
    c->retired = true;
    if (k->channel == c)
        k->channel = NULL;
    LIST_EACH(node, &c->requests) {
        struct kube_request *r = CONTAINER_OF(node, struct kube_request, node);

        if (!r->stream || r->ended)
            continue;
        r->ended = true;
        r->code = CURLE_OPERATION_TIMEDOUT;
        if (list_empty(&r->fresh))
            list_push_back(&k->fresh, &r->fresh);
    }
}

/* --- sending --- */

static enum status start_on(struct kube *k, struct channel *c,
                            struct kube_request *r)
{
    enum status rc;

    kube_access_refresh(k->access, loop_now(k->loop));
    rc = request_prepare(r, k->access, k->agent);
    if (!rc)
        rc = wire_add(c->wire, r->easy);
    if (rc)
        return rc;
    r->channel = c;
    r->started = loop_now(k->loop);
    list_push_back(&c->requests, &r->node);
    if (!r->stream)
        k->in_flight++;
    return OK;
}

static enum status start(struct kube *k, struct kube_request *r)
{
    struct channel *c = channel_in_use(k);

    return c ? start_on(k, c, r) : ERR_RESOURCES;
}

static void start_waiting(struct kube *k)
{
    while (!k->closed && k->in_flight < KUBE_IN_FLIGHT_MAX &&
           !list_empty(&k->waiting)) {
        struct list *node = list_pop_front(&k->waiting);
        struct kube_request *r = CONTAINER_OF(node, struct kube_request, node);
        enum status rc;

        k->waiting_len--;
        rc = start(k, r);
        if (!rc)
            continue;
        request_answer(r, rc);
        request_free(r);
    }
}

enum status kube_send_as(struct kube *k, const struct kube_call *call,
                         const struct request_options *opt, kube_done_fn *done,
                         void *owner, struct kube_request **out)
{
    struct kube_request *r;
    bool waits = !opt->stream && k->in_flight >= KUBE_IN_FLIGHT_MAX;
    enum status rc = OK;

    if (k->closed)
        return ERR_CANCELED;
    if (call->path.len > KUBE_PATH_MAX || call->body.len > KUBE_BODY_MAX)
        return ERR_TOO_BIG;
    if (waits && k->waiting_len >= KUBE_WAITING_MAX)
        return ERR_RESOURCES;
    r = request_new(call, opt, done, owner);
    r->kube = k;
    if (waits) {
        list_push_back(&k->waiting, &r->node);
        k->waiting_len++;
    } else {
        rc = start(k, r);
    }
    if (rc)
        request_free(r);
    else if (out)
        *out = r;
    return rc;
}

enum status kube_send(struct kube *k, const struct kube_call *call,
                      kube_done_fn *done, void *owner,
                      struct kube_request **out)
{
    struct request_options opt = {0};

    return kube_send_as(k, call, &opt, done, owner, out);
}

void kube_cancel(struct kube_request *r)
{
    struct kube *k = r->kube;

    detach(r);
    r->gone = true;
    if (!r->busy)
        request_free(r);
    start_waiting(k);
}

/* --- what came --- */

void request_heard(struct kube_request *r)
{
    struct kube *k = r->kube;

    if (r->channel)
        r->channel->heard = loop_now(k->loop);
    if (r->stream && list_empty(&r->fresh))
        list_push_back(&k->fresh, &r->fresh);
}

static void on_transfer_end(CURL *easy, CURLcode code)
{
    struct kube_request *r = NULL;
    char *private = NULL;

    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
    r = (struct kube_request *)(void *)private;
    if (!r || r->ended)
        return;
    r->ended = true;
    r->code = code;
    if (list_empty(&r->fresh))
        list_push_back(&r->kube->fresh, &r->fresh);
}

static void tell_stream(struct kube_request *r)
{
    if (r->http_status < 200 || r->http_status >= 300)
        return; /* a refusal: kept until it has all come */
    if (!r->opened) {
        r->opened = true;
        r->stream->on_open(r->owner);
    }
    if (r->gone || r->in.len == 0)
        return;
    /* Nothing comes while libcurl is left: the text stays as it is. */
    r->stream->on_data(r->owner, text_slice(&r->in));
    if (r->in.cap > 64 << 10)
        text_fini(&r->in);
    text_clear(&r->in);
}

static void tell(struct kube *k, struct kube_request *r)
{
    if (r->stream) {
        r->busy = true;
        tell_stream(r);
        r->busy = false;
        if (r->gone) {
            request_free(r);
            return;
        }
    }
    if (!r->ended)
        return;
    if (r->code == CURLE_OPERATION_TIMEDOUT && !r->channel->retired &&
        r->channel->heard <= r->started)
        retire(k, r->channel);
    detach(r);
    request_answer(r, OK);
    request_free(r);
}

static void on_left(void *owner)
{
    struct kube *k = owner;
    struct list *node;

    while ((node = list_pop_front(&k->fresh)))
        tell(k, CONTAINER_OF(node, struct kube_request, fresh));
    start_waiting(k);
}

static const struct wire_events wire_events = {on_transfer_end, on_left};

/* --- is anybody there? --- */

/* Any answer will do: request_heard took note of it. None was dealt with where it
 * ended. */
static void on_alive(void *owner, const struct kube_answer *a)
{
    (void)owner;
    (void)a;
}

static void ask(struct kube *k, struct channel *c)
{
    struct kube_call call = {.method = KUBE_GET, .path = SLICE("/version")};
    struct request_options opt = {0};
    struct kube_request *r = request_new(&call, &opt, on_alive, k);

    r->kube = k;
    if (start_on(k, c, r))
        request_free(r);
    else
        c->asked = loop_now(k->loop);
}

static bool has_streams(const struct channel *c)
{
    LIST_EACH(node, &c->requests) {
        if (CONTAINER_OF(node, struct kube_request, node)->stream)
            return true;
    }
    return false;
}

static void on_look(struct timer *t)
{
    struct kube *k = CONTAINER_OF(t, struct kube, look);
    int64_t now = loop_now(k->loop);

    LIST_EACH(node, &k->channels) {
        struct channel *c = CONTAINER_OF(node, struct channel, node);

        if (!c->retired && now - c->heard > SILENCE &&
            now - c->asked > SILENCE + LOOK && has_streams(c))
            ask(k, c);
    }
    timer_set(&k->loop->timers, t, now + LOOK);
}

/* --- life --- */

static char *lib_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = mem_lib_malloc(n);

    return copy ? memcpy(copy, s, n) : NULL;
}

static void set_up_libcurl(void)
{
    (void)curl_global_init_mem(CURL_GLOBAL_DEFAULT, mem_lib_malloc,
                               mem_lib_free, mem_lib_realloc, lib_strdup,
                               mem_lib_calloc);
}

enum status kube_start(struct kube **out, struct loop *l,
                       struct kube_access *access, const char *agent,
                       struct error *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct kube *k = MEM_NEW(struct kube);

    (void)e;
    pthread_once(&once, set_up_libcurl);
    k->loop = l;
    k->access = access;
    k->agent = mem_str(slice_str(agent));
    k->refs = 1;
    list_init(&k->channels);
    list_init(&k->waiting);
    list_init(&k->fresh);
    timer_init(&k->look, on_look);
    timer_set(&l->timers, &k->look, loop_now(l) + LOOK);
    *out = k;
    return OK;
}

static void kube_free(struct reap *r)
{
    struct kube *k = CONTAINER_OF(r, struct kube, reap);

    kube_access_free(k->access);
    mem_free(k->agent);
    mem_free(k);
}

void kube_ref(struct kube *k)
{
    k->refs++;
}

void kube_unref(struct kube *k)
{
    if (--k->refs == 0)
        loop_reap(k->loop, &k->reap, kube_free);
}

static void cancel_all(struct list *requests)
{
    while (!list_empty(requests)) {
        struct kube_request *r = CONTAINER_OF(requests->next,
                                              struct kube_request, node);

        detach(r);
        r->gone = true;
        request_answer(r, ERR_CANCELED);
        if (!r->busy)
            request_free(r);
    }
}

void kube_close(struct kube *k)
{
    if (!k || k->closed)
        return;
    k->closed = true;
    timer_stop(&k->loop->timers, &k->look);
    cancel_all(&k->waiting);
    while (!list_empty(&k->channels)) {
        struct channel *c = CONTAINER_OF(k->channels.next, struct channel,
                                         node);

        c->retired = false; /* freed here, not by its last request */
        cancel_all(&c->requests);
        channel_free(k, c);
    }
    kube_unref(k);
}

struct loop *kube_loop(const struct kube *k)
{
    return k->loop;
}

slice kube_namespace(const struct kube *k)
{
    return kube_access_namespace(k->access);
}
