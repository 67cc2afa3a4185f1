/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/arena.h"
#include "lib/base/mem.h"

static void gives_aligned_blocks(void **state)
{
    size_t before = mem_used();
    unsigned char *at[300];
    struct arena a;

    (void)state;
    arena_init(&a, 1 << 20);
    assert_int_equal(mem_used(), before);
    for (size_t i = 0; i < 300; i++) {
        at[i] = arena_alloc(&a, i);
        assert_non_null(at[i]);
        assert_int_equal((uintptr_t)at[i] % 16, 0);
        memset(at[i], (int)(i & 0xff), i);
    }
    for (size_t i = 0; i < 300; i++) {
        for (size_t j = 0; j < i; j++)
            assert_int_equal(at[i][j], i & 0xff);
    }
    arena_reset(&a);
    assert_int_equal(mem_used(), before);
    assert_non_null(arena_alloc(&a, 100000));
    assert_non_null(arena_alloc(&a, 1));
    arena_reset(&a);
    assert_int_equal(mem_used(), before);
}

static void starts_small(void **state)
{
    size_t before = mem_used();
    struct arena a;

    (void)state;
    arena_init(&a, 1 << 20);
    assert_non_null(arena_alloc(&a, 1));
    assert_true(mem_used() - before < 1200);
    arena_reset(&a);
}

static void refuses_beyond_the_limit(void **state)
{
    struct arena a;
    slice s = SLICE("x");
    void *one, *two;

    (void)state;
    arena_init(&a, 100);
    assert_null(arena_alloc(&a, 101));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_non_null(arena_alloc(&a, 96));
    assert_int_equal(arena_copy(&a, SLICE("hello"), &s), ERR_TOO_BIG);
    assert_true(slice_eq(s, SLICE("x")));
    assert_int_equal(arena_copy(&a, SLICE("four"), &s), OK);
    assert_true(slice_eq(s, SLICE("four")));
    assert_int_equal(arena_copy(&a, SLICE("x"), &s), ERR_TOO_BIG);
    assert_int_equal(arena_copy(&a, SLICE(""), &s), OK);
    assert_int_equal(s.len, 0);
    arena_reset(&a);
    assert_non_null(arena_alloc(&a, 100));
    arena_reset(&a);
    arena_init(&a, SIZE_MAX);
    assert_null(arena_alloc(&a, SIZE_MAX));
    one = arena_alloc(&a, 0);
    two = arena_alloc(&a, 0);
    assert_ptr_not_equal(one, two);
    arena_reset(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_aligned_blocks),
        cmocka_unit_test(starts_small),
        cmocka_unit_test(refuses_beyond_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
