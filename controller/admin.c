/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/admin.h"

#include "controller/registry/registry_json.h"
#include "lib/admin/admin.h"
#include "lib/http/message.h"

enum {
    PAGE_MAX = 256 << 20,
    WATCH_QUEUE = 1 << 20, /* bytes on their way to a slow watcher */
    WATCHERS_MAX = 64,
};

struct admin_pages {
    struct loop *loop;
    struct http_server *http, *health;
    struct registry *registry;
    const struct publisher *publisher;
    struct admin admin, health_admin;
    /* What the program answers, with its argument. */
    struct admin_pages_options opt;
    struct list watchers;
    struct reap reap;
    unsigned watchers_len;
};

/* One /v1/registry?watch. */
struct watcher {
    struct list node;
    struct admin_pages *pages;
    struct exchange *x; /* NULL: over */
    struct registry_watch watch;
    size_t on_way;
    uint64_t missed; /* changes not told because it is slow */
    struct reap reap;
};

static void reply_json(struct exchange *x, struct text *body)
{
    text_add_char(body, '\n');
    if (body->failed)
        admin_reply_text(x, 500, "the page is too large");
    else
        exchange_reply(x, 200, SLICE("application/json"), text_slice(body),
                       NULL);
    text_fini(body);
}

static void page_sessions(void *arg, struct exchange *x,
                          const struct admin_request *req)
{
    struct admin_pages *a = arg;
    struct text body;

    (void)req;
    text_init(&body, PAGE_MAX);
    publisher_json(a->publisher, &body);
    reply_json(x, &body);
}

static void page_proxies(void *arg, struct exchange *x,
                         const struct admin_request *req)
{
    const struct admin_pages *a = arg;
    struct json_write w;
    struct text body;

    (void)req;
    text_init(&body, PAGE_MAX);
    json_write_init(&w, &body);
    json_write_object(&w);
    json_write_name(&w, "proxies");
    json_write_array(&w);
    a->opt.proxies(a->opt.arg, &w);
    json_write_array_end(&w);
    json_write_object_end(&w);
    reply_json(x, &body);
}

/* --- watching --- */

static void watcher_free(struct reap *r)
{
    mem_free(CONTAINER_OF(r, struct watcher, reap));
}

static void watcher_over(struct watcher *v)
{
    if (!v->x)
        return;
    v->x = NULL;
    list_remove(&v->node);
    registry_unwatch(&v->watch);
    v->pages->watchers_len--;
    loop_reap(v->pages->loop, &v->reap, watcher_free);
}

static void send_line(struct watcher *v, struct text *line)
{
    v->on_way += line->len;
    exchange_send_body(v->x, text_slice(line), false);
}

/* Where the registry is: the first line, and after missed changes. */
static void send_where(struct watcher *v)
{
    const struct registry *r = v->pages->registry;
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
    struct watcher *v = CONTAINER_OF(w, struct watcher, watch);
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

static void on_head(struct exchange *x, const struct head *head, bool end)
{
    (void)x;
    (void)head;
    (void)end;
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
    struct watcher *v = x->owner;

    v->on_way -= n < v->on_way ? n : v->on_way;
    if (v->missed && v->on_way < WATCH_QUEUE / 2)
        send_where(v);
}

static void on_reset(struct exchange *x, enum reset_why why)
{
    (void)why;
    watcher_over(x->owner);
}

static void on_done(struct exchange *x)
{
    watcher_over(x->owner);
}

static const struct exchange_events watcher_events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = on_sent,
    .on_reset = on_reset,
    .on_done = on_done,
};

static void watch(struct admin_pages *a, struct exchange *x)
{
    struct header fields[2];
    struct head head;
    struct watcher *v;

    head_init_response(&head, 200, fields, 2);
    if (a->watchers_len >= WATCHERS_MAX ||
        headers_add(&head.headers, SLICE("content-type"),
                    SLICE("application/jsonl"))) {
        admin_reply_text(x, 503, "too many watch already");
        return;
    }
    v = MEM_NEW(struct watcher);
    v->pages = a;
    v->x = x;
    v->watch.on_change = on_change;
    list_push_back(&a->watchers, &v->node);
    a->watchers_len++;
    registry_watch(a->registry, &v->watch);
    exchange_own(x, &watcher_events, v);
    exchange_send_head(x, &head, false);
    send_where(v);
}

static void page_registry(void *arg, struct exchange *x,
                          const struct admin_request *req)
{
    struct admin_pages *a = arg;
    struct text body;

    if (slice_eq(req->query, SLICE("watch")) ||
        slice_starts(req->query, SLICE("watch="))) {
        watch(a, x);
        return;
    }
    text_init(&body, PAGE_MAX);
    registry_json(a->registry, &body);
    reply_json(x, &body);
}

/* --- the server --- */

static bool ready(void *arg, struct text *why)
{
    const struct admin_pages *a = arg;

    return a->opt.ready(a->opt.arg, why);
}

static enum status metrics(void *arg, struct text *out)
{
    const struct admin_pages *a = arg;

    return a->opt.metrics(a->opt.arg, out);
}

static const struct admin_route routes[] = {
    {HTTP_GET, "/v1/registry", page_registry, 0},
    {HTTP_GET, "/v1/sessions", page_sessions, 0},
    {HTTP_GET, "/v1/proxies", page_proxies, 0},
};

static void init_pages(struct admin_pages *a)
{
    const struct admin_options opt = {
        .program = "tulle-controller",
        .ready = ready,
        .metrics = metrics,
        .routes = routes,
        .routes_len = sizeof routes / sizeof *routes,
        .arg = a,
    };
    const struct admin_options health = {
        .program = "tulle-controller",
        .ready = ready,
        .health_only = true,
        .arg = a,
    };

    admin_init(&a->admin, &opt);
    admin_init(&a->health_admin, &health);
    list_init(&a->watchers);
}

/* Where the kubelet asks, which is anywhere: what it is told, anybody may know. */
static enum status start_health(struct admin_pages *a,
                                const struct admin_pages_options *opt,
                                struct error *e)
{
    struct http_server_options http = {
        .limits = http_limits_default,
        .max_connections = 64,
    };

    if (!opt->health)
        return OK;
    http.at = *opt->health;
    return http_server_start(&a->health, a->loop, &http, admin_serve,
                             &a->health_admin, e);
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
    a->registry = opt->registry;
    a->publisher = opt->publisher;
    a->opt = *opt;
    init_pages(a);
    /* Watchers say nothing for as long as nothing changes. */
    http.limits.body_timeout = INT64_C(365) * 24 * 3600 * 1000000000;
    rc = admin_check_address(&opt->at, false, e);
    if (!rc)
        rc = http_server_start(&a->http, l, &http, admin_serve, &a->admin, e);
    if (rc) {
        mem_free(a);
        return rc;
    }
    rc = start_health(a, opt, e);
    if (rc) {
        admin_pages_close(a);
        return rc;
    }
    *out = a;
    return OK;
}

const struct address *admin_pages_address(const struct admin_pages *a)
{
    return http_server_address(a->http);
}

const struct address *admin_pages_health(const struct admin_pages *a)
{
    return a->health ? http_server_address(a->health) : NULL;
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
    if (a->health)
        http_server_close(a->health);
    while (!list_empty(&a->watchers))
        watcher_over(CONTAINER_OF(a->watchers.next, struct watcher, node));
    loop_reap(a->loop, &a->reap, admin_pages_free);
}
