/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "proxy/redirect/config.h"

static const char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

static void print(int argc, const char *const *argv, struct text *out)
{
    struct init_config c;
    struct error e = {{0}};

    text_init(out, RULES_TEXT_MAX);
    if (init_config_load(&c, argc, argv, no_env, &e))
        fail_msg("%s", e.text);
    rules_write(&c.rules, out);
    assert_false(out->failed);
}

#define RULES_ARE(want, ...)                                    \
    do {                                                        \
        const char *argv_[] = {"tulle-init", ##__VA_ARGS__};    \
        struct text t_;                                         \
        print((int)(sizeof argv_ / sizeof *argv_), argv_, &t_); \
        assert_string_equal(text_cstr(&t_), want);              \
        text_fini(&t_);                                         \
    } while (0)

#define HEAD                    \
    "table inet tulle\n"        \
    "delete table inet tulle\n" \
    "table inet tulle {\n"
#define NOT_SYN "\t\ttcp flags & (fin | syn | rst | ack) != syn accept\n"
#define BEGIN(name, hook)                 \
    "\tchain " name " {\n"                \
    "\t\ttype " hook "; policy accept;\n" \
    "\t\tmeta l4proto != tcp accept\n" NOT_SYN
#define OUTBOUND BEGIN("outbound", "nat hook output priority -100")
#define INBOUND BEGIN("inbound", "nat hook prerouting priority -100") FROM_LO
#define GUARD BEGIN("guard", "filter hook input priority 0") FROM_LO
#define FROM_LO "\t\tiifname \"lo\" accept\n"

#define INBOUND_LOOPBACK                \
    "\t\tip daddr 127.0.0.0/8 accept\n" \
    "\t\tip6 daddr ::1 accept\n"
#define INBOUND_OURS INBOUND_LOOPBACK "\t\tfib daddr type != local accept\n"

static void test_defaults(void **state)
{
    (void)state;
    RULES_ARE(HEAD OUTBOUND "\t\tmeta skuid 2102 accept\n"
                            "\t\tmeta skgid 2102 accept\n"
                            "\t\toifname \"lo\" accept\n"
                            "\t\tmeta l4proto tcp redirect to :15001\n"
                            "\t}\n" INBOUND INBOUND_OURS
                            "\t\ttcp dport { 15020-15021 } accept\n"
                            "\t\tmeta l4proto tcp redirect to :15006\n"
                            "\t}\n" GUARD "\t\tct status & dnat != 0 accept\n"
                            "\t\ttcp dport 15006 accept\n"
                            "\t\ttcp dport { 15020-15021 } accept\n"
                            "\t\tdrop\n"
                            "\t}\n"
                            "}\n");
}

static void test_everything(void **state)
{
    (void)state;
    RULES_ARE(HEAD OUTBOUND
              "\t\tmeta skuid 7 accept\n"
              "\t\tmeta skgid 8 accept\n"
              "\t\toifname \"lo\" accept\n"
              "\t\ttcp dport { 25, 465-587 } accept\n"
              "\t\tip daddr 10.1.0.0/16 accept\n"
              "\t\tip6 daddr fd00::/8 accept\n"
              "\t\tip daddr 192.0.2.7/32 accept\n"
              "\t\tmeta nfproto ipv6 accept\n"
              "\t\tmeta l4proto tcp redirect to :4001\n"
              "\t}\n" INBOUND INBOUND_OURS
              "\t\ttcp dport { 22, 8000-8010, 15020-15021 } accept\n"
              "\t\tmeta l4proto tcp redirect to :4006\n"
              "\t}\n" GUARD "\t\tct status & dnat != 0 accept\n"
              "\t\ttcp dport 4006 accept\n"
              "\t\ttcp dport { 22, 8000-8010, 15020-15021 } accept\n"
              "\t\tdrop\n"
              "\t}\n"
              "}\n",
              "--proxy-uid", "7", "--proxy-gid=8", "--outbound-port=4001",
              "--inbound-port=4006", "--skip-inbound-ports=8000-8010,22",
              "--skip-outbound-ports=465-587,25",
              "--skip-subnets=10.1.0.0/16,fd00::/8,192.0.2.7,::/0");
}

/* A kernel that lacks it: the proxy alone looks then. */
static void test_without_fib(void **state)
{
    struct rules r = {.uid = 1, .gid = 1, .without_fib = true};
    struct text t;

    (void)state;
    text_init(&t, RULES_TEXT_MAX);
    rules_write(&r, &t);
    assert_null(strstr(text_cstr(&t), "fib"));
    assert_non_null(strstr(text_cstr(&t), INBOUND INBOUND_LOOPBACK));
    text_fini(&t);
}

static void config_fails(const char *want, const char *argument)
{
    char program[] = "tulle-init";
    const char *argv[] = {program, argument};
    struct init_config c;
    struct error e = {{0}};

    assert_int_not_equal(init_config_load(&c, 2, argv, no_env, &e), OK);
    assert_string_equal(e.text, want);
}

static void test_bad_settings(void **state)
{
    (void)state;
    config_fails("proxy-uid: 0 is not an id from 1 to 4294967294: the proxy "
                 "must be told from everybody else",
                 "--proxy-uid=0");
    config_fails("proxy-gid: 4294967295 is not an id from 1 to 4294967294: the "
                 "proxy must be told from everybody else",
                 "--proxy-gid=4294967295");
    config_fails("--proxy-uid: 'me' is not a whole number (like 100)",
                 "--proxy-uid=me");
    config_fails("inbound-port: from 1 to 65535", "--inbound-port=0");
    config_fails("outbound-port: 15021 is the proxy's admin or health port",
                 "--outbound-port=15021");
    config_fails("inbound-port and outbound-port are both 15001",
                 "--inbound-port=15001");
    config_fails("skip-inbound-ports: 'x' is neither a port (1 to 65535) nor a "
                 "range like 8000-8010",
                 "--skip-inbound-ports=x");
    config_fails("skip-outbound-ports: '9-8' ends before it begins",
                 "--skip-outbound-ports=9-8");
    config_fails("skip-subnets: '10.0.0.0/99': the length is 0 to 32",
                 "--skip-subnets=10.0.0.0/99");
    config_fails("controller: 'tulle:8443' is not IP:port like 10.96.0.5:8443 "
                 "or [fd00::5]:8443",
                 "--controller=10.0.0.1:8443,tulle:8443");
    config_fails("controller: '10.0.0.1:0' is not IP:port like 10.96.0.5:8443 "
                 "or [fd00::5]:8443",
                 "--controller=10.0.0.1:0");
    config_fails("timeout: more than 0, at most 10m", "--timeout=0");
    config_fails("--ports: there is no such setting", "--ports=1");
    config_fails("--ports: a value is missing", "--ports");
    config_fails("'now' is no setting", "now");
}

static void test_controllers(void **state)
{
    char program[] = "tulle-init";
    char list[] = "--controller=10.96.0.5:8443, [fd00::5]:8443";
    const char *argv[] = {program, list};
    struct init_config c;
    struct error e = {{0}};
    char text[ADDRESS_TEXT];

    (void)state;
    assert_int_equal(init_config_load(&c, 2, argv, no_env, &e), OK);
    assert_int_equal(c.controllers_len, 2);
    assert_true(slice_eq(address_format(&c.controllers[1], text),
                         SLICE("[fd00::5]:8443")));
}

static const char *some_env(const char *name)
{
    return slice_eq(slice_str(name), SLICE("TULLE_INIT_SKIP_INBOUND_PORTS"))
               ? "80-"
               : NULL;
}

static void test_environment(void **state)
{
    char program[] = "tulle-init";
    const char *argv[] = {program};
    struct init_config c;
    struct error e = {{0}};

    (void)state;
    assert_int_equal(init_config_load(&c, 1, argv, some_env, &e), ERR_INVALID);
    assert_string_equal(e.text, "skip-inbound-ports: '80-' is neither a port "
                                "(1 to 65535) nor a range like 8000-8010");
}

/* The largest lists still fit the text. */
static void test_largest(void **state)
{
    struct rules *r = MEM_NEW(struct rules);
    struct text t;
    struct error e;

    (void)state;
    for (unsigned i = 0; i < SKIP_PORTS_MAX; i++) {
        uint16_t p = (uint16_t)(20000 + 3 * i);

        assert_int_equal(port_set_add(&r->skip_inbound, p, p + 1, &e), OK);
        assert_int_equal(port_set_add(&r->skip_outbound, p, p + 1, &e), OK);
    }
    for (unsigned i = 0; i < SKIP_SUBNETS_MAX; i++) {
        r->skip_subnets.at[i] = (struct subnet){.family = AF_INET6,
                                                .bits = 128};
        memset(r->skip_subnets.at[i].ip, 0xff, 16);
    }
    r->skip_subnets.len = SKIP_SUBNETS_MAX;
    text_init(&t, RULES_TEXT_MAX);
    rules_write(r, &t);
    assert_false(t.failed);
    text_fini(&t);
    mem_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),     cmocka_unit_test(test_everything),
        cmocka_unit_test(test_bad_settings), cmocka_unit_test(test_controllers),
        cmocka_unit_test(test_environment),  cmocka_unit_test(test_largest),
        cmocka_unit_test(test_without_fib),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
