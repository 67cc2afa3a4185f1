/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "lib/base/bufq.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"

static void queues_bytes(void **state)
{
    struct bufq_pool pool;
    struct iovec iov[4];
    struct bufq q;
    char copy[8];
    size_t bytes;

    (void)state;
    bufq_pool_init(&pool, 4);
    bufq_init(&q, &pool);
    assert_int_equal(bufq_front(&q).len, 0);
    assert_int_equal(bufq_peek(&q, iov, 4, &bytes), 0);
    bufq_add(&q, "hello", 5);
    bufq_add(&q, NULL, 0);
    bufq_add(&q, " you", 4);
    assert_true(slice_eq(bufq_front(&q), SLICE("hello you")));
    bufq_drop(&q, 2);
    assert_int_equal(q.len, 7);
    assert_int_equal(bufq_copy(&q, copy, sizeof copy), 7);
    assert_memory_equal(copy, "llo you", 7);
    assert_int_equal(bufq_copy(&q, copy, 3), 3);
    assert_int_equal(bufq_peek(&q, iov, 4, &bytes), 1);
    assert_int_equal(bytes, 7);
    bufq_drop(&q, 7);
    assert_null(q.head);
    assert_int_equal(pool.count, 1);
    bufq_fini(&q);
    bufq_pool_trim(&pool);
}

static void writes_in_place(void **state)
{
    struct bufq_pool pool;
    struct bufq q;
    size_t room;
    char *at;

    (void)state;
    bufq_pool_init(&pool, 1);
    bufq_init(&q, &pool);
    at = bufq_room(&q, BUFQ_CHUNK, &room);
    assert_int_equal(room, BUFQ_CHUNK);
    assert_ptr_equal(bufq_room(&q, 1, &room), at);
    bufq_wrote(&q, 0); /* nothing came: the chunk goes back */
    assert_null(q.head);
    assert_int_equal(pool.count, 1);
    assert_ptr_equal(bufq_room(&q, 1, &room), at); /* last freed first */
    memset(at, 'a', room - 10);
    bufq_wrote(&q, room - 10);
    bufq_room(&q, 10, &room);
    assert_int_equal(room, 10);
    assert_ptr_equal(q.head, q.tail);
    at = bufq_room(&q, 11, &room);
    assert_int_equal(room, BUFQ_CHUNK);
    assert_int_equal(bufq_front(&q).len, BUFQ_CHUNK - 10);
    bufq_wrote(&q, 0);
    assert_ptr_equal(q.head, q.tail);
    at = bufq_room(&q, 11, &room);
    at[0] = 'z';
    bufq_wrote(&q, 1);
    assert_int_equal(q.len, BUFQ_CHUNK - 9);
    bufq_drop(&q, BUFQ_CHUNK - 10);
    assert_true(slice_eq(bufq_front(&q), SLICE("z")));
    bufq_fini(&q);
    assert_int_equal(pool.count, 1); /* the cap */
    bufq_pool_trim(&pool);
    assert_int_equal(pool.count, 0);
}

static void moves_without_copying(void **state)
{
    struct bufq_pool pool;
    struct bufq a, b;
    const char *ptr;
    size_t room;

    (void)state;
    bufq_pool_init(&pool, 4);
    bufq_init(&a, &pool);
    bufq_init(&b, &pool);
    bufq_move(&a, &b);
    assert_int_equal(a.len, 0);
    bufq_add(&b, "two", 3);
    ptr = bufq_front(&b).ptr;
    bufq_room(&a, 1, &room); /* asked for and not used */
    bufq_move(&a, &b);
    assert_ptr_equal(bufq_front(&a).ptr, ptr);
    assert_int_equal(b.len, 0);
    assert_null(b.head);
    bufq_add(&b, "three", 5);
    bufq_move(&a, &b);
    assert_int_equal(a.len, 8);
    bufq_drop(&a, 3);
    assert_true(slice_eq(bufq_front(&a), SLICE("three")));
    bufq_fini(&a);
    bufq_fini(&b);
    bufq_pool_trim(&pool);
}

/* Against a plain array, with a fixed seed. */
static void behaves_like_an_array(void **state)
{
    enum { MODEL = 200000 };
    char *model = mem_alloc(MODEL), *out = mem_alloc(MODEL);
    size_t len = 0, before = mem_used(), bytes, n;
    struct bufq_pool pool;
    struct bufq q;
    struct rand r;

    (void)state;
    rand_seed(&r, 1);
    bufq_pool_init(&pool, 2);
    bufq_init(&q, &pool);
    for (int turn = 0; turn < 2000; turn++) {
        struct iovec iov[3];

        n = rand_below(&r, 40000);
        if (rand_below(&r, 2) && len + n <= MODEL) {
            for (size_t i = 0; i < n; i++)
                model[len + i] = (char)rand_u64(&r);
            bufq_add(&q, model + len, n);
            len += n;
        } else {
            n = n < len ? n : len;
            bufq_drop(&q, n);
            len -= n;
            memmove(model, model + n, len);
        }
        assert_int_equal(q.len, len);
        assert_int_equal(bufq_copy(&q, out, MODEL), len);
        assert_int_equal(memcmp(out, model, len), 0);
        n = (size_t)bufq_peek(&q, iov, 3, &bytes);
        for (size_t i = 0, at = 0; i < n; at += iov[i++].iov_len)
            assert_int_equal(
                memcmp(iov[i].iov_base, model + at, iov[i].iov_len), 0);
        assert_true(bytes <= len && (bytes == len || n == 3));
    }
    bufq_fini(&q);
    bufq_pool_trim(&pool);
    assert_int_equal(mem_used(), before);
    mem_free(model);
    mem_free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queues_bytes),
        cmocka_unit_test(writes_in_place),
        cmocka_unit_test(moves_without_copying),
        cmocka_unit_test(behaves_like_an_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
