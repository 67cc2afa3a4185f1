/* SPDX-License-Identifier: Apache-2.0 */
/* Rows and their bounds; a reader beside a writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>

#include "tests/unit/proxy/telemetry/rig.h"

#define LABELS(service, tls) \
    "direction=\"outbound\",service=\"" service "\",peer=\"\",tls=\"" tls "\""
#define REQUESTS(service, status, fault)                                \
    "proxy_requests_total{" LABELS(service, "true") ",status=\"" status \
                                                    "\",fault=\"" fault "\"}"
#define CONCURRENT(service) \
    "proxy_concurrent_requests{" LABELS(service, "true") "}"

static struct traffic *outbound(struct rig *r, const char *service)
{
    return traffic_get(r->t[0], false, slice_str(service), SLICE_NONE, true);
}

static void test_same_row(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, 1);
    struct traffic *a = outbound(&r, "a"), *again = outbound(&r, "a");
    struct traffic *inbound = traffic_get(r.t[0], true, SLICE("a"), SLICE_NONE,
                                          true);
    struct traffic *plain = traffic_get(r.t[0], false, SLICE("a"), SLICE_NONE,
                                        false);
    struct traffic *peer = traffic_get(r.t[0], false, SLICE("a"), SLICE(PEER),
                                       true);

    assert_ptr_equal(a, again);
    assert_ptr_not_equal(a, inbound);
    assert_ptr_not_equal(a, plain);
    assert_ptr_not_equal(a, peer);
    assert_ptr_equal(traffic_ref(a), a);
    for (int i = 0; i < 3; i++)
        traffic_unref(a);
    traffic_unref(inbound);
    traffic_unref(plain);
    traffic_unref(peer);
    traffic_unref(NULL);
    assert_int_equal(rig_value(&r, "proxy_traffic_rows"), 4);
    rig_fini(&r);
}

static void test_concurrency(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, 1);
    struct traffic *a = outbound(&r, "a");

    assert_int_equal(rig_value(&r, CONCURRENT("a")), -1);
    traffic_request_begin(a);
    traffic_request_begin(a);
    assert_int_equal(rig_value(&r, CONCURRENT("a")), 2);
    assert_int_equal(rig_value(&r, REQUESTS("a", "200", "none")), -1);
    traffic_request_end(a, 200, FAULT_NONE, NSEC_PER_MSEC);
    assert_int_equal(rig_value(&r, CONCURRENT("a")), 1);
    assert_int_equal(rig_value(&r, REQUESTS("a", "200", "none")), 1);
    traffic_request_end(a, 0, FAULT_CLIENT_GONE, -5);
    assert_int_equal(rig_value(&r, CONCURRENT("a")), 0);
    assert_int_equal(rig_value(&r, REQUESTS("a", "0", "client-gone")), 1);
    traffic_unref(a);
    rig_fini(&r);
}

/* More statuses than a row has places: every one is counted, the late under
 * "other". */
static void test_outcomes_are_bounded(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, 1);
    struct traffic *a = outbound(&r, "a");

    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < SERIES_MAX + 10; i++)
            one_request(a, 200 + i, FAULT_NONE, 0);
    for (unsigned i = 0; i < SERIES_MAX; i++) {
        char series[256];

        snprintf(series, sizeof series, REQUESTS("a", "%u", "none"), 200 + i);
        assert_int_equal(rig_value(&r, series), 3);
    }
    assert_int_equal(rig_value(&r, REQUESTS("a", "264", "none")), -1);
    assert_int_equal(rig_value(&r, REQUESTS("a", "other", "other")), 30);
    one_request(a, 200, FAULT_NONE, 0);
    assert_int_equal(rig_value(&r, REQUESTS("a", "200", "none")), 4);
    assert_int_equal(
        rig_value(&r, "proxy_request_duration_seconds_count{" LABELS(
                          "a", "true") "}"),
        3 * (SERIES_MAX + 10) + 1);
    traffic_unref(a);
    rig_fini(&r);
}

static void test_many_services(void **state)
{
    struct rig r;
    size_t at_limit = 0;
    (void)state;
    rig_init(&r, 1);
    for (unsigned i = 0; i < 10000; i++) {
        char name[32];

        snprintf(name, sizeof name, "10.1.%u.%u:80", i / 256, i % 256);
        struct traffic *tr = outbound(&r, name);
        one_request(tr, 200, FAULT_NONE, 0);
        traffic_unref(tr);
        if (i == ROWS_MAX)
            at_limit = mem_used();
    }
    assert_int_equal(mem_used(), at_limit);
    assert_true(at_limit < 2 << 20);
    assert_int_equal(rig_value(&r, "proxy_traffic_rows"), ROWS_MAX + 1);
    assert_int_equal(rig_value(&r, REQUESTS("other", "200", "none")),
                     10000 - ROWS_MAX);
    /* Each direction has its own, and a row that is known stays. */
    struct traffic *in = traffic_get(r.t[0], true, SLICE("8080"), SLICE(PEER),
                                     false);
    assert_true(slice_eq(in->service, SLICE("other")));
    assert_true(in->inbound);
    struct traffic *known = outbound(&r, "10.1.0.0:80");
    assert_true(slice_eq(known->service, SLICE("10.1.0.0:80")));
    traffic_unref(in);
    traffic_unref(known);
    rig_fini(&r);
}

static void test_names_are_bounded(void **state)
{
    struct rig r;
    char name[2000];
    (void)state;
    rig_init(&r, 1);
    memset(name, 'x', sizeof name);
    memcpy(name, "a\n\"\xff\0b", 6);
    struct traffic *tr = traffic_get(r.t[0], true, slice_of(name, sizeof name),
                                     slice_of(name, sizeof name), true);

    assert_int_equal(tr->service.len, SERVICE_MAX);
    assert_int_equal(tr->peer.len, PEER_MAX);
    assert_memory_equal(tr->service.ptr, "a?\"??bx", 7);
    assert_memory_equal(tr->peer.ptr, "a?\"??bx", 7);
    traffic_unref(tr);
    rig_fini(&r);
}

static void sweep_now(struct rig *r)
{
    r->t[0]->sweep.fire(&r->t[0]->sweep);
}

static void test_idle_rows_go(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, 1);
    struct traffic *held = outbound(&r, "held"), *idle = outbound(&r, "idle");
    struct traffic *fresh = outbound(&r, "fresh");

    traffic_unref(idle);
    traffic_unref(fresh);
    assert_true(timer_is_set(&r.t[0]->sweep));
    sweep_now(&r);
    assert_int_equal(rig_value(&r, "proxy_traffic_rows"), 3);
    held->idle_since = idle->idle_since = loop_now(&r.loop) - ROW_IDLE;
    sweep_now(&r);
    assert_int_equal(rig_value(&r, "proxy_traffic_rows"), 2);
    assert_ptr_equal(outbound(&r, "held"), held);
    assert_ptr_equal(outbound(&r, "fresh"), fresh);
    traffic_unref(fresh);
    traffic_unref(held);
    traffic_unref(held);
    rig_fini(&r);
}

static void test_workers_are_summed(void **state)
{
    struct rig r;
    struct traffic *tr[RIG_MAX];
    (void)state;
    rig_init(&r, RIG_MAX);
    for (size_t i = 0; i < RIG_MAX; i++) {
        tr[i] = traffic_get(r.t[i], false, SLICE("a"), SLICE_NONE, true);
        one_request(tr[i], 200, FAULT_NONE, 0);
        one_request(tr[i], 500 + (unsigned)i, FAULT_NONE, 0);
        telemetry_count(r.t[i], COUNTER_RETRIES);
        telemetry_gauge(r.t[i], GAUGE_LINKS_IN, 2 + (int64_t)i);
        telemetry_fault(r.t[i], true, FAULT_LOOP);
    }
    assert_int_equal(rig_value(&r, REQUESTS("a", "200", "none")), 3);
    assert_int_equal(rig_value(&r, REQUESTS("a", "501", "none")), 1);
    assert_int_equal(rig_value(&r, "proxy_traffic_rows"), 1);
    assert_int_equal(rig_value(&r, "proxy_retries_total"), 3);
    assert_int_equal(rig_value(&r, "proxy_links_open{direction=\"inbound\"}"),
                     9);
    assert_int_equal(rig_value(&r, "proxy_faults_total{direction=\"inbound\","
                                   "fault=\"loop\"}"),
                     3);
    for (size_t i = 0; i < RIG_MAX; i++)
        traffic_unref(tr[i]);
    rig_fini(&r);
}

/* --- two threads --- */

enum { TURNS = 20000, SERVICES = 50 };

struct writer {
    struct rig *r;
    atomic_bool done;
};

static void *write_much(void *arg)
{
    struct writer *w = arg;

    for (unsigned i = 0; i < TURNS; i++) {
        char name[16];

        snprintf(name, sizeof name, "s%u", i % SERVICES);
        struct traffic *tr = outbound(w->r, name);
        one_request(tr, 200 + i / SERVICES % (SERIES_MAX + 2), FAULT_NONE, i);
        traffic_tcp_open(tr);
        traffic_tcp_bytes(tr, 1, 2);
        traffic_tcp_close(tr, i % 3 ? FAULT_NONE : FAULT_STALE);
        telemetry_count(w->r->t[0], COUNTER_RETRIES);
        telemetry_gauge(w->r->t[0], GAUGE_LINKS_IN, i);
        traffic_unref(tr);
        if (i % 1000 == 999) { /* rows go and come again while being read */
            tr->idle_since = loop_now(&w->r->loop) - ROW_IDLE;
            sweep_now(w->r);
        }
    }
    atomic_store(&w->done, true);
    return NULL;
}

static void check_reading(struct rig *r)
{
    struct rows rows;

    rows_sum(&rows, r->t, r->n);
    for (size_t i = 0; i < rows.all.len; i++) {
        const struct row *row = rows.all.at[i];

        /* How far apart they are depends on how long this thread was kept
         * from running between reading the one and the other. */
        assert_true(row->begun >= row->ended);
        assert_true(row->begun <= TURNS);
        assert_true(row->opened >= row->closed);
    }
    assert_true(rows.all.len <= SERVICES);
    rows_fini(&rows);
}

static void test_reader_beside_writer(void **state)
{
    struct rig r;
    struct writer w = {.r = &r};
    pthread_t thread;
    (void)state;
    rig_init(&r, 1);
    assert_int_equal(pthread_create(&thread, NULL, write_much, &w), 0);
    while (!atomic_load(&w.done)) {
        assert_true(rig_value(&r, "proxy_retries_total") <= TURNS);
        check_reading(&r);
    }
    pthread_join(thread, NULL);
    assert_int_equal(rig_value(&r, "proxy_retries_total"), TURNS);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_row),
        cmocka_unit_test(test_concurrency),
        cmocka_unit_test(test_outcomes_are_bounded),
        cmocka_unit_test(test_many_services),
        cmocka_unit_test(test_names_are_bounded),
        cmocka_unit_test(test_idle_rows_go),
        cmocka_unit_test(test_workers_are_summed),
        cmocka_unit_test(test_reader_beside_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
