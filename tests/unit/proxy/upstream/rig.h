/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: a worker's upstream with three endpoints that answer: over a link,
 * a plain one, and this very pod. Connections may pass a middleman (cut.h). */
#ifndef TULLE_TESTS_UPSTREAM_RIG_H
#define TULLE_TESTS_UPSTREAM_RIG_H

#include "proxy/upstream/endpoint.h"
#include "tests/unit/link/near.h"

enum kind { BY_LINK, BY_POOL, BY_SELF, KINDS };

#define RIG_SELF "10.0.0.1:80"

struct rig {
    struct turner t;
    struct far far;
    struct http_server *app;
    struct answers app_answers, self_answers;
    struct upstream up;
    struct http_limits limits;
    struct cut cut;
    bool through_cut;
    unsigned handshakes, refused;
    unsigned selves; /* in-process connections that are open */
};

static bool rig_is_self(void *owner, const struct address *to)
{
    struct address self;
    (void)owner;
    return address_parse(SLICE(RIG_SELF), &self) == OK && address_eq(&self, to);
}

static void rig_on_exchange(struct http_conn *c, struct exchange *x)
{
    struct rig *r = c->owner;
    answers_take(&r->self_answers, x, NULL);
}

static void rig_on_closed(struct http_conn *c, enum status why)
{
    struct rig *r = c->owner;
    (void)why;
    r->selves--;
}

static const struct http_conn_events rig_self_events = {
    .on_exchange = rig_on_exchange, .on_closed = rig_on_closed};

static void rig_deliver_self(void *owner, const struct address *to,
                             struct stream *s)
{
    struct rig *r = owner;
    (void)to;
    r->selves++;
    (void)h1_server_new(&r->t.loop, s, &r->limits, SLICE_NONE, &rig_self_events,
                        r);
}

static void rig_on_handshake(void *owner, bool ok)
{
    struct rig *r = owner;
    r->handshakes += ok;
    r->refused += !ok;
}

static void rig_app(struct rig *r)
{
    struct http_server_options opt = {.limits = http_limits_default};
    struct error e;
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), &opt.at), OK);
    assert_int_equal(http_server_start(&r->app, &r->t.loop, &opt, answers_take,
                                       &r->app_answers, &e),
                     OK);
}

UNUSED static void rig_init(struct rig *r)
{
    *r = (struct rig){.limits = http_limits_default};
    turner_init(&r->t);
    far_open(&r->far, &r->t.loop, near_server_tls);
    rig_app(r);
    upstream_init(&r->up, &r->t.loop);
    r->up.link = far_options(&r->limits);
    upstream_set_tls(&r->up, near_client_tls);
    r->up.app_limits = r->up.plain_limits = r->limits;
    r->up.connect_timeout = r->up.pending_timeout = 20 * NSEC_PER_SEC;
    r->up.max_pending = 100;
    r->up.max_links = 2;
    r->up.max_pool = 2;
    r->up.is_self = rig_is_self;
    r->up.deliver_self = rig_deliver_self;
    r->up.on_handshake = rig_on_handshake;
    r->up.owner = r;
}

static const struct address *rig_behind(const struct rig *r, enum kind k)
{
    return k == BY_LINK ? listener_address(r->far.listener)
                        : http_server_address(r->app);
}

/* Before rig_endpoint: what is dialled is cut after so many bytes. */
UNUSED static void rig_cut(struct rig *r, enum kind k, enum cut_how how,
                           size_t bytes)
{
    cut_open(&r->cut, &r->t.loop, rig_behind(r, k), how, bytes);
    r->through_cut = true;
}

/* Gives a reference. */
UNUSED static struct endpoint *rig_endpoint(struct rig *r, enum kind k)
{
    char text[ADDRESS_TEXT];
    const struct address *at = r->through_cut ? cut_address(&r->cut)
                                              : rig_behind(r, k);
    struct endpoint *ep = endpoint_get(
        &r->up, k == BY_SELF ? SLICE(RIG_SELF) : address_format(at, text),
        k == BY_LINK ? NEAR_DB : SLICE_NONE, 1);
    assert_non_null(ep);
    assert_int_equal(ep->self, k == BY_SELF);
    return ep;
}

UNUSED static void rig_fini(struct rig *r)
{
    upstream_close(&r->up);
    for (int i = 0; i < 3; i++)
        uv_run(&r->t.loop.uv, UV_RUN_NOWAIT);
    /* Nobody holds a reference any more. */
    assert_int_equal(r->up.endpoints.len, 0);
    assert_int_equal(r->up.links_up, 0);
    assert_int_equal(r->up.pool_open, 0);
    if (r->through_cut)
        cut_close(&r->cut);
    far_close(&r->far);
    http_server_close(r->app);
    TURN_UNTIL(&r->t, r->selves == 0);
    upstream_fini(&r->up);
    turner_fini(&r->t);
    assert_int_equal(r->app_answers.begun,
                     r->app_answers.done + r->app_answers.resets);
    assert_int_equal(r->self_answers.begun,
                     r->self_answers.done + r->self_answers.resets);
}

#endif
