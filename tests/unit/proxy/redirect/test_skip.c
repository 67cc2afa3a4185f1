/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/text.h"
#include "proxy/redirect/skip.h"

static void ports_are(const char *list, const char *want)
{
    struct port_set set;
    struct error e;
    struct text t;

    text_init(&t, 4096);
    assert_int_equal(port_set_parse(slice_str(list), &set, &e), OK);
    for (unsigned i = 0; i < set.len; i++)
        text_printf(&t, "%s%u-%u", i ? " " : "", set.at[i].first,
                    set.at[i].last);
    assert_string_equal(text_cstr(&t), want);
    text_fini(&t);
}

static void test_ports(void **state)
{
    (void)state;
    ports_are("", "");
    ports_are("  ", "");
    ports_are("22", "22-22");
    ports_are("8000-8010, 22", "22-22 8000-8010");
    ports_are("1,65535", "1-1 65535-65535");
    ports_are("1-65535,7", "1-65535");
    ports_are(" 80 - 90 ", "80-90");
}

/* nft refuses a set whose intervals overlap. */
static void test_ports_are_joined(void **state)
{
    (void)state;
    ports_are("80,80", "80-80");
    ports_are("80,81", "80-81");
    ports_are("81,80", "80-81");
    ports_are("10-20,15-30", "10-30");
    ports_are("15-30,10-20", "10-30");
    ports_are("10,20,30,5-40", "5-40");
    ports_are("10-12,20-22,30-32,13-19", "10-22 30-32");
    ports_are("65534,65535", "65534-65535");
    ports_are("40,1,30,10,20", "1-1 10-10 20-20 30-30 40-40");
}

static void ports_fail(const char *list, const char *want)
{
    struct port_set set;
    struct error e = {{0}};

    assert_int_not_equal(port_set_parse(slice_str(list), &set, &e), OK);
    assert_string_equal(e.text, want);
}

#define NEITHER(item)                                                 \
    "'" item "' is neither a port (1 to 65535) nor a range like 8000" \
    "-8010"

static void test_bad_ports(void **state)
{
    (void)state;
    ports_fail("http", NEITHER("http"));
    ports_fail("0", NEITHER("0"));
    ports_fail("65536", NEITHER("65536"));
    ports_fail("80,,90", NEITHER(""));
    ports_fail("80,", NEITHER(""));
    ports_fail("-80", NEITHER("-80"));
    ports_fail("80-", NEITHER("80-"));
    ports_fail("80-90-100", NEITHER("80-90-100"));
    ports_fail("80 accept; drop", NEITHER("80 accept; drop"));
    ports_fail("90-80", "'90-80' ends before it begins");
}

static void test_too_many_ports(void **state)
{
    struct port_set set;
    struct error e = {{0}};
    struct text t;

    (void)state;
    text_init(&t, 65536);
    for (int i = 0; i < SKIP_PORTS_MAX; i++)
        text_printf(&t, "%s%d", i ? "," : "", 2 * i + 1);
    assert_int_equal(port_set_parse(text_slice(&t), &set, &e), OK);
    assert_int_equal(set.len, SKIP_PORTS_MAX);
    assert_int_equal(port_set_add(&set, 2, 2, &e), OK); /* joins two */
    assert_int_equal(set.len, SKIP_PORTS_MAX - 1);
    assert_int_equal(port_set_add(&set, 60000, 60000, &e), OK);
    assert_int_equal(port_set_add(&set, 60002, 60002, &e), ERR_TOO_BIG);
    assert_string_equal(e.text, "more than 200 ports and ranges");
    assert_true(port_set_has(&set, 60000));
    assert_false(port_set_has(&set, 60002));
    text_fini(&t);
}

static void test_has_port(void **state)
{
    struct port_set set;
    struct error e;

    (void)state;
    assert_int_equal(port_set_parse(SLICE("22,8000-8010"), &set, &e), OK);
    assert_true(port_set_has(&set, 22));
    assert_true(port_set_has(&set, 8000));
    assert_true(port_set_has(&set, 8010));
    assert_false(port_set_has(&set, 8011));
    assert_false(port_set_has(&set, 23));
}

static bool skips(const char *list, const char *at)
{
    struct subnet_set set;
    struct address a;
    struct error e;

    assert_int_equal(subnet_set_parse(slice_str(list), &set, &e), OK);
    assert_int_equal(address_parse(slice_str(at), &a), OK);
    return subnet_set_has(&set, &a);
}

static void test_networks(void **state)
{
    (void)state;
    assert_false(skips("", "10.1.2.3:80"));
    assert_true(skips("10.1.0.0/16", "10.1.2.3:80"));
    assert_false(skips("10.1.0.0/16", "10.2.2.3:80"));
    assert_false(skips("10.1.0.0/16", "[fd00::1]:80"));
    assert_true(skips("fd00::/8, 10.0.0.0/8", "[fd12::1]:80"));
    assert_true(skips("fd00::/8, 10.0.0.0/8", "10.9.9.9:80"));
    assert_false(skips("fd00::/8", "[fe80::1]:80"));
    assert_true(skips("192.0.2.7", "192.0.2.7:80"));
    assert_false(skips("192.0.2.7", "192.0.2.6:80"));
    assert_true(skips("192.0.2.6/31", "192.0.2.7:80"));
    assert_true(skips("0.0.0.0/0", "192.0.2.7:80"));
    assert_false(skips("0.0.0.0/0", "[::1]:80"));
    assert_true(skips("::/0", "[2001:db8::1]:80"));
}

static void networks_fail(const char *list, const char *want)
{
    struct subnet_set set;
    struct error e = {{0}};

    assert_int_not_equal(subnet_set_parse(slice_str(list), &set, &e), OK);
    assert_string_equal(e.text, want);
}

static void test_bad_networks(void **state)
{
    (void)state;
    networks_fail("10.1.0.0/33", "'10.1.0.0/33': the length is 0 to 32");
    networks_fail("fd00::/129", "'fd00::/129': the length is 0 to 128");
    networks_fail("10.1/16",
                  "'10.1/16' is no network like 10.1.0.0/16 or fd00::/8");
    networks_fail("10.0.0.0/8,",
                  "'' is no network like 10.1.0.0/16 or fd00::/8");
    networks_fail("example.org",
                  "'example.org' is no network like 10.1.0.0/16 or fd00::/8");
    networks_fail("10.0.0.0/", "'10.0.0.0/': the length is 0 to 32");
    networks_fail("10.1.2.3/16", "'10.1.2.3/16' is no network: bits behind "
                                 "the first 16 are set");
    networks_fail("::1/127", "'::1/127' is no network: bits behind the first "
                             "127 are set");
}

static void test_too_many_networks(void **state)
{
    struct subnet_set set;
    struct error e = {{0}};
    struct text t;

    (void)state;
    text_init(&t, 65536);
    for (int i = 0; i <= SKIP_SUBNETS_MAX; i++)
        text_printf(&t, "%s10.0.0.%d", i ? "," : "", i);
    assert_int_equal(subnet_set_parse(text_slice(&t), &set, &e), ERR_TOO_BIG);
    assert_string_equal(e.text, "more than 100 networks");
    text_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_ports_are_joined),
        cmocka_unit_test(test_bad_ports),
        cmocka_unit_test(test_too_many_ports),
        cmocka_unit_test(test_has_port),
        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_bad_networks),
        cmocka_unit_test(test_too_many_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
