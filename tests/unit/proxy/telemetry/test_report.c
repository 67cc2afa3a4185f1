/* SPDX-License-Identifier: Apache-2.0 */
/* Reports say the same as /metrics, and fit the wire. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "tests/unit/proxy/telemetry/rig.h"

enum { ARENA = 8 << 20 };

#define LABELS(tls)                                                \
    "direction=\"outbound\",service=\"shop/cart:80\",peer=\"" PEER \
    "\",tls=\"" tls "\""
#define METRIC(name, tls, more) name "{" LABELS(tls) more "}"

static struct traffic *cart(struct rig *r, size_t worker, bool secured)
{
    return traffic_get(r->t[worker], false, SLICE("shop/cart:80"), SLICE(PEER),
                       secured);
}

static void drive(struct rig *r, struct traffic *tls, struct traffic *plain)
{
    for (int i = 0; i < 5; i++)
        one_request(tls, 200, FAULT_NONE, NSEC_PER_MSEC);
    one_request(tls, 502, FAULT_STALE, 3 * NSEC_PER_SEC);
    one_request(plain, 500, FAULT_NONE, 100 * NSEC_PER_SEC);
    traffic_request_begin(plain);
    traffic_tcp_open(tls);
    traffic_tcp_bytes(tls, 100, 20);
    traffic_tcp_close(tls, FAULT_UPSTREAM_RESET);
    traffic_tcp_open(plain);
    traffic_tcp_bytes(plain, 5, 6);
    telemetry_count(r->t[0], COUNTER_DETECT_TIMEOUTS);
    telemetry_count(r->t[1], COUNTER_DETECT_TIMEOUTS);
    telemetry_tally(r->t[0], TALLY_SILENT, true, SLICE("6000"));
    telemetry_tally(r->t[1], TALLY_SILENT, true, SLICE("6000"));
    for (int i = 0; i < WIRE_SILENT_MAX; i++) {
        char name[16];

        snprintf(name, sizeof name, "a/b:%d", i);
        telemetry_tally(r->t[0], TALLY_SILENT, false, slice_str(name));
    }
    telemetry_tally(r->t[1], TALLY_SILENT, false, SLICE("a/b:15"));
}

static uint64_t both(struct rig *r, const char *tls, const char *plain)
{
    int64_t a = rig_value(r, tls), b = rig_value(r, plain);

    return (uint64_t)((a > 0 ? a : 0) + (b > 0 ? b : 0));
}
#define BOTH(r, name, more) \
    both((r), METRIC(name, "true", more), METRIC(name, "false", more))

/* Buckets of /metrics are sums up to a bound, those of a report are not. */
static void buckets_equal(struct rig *r, const struct report_row *row)
{
    uint64_t sum = 0;

    for (int i = 0; i < WIRE_BUCKETS; i++) {
        char le[32], tls[512], plain[512];

        sum += row->latency[i];
        snprintf(le, sizeof le, i < WIRE_BUCKETS - 1 ? "%g" : "+Inf",
                 wire_bucket_us[i] / 1e6);
        snprintf(tls, sizeof tls,
                 METRIC("proxy_request_duration_seconds_bucket", "true",
                        ",le=\"%s\""),
                 le);
        snprintf(plain, sizeof plain,
                 METRIC("proxy_request_duration_seconds_bucket", "false",
                        ",le=\"%s\""),
                 le);
        assert_int_equal(both(r, tls, plain), sum);
    }
    assert_int_equal(sum, row->requests);
}

static void test_rows_equal_metrics(void **state)
{
    struct rig r;
    struct arena a;
    struct report rep = {.sequence = 7, .cert_not_after = 9};
    (void)state;
    rig_init(&r, 2);
    arena_init(&a, ARENA);
    struct traffic *tls = cart(&r, 0, true), *plain = cart(&r, 1, false);
    drive(&r, tls, plain);
    telemetry_report(r.t, r.n, &a, &rep);

    assert_int_equal(rep.sequence, 7);
    assert_int_equal(rep.cert_not_after, 9);
    assert_int_equal(rep.detect_timeouts, 2);
    assert_int_equal(rep.silent_len, 1 + WIRE_SILENT_MAX / 2);
    assert_true(rep.silent[0].inbound);
    assert_true(slice_eq(rep.silent[0].service, SLICE("6000")));
    assert_int_equal(rep.silent[0].connections, 2);
    assert_false(rep.silent[1].inbound);
    assert_true(slice_eq(rep.silent[1].service, SLICE("a/b:15")));
    assert_int_equal(rep.silent[1].connections, 2);
    assert_true(rep.rss_bytes > 100000);
    assert_int_equal(rep.rows_len, 1);
    const struct report_row *row = &rep.rows[0];
    assert_false(row->inbound);
    assert_true(slice_eq(row->service, SLICE("shop/cart:80")));
    assert_true(slice_eq(row->peer, SLICE(PEER)));
    assert_int_equal(row->requests, 7);
    assert_int_equal(row->requests,
                     BOTH(&r, "proxy_request_duration_seconds_count", ""));
    assert_int_equal(row->failures, 3); /* 502, 500, a reset stream */
    assert_int_equal(row->concurrent,
                     BOTH(&r, "proxy_concurrent_requests", ""));
    assert_int_equal(row->concurrent, 1);
    assert_int_equal(row->connections,
                     BOTH(&r, "proxy_tcp_connections_total", ""));
    assert_int_equal(row->bytes_in,
                     BOTH(&r, "proxy_tcp_bytes_total", ",flow=\"in\""));
    assert_int_equal(row->bytes_out,
                     BOTH(&r, "proxy_tcp_bytes_total", ",flow=\"out\""));
    assert_int_equal(row->bytes_in, 105);
    assert_int_equal(row->secured, 6 + 1);
    assert_int_equal(row->latency_sum_us, 5 * 1000 + 3000000 + 100000000);
    buckets_equal(&r, row);
    traffic_unref(tls);
    traffic_unref(plain);
    arena_reset(&a);
    rig_fini(&r);
}

/* Bounds are inclusive, and the last bucket has none. */
static void test_bucket_bounds(void **state)
{
    struct rig r;
    struct arena a;
    struct report rep = {0};
    (void)state;
    rig_init(&r, 1);
    arena_init(&a, ARENA);
    struct traffic *tr = cart(&r, 0, true);

    one_request(tr, 200, FAULT_NONE, -1);
    for (int i = 0; i < WIRE_BUCKETS - 1; i++) {
        one_request(tr, 200, FAULT_NONE, wire_bucket_us[i] * NSEC_PER_USEC);
        one_request(tr, 200, FAULT_NONE, wire_bucket_us[i] * NSEC_PER_USEC + 1);
    }
    telemetry_report(r.t, r.n, &a, &rep);
    for (int i = 0; i < WIRE_BUCKETS - 1; i++)
        assert_int_equal(rep.rows[0].latency[i], 2);
    assert_int_equal(rep.rows[0].latency[WIRE_BUCKETS - 1], 1);
    traffic_unref(tr);
    arena_reset(&a);
    rig_fini(&r);
}

/* "ab" sorts between "a" plain and "a" secured unless names are kept apart. */
static void test_similar_peers(void **state)
{
    static const char *const peers[] = {"a", "as", "ap", "app"};
    struct rig r;
    struct arena a;
    struct report rep = {0};
    (void)state;
    rig_init(&r, 1);
    arena_init(&a, ARENA);
    for (unsigned i = 0; i < 4; i++)
        for (int secured = 0; secured < 2; secured++) {
            struct traffic *tr = traffic_get(r.t[0], true, SLICE("8080"),
                                             slice_str(peers[i]), secured);
            one_request(tr, 200, FAULT_NONE, 0);
            traffic_unref(tr);
        }
    telemetry_report(r.t, r.n, &a, &rep);
    assert_int_equal(rep.rows_len, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(rep.rows[i].requests, 2);
        assert_int_equal(rep.rows[i].secured, 1);
    }
    arena_reset(&a);
    rig_fini(&r);
}

static void fill(struct rig *r)
{
    for (size_t w = 0; w < r->n; w++)
        for (unsigned i = 0; i < ROWS_MAX; i++) {
            char name[32];

            snprintf(name, sizeof name, "w%zu/s%u", w, i);
            struct traffic *tr = traffic_get(r->t[w], true, slice_str(name),
                                             SLICE_NONE, false);
            one_request(tr, 200, FAULT_NONE, 0);
            if (w == 1 && i == 234)
                one_request(tr, 200, FAULT_NONE, 0);
            traffic_unref(tr);
        }
}

static void test_the_busiest_first(void **state)
{
    struct rig r;
    struct arena a;
    struct report rep = {0};
    (void)state;
    rig_init(&r, RIG_MAX);
    arena_init(&a, ARENA);
    fill(&r);
    telemetry_report(r.t, r.n, &a, &rep);
    assert_int_equal(rep.rows_len, WIRE_SERIES_MAX);
    assert_true(slice_eq(rep.rows[0].service, SLICE("w1/s234")));
    arena_reset(&a);

    arena_init(&a, 100); /* no room: no rows, and no harm */
    telemetry_report(r.t, r.n, &a, &rep);
    assert_int_equal(rep.rows_len, 0);
    arena_reset(&a);
    rig_fini(&r);
}

/* What any peer can make us say is still a message that a controller reads. */
static void test_fits_the_wire(void **state)
{
    struct rig r;
    struct arena a;
    struct msg in = {.type = MSG_REPORT, .report.epoch = SLICE("e")}, out;
    struct text line;
    struct error e;
    char name[1000];
    (void)state;
    rig_init(&r, 1);
    arena_init(&a, ARENA);
    for (size_t i = 0; i < sizeof name; i++)
        name[i] = (char)i;
    slice all = slice_of(name, sizeof name);
    struct traffic *tr = traffic_get(r.t[0], true, all, all, true);
    one_request(tr, 200, FAULT_NONE, 0);
    telemetry_report(r.t, r.n, &a, &in.report);
    text_init(&line, WIRE_LINE_MAX);
    msg_encode(&in, &line);
    assert_false(line.failed);
    assert_int_equal(
        msg_decode(slice_sub(text_slice(&line), 0, line.len - 1), &out, &e),
        OK);
    assert_int_equal(out.report.rows_len, 1);
    assert_int_equal(out.report.rows[0].requests, 1);
    msg_fini(&out);
    text_fini(&line);
    traffic_unref(tr);
    arena_reset(&a);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_equal_metrics),
        cmocka_unit_test(test_bucket_bounds),
        cmocka_unit_test(test_similar_peers),
        cmocka_unit_test(test_the_busiest_first),
        cmocka_unit_test(test_fits_the_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
