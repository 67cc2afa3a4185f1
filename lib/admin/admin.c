/* SPDX-License-Identifier: Apache-2.0 */
/* A head comes in and its route is found; the body, if there is one, is kept in
 * the exchange's arena up to the route's limit; at its end the route's function
 * answers. Whatever is refused is answered at once, and what still comes in is
 * read and forgotten. All memory of a request is the exchange's. */
#include "lib/admin/admin.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/admin/build_info.h"
#include "lib/admin/metrics.h"
#include "lib/base/log.h"

enum {
    BODY_DEFAULT = 1024,
    REPLY_MAX = 2048,
    METRICS_MAX = 32 << 20,
    LEVELS_MAX = 512,
};

static struct log_area area = LOG_AREA("admin");
static const struct log admin_log = {&area, 0};

void admin_reply_text(struct exchange *x, unsigned status, const char *fmt, ...)
{
    struct text t;
    char line[REPLY_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    text_init(&t, REPLY_MAX);
    text_printf(&t, "%s\n", line);
    exchange_reply(x, status, SLICE("text/plain; charset=utf-8"),
                   text_slice(&t), NULL);
    text_fini(&t);
}

/* --- the ready-made pages: `arg` is the struct admin --- */

static void serve_live(void *arg, struct exchange *x,
                       const struct admin_request *req)
{
    (void)arg;
    (void)req;
    admin_reply_text(x, 200, "live");
}

static void serve_ready(void *arg, struct exchange *x,
                        const struct admin_request *req)
{
    const struct admin_options *opt = &((struct admin *)arg)->opt;
    struct text why;

    (void)req;
    text_init(&why, REPLY_MAX / 2);
    if (!opt->ready || opt->ready(opt->arg, &why))
        admin_reply_text(x, 200, "ready");
    else
        admin_reply_text(x, 503, "not ready: %s", text_cstr(&why));
    text_fini(&why);
}

static void serve_metrics(void *arg, struct exchange *x,
                          const struct admin_request *req)
{
    const struct admin_options *opt = &((struct admin *)arg)->opt;
    struct text t;

    (void)req;
    text_init(&t, METRICS_MAX);
    if (!opt->metrics)
        admin_reply_text(x, 404, "no metrics here");
    else if (opt->metrics(opt->arg, &t) || t.failed)
        admin_reply_text(x, 500, "the metrics are longer than %d bytes",
                         METRICS_MAX);
    else
        exchange_reply(x, 200, SLICE(METRICS_CONTENT_TYPE), text_slice(&t),
                       NULL);
    text_fini(&t);
}

static void serve_version(void *arg, struct exchange *x,
                          const struct admin_request *req)
{
    const struct admin *a = arg;
    struct text t;

    (void)req;
    text_init(&t, REPLY_MAX);
    build_info_json(&t, slice_str(a->opt.program));
    text_add_char(&t, '\n');
    exchange_reply(x, 200, SLICE("application/json"), text_slice(&t), NULL);
    text_fini(&t);
}

static void serve_log_level(void *arg, struct exchange *x,
                            const struct admin_request *req)
{
    char levels[LEVELS_MAX];

    (void)arg;
    (void)req;
    log_get_levels(levels, sizeof levels);
    admin_reply_text(x, 200, "%s", levels);
}

/* What is set is logged and shown: no line breaks, no quotes. */
static bool printable(slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < 0x20 || s.ptr[i] > 0x7e || s.ptr[i] == '"')
            return false;
    }
    return true;
}

static void set_log_level(void *arg, struct exchange *x,
                          const struct admin_request *req)
{
    slice spec = req->body;
    struct error e;

    while (spec.len &&
           (spec.ptr[spec.len - 1] == '\n' || spec.ptr[spec.len - 1] == '\r'))
        spec.len--;
    spec = slice_trim(spec);
    if (!printable(spec)) {
        admin_reply_text(x, 400, "log levels: unexpected byte");
        return;
    }
    if (log_set_levels(spec, &e)) {
        admin_reply_text(x, 400, "%s", e.text);
        return;
    }
    log_info(&admin_log, "log levels set", "levels=" LOG_QUOTED, FMT(spec));
    serve_log_level(arg, x, req);
}

static const struct admin_route pages[] = {
    {HTTP_GET, "/live", serve_live, 0},
    {HTTP_GET, "/ready", serve_ready, 0},
    {HTTP_GET, "/metrics", serve_metrics, 0},
    {HTTP_GET, "/version", serve_version, 0},
    {HTTP_GET, "/log-level", serve_log_level, 0},
    {HTTP_PUT, "/log-level", set_log_level, 0},
    {HTTP_POST, "/log-level", set_log_level, 0},
};
enum {
    PAGES = sizeof pages / sizeof pages[0],
    HEALTH_PAGES = 2, /* the first ones */
};

/* --- routing --- */

/* Own routes first; NULL at the end. */
static const struct admin_route *route_at(const struct admin *a, unsigned i)
{
    if (i < a->opt.routes_len)
        return &a->opt.routes[i];
    i -= a->opt.routes_len;
    return i < (a->opt.health_only ? HEALTH_PAGES : PAGES) ? &pages[i] : NULL;
}

static const struct admin_route *find_route(const struct admin *a,
                                            enum http_method method, slice path)
{
    const struct admin_route *r;

    if (method == HTTP_HEAD)
        method = HTTP_GET;
    for (unsigned i = 0; (r = route_at(a, i)); i++) {
        if (r->method == method && slice_eq(path, slice_str(r->path)))
            return r;
    }
    return NULL;
}

/* Writes "GET, HEAD, PUT"; nothing when no route has that path. */
static void allowed_methods(const struct admin *a, slice path, struct text *t)
{
    static const struct {
        enum http_method id;
        const char *name;
    } methods[] = {
        {HTTP_GET, "GET, HEAD"},   {HTTP_POST, "POST"},
        {HTTP_PUT, "PUT"},         {HTTP_DELETE, "DELETE"},
        {HTTP_OPTIONS, "OPTIONS"}, {HTTP_PATCH, "PATCH"},
    };

    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (find_route(a, methods[i].id, path))
            text_printf(t, "%s%s", t->len ? ", " : "", methods[i].name);
    }
}

static void refuse_route(const struct admin *a, struct exchange *x, slice path)
{
    struct header field;
    struct headers fields = {&field, 0, 1};
    struct text allow;

    text_init(&allow, 256);
    allowed_methods(a, path, &allow);
    if (allow.len == 0) {
        admin_reply_text(x, 404, "no such page");
    } else if (headers_add(&fields, SLICE("allow"), text_slice(&allow)) == OK) {
        exchange_reply(x, 405, SLICE("text/plain; charset=utf-8"),
                       SLICE("this page does not know that method\n"), &fields);
    }
    text_fini(&allow);
}

/* --- one request --- */

struct request {
    struct admin *admin;
    const struct admin_route *route;
    struct admin_request req;
    char *body;
    size_t len, cap;
};

static void forget_head(struct exchange *x, const struct head *h, bool end)
{
    (void)x;
    (void)h;
    (void)end;
}
static void forget_body(struct exchange *x, slice data, bool end)
{
    (void)end;
    exchange_consumed(x, data.len);
}
static void forget_trailers(struct exchange *x, const struct headers *trailers)
{
    (void)x;
    (void)trailers;
}
static void forget_sent(struct exchange *x, size_t n)
{
    (void)x;
    (void)n;
}
static void forget_reset(struct exchange *x, enum reset_why why)
{
    (void)x;
    (void)why;
}
static void forget_done(struct exchange *x)
{
    (void)x;
}

/* Answered, or about to be: nothing that comes matters any more. */
static const struct exchange_events forget_events = {
    .on_head = forget_head,
    .on_body = forget_body,
    .on_trailers = forget_trailers,
    .on_sent = forget_sent,
    .on_reset = forget_reset,
    .on_done = forget_done,
};

static uint32_t body_max(const struct admin_route *route)
{
    return route->body_max ? route->body_max : BODY_DEFAULT;
}

static void refuse_size(struct exchange *x, const struct request *r)
{
    exchange_own(x, &forget_events, NULL);
    admin_reply_text(x, 413, "the body is over %u bytes", body_max(r->route));
}

static void answer(struct exchange *x, struct request *r)
{
    bool ready_made = r->route >= pages && r->route < pages + PAGES;
    void *arg = ready_made ? r->admin : r->admin->opt.arg;

    r->req.body = slice_of(r->body, r->len);
    exchange_own(x, &forget_events, NULL);
    r->route->fn(arg, x, &r->req);
}

/* Copies what must outlive the head; NULL when the arena's limit is reached. */
static struct request *keep(struct admin *a, struct exchange *x,
                            const struct head *h)
{
    struct request *r = arena_alloc(&x->arena, sizeof *r);
    slice path;

    if (!r || arena_copy(&x->arena, h->path, &path))
        return NULL;
    *r = (struct request){.admin = a};
    r->req.method = (enum http_method)h->method_id;
    if (!slice_cut(path, '?', &r->req.path, &r->req.query))
        r->req.path = path;
    return r;
}

static void send_continue(struct exchange *x)
{
    struct head h;

    head_init_response(&h, 100, NULL, 0);
    exchange_send_head(x, &h, false);
}

static void on_body(struct exchange *x, slice data, bool end)
{
    struct request *r = x->owner;

    exchange_consumed(x, data.len);
    if (data.len > r->cap - r->len) {
        refuse_size(x, r);
        return;
    }
    if (data.len)
        memcpy(r->body + r->len, data.ptr, data.len);
    r->len += data.len;
    if (end)
        answer(x, r);
}

static void on_trailers(struct exchange *x, const struct headers *trailers)
{
    (void)trailers;
    answer(x, x->owner);
}

/* A body is awaited. */
static const struct exchange_events body_events = {
    .on_head = forget_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = forget_sent,
    .on_reset = forget_reset,
    .on_done = forget_done,
};

static void await_body(struct exchange *x, struct request *r,
                       const struct head *h)
{
    uint32_t max = body_max(r->route);

    r->cap = max;
    if (h->content_length >= 0 && h->content_length < max)
        r->cap = (size_t)h->content_length;
    r->body = h->content_length <= max ? arena_alloc(&x->arena, r->cap) : NULL;
    if (!r->body) {
        refuse_size(x, r);
        return;
    }
    exchange_own(x, &body_events, r);
    if (h->expect_continue)
        send_continue(x);
}

static void on_head(struct exchange *x, const struct head *h, bool end)
{
    struct admin *a = x->owner;
    struct request *r = keep(a, x, h);

    exchange_own(x, &forget_events, NULL);
    if (!r) {
        admin_reply_text(x, 431, "the request is too long");
        return;
    }
    r->route = find_route(a, r->req.method, r->req.path);
    if (!r->route)
        refuse_route(a, x, r->req.path);
    else if (end)
        answer(x, r);
    else
        await_body(x, r, h);
}

static const struct exchange_events head_events = {
    .on_head = on_head,
    .on_body = forget_body,
    .on_trailers = forget_trailers,
    .on_sent = forget_sent,
    .on_reset = forget_reset,
    .on_done = forget_done,
};

void admin_serve(void *arg, struct exchange *x, const struct tls_peer *peer)
{
    (void)peer;
    exchange_own(x, &head_events, arg);
}

void admin_init(struct admin *a, const struct admin_options *opt)
{
    a->opt = *opt;
}

enum status admin_check_address(const struct address *at, bool anywhere,
                                struct error *e)
{
    char buf[ADDRESS_TEXT];

    if (anywhere || address_is_loopback(at))
        return OK;
    return error_set(e, ERR_DENIED,
                     "admin address %.*s is not a loopback address: its pages "
                     "reveal and change settings",
                     FMT(address_format(at, buf)));
}
