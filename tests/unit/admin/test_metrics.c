/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>

#include "lib/admin/metrics.h"
#include "lib/base/mem.h"

/* What a program does with its metrics.def. */
#define TABLE                                                             \
    X(COUNTER, REQUESTS, "requests_total", "service,status", "Answered.") \
    X(GAUGE, OPEN, "open", "", "Now open.")                               \
    X(HISTOGRAM, SECONDS, "seconds", "service", "Back\\slash and\nline.") \
    X(HISTOGRAM, SIZES, "sizes", "", "Sizes.")                            \
    X(COUNTER, QUIET, "quiet_total", "who", "Never touched.")

#define X(kind, id, name, labels, help) id,
enum id { TABLE IDS };
#undef X
#define X METRIC_FAMILY
static const struct metric_family families[IDS] = {TABLE};
#undef X

static const double three[] = {0.5, 1, 2.5}, two[] = {100, 1e6};

struct fixture {
    struct metrics_registry *r;
    struct metrics *m;
    size_t used;
};

static void setup(struct fixture *f, unsigned family, unsigned total)
{
    struct metrics_limits limits = {family, total};

    f->used = mem_used();
    f->r = metrics_registry_new(families, IDS, &limits);
    metrics_set_bounds(f->r, SECONDS, three, 3);
    metrics_set_bounds(f->r, SIZES, two, 2);
    f->m = metrics_new(f->r);
}

static void teardown(struct fixture *f)
{
    metrics_free(f->m);
    metrics_registry_free(f->r);
    assert_int_equal(mem_used(), f->used);
}

static void renders(const struct fixture *f, const char *want)
{
    struct text t;

    text_init(&t, 1 << 20);
    assert_int_equal(metrics_render(f->r, &t), OK);
    assert_string_equal(text_cstr(&t), want);
    text_fini(&t);
}

static const char overflow_head[] =
    "# HELP tulle_metrics_overflow_total Look-ups that were given the series "
    "\"other\" because there were too many series.\n"
    "# TYPE tulle_metrics_overflow_total counter\n";

static void writes_the_exposition(void **state)
{
    struct fixture f;
    struct series *s;
    char want[4096];

    (void)state;
    setup(&f, 10, 10);
    s = METRICS_SERIES(f.m, REQUESTS, SLICE("shop/web"), SLICE("503"));
    series_add(s, 41);
    series_inc(s);
    assert_int_equal(series_value(s), 42);
    series_unref(s);
    s = METRICS_SERIES(f.m, REQUESTS, SLICE("a\\b\"c\nd\x01\xc3"), SLICE(""));
    series_unref(s);
    s = metrics_series(f.m, OPEN, NULL, 0);
    series_set(s, 3);
    series_move(s, -5);
    assert_int_equal(series_value(s), -2);
    series_unref(s);
    s = METRICS_SERIES(f.m, SECONDS, SLICE("shop/web"));
    series_observe(s, 0.5); /* bounds are inclusive */
    series_observe(s, 0.75);
    series_observe(s, 2);
    series_observe(s, 99);
    assert_int_equal(series_value(s), 4);
    series_unref(s);
    snprintf(want, sizeof want, "%s%s",
             "# HELP requests_total Answered.\n"
             "# TYPE requests_total counter\n"
             "requests_total{service=\"a\\\\b\\\"c\\nd??\",status=\"\"} 0\n"
             "requests_total{service=\"shop/web\",status=\"503\"} 42\n"
             "# HELP open Now open.\n"
             "# TYPE open gauge\n"
             "open -2\n"
             "# HELP seconds Back\\\\slash and\\nline.\n"
             "# TYPE seconds histogram\n"
             "seconds_bucket{service=\"shop/web\",le=\"0.5\"} 1\n"
             "seconds_bucket{service=\"shop/web\",le=\"1\"} 2\n"
             "seconds_bucket{service=\"shop/web\",le=\"2.5\"} 3\n"
             "seconds_bucket{service=\"shop/web\",le=\"+Inf\"} 4\n"
             "seconds_sum{service=\"shop/web\"} 102.25\n"
             "seconds_count{service=\"shop/web\"} 4\n"
             "# HELP sizes Sizes.\n"
             "# TYPE sizes histogram\n"
             "sizes_bucket{le=\"100\"} 0\n"
             "sizes_bucket{le=\"1000000\"} 0\n"
             "sizes_bucket{le=\"+Inf\"} 0\n"
             "sizes_sum 0\n"
             "sizes_count 0\n",
             overflow_head);
    renders(&f, want);
    teardown(&f);
}

static void threads_are_summed(void **state)
{
    struct fixture f;
    struct metrics *other;
    struct series *s;
    struct text t;

    (void)state;
    setup(&f, 10, 10);
    other = metrics_new(f.r);
    series_add(METRICS_SERIES(f.m, REQUESTS, SLICE("a"), SLICE("1")), 5);
    series_add(METRICS_SERIES(other, REQUESTS, SLICE("a"), SLICE("1")), 6);
    series_add(METRICS_SERIES(other, REQUESTS, SLICE("b"), SLICE("1")), 7);
    series_set(metrics_series(f.m, OPEN, NULL, 0), 10);
    series_set(metrics_series(other, OPEN, NULL, 0), -4);
    series_observe(METRICS_SERIES(f.m, SECONDS, SLICE("a")), 1);
    s = METRICS_SERIES(other, SECONDS, SLICE("a"));
    series_observe(s, 0.25);
    series_observe(s, NAN);
    series_observe(s, -1);
    series_observe(s, INFINITY);
    text_init(&t, 1 << 20);
    assert_int_equal(metrics_render(f.r, &t), OK);
    assert_non_null(strstr(text_cstr(&t), "{service=\"a\",status=\"1\"} 11\n"));
    assert_non_null(strstr(text_cstr(&t), "{service=\"b\",status=\"1\"} 7\n"));
    assert_non_null(strstr(text_cstr(&t), "\nopen 6\n"));
    assert_non_null(strstr(text_cstr(&t), "le=\"0.5\"} 3\n"));
    assert_non_null(strstr(text_cstr(&t), "seconds_count{service=\"a\"} 5\n"));
    assert_null(strstr(text_cstr(&t), "inf"));
    metrics_free(other);
    text_clear(&t);
    assert_int_equal(metrics_render(f.r, &t), OK);
    assert_non_null(strstr(text_cstr(&t), "\nopen 10\n"));
    text_fini(&t);
    teardown(&f);
}

static void the_same_values_are_the_same_series(void **state)
{
    struct fixture f;
    struct series *a, *b;

    (void)state;
    setup(&f, 10, 10);
    a = METRICS_SERIES(f.m, REQUESTS, SLICE("a"), SLICE("b"));
    b = METRICS_SERIES(f.m, REQUESTS, SLICE("a"), SLICE("b"));
    assert_ptr_equal(a, b);
    /* Quoting keeps apart what joins to the same text. */
    b = METRICS_SERIES(f.m, REQUESTS, SLICE("a\",status=\"b"), SLICE("b"));
    assert_ptr_not_equal(a, b);
    assert_int_equal(metrics_count(f.m), 4); /* two have no labels */
    teardown(&f);
}

static void too_many_become_other(void **state)
{
    struct fixture f;
    struct series *s, *other = NULL;
    struct text t;
    char name[24];

    (void)state;
    setup(&f, 3, 5);
    for (int i = 0; i < 10; i++) {
        slice service = slice_of(name,
                                 (size_t)snprintf(name, sizeof name, "s%d", i));

        s = METRICS_SERIES(f.m, REQUESTS, service, SLICE("200"));
        series_inc(s);
        if (i == 3)
            other = s;
        assert_true(i < 3 || s == other);
        series_unref(s);
    }
    assert_int_equal(series_value(other), 7);
    /* Two more of another family, then the total is reached too. */
    for (int i = 0; i < 4; i++) {
        slice who = slice_of(name,
                             (size_t)snprintf(name, sizeof name, "w%d", i));

        series_unref(METRICS_SERIES(f.m, QUIET, who));
    }
    text_init(&t, 1 << 20);
    assert_int_equal(metrics_render(f.r, &t), OK);
    assert_non_null(strstr(
        text_cstr(&t), "\nrequests_total{service=\"other\",status=\"other\"} "
                       "7\n"));
    assert_non_null(strstr(text_cstr(&t),
                           "\ntulle_metrics_overflow_total{family=\"requests_"
                           "total\"} 7\n"
                           "tulle_metrics_overflow_total{family=\"quiet_"
                           "total\"} 2\n"));
    text_fini(&t);
    /* Those known keep their series. */
    s = METRICS_SERIES(f.m, REQUESTS, SLICE("s1"), SLICE("200"));
    assert_int_equal(series_value(s), 1);
    teardown(&f);
}

static void idle_ones_are_dropped(void **state)
{
    struct fixture f;
    struct series *held, *s;

    (void)state;
    setup(&f, 2, 10);
    held = METRICS_SERIES(f.m, REQUESTS, SLICE("held"), SLICE("1"));
    s = METRICS_SERIES(f.m, REQUESTS, SLICE("idle"), SLICE("1"));
    series_inc(s);
    series_unref(s);
    /* The overflow series stays for ever. */
    series_unref(METRICS_SERIES(f.m, REQUESTS, SLICE("third"), SLICE("1")));
    assert_int_equal(metrics_count(f.m), 5);
    assert_int_equal(metrics_drop_idle(f.m), 0);
    /* Looked up meanwhile: not idle. */
    series_unref(METRICS_SERIES(f.m, REQUESTS, SLICE("idle"), SLICE("1")));
    assert_int_equal(metrics_drop_idle(f.m), 0);
    assert_int_equal(metrics_drop_idle(f.m), 1);
    assert_int_equal(metrics_count(f.m), 4);
    series_inc(held);
    /* There is room again, and it starts anew. */
    s = METRICS_SERIES(f.m, REQUESTS, SLICE("idle"), SLICE("1"));
    assert_int_equal(series_value(s), 0);
    series_unref(s);
    series_unref(held);
    series_unref(NULL);
    assert_int_equal(metrics_drop_idle(f.m), 0);
    assert_int_equal(metrics_drop_idle(f.m), 2);
    assert_int_equal(metrics_drop_idle(f.m), 0);
    teardown(&f);
}

static void long_values_are_cut(void **state)
{
    static char big[100000];
    struct fixture f;
    struct series *a, *b;
    struct text t;

    (void)state;
    memset(big, '"', sizeof big);
    setup(&f, 10, 10);
    a = METRICS_SERIES(f.m, REQUESTS, slice_of(big, sizeof big),
                       slice_of(big, sizeof big));
    b = METRICS_SERIES(f.m, REQUESTS, slice_of(big, METRIC_VALUE_MAX),
                       slice_of(big, sizeof big));
    assert_ptr_equal(a, b);
    text_init(&t, 400);
    assert_int_equal(metrics_render(f.r, &t), ERR_TOO_BIG);
    text_fini(&t);
    teardown(&f);
}

static void *count_a_lot(void *arg)
{
    struct metrics_registry *r = arg;
    struct metrics *m = metrics_new(r);
    char name[24];

    for (int i = 0; i < 2000; i++) {
        slice who =
            slice_of(name, (size_t)snprintf(name, sizeof name, "w%d", i % 50));
        struct series *s = METRICS_SERIES(m, QUIET, who);

        series_inc(s);
        series_unref(s);
        if (i % 500 == 0)
            metrics_drop_idle(m);
    }
    return m;
}

/* For the thread sanitizer; and the sums never go backwards or get lost. */
static void scraped_while_counting(void **state)
{
    struct fixture f;
    pthread_t threads[2];
    void *made[2];
    struct text t;

    (void)state;
    setup(&f, 100, 100);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_a_lot, f.r),
                         0);
    text_init(&t, 1 << 20);
    for (int i = 0; i < 50; i++) {
        text_clear(&t);
        assert_int_equal(metrics_render(f.r, &t), OK);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], &made[i]), 0);
    text_clear(&t);
    assert_int_equal(metrics_render(f.r, &t), OK);
    assert_non_null(strstr(text_cstr(&t), "\nquiet_total{who=\"w7\"} 80\n"));
    text_fini(&t);
    for (int i = 0; i < 2; i++)
        metrics_free(made[i]);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_exposition),
        cmocka_unit_test(threads_are_summed),
        cmocka_unit_test(the_same_values_are_the_same_series),
        cmocka_unit_test(too_many_become_other),
        cmocka_unit_test(idle_ones_are_dropped),
        cmocka_unit_test(long_values_are_cut),
        cmocka_unit_test(scraped_while_counting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
