/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/admin/pages.h"

#include "lib/admin/admin.h"
#include "lib/base/mem.h"
<<<<<<< HEAD

enum {
    CONFIG_MAX = 32 << 20,
    CONNECTIONS_MAX = 64,
};
=======
#include "lib/http/server.h"

enum { CONFIG_MAX = 16 << 20, CONNECTIONS = 64 };
>>>>>>> main

struct pages {
    struct pages_options opt;
    struct admin admin;
    struct http_server *server;
<<<<<<< HEAD
};

static bool ready(void *arg, struct text *why)
{
    struct pages *p = arg;

    return p->opt.ready(p->opt.arg, why);
}

static enum status metrics(void *arg, struct text *out)
{
    struct pages *p = arg;
    struct telemetry_process process = {0};

=======
    struct loop *loop;
    struct reap reap;
};

static enum status page_metrics(void *arg, struct text *out)
{
    struct pages *p = arg;
    struct telemetry_process process = {0};
>>>>>>> main
    p->opt.process(p->opt.arg, &process);
    telemetry_render(p->opt.telemetry, p->opt.telemetry_len, &process, out);
    return out->failed ? ERR_TOO_BIG : OK;
}

<<<<<<< HEAD
/* "key=shop/" among the parameters, as it stands: keys need no escapes. */
static slice wanted_key(slice query)
{
    slice part, name, value;

    while (slice_next(&query, '&', &part))
        if (slice_cut(part, '=', &name, &value) && slice_eq(name, SLICE("key")))
            return value;
    return SLICE_NONE;
}

static void serve_config(void *arg, struct exchange *x,
                         const struct admin_request *req)
{
    struct pages *p = arg;
    struct text t;

    text_init(&t, CONFIG_MAX);
    pages_config(&p->opt, wanted_key(req->query), &t);
    if (t.failed)
        admin_reply_text(
            x, 500,
            "longer than %d bytes: ask for a part, /config?key=", CONFIG_MAX);
=======
static bool page_ready(void *arg, struct text *why)
{
    struct pages *p = arg;
    return p->opt.ready(p->opt.arg, why);
}

/* ---- /config ---- */

static void add_text(struct text *t, const char *name, slice value)
{
    text_printf(t, "\"%s\":\"", name);
    text_add_json(t, value);
    text_add_char(t, '"');
}

static void add_identity(struct pages *p, struct text *t)
{
    struct pages_identity id = {0};
    p->opt.identity(p->opt.arg, &id);
    text_add(t, SLICE("\"identity\":{"));
    add_text(t, "name", id.name);
    text_printf(t,
                ",\"notBefore\":%lld,\"notAfter\":%lld,\"renewAt\":%lld},",
                (long long)id.not_before, (long long)id.not_after,
                (long long)id.renew_at);
    add_text(t, "session", id.session);
}

struct views_page {
    struct text *out;
    enum view_kind kind;
    bool more;
};

static void add_view(void *arg, enum view_kind kind, slice key, struct view *v)
{
    struct views_page *page = arg;
    if (kind != page->kind)
        return;
    text_add(page->out, page->more ? SLICE(",{") : SLICE("{"));
    page->more = true;
    add_text(page->out, "key", key);
    if (v) {
        text_add_char(page->out, ',');
        add_text(page->out, "hash", slice_str(v->hash));
        text_add(page->out, SLICE(",\"view\":"));
        view_encode(v, page->out);
    }
    text_add_char(page->out, '}');
}

static void add_views(struct pages *p, struct text *t, const char *name,
                      enum view_kind kind)
{
    struct views_page page = {.out = t, .kind = kind};
    text_printf(t, ",\"%s\":[", name);
    discovery_each(p->opt.discovery, add_view, &page);
    text_add_char(t, ']');
}

static void page_config(void *arg, struct exchange *x,
                        const struct admin_request *req)
{
    struct pages *p = arg;
    struct text t;
    (void)req;
    text_init(&t, CONFIG_MAX);
    text_add(&t, SLICE("{\"version\":\"" TULLE_VERSION "\","));
    add_identity(p, &t);
    add_views(p, &t, "workload", VIEW_WORKLOAD);
    add_views(p, &t, "destinations", VIEW_DESTINATION);
    add_views(p, &t, "backends", VIEW_BACKEND);
    text_add(&t, SLICE(",\"settings\":{"));
    settings_json(config_rows, config_rows_len, p->opt.settings, &t);
    text_add(&t, SLICE("}}\n"));
    if (t.failed)
        admin_reply_text(x, 500, "the configuration is larger than %d bytes",
                         CONFIG_MAX);
>>>>>>> main
    else
        exchange_reply(x, 200, SLICE("application/json"), text_slice(&t), NULL);
    text_fini(&t);
}

static const struct admin_route routes[] = {
<<<<<<< HEAD
    {HTTP_GET, "/config", serve_config, 0},
};

enum status pages_start(struct pages **out, struct loop *l,
                        const struct pages_options *opt, struct error *e)
{
    struct http_server_options so = {.at = opt->at,
                                     .limits = http_limits_default,
                                     .max_connections = CONNECTIONS_MAX};
    enum status rc = admin_check_address(&opt->at, false, e);
    struct pages *p;

    if (rc)
        return rc;
    p = MEM_NEW(struct pages);
    p->opt = *opt;
    admin_init(&p->admin, &(struct admin_options){.program = "tulle-proxy",
                                                  .ready = ready,
                                                  .metrics = metrics,
                                                  .routes = routes,
                                                  .routes_len = 1,
                                                  .arg = p});
=======
    {.method = HTTP_GET, .path = "/config", .fn = page_config},
};

/* ---- life ---- */

enum status pages_start(struct pages **out, struct loop *l,
                        const struct pages_options *opt, struct error *e)
{
    enum status rc = admin_check_address(&opt->at, false, e);
    if (rc)
        return rc;
    struct pages *p = MEM_NEW(struct pages);
    p->opt = *opt;
    p->loop = l;
    struct admin_options ao = {
        .program = "tulle-proxy",
        .ready = page_ready,
        .metrics = page_metrics,
        .routes = routes,
        .routes_len = sizeof routes / sizeof *routes,
        .arg = p,
    };
    admin_init(&p->admin, &ao);
    struct http_server_options so = {.at = opt->at,
                                     .limits = http_limits_default,
                                     .max_connections = CONNECTIONS};
>>>>>>> main
    rc = http_server_start(&p->server, l, &so, admin_serve, &p->admin, e);
    if (rc) {
        mem_free(p);
        return rc;
    }
    *out = p;
    return OK;
}

const struct address *pages_address(const struct pages *p)
{
    return http_server_address(p->server);
}

<<<<<<< HEAD
=======
static void free_pages(struct reap *r)
{
    mem_free(CONTAINER_OF(r, struct pages, reap));
}

>>>>>>> main
void pages_close(struct pages *p)
{
    if (!p)
        return;
    http_server_close(p->server);
<<<<<<< HEAD
    mem_free(p);
=======
    loop_reap(p->loop, &p->reap, free_pages);
>>>>>>> main
}
