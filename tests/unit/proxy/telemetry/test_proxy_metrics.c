/* SPDX-License-Identifier: Apache-2.0 */
/* The page as Prometheus reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "tests/unit/proxy/telemetry/rig.h"

#define CART                                                        \
    "direction=\"outbound\",service=\"shop/\\\"cart\\\\:80\",peer=" \
    "\"" PEER "\",tls=\"true\""
#define REDIS "direction=\"inbound\",service=\"6379\",peer=\"\",tls=\"false\""
#define BUCKET(le, n) \
    "proxy_request_duration_seconds_bucket{" CART ",le=\"" le "\"} " n "\n"

/* All but the comments, what the system says of the process, and memory. */
static const char golden[] =
    "proxy_requests_total{" CART ",status=\"0\",fault=\"client-gone\"} 1\n"
    "proxy_requests_total{" CART ",status=\"200\",fault=\"none\"} 2\n" BUCKET(
        "0.00025", "1") BUCKET("0.0005", "1") BUCKET("0.001", "1")
        BUCKET("0.002", "2") BUCKET("0.005", "2") BUCKET("0.0075", "2") BUCKET(
            "0.01", "2") BUCKET("0.015", "2") BUCKET("0.02", "2")
            BUCKET("0.03", "2") BUCKET("0.05", "2") BUCKET("0.075", "2") BUCKET(
                "0.1", "2") BUCKET("0.15", "2") BUCKET("0.2", "2")
                BUCKET("0.3", "2") BUCKET("0.5", "2") BUCKET(
                    "0.75", "2") BUCKET("1", "2") BUCKET("2", "2")
                    BUCKET("5", "2") BUCKET("10", "2") BUCKET("30", "2") BUCKET(
                        "+Inf",
                        "3") "proxy_request_duration_seconds_sum{" CART
                             "} 40.001600000\n"
                             "proxy_request_duration_seconds_count{" CART
                             "} 3\n"
                             "proxy_concurrent_requests{" CART "} 1\n"
                             "proxy_tcp_connections_total{" REDIS "} 2\n"
                             "proxy_tcp_closed_total{" REDIS
                             ",fault=\"upstream-timeout\"} 1\n"
                             "proxy_tcp_open_connections{" REDIS "} 1\n"
                             "proxy_tcp_bytes_total{" REDIS
                             ",flow=\"in\"} 1000\n"
                             "proxy_tcp_bytes_total{" REDIS
                             ",flow=\"out\"} 24\n"
                             "proxy_tls_server_names_total{direction=\"outbound\",sni=\"a.example\"} 1\n"
                             "proxy_tls_server_names_total{direction=\"inbound\",sni=\"\"} 1\n"
                             "proxy_connections_accepted_total{direction=\"outbound\"} 2\n"
                             "proxy_connections_accepted_total{direction=\"inbound\"} 1\n"
                             "proxy_open_connections{direction=\"outbound\"} 102\n"
                             "proxy_open_connections{direction=\"inbound\"} 101\n"
                             "proxy_connections_refused_total 3\n"
                             "proxy_accept_pauses_total 11\n"
                             "proxy_plaintext_connections_total{result=\"accepted\"} 5\n"
                             "proxy_plaintext_connections_total{result=\"refused\"} 4\n"
                             "proxy_links_open{direction=\"outbound\"} 103\n"
                             "proxy_links_open{direction=\"inbound\"} 104\n"
                             "proxy_app_connections 105\n"
                             "proxy_tls_handshakes_total{direction=\"outbound\",result=\"ok\"} 12\n"
                             "proxy_tls_handshakes_total{direction=\"outbound\",result=\"failed\"} 13\n"
                             "proxy_tls_handshakes_total{direction=\"inbound\",result=\"ok\"} 6\n"
                             "proxy_tls_handshakes_total{direction=\"inbound\",result=\"failed\"} 7\n"
                             "proxy_faults_total{direction=\"outbound\",fault=\"client-gone\"} 1\n"
                             "proxy_faults_total{direction=\"inbound\",fault=\"loop\"} 1\n"
                             "proxy_faults_total{direction=\"inbound\",fault=\"upstream-timeout\"} 1\n"
                             "proxy_limits_total{direction=\"outbound\",limit=\"max-resets\"} 1\n"
                             "proxy_limits_total{direction=\"inbound\",limit=\"tcp-idle-timeout\"} 2\n"
                             "proxy_retries_total 10\n"
                             "proxy_detect_timeouts_total{direction=\"outbound\",service=\"shop/db:1\"} 1\n"
                             "proxy_detect_timeouts_total{direction=\"inbound\",service=\"6000\"} 2\n"
                             "proxy_unknown_destinations_total 9\n"
                             "proxy_over_limit_destinations_total 14\n"
                             "proxy_certificate_expiry_timestamp_seconds 1700000000\n"
                             "proxy_certificate_renewals_total{result=\"ok\"} 3\n"
                             "proxy_certificate_renewals_total{result=\"failed\"} 1\n"
                             "proxy_session_up 1\n"
                             "proxy_memory_budget_bytes 0\n"
                             "proxy_traffic_rows 2\n"
                             "proxy_access_log_dropped_total 0\n"
                             "proxy_build_info{version=\"" TULLE_VERSION
                             "\"} 1\n";

static void drive(struct rig *r)
{
    struct traffic *cart = traffic_get(
        r->t[0], false, SLICE("shop/\"cart\\:80"), SLICE(PEER), true);
    struct traffic *redis = traffic_get(r->t[0], true, SLICE("6379"),
                                        SLICE_NONE, false);

    one_request(cart, 200, FAULT_NONE, 100 * NSEC_PER_USEC);
    one_request(cart, 200, FAULT_NONE, 1500 * NSEC_PER_USEC);
    one_request(cart, 0, FAULT_CLIENT_GONE, 40 * NSEC_PER_SEC);
    traffic_request_begin(cart);
    traffic_tcp_open(redis);
    traffic_tcp_open(redis);
    traffic_tcp_bytes(redis, 400, 20);
    traffic_tcp_bytes(redis, 600, 4);
    traffic_tcp_close(redis, FAULT_UPSTREAM_TIMEOUT);
    telemetry_fault(r->t[0], true, FAULT_LOOP);
    telemetry_tally(r->t[0], TALLY_SILENT, true, SLICE("6000"));
    telemetry_tally(r->t[0], TALLY_SILENT, true, SLICE("6000"));
    telemetry_tally(r->t[0], TALLY_SILENT, false, SLICE("shop/db:1"));
    telemetry_tally(r->t[0], TALLY_SERVER_NAME, false, SLICE("a.example"));
    telemetry_tally(r->t[0], TALLY_SERVER_NAME, true, SLICE(""));
    telemetry_limit(r->t[0], false, (enum limit)HTTP_LIMIT_RESETS);
    traffic_limit(redis, LIMIT_TCP_IDLE_TIMEOUT);
    traffic_limit(redis, LIMIT_TCP_IDLE_TIMEOUT);
    /* Each counter and gauge a value of its own. */
    for (int c = 0; c < COUNTERS; c++)
        for (int i = 0; i <= c; i++)
            telemetry_count(r->t[0], (enum counter)c);
    for (int g = 0; g < GAUGES; g++)
        telemetry_gauge(r->t[0], (enum gauge)g, 101 + g);
    traffic_unref(cart);
    traffic_unref(redis);
}

/* There is a line for each. */
static bool is_a_limit_not_hit(slice line)
{
    return slice_starts(line, SLICE("proxy_limits_total")) &&
           slice_eq(slice_sub(line, line.len - 2, line.len), SLICE(" 0"));
}

static bool of_the_system(slice line)
{
    return slice_starts(line, SLICE("#")) ||
           slice_starts(line, SLICE("process_")) || is_a_limit_not_hit(line) ||
           slice_starts(line, SLICE("proxy_memory_bytes "));
}

static void test_golden(void **state)
{
    struct rig r;
    struct text page, kept;
    slice rest, line;
    (void)state;
    rig_init(&r, 1);
    drive(&r);
    rig_render(&r, &page);
    text_init(&kept, 1 << 20);
    rest = text_slice(&page);
    while (slice_next(&rest, '\n', &line))
        if (line.len && !of_the_system(line))
            text_printf(&kept, "%.*s\n", FMT(line));
    assert_string_equal(text_cstr(&kept), golden);
    text_fini(&kept);
    text_fini(&page);
    rig_fini(&r);
}

/* Every sample belongs to the family announced above it; every family says what
 * it is, once, and a page ends with a newline. */
static void test_well_formed(void **state)
{
    struct rig r;
    struct text page;
    slice rest, line, family = SLICE_NONE;
    unsigned families = 0;
    (void)state;
    rig_init(&r, 1);
    drive(&r);
    rig_render(&r, &page);
    assert_int_equal(page.ptr[page.len - 1], '\n');
    rest = slice_sub(text_slice(&page), 0, page.len - 1);
    while (slice_next(&rest, '\n', &line)) {
        slice name = line, kind;

        if (slice_starts(line, SLICE("# HELP "))) {
            assert_true(
                slice_cut(slice_sub(line, 7, line.len), ' ', &name, &kind));
            assert_true(kind.len > 3);
            assert_true(slice_next(&rest, '\n', &line));
            assert_true(slice_starts(line, SLICE("# TYPE ")));
            assert_true(
                slice_cut(slice_sub(line, 7, line.len), ' ', &family, &kind));
            assert_true(slice_eq(family, name));
            families++;
            continue;
        }
        assert_true(slice_starts(line, family));
        char after = line.ptr[family.len];
        assert_true(after == '{' || after == ' ' || after == '_');
    }
    assert_int_equal(families, 35);
    text_fini(&page);
    rig_fini(&r);
}

static void test_process(void **state)
{
    struct rig r;
    int64_t now = clock_real_ns() / NSEC_PER_SEC, fds;
    (void)state;
    rig_init(&r, 1);
    fds = rig_value(&r, "process_open_fds");
    int fd = open("/dev/null", O_RDONLY);
    assert_int_equal(rig_value(&r, "process_open_fds"), fds + 1);
    close(fd);
    assert_true(fds > 3 && fds < rig_value(&r, "process_max_fds"));
    assert_true(rig_value(&r, "process_resident_memory_bytes") > 100000);
    int64_t start = rig_value(&r, "process_start_time_seconds");
    assert_true(start <= now + 1 && start > now - 600);
    assert_true(rig_value(&r, "proxy_memory_bytes") > LOOP_LENT);
    rig_fini(&r);
}

/* Nothing happened: no rows, no certificate, and still every single number. */
static void test_at_the_start(void **state)
{
    struct rig r;
    struct telemetry_process p = {0};
    struct text out;
    (void)state;
    rig_init(&r, 1);
    text_init(&out, 1 << 20);
    telemetry_render(r.t, r.n, &p, &out);
    assert_non_null(strstr(text_cstr(&out), "\nproxy_session_up 0\n"));
    assert_non_null(strstr(text_cstr(&out), "\nproxy_retries_total 0\n"));
    assert_null(strstr(text_cstr(&out), "\nproxy_certificate_expiry_t"));
    assert_null(strstr(text_cstr(&out), "\nproxy_requests_total{"));
    text_fini(&out);
    /* A page that does not fit says so. */
    text_init(&out, 1000);
    telemetry_render(r.t, r.n, &p, &out);
    assert_true(out.failed);
    text_fini(&out);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_well_formed),
        cmocka_unit_test(test_process),
        cmocka_unit_test(test_at_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
