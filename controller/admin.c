/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/admin.h"

#include "controller/registry/registry_json.h"
#include "lib/http/message.h"

enum {
    PAGE_MAX = 256 << 20,
    WATCH_QUEUE = 1 << 20, /* bytes on their way to a slow watcher */
    WATCHERS_MAX = 64,
};

struct admin_pages {
    struct loop *loop;
    struct http_server *http;
    struct admin_pages_options opt;
    struct list visits;
    struct reap reap;
    unsigned watchers;
};

/* One request. */
struct visit {
    struct list node;
    struct admin_pages *pages;
    struct exchange *x; /* NULL: over */
    struct registry_watch watch;
    bool watching;
    size_t on_way;
    uint64_t missed; /* changes not told to a slow watcher */
    struct reap reap;
};

typedef void page_fn(struct visit *v);

static void visit_free(struct reap *r)
{
    mem_free(CONTAINER_OF(r, struct visit, reap));
}

static void visit_over(struct visit *v)
{
    if (!v->x)
        return;
    v->x = NULL;
    list_remove(&v->node);
    registry_unwatch(&v->watch);
    v->pages->watchers -= v->watching;
    loop_reap(v->pages->loop, &v->reap, visit_free);
}

static void reply(struct visit *v, unsigned status, slice type,
                  struct text *body)
{
    if (body->failed)
        exchange_reply(v->x, 500, SLICE("text/plain"),
                       SLICE("the page is too large\n"), NULL);
    else
        exchange_reply(v->x, status, type, text_slice(body), NULL);
    text_fini(body);
}

static void reply_text(struct visit *v, unsigned status, slice text)
{
    exchange_reply(v->x, status, SLICE("text/plain"), text, NULL);
}

/* --- pages --- */

static void page_live(struct visit *v)
{
    reply_text(v, 200, SLICE("live\n"));
}

static void page_ready(struct visit *v)
{
    slice why = v->pages->opt.not_ready(v->pages->opt.arg);
    struct text body;

    if (slice_empty(why)) {
        reply_text(v, 200, SLICE("ready\n"));
        return;
    }
    text_init(&body, 1024);
    text_printf(&body, "%.*s\n", FMT(why));
    reply(v, 503, SLICE("text/plain"), &body);
}

static void page_metrics(struct visit *v)
{
    struct text body;

    text_init(&body, PAGE_MAX);
    v->pages->opt.metrics(v->pages->opt.arg, &body);
    reply(v, 200, SLICE("text/plain; version=0.0.4"), &body);
}

static void page_sessions(struct visit *v)
{
    struct text body;

    text_init(&body, PAGE_MAX);
    publisher_json(v->pages->opt.publisher, &body);
    text_add_char(&body, '\n');
    reply(v, 200, SLICE("application/json"), &body);
}

static void page_registry(struct visit *v)
{
    struct text body;

    text_init(&body, PAGE_MAX);
    registry_json(v->pages->opt.registry, &body);
    text_add_char(&body, '\n');
    reply(v, 200, SLICE("application/json"), &body);
}

/* --- /v1/registry?watch --- */

static void send_line(struct visit *v, struct text *line)
{
    v->on_way += line->len;
    exchange_send_body(v->x, text_slice(line), false);
}

/* Where the registry is: the first line, and after missed changes. */
static void send_where(struct visit *v)
{
    const struct registry *r = v->pages->opt.registry;
    struct text line;

    text_init(&line, 4096);
    text_printf(&line, "{\"version\":%llu,\"synced\":%s,\"missed\":%llu}\n",
                (unsigned long long)registry_version(r),
                registry_synced(r) ? "true" : "false",
                (unsigned long long)v->missed);
    v->missed = 0;
    send_line(v, &line);
    text_fini(&line);
}

static void on_change(struct registry_watch *w, const struct registry_change *c)
{
    struct visit *v = CONTAINER_OF(w, struct visit, watch);
    struct text line;

    if (v->on_way > WATCH_QUEUE) {
        v->missed++;
        return;
    }
    text_init(&line, 4096);
    registry_change_json(c, &line);
    send_line(v, &line);
    text_fini(&line);
}

static void page_watch(struct visit *v)
{
    struct header fields[2];
    struct head head;

    if (v->pages->watchers >= WATCHERS_MAX) {
        reply_text(v, 503, SLICE("too many watch already\n"));
        return;
    }
    head_init_response(&head, 200, fields, 2);
    if (headers_add(&head.headers, SLICE("content-type"),
                    SLICE("application/jsonl")))
        return;
    exchange_send_head(v->x, &head, false);
    v->watching = true;
    v->pages->watchers++;
    v->watch.on_change = on_change;
    registry_watch(v->pages->opt.registry, &v->watch);
    send_where(v);
}

/* --- exchange --- */

static const struct {
    slice path;
    page_fn *page;
} pages[] = {
    {SLICE_INIT("/live"), page_live},
    {SLICE_INIT("/ready"), page_ready},
    {SLICE_INIT("/metrics"), page_metrics},
    {SLICE_INIT("/v1/sessions"), page_sessions},
    {SLICE_INIT("/v1/registry"), page_registry},
    {SLICE_INIT("/v1/registry?watch"), page_watch},
    {SLICE_INIT("/v1/registry?watch=true"), page_watch},
};

static void on_head(struct exchange *x, const struct head *head, bool end)
{
    struct visit *v = x->owner;

    (void)end;
    if (head->method_id != HTTP_GET && head->method_id != HTTP_HEAD) {
        reply_text(v, 405, SLICE("only GET\n"));
        return;
    }
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        if (slice_eq(head->path, pages[i].path)) {
            pages[i].page(v);
            return;
        }
    reply_text(v, 404,
               SLICE("/live /ready /metrics /v1/registry "
                     "/v1/registry?watch /v1/sessions\n"));
}

static void on_body(struct exchange *x, slice data, bool end)
{
    (void)end;
    exchange_consumed(x, data.len);
}

static void on_trailers(struct exchange *x, const struct headers *trailers)
{
    (void)x;
    (void)trailers;
}

static void on_sent(struct exchange *x, size_t n)
{
    struct visit *v = x->owner;

    v->on_way -= n < v->on_way ? n : v->on_way;
    if (v->missed && v->on_way < WATCH_QUEUE / 2)
        send_where(v);
}

static void on_reset(struct exchange *x, enum reset_why why)
{
    (void)why;
    visit_over(x->owner);
}

static void on_done(struct exchange *x)
{
    visit_over(x->owner);
}

static const struct exchange_events visit_events = {
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
    struct admin_pages *a = arg;
    struct visit *v = MEM_NEW(struct visit);

    (void)peer;
    v->pages = a;
    v->x = x;
    list_init(&v->watch.node);
    list_push_back(&a->visits, &v->node);
    exchange_own(x, &visit_events, v);
}

enum status admin_pages_start(struct admin_pages **out, struct loop *l,
                              const struct admin_pages_options *opt,
                              struct error *e)
{
    struct http_server_options http = {
        .at = opt->at,
        .limits = http_limits_default,
        .max_connections = 256,
    };
    struct admin_pages *a = MEM_NEW(struct admin_pages);
    enum status rc;

    a->loop = l;
    a->opt = *opt;
    list_init(&a->visits);
    /* Watchers say nothing for as long as nothing changes. */
    http.limits.body_timeout = INT64_C(365) * 24 * 3600 * 1000000000;
    rc = http_server_start(&a->http, l, &http, on_request, a, e);
    if (rc) {
        mem_free(a);
        return rc;
    }
    *out = a;
    return OK;
}

const struct address *admin_pages_address(const struct admin_pages *a)
{
    return http_server_address(a->http);
}

static void admin_pages_free(struct reap *r)
{
    mem_free(CONTAINER_OF(r, struct admin_pages, reap));
}

void admin_pages_close(struct admin_pages *a)
{
    if (!a)
        return;
    http_server_close(a->http); /* breaks the exchanges: on_reset */
    while (!list_empty(&a->visits))
        visit_over(CONTAINER_OF(a->visits.next, struct visit, node));
    loop_reap(a->loop, &a->reap, admin_pages_free);
}
