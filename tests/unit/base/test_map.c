/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"

static slice key_of(size_t i, char buf[24])
{
    return slice_of(buf, (size_t)snprintf(buf, 24, "key-%zu", i));
}

static void puts_and_gets(void **state)
{
    char name[] = "a", one, two;
    struct map m;

    (void)state;
    map_init(&m);
    assert_null(map_get(&m, SLICE("a")));
    assert_null(map_del(&m, SLICE("a")));
    assert_null(map_put(&m, slice_str(name), &one));
    name[0] = 'x'; /* the key was copied */
    assert_ptr_equal(map_get(&m, SLICE("a")), &one);
    assert_ptr_equal(map_put(&m, SLICE("a"), &two), &one);
    assert_int_equal(m.len, 1);
    assert_null(map_put(&m, SLICE_NONE, &one));
    assert_ptr_equal(map_get(&m, SLICE("")), &one);
    assert_null(map_put(&m, SLICE("a\0b"), &one));
    assert_ptr_equal(map_del(&m, SLICE("a")), &two);
    assert_ptr_equal(map_get(&m, SLICE("a\0b")), &one);
    assert_null(map_get(&m, SLICE("a")));
    map_fini(&m);
    assert_int_equal(m.len, 0);
}

/* Against a plain array, with a fixed seed. */
static void behaves_like_an_array(void **state)
{
    enum { KEYS = 500 };
    static char here[KEYS];
    size_t len = 0, before = mem_used();
    struct map m;
    struct rand r;
    char buf[24];

    (void)state;
    rand_seed(&r, 2);
    map_init(&m);
    for (int turn = 0; turn < 50000; turn++) {
        /* Grows for a while, then shrinks, and so on. */
        size_t i = rand_below(&r, KEYS);
        bool add = rand_below(&r, 10) < (turn / 5000 % 2 ? 2u : 8u);
        void *was = here[i] ? &here[i] : NULL;

        assert_ptr_equal(map_get(&m, key_of(i, buf)), was);
        if (add)
            assert_ptr_equal(map_put(&m, key_of(i, buf), &here[i]), was);
        else
            assert_ptr_equal(map_del(&m, key_of(i, buf)), was);
        len = len - (was != NULL) + add;
        here[i] = add;
        assert_int_equal(m.len, len);
        assert_true(m.cap == 0 || (m.len + m.dead) * 4 <= m.cap * 3);
    }
    map_fini(&m);
    assert_int_equal(mem_used(), before);
}

static void shrinks(void **state)
{
    struct map m;
    char buf[24], value;

    (void)state;
    map_init(&m);
    for (size_t i = 0; i < 10000; i++)
        map_put(&m, key_of(i, buf), &value);
    assert_true(m.cap >= 10000);
    for (size_t i = 0; i < 9990; i++)
        map_del(&m, key_of(i, buf));
    for (size_t i = 0; i < 30000; i++) {
        map_put(&m, key_of(i, buf), &value);
        map_del(&m, key_of(i, buf));
    }
    for (size_t i = 0; i < 10000; i++)
        map_del(&m, key_of(i, buf));
    assert_int_equal(m.len, 0);
    assert_true(m.cap <= 64);
    map_fini(&m);
}

static void walks_and_deletes(void **state)
{
    static char seen[1000];
    size_t at = 0, n = 0;
    struct map m;
    char buf[24];
    void *value;
    slice key;

    (void)state;
    map_init(&m);
    assert_false(map_next(&m, &at, &key, &value));
    for (size_t i = 0; i < sizeof seen; i++)
        map_put(&m, key_of(i, buf), &seen[i]);
    at = 0;
    while (map_next(&m, &at, &key, &value)) {
        *(char *)value += 1;
        assert_ptr_equal(map_get(&m, key), value);
        assert_ptr_equal(map_del(&m, key), value);
        n++;
    }
    assert_int_equal(n, sizeof seen);
    for (size_t i = 0; i < sizeof seen; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(m.len, 0);
    map_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_and_gets),
        cmocka_unit_test(behaves_like_an_array),
        cmocka_unit_test(shrinks),
        cmocka_unit_test(walks_and_deletes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
