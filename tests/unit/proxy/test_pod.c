/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/pod.h"

static const char routes_v4[] =
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\t"
    "Window\tIRTT\n"
    "eth0\t00000000\t0100F40A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    "eth0\t0000F40A\t0200F40A\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    "eth0\t0000F40A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    "eth1\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n"
    "eth1\t00000000\t0101FEA9\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    "eth2\t00000000\t0100F40A\t0003\t0\t0\t9\t00000000\t0\t0\t0\n"
    "nonsense\n";

static void test_v4(void **state)
{
    struct address at[4];
    char text[ADDRESS_TEXT];
    (void)state;
    assert_int_equal(pod_gateways_v4(slice_str(routes_v4), at, 4), 2);
    assert_true(slice_eq(address_format_ip(&at[0], text), SLICE("10.244.0.1")));
    assert_true(
        slice_eq(address_format_ip(&at[1], text), SLICE("169.254.1.1")));
    assert_int_equal(pod_gateways_v4(slice_str(routes_v4), at, 1), 1);
    assert_int_equal(pod_gateways_v4(SLICE(""), at, 4), 0);
    assert_int_equal(pod_gateways_v4(SLICE("a b c d e f g h"), at, 4), 0);
}

#define ZERO "00000000000000000000000000000000"

static const char routes_v6[] =
    "fd000000000000000000000000000000 40 " ZERO " 00 " ZERO
    " 00000100 00000001 00000000 00000001     eth0\n" ZERO " 00 " ZERO
    " 00 fd000000000000000000000000000001 00000400 00000001 00000000 00000003"
    "     eth0\n" ZERO " 00 " ZERO " 00 " ZERO
    " ffffffff 00000001 00000000 00200200       lo\n" ZERO " 00 " ZERO
    " 00 short 00000400 00000001 00000000 00000003 eth0\n";

static void test_v6(void **state)
{
    struct address at[4];
    char text[ADDRESS_TEXT];
    (void)state;
    assert_int_equal(pod_gateways_v6(slice_str(routes_v6), at, 4), 1);
    assert_true(slice_eq(address_format_ip(&at[0], text), SLICE("fd00::1")));
}

static void test_settings(void **state)
{
    struct pod p;
    struct address a;
    struct error e = {{0}};
    struct config c = {.pod_ips = SLICE("10.244.0.7, fd00::7"),
                       .node_ips = SLICE("198.51.100.1,::ffff:198.51.100.2")};
    (void)state;
    assert_int_equal(pod_find(&p, &c, &e), OK);
    assert_int_equal(address_parse(SLICE("10.244.0.7:99"), &a), OK);
    assert_true(pod_owns(&p, &a));
    assert_true(address_ip_eq(&p.own[0], &a));
    assert_false(pod_is_node(&p, &a));
    assert_int_equal(address_parse(SLICE("[fd00::7]:99"), &a), OK);
    assert_true(pod_owns(&p, &a));
    assert_int_equal(address_parse(SLICE("198.51.100.2:99"), &a), OK);
    assert_true(pod_is_node(&p, &a));
    assert_false(pod_owns(&p, &a));
    assert_int_equal(p.node_len, 2);
}

/* The address by which the pod is known, with the port that was asked for. */
static void test_sibling(void **state)
{
    struct pod p = {.own_len = 4};
    struct address a;
    char text[ADDRESS_TEXT];
    (void)state;
    assert_int_equal(address_parse(SLICE("10.244.0.7:1"), &p.own[0]), OK);
    assert_int_equal(address_parse(SLICE("[fe80::7]:1"), &p.own[1]), OK);
    assert_int_equal(address_parse(SLICE("[fd00::7]:1"), &p.own[2]), OK);
    assert_int_equal(address_parse(SLICE("10.244.0.8:1"), &p.own[3]), OK);
    assert_int_equal(address_parse(SLICE("10.244.0.8:99"), &a), OK);
    assert_true(pod_sibling(&p, &a, &a));
    assert_true(slice_eq(address_format(&a, text), SLICE("[fd00::7]:99")));
    assert_true(pod_sibling(&p, &a, &a));
    assert_true(slice_eq(address_format(&a, text), SLICE("10.244.0.7:99")));
    p.own_len = 2; /* what reaches as far as the link only does not count */
    assert_false(pod_sibling(&p, &a, &a));
}

static void test_bad_settings(void **state)
{
    struct pod p;
    struct error e = {{0}};
    struct config c = {.pod_ips = SLICE("10.244.0.7:80")};
    (void)state;
    assert_int_equal(pod_find(&p, &c, &e), ERR_INVALID);
    assert_string_equal(e.text,
                        "pod-ips: '10.244.0.7:80' is not an IP address");
    c = (struct config){.node_ips = SLICE("node")};
    assert_int_equal(pod_find(&p, &c, &e), ERR_INVALID);
    assert_string_equal(e.text, "node-ips: 'node' is not an IP address");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v4),           cmocka_unit_test(test_v6),
        cmocka_unit_test(test_settings),     cmocka_unit_test(test_sibling),
        cmocka_unit_test(test_bad_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
