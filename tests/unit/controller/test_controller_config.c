/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controller/config.h"

enum { ARGS = 8 };

static enum status load(struct controller_config *c, bool *help,
                        struct error *e, const char *const args[ARGS])
{
    char *argv[ARGS + 2] = {(char *)(uintptr_t) "tulle-controller"};
    int argc = 1;

    for (int i = 0; args[i]; i++)
        argv[argc++] = (char *)(uintptr_t)args[i];
    return controller_config_load(c, argc, argv, help, e);
}

static void defaults_and_flags(void **state)
{
    static const char *const args[ARGS] = {
        "--source", "mesh", "--default-mtls=strict", "--listen", "[::1]:0"};
    struct controller_config c;
    struct error e = {""};
    bool help;

    (void)state;
    assert_int_equal(load(&c, &help, &e, args), OK);
    assert_true(slice_eq(c.source, SLICE("mesh")));
    assert_true(slice_eq(c.trust_domain, SLICE("cluster.local")));
    assert_int_equal(c.default_mtls_mode, MTLS_STRICT);
    assert_int_equal(c.max_subscriptions, 10000);
    assert_true(address_is_loopback(&c.admin_address));
}

static void bad_values_are_named(void **state)
{
    static const char *const rows[][ARGS] = {
        {"--admin", "0.0.0.0:1", NULL},
        {"--admin", "10.1.1.1:80", NULL},
        {"--admin", "localhost", NULL},
        {"--listen", "8443", NULL},
        {"--state", "", NULL},
        {"--trust-domain", "Cluster.Local", NULL},
        {"--default-mtls", "off", NULL},
        {"--cert-life", "1s", NULL},
        {"--cert-life", "soon", NULL},
        {"--root-deadline", "1m", "--kubernetes", NULL},
        {"--stale-after", "24h", "--kubernetes", NULL},
        {"--root-life", "269h", "--kubernetes", NULL},
        {"--issue-rate", "0", NULL},
        {"--max-subscriptions", "0", NULL},
        {"--no-such-setting", "1", NULL},
        {"--source", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct controller_config c;
        struct error e = {""};
        bool help;

        assert_int_equal(load(&c, &help, &e, rows[i]), ERR_INVALID);
        /* "--cert-life" or "TULLE_CONTROLLER_..." or "cert_life" */
        if (!strstr(e.text, rows[i][0] + 2))
            fail_msg("'%s' does not name %s", e.text, rows[i][0]);
    }
}

/* A fifth of a root's life must be enough to change it; nobody changes the root of
 * a folder, or somebody else's. */
static void a_root_lives_long_enough_to_be_changed(void **state)
{
    static const char *const good[][ARGS] = {
        {"--kubernetes", "--root-life", "270h"},
        {"--source", "x", "--root-life", "25h"},
        {"--kubernetes", "--root-life", "25h", "--issuer-secret", "mine"},
        {"--kubernetes", "--root-life=280s", "--root-deadline=30s",
         "--cert-life=10s", "--stale-after=16s", "--root-settle=1s"},
    };
    struct controller_config c;
    struct root_rules rules;
    struct error e = {""};
    bool help;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (load(&c, &help, &e, good[i]))
            fail_msg("%zu: %s", i, e.text);
    assert_int_equal(load(&c, &help, &e, good[0]), OK);
    assert_int_equal(controller_root_rules(&c, &rules, &e), OK);
    assert_int_equal(rules.settle, 210); /* three minutes, and a sixth */
    assert_int_equal(rules.retire, 30 * 3600);
}

static void exactly_one_source(void **state)
{
    static const struct {
        const char *args[ARGS];
        bool good;
    } rows[] = {
        {{NULL}, false},
        {{"--source", "mesh"}, true},
        {{"--kubernetes"}, true},
        {{"--kubernetes", "--listen", "[::1]:0"}, true},
        {{"--kubernetes=true"}, true},
        {{"--kubernetes", "false"}, false},
        {{"--kubeconfig", "file"}, true},
        {{"--kubernetes", "--kubeconfig", "file"}, false},
        {{"--source", "mesh", "--kubernetes"}, false},
        {{"--source", "mesh", "--kubeconfig", "file"}, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct controller_config c;
        struct error e = {""};
        bool help;

        if (rows[i].good != !load(&c, &help, &e, rows[i].args))
            fail_msg("row %zu: '%s'", i, e.text);
        assert_true(rows[i].good || strstr(e.text, "--kubernetes"));
    }
}

static void help_needs_nothing_else(void **state)
{
    static const char *const args[ARGS] = {"--help"};
    struct controller_config c;
    struct error e;
    bool help;

    (void)state;
    assert_int_equal(load(&c, &help, &e, args), OK);
    assert_true(help);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_and_flags),
        cmocka_unit_test(bad_values_are_named),
        cmocka_unit_test(a_root_lives_long_enough_to_be_changed),
        cmocka_unit_test(exactly_one_source),
        cmocka_unit_test(help_needs_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
