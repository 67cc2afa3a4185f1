/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "lib/base/mem.h"

static void counts_what_is_in_use(void **state)
{
    size_t before = mem_used(), n;
    char *p = mem_alloc(1000);

    (void)state;
    n = mem_used() - before;
    assert_true(n >= 1000 && n < 1100);
    p = mem_resize(p, 100000);
    assert_true(mem_used() - before >= 100000);
    p = mem_resize(p, 10);
    assert_true(mem_used() - before < 1100);
    mem_free(p);
    mem_free(NULL);
    assert_int_equal(mem_used(), before);
}

static void serves_libraries(void **state)
{
    size_t before = mem_used();
    char *p = mem_lib_calloc(3, 100);

    (void)state;
    assert_non_null(p);
    for (int i = 0; i < 300; i++)
        assert_int_equal(p[i], 0);
    p = mem_lib_realloc(p, 600);
    assert_non_null(p);
    assert_true(mem_used() - before >= 600);
    assert_null(mem_lib_realloc(p, 0));
    p = mem_lib_malloc(5);
    mem_lib_free(p);
    mem_lib_free(NULL);
    assert_int_equal(mem_used(), before);
}

static void gives_zeroes_and_copies(void **state)
{
    char *z = mem_zalloc(64), *s = mem_str(SLICE("abc")),
         *none = mem_str(SLICE_NONE), *a = mem_alloc(0), *b = mem_array(0, 9);

    (void)state;
    for (int i = 0; i < 64; i++)
        assert_int_equal(z[i], 0);
    assert_string_equal(s, "abc");
    assert_string_equal(none, "");
    assert_ptr_not_equal(a, b);
    mem_wipe(z, 64);
    mem_wipe(NULL, 0);
    mem_wipe_free(s, 3);
    mem_free(z);
    mem_free(none);
    mem_free(a);
    mem_free(b);
}

static void *take(void *arg)
{
    void **block = arg;

    mem_free(mem_alloc(70000));
    *block = mem_alloc(200000);
    return NULL;
}

/* A thread's balance outlives it, and another thread may free its blocks. */
static void sums_threads(void **state)
{
    size_t before = mem_used();
    void *blocks[4];
    pthread_t t[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, take, &blocks[i]), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    assert_true(mem_used() - before >= 800000);
    for (int i = 0; i < 4; i++)
        mem_free(blocks[i]);
    assert_int_equal(mem_used(), before);
}

static void *free_it(void *arg)
{
    mem_free(arg);
    return NULL;
}

static void knows_the_budget(void **state)
{
    char *big, *small;
    pthread_t t;

    (void)state;
    assert_false(mem_over_budget());
    mem_set_budget(mem_used() + 1000000);
    assert_false(mem_over_budget());
    big = mem_alloc(2000000);
    assert_true(mem_over_budget());
    assert_int_equal(pthread_create(&t, NULL, free_it, big), 0);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_false(mem_over_budget());

    /* Over by a little, then under by a little: seen at once. */
    small = mem_alloc(2000);
    mem_set_budget(mem_used() - 1000);
    assert_true(mem_over_budget());
    mem_free(small);
    assert_false(mem_over_budget());
    small = mem_alloc(10);
    mem_set_budget(1);
    assert_int_equal(mem_budget(), 1);
    assert_true(mem_over_budget());
    mem_set_budget(0);
    assert_false(mem_over_budget());
    mem_free(small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_what_is_in_use),
        cmocka_unit_test(serves_libraries),
        cmocka_unit_test(gives_zeroes_and_copies),
        cmocka_unit_test(sums_threads),
        cmocka_unit_test(knows_the_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
