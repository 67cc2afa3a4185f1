/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: one link and its far end on one loop, and calls over it. */
#ifndef TULLE_TESTS_LINK_NEAR_H
#define TULLE_TESTS_LINK_NEAR_H

#include "lib/base/log.h"
#include "lib/http/exchange_stream.h"
#include "tests/unit/link/far.h"
#include "tests/unit/net/cut.h"

#define NEAR_WEB SLICE("spiffe://test/ns/shop/sa/web")
#define NEAR_DB SLICE("spiffe://test/ns/shop/sa/db")

enum { NEAR_CALLS = 3, NEAR_BODY = 40000 };

/* Settings with certificates of one authority; the test makes them. */
static struct tls_settings *near_client_tls, *near_server_tls;

struct near {
    struct turner t;
    struct far far;
    struct http_limits limits;
    struct link_options opt;
    struct link *link; /* NULL once down */
    unsigned up, room, retired, down;
    enum status why;
    const char *reason;
    struct call calls[NEAR_CALLS];
    bool started[NEAR_CALLS];
};

static void near_on_up(struct link *l)
{
    struct near *n = link_owner(l);
    n->up++;
}
static void near_on_room(struct link *l)
{
    struct near *n = link_owner(l);
    n->room++;
}
static void near_on_retired(struct link *l)
{
    struct near *n = link_owner(l);
    n->retired++;
}
static void near_on_down(struct link *l, enum status why, const char *reason)
{
    struct near *n = link_owner(l);
    assert_ptr_equal(n->link, l);
    n->link = NULL;
    n->down++;
    n->why = why;
    n->reason = reason;
}
static const struct link_events near_events = {
    .on_up = near_on_up,
    .on_room = near_on_room,
    .on_retired = near_on_retired,
    .on_down = near_on_down,
};

UNUSED static void near_init(struct near *n)
{
    *n = (struct near){.limits = http_limits_default};
    turner_init(&n->t);
    far_open(&n->far, &n->t.loop, near_server_tls);
    n->opt = far_options(&n->limits);
    n->opt.tls = near_client_tls;
}

UNUSED static void near_start(struct near *n, const struct address *to,
                              slice identity)
{
    n->link = link_start(&n->t.loop, to, identity, &n->opt, &near_events, n);
    assert_int_equal(n->up + n->down, 0);
}

UNUSED static void near_up(struct near *n)
{
    near_start(n, listener_address(n->far.listener), NEAR_DB);
    TURN_UNTIL(&n->t, n->up);
    assert_true(link_is_up(n->link));
}

/* A get, an echo, and a tunnel that echoes and stays open until it is reset. */
UNUSED static void near_call(struct near *n, int i)
{
    struct call *c = &n->calls[i];
    struct header fields[2];
    struct head h;
    struct exchange *x;
    if (n->started[i] || !n->link || !(x = link_open(n->link)))
        return;
    n->started[i] = true;
    *c = (struct call){.x = x, .at_once = 1, .to_send = i ? NEAR_BODY : 0};
    exchange_own(x, &call_events, c);
    head_init_request(&h, i ? SLICE("POST") : SLICE("GET"), SLICE("test"),
                      i ? SLICE("/echo") : SLICE("/"), fields, 2);
    if (i == 2)
        head_init_request(&h, SLICE("CONNECT"), SLICE("test:1"), SLICE_NONE,
                          fields, 2);
    exchange_send_head(x, &h, i == 0);
    if (i)
        call_push(c);
}

UNUSED static void near_call_all(struct near *n)
{
    for (int i = 0; i < NEAR_CALLS; i++)
        near_call(n, i);
}

UNUSED static bool near_calls_over(const struct near *n)
{
    for (int i = 0; i < NEAR_CALLS; i++)
        if (!n->started[i] || n->calls[i].x)
            return false;
    return true;
}

/* Every call that was begun was told, once. */
UNUSED static void near_check_calls(const struct near *n)
{
    for (int i = 0; i < NEAR_CALLS; i++) {
        const struct call *c = &n->calls[i];
        assert_int_equal(c->done + c->reset, n->started[i]);
        assert_false(c->bad);
        if (c->done)
            assert_int_equal(c->received, i ? NEAR_BODY : 5);
    }
}

UNUSED static void near_fini(struct near *n)
{
    if (n->link)
        link_close(n->link);
    n->link = NULL;
    far_close(&n->far);
    turner_fini(&n->t);
}

UNUSED static int near_set_up(void **state)
{
    struct ca *ca = ids_ca(SLICE("test"));
    struct error e;
    (void)state;
    assert_int_equal(log_set_levels(SLICE("error"), &e), OK); /* thousands */
    near_client_tls = ids_settings(ca, NEAR_WEB, TLS_CLIENT, TLS_ALPN_LINK);
    near_server_tls = ids_settings(ca, NEAR_DB, TLS_SERVER, TLS_ALPN_LINK);
    ca_free(ca);
    return 0;
}

UNUSED static int near_tear_down(void **state)
{
    (void)state;
    tls_settings_unref(near_client_tls);
    tls_settings_unref(near_server_tls);
    return 0;
}

#endif
