/* SPDX-License-Identifier: Apache-2.0 */
/* Links over loopback: their life from dialling to down, and what ends it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/link/near.h"

/* ---- life ---- */

static void carries_exchanges_and_tunnels(void **state)
{
    struct near n;
    (void)state;
    near_init(&n);
    near_up(&n);
    TURN_UNTIL(&n.t, n.far.served);
    assert_string_equal(n.far.peer, "spiffe://test/ns/shop/sa/web");
    near_call_all(&n);
    assert_int_equal(link_streams(n.link), NEAR_CALLS);
    TURN_UNTIL(&n.t, near_calls_over(&n));
    near_check_calls(&n);
    for (int i = 0; i < NEAR_CALLS; i++)
        assert_int_equal(n.calls[i].status, 200);
    assert_int_equal(n.far.served, 1);
    assert_true(n.room > 0);
    assert_int_equal(n.retired + n.down, 0);
    near_fini(&n);
    assert_int_equal(n.down, 0); /* closed by its owner: no event */
}

static void idle_ones_end(void **state)
{
    struct near n;
    (void)state;
    near_init(&n);
    n.opt.idle_timeout = 30 * NSEC_PER_MSEC;
    near_up(&n);
    near_call(&n, 0);
    TURN_UNTIL(&n.t, n.down);
    assert_true(n.calls[0].done);
    assert_int_equal(n.retired, 1);
    assert_int_equal(n.why, OK);
    near_fini(&n);
}

static void retired_ones_end_with_their_last_stream(void **state)
{
    struct near n;
    (void)state;
    near_init(&n);
    near_up(&n);
    near_call(&n, 2);
    link_retire(n.link);
    assert_int_equal(n.retired, 1);
    assert_null(link_open(n.link));
    TURN_UNTIL(&n.t, n.down);
    assert_true(n.calls[2].done);
    assert_int_equal(n.why, OK);
    assert_int_equal(n.retired, 1);
    near_fini(&n);
}

static void a_far_end_that_drains_retires_it(void **state)
{
    struct near n;
    (void)state;
    near_init(&n);
    near_up(&n);
    TURN_UNTIL(&n.t, far_link(&n.far));
    near_call(&n, 1);
    link_server_drain(far_link(&n.far));
    TURN_UNTIL(&n.t, n.retired);
    TURN_UNTIL(&n.t, n.down && n.far.closed);
    assert_true(n.calls[1].done);
    assert_int_equal(n.retired, 1);
    near_fini(&n);
}

/* ---- never up ---- */

static void another_identity(void **state)
{
    struct near n;
    (void)state;
    near_init(&n);
    near_start(&n, listener_address(n.far.listener), NEAR_WEB);
    TURN_UNTIL(&n.t, n.down);
    assert_int_equal(n.why, ERR_TLS);
    assert_string_equal(n.reason, "wrong identity");
    assert_int_equal(n.up + n.retired, 0);
    near_fini(&n);
}

static void nobody_there(void **state)
{
    struct near n;
    (void)state;
    near_init(&n);
    struct address gone = *listener_address(n.far.listener);
    struct far other;
    far_open(&other, &n.t.loop, near_server_tls);
    gone = *listener_address(other.listener);
    far_close(&other);
    near_start(&n, &gone, NEAR_DB);
    TURN_UNTIL(&n.t, n.down);
    assert_int_equal(n.why, ERR_REFUSED);
    assert_int_equal(n.up, 0);
    near_fini(&n);
}

static void a_silent_far_end(void **state)
{
    struct near n;
    struct cut cut;
    (void)state;
    near_init(&n);
    cut_open(&cut, &n.t.loop, listener_address(n.far.listener), CUT_STALL, 200);
    n.opt.dial_timeout = 50 * NSEC_PER_MSEC;
    near_start(&n, cut_address(&cut), NEAR_DB);
    TURN_UNTIL(&n.t, n.down);
    assert_int_equal(n.why, ERR_TIMEOUT);
    assert_string_equal(n.reason, "handshake timed out");
    cut_close(&cut);
    near_fini(&n);
}

/* ---- the pulse ---- */

/* Both ends notice that nothing comes, and tell who waits. */
static void a_dead_peer_is_noticed(void **state)
{
    struct near n;
    struct cut cut;
    (void)state;
    near_init(&n);
    n.opt.ping_after = n.far.opt.ping_after = 30 * NSEC_PER_MSEC;
    n.opt.dead_after = n.far.opt.dead_after = 90 * NSEC_PER_MSEC;
    cut_open(&cut, &n.t.loop, listener_address(n.far.listener), CUT_STALL,
             1 << 20);
    near_start(&n, cut_address(&cut), NEAR_DB);
    TURN_UNTIL(&n.t, n.up && n.far.served);
    near_call(&n, 2);
    cut_now(&cut);
    TURN_UNTIL(&n.t, n.down && n.far.closed);
    assert_int_equal(n.why, ERR_TIMEOUT);
    assert_int_equal(n.far.why, ERR_TIMEOUT);
    assert_true(n.calls[2].reset);
    cut_close(&cut);
    near_fini(&n);
}

/* Silence alone is no reason: pings are answered. */
static void a_silent_but_living_peer_stays(void **state)
{
    struct near n;
    (void)state;
    near_init(&n);
    n.opt.ping_after = n.far.opt.ping_after = 10 * NSEC_PER_MSEC;
    n.opt.dead_after = n.far.opt.dead_after = 2 * NSEC_PER_SEC;
    near_up(&n);
    int64_t end = loop_now(&n.t.loop) + 200 * NSEC_PER_MSEC;
    TURN_UNTIL(&n.t, loop_now(&n.t.loop) >= end);
    assert_int_equal(n.down + n.retired, 0);
    near_call(&n, 1);
    TURN_UNTIL(&n.t, !n.calls[1].x);
    assert_true(n.calls[1].done);
    near_fini(&n);
}

/* A link is retired before a certificate of its ends expires, and is gone when
 * it has: here the far end's. */
static void it_ends_with_a_certificate(void **state)
{
    struct near n;
    (void)state;
    struct ca *ca = ids_ca(SLICE("test"));
    struct tls_settings *client = ids_settings(ca, NEAR_WEB, TLS_CLIENT,
                                               TLS_ALPN_LINK);
    struct tls_identity *brief = ids_identity(ca, NEAR_DB, 2);
    struct tls_options opt = {
        .role = TLS_SERVER, .alpn = {TLS_ALPN_LINK}, .ask_peer = true};
    struct tls_settings *server;
    struct error e;
    assert_int_equal(tls_settings_new(&server, &opt, brief, SLICE_NONE, &e),
                     OK);
    int64_t not_after = tls_identity_not_after(brief) * NSEC_PER_SEC;
    near_init(&n);
    n.far.tls = server;
    n.opt.tls = client;
    near_up(&n);
    struct call hang = {0};
    struct exchange *x = link_open(n.link);
    struct header fields[2];
    struct head h;
    hang.x = x;
    exchange_own(x, &call_events, &hang);
    head_init_request(&h, SLICE("GET"), SLICE("test"), SLICE("/hang"), fields,
                      2);
    exchange_send_head(x, &h, true);
    TURN_UNTIL(&n.t, n.retired);
    assert_true(clock_real_ns() < not_after);
    assert_int_equal(n.down, 0); /* somebody still waits */
    TURN_UNTIL(&n.t, n.down);
    assert_true(clock_real_ns() > not_after - 100 * NSEC_PER_MSEC);
    assert_true(hang.reset);
    near_fini(&n);
    tls_identity_unref(brief);
    tls_settings_unref(server);
    tls_settings_unref(client);
    ca_free(ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(carries_exchanges_and_tunnels),
        cmocka_unit_test(idle_ones_end),
        cmocka_unit_test(retired_ones_end_with_their_last_stream),
        cmocka_unit_test(a_far_end_that_drains_retires_it),
        cmocka_unit_test(another_identity),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(a_silent_far_end),
        cmocka_unit_test(a_dead_peer_is_noticed),
        cmocka_unit_test(a_silent_but_living_peer_stays),
        cmocka_unit_test(it_ends_with_a_certificate),
    };
    return cmocka_run_group_tests(tests, near_set_up, near_tear_down);
}
