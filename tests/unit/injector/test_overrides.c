/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/injector/pods.h"

#include "injector/overrides.h"
#include "lib/base/clock.h"
#include "lib/mesh/labels.h"

struct fixture {
    struct inject_settings site;
    struct arena arena;
    struct notes notes;
    struct overrides got;
    struct json_doc *pod, *ns;
    struct error e;
};

static enum status read(struct fixture *f, const char *pod, const char *ns)
{
    pod_settings(&f->site);
    arena_init(&f->arena, 1 << 20);
    notes_init(&f->notes, &f->arena);
    f->pod = pod_doc(pod);
    f->ns = pod_doc(ns);
    return overrides_read(&f->got, &f->site.defaults, json_root(f->pod),
                          json_root(f->ns), &f->notes, &f->e);
}

static void end(struct fixture *f)
{
    json_free(f->pod);
    json_free(f->ns);
    arena_reset(&f->arena);
}

static void is(slice have, const char *want)
{
    if (!slice_eq(have, slice_str(want)))
        fail_msg("'%.*s', not '%s'", FMT(have), want);
}

static void test_the_pod_wins(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(
        read(&f, "{'tulle.dev/workers':'4','tulle.dev/skip-outbound-ports':''}",
             "{'tulle.dev/workers':'2','tulle.dev/access-log':'true',"
             "'tulle.dev/skip-outbound-ports':'25'}"),
        OK);
    is(f.got.workers, "4");
    is(f.got.access_log, "true");
    is(f.got.skip_outbound_ports, ""); /* said, and none */
    is(f.got.proxy_log_level, "info"); /* nobody said */
    assert_int_equal(f.notes.len, 0);
    end(&f);
}

/* One spelling for each value. */
static void test_spelling(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(
        read(&f,
             "{'tulle.dev/skip-inbound-ports':' 22 , 8000-8010,9-9 ',"
             "'tulle.dev/skip-subnets':'10.1.2.3/8, fd00::1/12,192.0.2.1',"
             "'tulle.dev/proxy-cpu-request':'0.5',"
             "'tulle.dev/proxy-memory-limit':'1024Mi',"
             "'tulle.dev/proxy-log-level':'info,link=debug',"
             "'tulle.dev/shutdown-grace':'1m',"
             "'tulle.dev/detect-timeout':'100ms',"
             "'tulle.dev/proxy-image':'r:5000/a/proxy:1'}",
             "{}"),
        OK);
    is(f.got.skip_inbound_ports, "22,8000-8010,9");
    is(f.got.skip_subnets, "10.0.0.0/8,fd00::/12,192.0.2.1/32");
    is(f.got.proxy_cpu_request, "500m");
    is(f.got.proxy_memory_limit, "1Gi");
    is(f.got.proxy_log_level, "info,link=debug");
    is(f.got.proxy_image, "r:5000/a/proxy:1");
    assert_true(overrides_grace(&f.got) == 60 * NSEC_PER_SEC);
    end(&f);
}

struct bad {
    const char *annotation, *value;
};

static const struct bad bad_values[] = {
    {ANNOTATION_MTLS, "Strict"},
    {ANNOTATION_MTLS, ""},
    {ANNOTATION_SKIP_INBOUND_PORTS, "http"},
    {ANNOTATION_SKIP_INBOUND_PORTS, "0"},
    {ANNOTATION_SKIP_INBOUND_PORTS, "65536"},
    {ANNOTATION_SKIP_INBOUND_PORTS, "10-9"},
    {ANNOTATION_SKIP_OUTBOUND_PORTS, "1,,2"},
    {ANNOTATION_OPAQUE_PORTS, "1;2"},
    {ANNOTATION_SKIP_SUBNETS, "10.0.0.0/33"},
    {ANNOTATION_SKIP_SUBNETS, "10.0.0/8"},
    {ANNOTATION_SKIP_SUBNETS, "fd00::/129"},
    {ANNOTATION_SKIP_SUBNETS, "10.0.0.0/8,"},
    {ANNOTATION_SKIP_SUBNETS, "example.org"},
    {ANNOTATION_PROXY_CPU_REQUEST, "lots"},
    {ANNOTATION_PROXY_CPU_REQUEST, ""},
    {ANNOTATION_PROXY_CPU_LIMIT, "0"},
    {ANNOTATION_PROXY_MEMORY_REQUEST, "64MB"},
    {ANNOTATION_PROXY_MEMORY_LIMIT, "1"},
    {ANNOTATION_PROXY_LOG_LEVEL, "loud"},
    {ANNOTATION_PROXY_LOG_LEVEL, "info,Link=debug"},
    {ANNOTATION_PROXY_LOG_LEVEL, "info,"},
    {ANNOTATION_PROXY_IMAGE, "proxy"},
    {ANNOTATION_PROXY_IMAGE, "proxy:latest"},
    {ANNOTATION_PROXY_IMAGE, "proxy:1 --rm"},
    {ANNOTATION_PROXY_IMAGE, "proxy@sha256:abc"},
    {ANNOTATION_PROXY_IMAGE, "registry:5000/proxy"},
    {ANNOTATION_PROXY_IMAGE, ""},
    {ANNOTATION_ACCESS_LOG, "yes"},
    {ANNOTATION_WORKERS, "0"},
    {ANNOTATION_WORKERS, "65"},
    {ANNOTATION_WORKERS, "-1"},
    {ANNOTATION_SHUTDOWN_GRACE, "10"},
    {ANNOTATION_SHUTDOWN_GRACE, "2h"},
    {ANNOTATION_STOP_DELAY, "2"},
    {ANNOTATION_STOP_DELAY, "1500ms"},
    {ANNOTATION_STOP_DELAY, "61s"},
    {ANNOTATION_PATH_RULE, "merge"},
    {ANNOTATION_PATH_RULE, ""},
    {ANNOTATION_DETECT_TIMEOUT, "0s"},
    {ANNOTATION_DETECT_TIMEOUT, "1m"},
};

/* On a pod: refused, with annotation, value and what is expected. */
static void test_bad_on_the_pod(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_values / sizeof *bad_values; i++) {
        const struct bad *b = &bad_values[i];
        char pod[300], quoted[200];
        struct fixture f;

        snprintf(pod, sizeof pod, "{'%s':'%s'}", b->annotation, b->value);
        snprintf(quoted, sizeof quoted,
                 "annotation %s: '%s' is not valid; "
                 "expected ",
                 b->annotation, b->value);
        if (read(&f, pod, "{}") != ERR_INVALID)
            fail_msg("%s taken", pod);
        if (!strstr(f.e.text, quoted))
            fail_msg("%s", f.e.text);
        end(&f);
    }
}

static void same(const struct overrides *a, const struct overrides *b)
{
#define X(kind, field, annotation, whose, expects, help) \
    assert_true(slice_eq(a->field, b->field));
#include "injector/annotations.def"
#undef X
}

/* On a namespace: told, and what was there holds. */
static void test_bad_on_the_namespace(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_values / sizeof *bad_values; i++) {
        const struct bad *b = &bad_values[i];
        struct fixture f;
        char ns[300];

        snprintf(ns, sizeof ns, "{'%s':'%s'}", b->annotation, b->value);
        assert_int_equal(read(&f, "{}", ns), OK);
        assert_int_equal(f.notes.len, 1);
        assert_int_equal(f.notes.at[0].kind, NOTE_NAMESPACE);
        assert_non_null(strstr(f.notes.at[0].text.ptr, b->annotation));
        if (slice_eq(slice_str(b->annotation), SLICE(ANNOTATION_MTLS)))
            f.site.defaults.mtls = SLICE("strict"); /* fails closed */
        same(&f.got, &f.site.defaults);
        end(&f);
    }
}

static void test_bounds(void **state)
{
    struct text t;
    struct fixture f;

    (void)state;
    text_init(&t, 1 << 20);
    text_add(&t, SLICE("{'tulle.dev/skip-inbound-ports':'1"));
    for (int i = 0; i < 64; i++)
        text_add(&t, SLICE(",2"));
    text_add(&t, SLICE("'}"));
    assert_int_equal(read(&f, text_cstr(&t), "{}"), ERR_INVALID);
    is(slice_str(f.e.text),
       "annotation tulle.dev/skip-inbound-ports: more than 64 items");
    end(&f);
    text_clear(&t);
    text_add(&t, SLICE("{'tulle.dev/workers':'"));
    for (int i = 0; i < 1025; i++)
        text_add_char(&t, '1');
    text_add(&t, SLICE("'}"));
    assert_int_equal(read(&f, text_cstr(&t), "{}"), ERR_INVALID);
    is(slice_str(f.e.text), "annotation tulle.dev/workers: 1025 bytes, at most "
                            "1024 are allowed");
    end(&f);
    text_fini(&t);
}

static void test_unknown_is_a_warning(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(read(&f,
                          "{'tulle.dev/skip-inbound-port':'1','x':'y',"
                          "'tulle.dev/inject':'enabled',"
                          "'tulle.dev/injected':'1'}",
                          "{}"),
                     OK);
    assert_int_equal(f.notes.len, 1);
    assert_int_equal(f.notes.at[0].kind, NOTE_WARNING);
    is(f.notes.at[0].text,
       "annotation tulle.dev/skip-inbound-port: there is no such setting");
    end(&f);
}

/* A limit below a request that nobody wrote. */
static void test_limits_cut_requests(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(read(&f,
                          "{'tulle.dev/proxy-cpu-limit':'5m',"
                          "'tulle.dev/proxy-memory-limit':'16Mi'}",
                          "{}"),
                     OK);
    is(f.got.proxy_cpu_request, "5m");
    is(f.got.proxy_memory_request, "16Mi");
    end(&f);
}

static void test_defaults_are_checked(void **state)
{
    struct inject_settings s;
    struct arena arena;
    struct error e;

    (void)state;
    arena_init(&arena, 1 << 20);
    pod_settings(&s);
    s.defaults.proxy_cpu_request = SLICE("0.25");
    assert_int_equal(overrides_check(&s.defaults, &arena, &e), OK);
    is(s.defaults.proxy_cpu_request, "250m");
    s.defaults.workers = SLICE("many");
    assert_int_equal(overrides_check(&s.defaults, &arena, &e), ERR_INVALID);
    assert_string_equal(e.text, "workers: 'many' is not valid; expected a "
                                "number from 1 to 64");
    arena_reset(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_pod_wins),
        cmocka_unit_test(test_spelling),
        cmocka_unit_test(test_bad_on_the_pod),
        cmocka_unit_test(test_bad_on_the_namespace),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_unknown_is_a_warning),
        cmocka_unit_test(test_limits_cut_requests),
        cmocka_unit_test(test_defaults_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
