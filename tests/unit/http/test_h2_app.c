/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 with applications, not between proxies. */
#include "tests/unit/http/h2_rig.h"

enum { CANCELED = 8 };

static void serve(struct rig *r)
{
    r->j.server = h2_server_new(&r->j.loop, r->j.server_end, &r->j.limits,
                                SLICE_NONE, &joined_server_events, &r->j);
    raw_init(&r->peer, r->j.client_end);
    text_init(&r->say, 1 << 24);
    frame_preface(&r->say);
    joined_turns(&r->j, 3); /* it has the time */
}

/* ---- drain ---- */

/* What comes is 300 ms of the real clock away, and polled for. */
static void breathe(void)
{
    usleep(1000); /* allow sleep: the pace of polling */
}

/* Who connects to one that drains may ask once before it is told to go. */
static void test_drain_waits_for_a_first_request(void **state)
{
    struct rig r;
    (void)state;
    joined_streams(&r.j, 1 << 20, 0);
    serve(&r);
    http_conn_drain(r.j.server);
    joined_turns(&r.j, 3);
    assert_int_equal(frames_seen(&r.peer.got).count[F_GOAWAY], 0);
    frame_request(&r.say, 1, "GET", "/", true);
    rig_say(&r);
    struct seen s = frames_seen(&r.peer.got);
    assert_int_equal(s.count[F_GOAWAY], 1);
    assert_int_equal(s.goaway_last, 0x7fffffff);
    assert_int_equal(r.j.answers.done, 1);
    JOINED_UNTIL(&r.j, (breathe(), r.j.server == NULL));
    assert_int_equal(frames_seen(&r.peer.got).goaway_last, 1);
    rig_fini(&r);
}

/* And who never asks does not keep it. */
static void test_drain_without_a_request(void **state)
{
    struct rig r;
    (void)state;
    joined_streams(&r.j, 1 << 20, 0);
    serve(&r);
    http_conn_drain(r.j.server);
    JOINED_UNTIL(&r.j, (breathe(), r.j.server == NULL));
    assert_int_equal(frames_seen(&r.peer.got).count[F_GOAWAY], 2);
    rig_fini(&r);
}

/* ---- a request that rests ---- */

struct listener {
    bool patient;
    unsigned resets;
};

static void hear_head(struct exchange *x, const struct head *head, bool end)
{
    const struct listener *l = x->owner;
    (void)head, (void)end;
    if (l->patient)
        exchange_be_patient(x);
}

static void hear_reset(struct exchange *x, enum reset_why why)
{
    struct listener *l = x->owner;
    (void)why;
    l->resets++;
}

static const struct exchange_events listener_events = {
    .on_head = hear_head,
    .on_reset = hear_reset,
};

static void listen_only(void *arg, struct exchange *x,
                        const struct tls_peer *peer)
{
    (void)peer;
    exchange_own(x, &listener_events, arg);
}

static void test_patience(void **state)
{
    (void)state;
    for (unsigned patient = 0; patient < 2; patient++) {
        struct rig r;
        struct listener l = {.patient = patient};
        joined_streams(&r.j, 1 << 20, 0);
        r.j.limits.body_timeout = 20 * NSEC_PER_MSEC;
        r.j.handler = listen_only;
        r.j.handler_arg = &l;
        serve(&r);
        frame_request(&r.say, 1, "POST", "/", false);
        rig_say(&r);
        rig_wait(&r);
        assert_int_equal(l.resets, !patient);
        assert_int_equal(frames_seen(&r.peer.got).count[F_RST], !patient);
        rig_fini(&r);
        assert_int_equal(l.resets, 1);
    }
}

/* ---- resets ---- */

/* Calls that are given up at once are no rapid resets, if they have lived. */
static void test_resets_of_old_streams(void **state)
{
    enum { STREAMS = 50 };
    (void)state;
    for (unsigned old = 0; old < 2; old++) {
        struct rig r;
        struct listener l = {.patient = true};
        joined_streams(&r.j, 1 << 20, 0);
        r.j.limits.max_resets = STREAMS / 2;
        r.j.handler = listen_only;
        r.j.handler_arg = &l;
        serve(&r);
        for (uint32_t i = 0; i < STREAMS; i++)
            frame_request(&r.say, 2 * i + 1, "POST", "/", false);
        if (old) {
            rig_say(&r);
            rig_wait(&r);
        }
        for (uint32_t i = 0; i < STREAMS; i++)
            frame_number(&r.say, F_RST, 2 * i + 1, CANCELED);
        rig_say(&r);
        assert_int_equal(frames_seen(&r.peer.got).count[F_GOAWAY], !old);
        assert_int_equal(r.j.server != NULL, old);
        assert_int_equal(l.resets, STREAMS);
        rig_fini(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drain_waits_for_a_first_request),
        cmocka_unit_test(test_drain_without_a_request),
        cmocka_unit_test(test_patience),
        cmocka_unit_test(test_resets_of_old_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
