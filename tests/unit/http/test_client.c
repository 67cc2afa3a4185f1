/* SPDX-License-Identifier: Apache-2.0 */
/* A client whose way to the server breaks after so many bytes, for all numbers of
 * them: it is told once, so is the call, and nothing is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/http/ids.h"
#include "tests/unit/http/talk.h"
#include "tests/unit/net/cut.h"

#define CONTROLLER SLICE("spiffe://test/tulle/controller")

struct world {
    struct turner t;
    struct cut cut;
    struct http_server *server;
    struct answers answers;
    struct http_limits limits;
    struct http_client *client;
    struct http_conn *conn;
    unsigned connected, failed;
};

static struct tls_settings *server_tls, *client_tls, *client_tls1;

static void on_closed(struct http_conn *c, enum status why)
{
    struct world *w = c->owner;
    (void)why;
    w->conn = NULL;
}

static const struct http_conn_events conn_events = {.on_closed = on_closed};

static void on_client(void *arg, enum status rc, struct http_conn *c,
                      const struct tls_peer *peer, const char *reason)
{
    struct world *w = arg;
    (void)peer;
    assert_int_equal(rc == OK, c != NULL);
    assert_int_equal(rc == OK, reason == NULL);
    w->client = NULL;
    w->connected += c != NULL;
    w->failed += c == NULL;
    w->conn = c;
    if (!c)
        return;
    c->events = &conn_events;
    c->owner = w;
}

static void world_init(struct world *w, struct tls_settings *stls,
                       struct tls_settings *ctls, enum cut_how how,
                       size_t bytes)
{
    struct http_server_options opt = {.tls = stls,
                                      .limits = http_limits_default};
    struct error e;
    *w = (struct world){.limits = http_limits_default};
    turner_init(&w->t);
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), &opt.at), OK);
    assert_int_equal(http_server_start(&w->server, &w->t.loop, &opt,
                                       answers_take, &w->answers, &e),
                     OK);
    cut_open(&w->cut, &w->t.loop, http_server_address(w->server), how, bytes);
    int64_t timeout = how == CUT_STALL ? 200 * NSEC_PER_MSEC : 5 * NSEC_PER_SEC;
    assert_int_equal(http_client_start(&w->client, &w->t.loop,
                                       cut_address(&w->cut), ctls,
                                       ctls ? CONTROLLER : SLICE_NONE, timeout,
                                       &w->limits, on_client, w),
                     OK);
}

static void world_fini(struct world *w)
{
    if (w->conn)
        http_conn_close(w->conn, ERR_CANCELED);
    cut_close(&w->cut);
    TURN_UNTIL(&w->t, http_server_connections(w->server) == 0);
    http_server_close(w->server);
    turner_fini(&w->t);
    assert_int_equal(w->answers.begun, w->answers.done + w->answers.resets);
}

/* False when everything went through. */
static bool cut_at(struct tls_settings *stls, struct tls_settings *ctls,
                   enum cut_how how, size_t bytes)
{
    struct world w;
    struct call c = {.to_send = 3000, .at_once = 1};
    bool started = false;
    world_init(&w, stls, ctls, how, bytes);
    TURN_UNTIL(&w.t, w.connected || w.failed);
    if (w.conn)
        started = call_start(&c, w.conn, SLICE("/echo"));
    if (started && how == CUT_STALL) /* a hanging answer is no failure */
        TURN_UNTIL(&w.t, c.done || c.reset || w.cut.done);
    else if (started)
        TURN_UNTIL(&w.t, c.done || c.reset);
    assert_int_equal(w.connected + w.failed, 1);
    bool whole = c.done;
    assert_true(whole || w.cut.done || how == CUT_STALL); /* slow machine */
    assert_false(c.bad);
    world_fini(&w);
    assert_int_equal(c.done + c.reset, started);
    return !whole;
}

static void sweep(struct tls_settings *stls, struct tls_settings *ctls)
{
    for (int how = 0; how < CUT_HOWS; how++) {
        size_t n = 0;
        while (cut_at(stls, ctls, (enum cut_how)how, n))
            n += how == CUT_STALL ? 2499 : 211;
        assert_true(n > 6000);
    }
}

static void plain(void **state)
{
    (void)state;
    sweep(NULL, NULL);
}

static void over_tls(void **state)
{
    (void)state;
    sweep(server_tls, client_tls);
}

static void over_tls_http1(void **state)
{
    (void)state;
    sweep(server_tls, client_tls1);
}

static int set_up(void **state)
{
    const slice web = SLICE("spiffe://test/ns/shop/sa/web");
    struct ca *ca = ids_ca(SLICE("test"));
    (void)state;
    server_tls = ids_settings(ca, CONTROLLER, TLS_SERVER, TLS_ALPN_H2);
    client_tls = ids_settings(ca, web, TLS_CLIENT, TLS_ALPN_H2);
    client_tls1 = ids_settings(ca, web, TLS_CLIENT, TLS_ALPN_HTTP1);
    ca_free(ca);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_settings_unref(server_tls);
    tls_settings_unref(client_tls);
    tls_settings_unref(client_tls1);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),
        cmocka_unit_test(over_tls),
        cmocka_unit_test(over_tls_http1),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
