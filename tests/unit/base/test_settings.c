/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/settings.h"

#define ROWS(X)                                                              \
    X(TEXT, node_name, "T_NODE", "none", "The name of the node.")            \
    X(BOOL, tracing, "T_TRACING", "off", "Whether to trace.")                \
    X(UINT, workers, "T_WORKERS", "2", "How many workers.")                  \
    X(SIZE, max_head, "T_MAX_HEAD", "64Ki", "The largest head.")             \
    X(MSEC, detect_timeout, "T_DETECT_TIMEOUT", "50ms", "How long to wait.") \
    X(DOUBLE, retry_share, "T_RETRY_SHARE", "0.2", "Share of retries.")

struct config {
#define X(kind, name, env, def, help) SETTINGS_FIELD_##kind(name)
    ROWS(X)
#undef X
};

static const struct settings_row rows[] = {
#define X(kind, name, env, def, help) \
    SETTINGS_ROW(struct config, kind, name, env, def, help)
    ROWS(X)
#undef X
};
#define COUNT (sizeof rows / sizeof *rows)

static const char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

static const char *some_env(const char *name)
{
    if (slice_eq(slice_str(name), SLICE("T_NODE")))
        return "kind-1";
    if (slice_eq(slice_str(name), SLICE("T_MAX_HEAD")))
        return "1Mi";
    return NULL;
}

static const char *bad_env(const char *name)
{
    return slice_eq(slice_str(name), SLICE("T_DETECT_TIMEOUT")) ? "abc" : NULL;
}

static void loads_defaults_and_environment(void **state)
{
    struct config c;
    struct error e;

    (void)state;
    assert_int_equal(settings_load(rows, COUNT, &c, no_env, &e), OK);
    assert_true(slice_eq(c.node_name, SLICE("none")));
    assert_false(c.tracing);
    assert_int_equal(c.workers, 2);
    assert_int_equal(c.max_head, 65536);
    assert_int_equal(c.detect_timeout, 50000000);
    assert_true(c.retry_share == 0.2);
    assert_int_equal(settings_load(rows, COUNT, &c, some_env, &e), OK);
    assert_true(slice_eq(c.node_name, SLICE("kind-1")));
    assert_int_equal(c.max_head, 1 << 20);
    assert_int_equal(settings_load(rows, COUNT, &c, bad_env, &e), ERR_INVALID);
    assert_string_equal(
        e.text, "T_DETECT_TIMEOUT: 'abc' is not a duration (like 50ms)");
    assert_int_equal(settings_load(rows, COUNT, &c, NULL, NULL), OK);
}

static void sets_by_name(void **state)
{
    struct config c;
    struct error e;

    (void)state;
    assert_int_equal(settings_load(rows, COUNT, &c, no_env, &e), OK);
    assert_int_equal(
        settings_set(rows, COUNT, &c, SLICE("detect-timeout"), SLICE("1s"), &e),
        OK);
    assert_int_equal(c.detect_timeout, 1000000000);
    assert_int_equal(
        settings_set(rows, COUNT, &c, SLICE("detect_timeout"), SLICE("2s"), &e),
        OK);
    assert_int_equal(c.detect_timeout, 2000000000);
    assert_int_equal(
        settings_set(rows, COUNT, &c, SLICE("detect"), SLICE("1s"), &e),
        ERR_NOT_FOUND);
    assert_int_equal(
        settings_set(rows, COUNT, &c, SLICE("workers"), SLICE("-1"), &e),
        ERR_INVALID);
    assert_string_equal(e.text,
                        "--workers: '-1' is not a whole number (like 100)");
    assert_int_equal(settings_set(rows, COUNT, &c, SLICE("workers"),
                                  SLICE("99999999999999999999"), &e),
                     ERR_TOO_BIG);
    assert_int_equal(c.workers, 2);
}

static void explains_itself(void **state)
{
    struct config c;
    struct text t;

    (void)state;
    text_init(&t, 4096);
    settings_help(rows, COUNT, &t);
    assert_non_null(strstr(text_cstr(&t),
                           "  --detect-timeout DURATION\n"
                           "      T_DETECT_TIMEOUT, default '50ms'\n"
                           "      How long to wait.\n"));
    text_clear(&t);
    assert_int_equal(settings_load(rows, COUNT, &c, no_env, NULL), OK);
    c.node_name = SLICE("a\"b");
    settings_json(rows, COUNT, &c, &t);
    assert_string_equal(text_cstr(&t),
                        "\"node_name\": \"a\\\"b\", \"tracing\": \"false\", "
                        "\"workers\": \"2\", \"max_head\": \"64Ki\", "
                        "\"detect_timeout\": \"50ms\", "
                        "\"retry_share\": \"0.2\"");
    text_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_defaults_and_environment),
        cmocka_unit_test(sets_by_name),
        cmocka_unit_test(explains_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
