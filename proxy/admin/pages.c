/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/admin/pages.h"

#include "lib/admin/admin.h"
#include "lib/base/mem.h"

enum {
    CONFIG_MAX = 32 << 20,
    CONNECTIONS_MAX = 64,
};

struct pages {
    struct pages_options opt;
    struct admin admin;
    struct http_server *server;
    struct loop *loop;
    struct reap reap;
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

    p->opt.process(p->opt.arg, &process);
    telemetry_render(p->opt.telemetry, p->opt.telemetry_len, &process, out);
    return out->failed ? ERR_TOO_BIG : OK;
}

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
    else
        exchange_reply(x, 200, SLICE("application/json"), text_slice(&t), NULL);
    text_fini(&t);
}

static const struct admin_route routes[] = {
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
    p->loop = l;
    admin_init(&p->admin, &(struct admin_options){.program = "tulle-proxy",
                                                  .ready = ready,
                                                  .metrics = metrics,
                                                  .routes = routes,
                                                  .routes_len = 1,
                                                  .arg = p});
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

static void free_pages(struct reap *r)
{
    mem_free(CONTAINER_OF(r, struct pages, reap));
}

/* A page may be the one that closes us: memory stays until the pass is over. */
void pages_close(struct pages *p)
{
    if (!p)
        return;
    http_server_close(p->server);
    loop_reap(p->loop, &p->reap, free_pages);
}
