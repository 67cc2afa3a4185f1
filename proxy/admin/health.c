/* SPDX-License-Identifier: Apache-2.0 */
/* head -> /live, /ready: answered at once
 *      -> a probe: the application is asked, and the answer waits for it; should
 *         the kubelet go, so does the question
 *      -> anything else: 404, 405 */
#include "proxy/admin/health.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/http/server.h"
#include "proxy/admin/ask.h"

enum {
    CONNECTIONS_MAX = 512, /* each listener's */
    ASKS_MAX = 128,        /* questions under way: they cost descriptors */
    ASKS_EACH = 4,         /* of one probe; the kubelet has one */
    REASON_MAX = 512,
};

struct health {
    struct health_options opt;
    struct loop *loop;
    struct http_server *servers[HEALTH_LISTENERS];
    unsigned servers_len;
    struct tls_settings *tls; /* for https probes */
    uint8_t asks_each[PROBES_MAX];
    unsigned asks;
    struct reap reap;
};

/* A probe's request, in its exchange's arena. */
struct asking {
    struct health *health;
    struct exchange *x;
    const struct probe *probe;
    struct ask *ask;
};

static void reply(struct exchange *x, unsigned status, const char *line)
{
    struct text t;
    text_init(&t, REASON_MAX + 2);
    text_add(&t, slice_sub(slice_str(line), 0, REASON_MAX));
    text_add_char(&t, '\n');
    exchange_reply(x, status, SLICE("text/plain; charset=utf-8"),
                   text_slice(&t), NULL);
    text_fini(&t);
}

/* ---- the request, after its head ---- */

static void on_late_head(struct exchange *x, const struct head *h, bool end)
{
    (void)x, (void)h, (void)end;
}

static void on_body(struct exchange *x, slice data, bool end)
{
    (void)end;
    exchange_consumed(x, data.len);
}

static void on_trailers(struct exchange *x, const struct headers *t)
{
    (void)x, (void)t;
}

static void on_sent(struct exchange *x, size_t n)
{
    (void)x, (void)n;
}

static void on_reset(struct exchange *x, enum reset_why why)
{
    (void)x, (void)why;
}

static void on_done(struct exchange *x)
{
    (void)x;
}

/* Answered: what still comes is dropped. */
static const struct exchange_events answered_events = {
    .on_head = on_late_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = on_sent,
    .on_reset = on_reset,
    .on_done = on_done,
};

/* ---- probes ---- */

static uint8_t *count_of(const struct asking *a)
{
    return &a->health->asks_each[a->probe - a->health->opt.probes->at];
}

static void let_go(struct asking *a)
{
    a->ask = NULL;
    a->health->asks--;
    --*count_of(a);
    exchange_own(a->x, &answered_events, NULL);
}

static void on_answer(void *arg, bool good, const char *why)
{
    struct asking *a = arg;
    struct exchange *x = a->x;
    bool hook = a->probe->hook;
    let_go(a);
    if (!good && hook)
        exchange_reset(x, RESET_CONNECTION);
    else
        reply(x, good ? 200 : 503, why);
}

static void on_asker_reset(struct exchange *x, enum reset_why why)
{
    struct asking *a = x->owner;
    (void)why;
    ask_cancel(a->ask);
    let_go(a);
}

static void on_asker_done(struct exchange *x)
{
    on_asker_reset(x, RESET_CANCELED);
}

static const struct exchange_events asking_events = {
    .on_head = on_late_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = on_sent,
    .on_reset = on_asker_reset,
    .on_done = on_asker_done,
};

static void serve_probe(struct health *h, struct exchange *x,
                        const struct probe *p)
{
    struct asking *a = arena_alloc(&x->arena, sizeof *a);
    if (!a) {
        reply(x, 503, "out of memory");
        return;
    }
    *a = (struct asking){.health = h, .x = x, .probe = p};
    if (h->asks >= ASKS_MAX || *count_of(a) >= ASKS_EACH) {
        reply(x, 503, "too many ask at once");
        return;
    }
    h->asks++;
    ++*count_of(a);
    exchange_own(x, &asking_events, a);
    ask_start(&a->ask, h->loop, p, &h->opt.pod, h->tls, on_answer, a);
}

/* ---- pages ---- */

static void serve_ready(struct health *h, struct exchange *x)
{
    struct text why;
    text_init(&why, REASON_MAX);
    if (h->opt.ready(h->opt.arg, &why))
        reply(x, 200, "ready");
    else
        reply(x, 503, text_cstr(&why));
    text_fini(&why);
}

static void on_head(struct exchange *x, const struct head *head, bool end)
{
    struct health *h = x->owner;
    slice path = head->path, query;
    bool get = head->method_id == HTTP_GET || head->method_id == HTTP_HEAD;
    (void)end;
    (void)slice_cut(path, '?', &path, &query);
    exchange_own(x, &answered_events, NULL);
    const struct probe *p = probes_find(h->opt.probes, path);
    bool live = slice_eq(path, SLICE("/live"));
    bool ready = slice_eq(path, SLICE("/ready"));
    if (!p && !live && !ready)
        reply(x, 404, "no such page");
    else if (!get)
        reply(x, 405, "this page only knows GET");
    else if (live)
        reply(x, 200, "live");
    else if (ready)
        serve_ready(h, x);
    else
        serve_probe(h, x, p);
}

static const struct exchange_events head_events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = on_sent,
    .on_reset = on_reset,
    .on_done = on_done,
};

static void on_request(void *arg, struct exchange *x,
                       const struct tls_peer *peer)
{
    (void)peer;
    exchange_own(x, &head_events, arg);
}

/* ---- life ---- */

static void free_health(struct reap *r)
{
    struct health *h = CONTAINER_OF(r, struct health, reap);
    tls_settings_unref(h->tls);
    mem_free(h);
}

void health_close(struct health *h)
{
    if (!h)
        return;
    for (unsigned i = 0; i < h->servers_len; i++)
        http_server_close(h->servers[i]);
    loop_reap(h->loop, &h->reap, free_health);
}

static enum status listen_all(struct health *h, struct error *e)
{
    struct http_server_options so = {.limits = http_limits_default,
                                     .max_connections = CONNECTIONS_MAX};
    enum status rc = OK;
    /* Nobody may keep the kubelet out by being slow. */
    so.limits.head_timeout = 5 * NSEC_PER_SEC;
    so.limits.idle_timeout = 5 * NSEC_PER_SEC;
    for (unsigned i = 0; i < h->opt.at_len && !rc; i++) {
        so.at = h->opt.at[i];
        rc = http_server_start(&h->servers[i], h->loop, &so, on_request, h, e);
        if (!rc)
            h->servers_len++;
    }
    return rc;
}

enum status health_start(struct health **out, struct loop *l,
                         const struct health_options *opt, struct error *e)
{
    const struct tls_options anybody = {.role = TLS_CLIENT, .any_peer = true};
    struct health *h = MEM_NEW(struct health);
    h->opt = *opt;
    h->loop = l;
    enum status rc = tls_settings_new(&h->tls, &anybody, NULL, SLICE_NONE, e);
    if (!rc)
        rc = listen_all(h, e);
    h->opt.at = NULL; /* was borrowed */
    if (rc) {
        health_close(h);
        return error_prefix(e, rc, "health");
    }
    *out = h;
    return OK;
}

const struct address *health_address(const struct health *h, unsigned i)
{
    return http_server_address(h->servers[i]);
}
