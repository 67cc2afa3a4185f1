/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"

static struct log_area link_area = LOG_AREA("link");
static struct log_area tls_area = LOG_AREA("tls");
static struct log on_link = {&link_area, 0}, on_tls = {&tls_area, 12};

static char last[4096];
static size_t last_len, lines;

static void on_line(void *arg, slice line)
{
    assert_ptr_equal(arg, last);
    assert_true(line.len < sizeof last);
    memcpy(last, line.ptr, line.len);
    last[last_len = line.len] = 0;
    lines++;
}

static int set_up(void **state)
{
    (void)state;
    lines = last_len = 0;
    log_set_json(false);
    log_set_sink(on_line, last);
    return log_set_levels(SLICE("info"), NULL);
}

/* The line behind its 24 characters of time. */
static const char *line(void)
{
    assert_true(last_len > 24);
    assert_int_equal(last[10], 'T');
    assert_int_equal(last[23], 'Z');
    return last + 24;
}

static void writes_text(void **state)
{
    (void)state;
    log_info(&on_link, "listening", "port=%d", 80);
    assert_string_equal(line(), " info link - \"listening\" port=80\n");
    log_error(&on_tls, "failed", "");
    assert_string_equal(line(), " error tls 12 \"failed\"\n");
    log_info(&on_tls, "x", "why=" LOG_QUOTED, FMT(SLICE("a\nb \x1b[0m")));
    assert_string_equal(line(),
                        " info tls 12 \"x\" why=\"a\\x0ab \\x1b[0m\"\n");
    assert_int_equal(lines, 3);
    log_debug(&on_tls, "quiet", "");
    assert_int_equal(lines, 3);
}

static const char *member(const cJSON *o, const char *name)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItem(o, name));

    return s ? s : "(none)";
}

static void writes_json(void **state)
{
    cJSON *o;

    (void)state;
    log_set_json(true);
    log_warn(&on_tls, "odd",
             "a=%d b=" LOG_QUOTED " c= d=two words e=\"\xff\" f=", 1,
             FMT(SLICE("x \" y\n")));
    assert_int_equal(last[last_len - 1], '\n');
    o = cJSON_Parse(last);
    assert_non_null(o);
    assert_int_equal(strlen(member(o, "time")), 24);
    assert_string_equal(member(o, "level"), "warn");
    assert_string_equal(member(o, "area"), "tls");
    assert_int_equal(cJSON_GetObjectItem(o, "id")->valueint, 12);
    assert_string_equal(member(o, "message"), "odd");
    assert_string_equal(member(o, "a"), "1");
    assert_string_equal(member(o, "c"), "");
    assert_string_equal(member(o, "d"), "two words");
    assert_string_equal(member(o, "e"), "\xef\xbf\xbd");
    assert_string_equal(member(o, "f"), "");
    cJSON_Delete(o);
    log_info(&on_link, "m", "no facts here");
    o = cJSON_Parse(last);
    assert_null(cJSON_GetObjectItem(o, "id"));
    assert_string_equal(member(o, "facts"), "no facts here");
    cJSON_Delete(o);
}

static void cuts_long_lines(void **state)
{
    char many[3001];
    cJSON *o;

    (void)state;
    memset(many, 'a', sizeof many - 1);
    many[sizeof many - 1] = 0;
    log_info(&on_link, "long", "k=%s", many);
    assert_true(last_len <= 2000 && last_len > 1980);
    assert_string_equal(last + last_len - 7, "aaa...\n");
    log_set_json(true);
    log_info(&on_link, "long", "a=1 k=%s", many);
    assert_true(last_len <= 2000);
    o = cJSON_Parse(last);
    assert_non_null(o);
    assert_string_equal(member(o, "a"), "1");
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(o, "cut")));
    cJSON_Delete(o);
}

/* Whatever is in the facts, a line is one line and one object. */
static void takes_any_facts(void **state)
{
    static const char bytes[] = "a= \"\\\n\xc3";
    const size_t kinds = sizeof bytes - 1;

    (void)state;
    for (size_t i = 0; i < kinds * kinds * kinds * kinds * kinds; i++) {
        char facts[6] = {0};
        size_t code = i;
        cJSON *o;

        for (int j = 0; j < 5; j++, code /= kinds)
            facts[j] = bytes[code % kinds];
        log_set_json(true);
        log_info(&on_link, "m", "%s", facts);
        assert_ptr_equal(strchr(last, '\n'), last + last_len - 1);
        o = cJSON_Parse(last);
        assert_non_null(o);
        cJSON_Delete(o);
        log_set_json(false);
        log_info(&on_link, "m", "%s", facts);
        assert_ptr_equal(strchr(last, '\n'), last + last_len - 1);
    }
}

static void sets_levels(void **state)
{
    static struct log_area later = LOG_AREA("later");
    struct log on_later = {&later, 0};
    struct error e;
    char spec[64];

    (void)state;
    assert_false(log_on(&on_tls, LOG_DEBUG));
    assert_int_equal(log_set_levels(SLICE("warn,tls=trace, later=debug"), &e),
                     OK);
    assert_true(log_on(&on_tls, LOG_TRACE));
    assert_true(log_on(&on_link, LOG_WARN));
    assert_false(log_on(&on_link, LOG_INFO));
    assert_true(log_on(&on_later, LOG_DEBUG));
    assert_false(log_on(&on_later, LOG_TRACE));
    log_get_levels(spec, sizeof spec);
    assert_string_equal(spec, "warn,tls=trace, later=debug");
    assert_int_equal(log_set_levels(SLICE("info,tls=loud"), &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "'loud' is not a log level"));
    assert_int_equal(log_set_levels(SLICE("=info"), &e), ERR_INVALID);
    assert_int_equal(log_set_levels(SLICE(""), &e), ERR_INVALID);
    assert_true(log_on(&on_tls, LOG_TRACE)); /* as before */
    log_get_levels(spec, 5);
    assert_string_equal(spec, "warn");
}

static void *speak(void *arg)
{
    static struct log_area fresh = LOG_AREA("fresh");
    struct log log = {&fresh, 1};
    size_t *on = arg;

    for (int i = 0; i < 1000; i++)
        *on += log_on(&log, LOG_WARN);
    return NULL;
}

static void registers_from_many_threads(void **state)
{
    size_t on[4] = {0};
    pthread_t t[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, speak, &on[i]), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(
            log_set_levels(i % 2 ? SLICE("info") : SLICE("warn"), NULL), OK);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(t[i], NULL), 0);
        assert_int_equal(on[i], 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(writes_text, set_up),
        cmocka_unit_test_setup(writes_json, set_up),
        cmocka_unit_test_setup(cuts_long_lines, set_up),
        cmocka_unit_test_setup(takes_any_facts, set_up),
        cmocka_unit_test_setup(sets_levels, set_up),
        cmocka_unit_test_setup(registers_from_many_threads, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
