/* SPDX-License-Identifier: Apache-2.0 */
#include "injector/admin.h"

#include "lib/admin/admin.h"
#include "lib/base/mem.h"

enum { PAGE_CONNECTIONS = 64 };

struct injector_pages {
    struct loop *loop;
    struct admin admin, health_admin;
    struct http_server *http, *health;
    struct reap reap;
};

static enum status serve(struct injector_pages *p, struct http_server **out,
                         const struct address *at, struct admin *admin,
                         struct error *e)
{
    struct http_server_options http = {
        .at = *at,
        .limits = http_limits_default,
        .max_connections = PAGE_CONNECTIONS,
    };

    return http_server_start(out, p->loop, &http, admin_serve, admin, e);
}

static void init(struct injector_pages *p,
                 const struct injector_pages_options *o)
{
    struct admin_options opt = {
        .program = "tulle-injector",
        .ready = o->ready,
        .metrics = o->metrics,
        .arg = o->arg,
    };

    admin_init(&p->admin, &opt);
    opt.metrics = NULL;
    opt.health_only = true;
    admin_init(&p->health_admin, &opt);
}

enum status injector_pages_start(struct injector_pages **out, struct loop *l,
                                 const struct injector_pages_options *o,
                                 struct error *e)
{
    struct injector_pages *p = MEM_NEW(struct injector_pages);
    enum status rc;

    p->loop = l;
    init(p, o);
    rc = serve(p, &p->http, &o->at, &p->admin, e);
    if (!rc && o->health)
        rc = serve(p, &p->health, o->health, &p->health_admin, e);
    if (rc) {
        injector_pages_close(p);
        return rc;
    }
    *out = p;
    return OK;
}

const struct address *injector_pages_address(const struct injector_pages *p)
{
    return http_server_address(p->http);
}

const struct address *injector_pages_health(const struct injector_pages *p)
{
    return p->health ? http_server_address(p->health) : NULL;
}

static void pages_free(struct reap *r)
{
    mem_free(CONTAINER_OF(r, struct injector_pages, reap));
}

void injector_pages_close(struct injector_pages *p)
{
    if (!p)
        return;
    if (p->http)
        http_server_close(p->http);
    if (p->health)
        http_server_close(p->health);
    loop_reap(p->loop, &p->reap, pages_free);
}
