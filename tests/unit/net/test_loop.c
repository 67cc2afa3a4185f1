/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/net/loop.h"

struct rig {
    struct loop loop;
    unsigned freed;
};

static void rig_init(struct rig *r)
{
    struct error e;
    *r = (struct rig){0};
    assert_int_equal(loop_init(&r->loop, 4, &e), OK);
    r->loop.owner = r;
}

static void turn(struct rig *r)
{
    uv_run(&r->loop.uv, UV_RUN_NOWAIT);
}

/* ---- flush ---- */

struct marked {
    struct flush flush;
    struct rig *rig;
    struct marked *next; /* marked by our flush */
    unsigned runs, left; /* how often we mark ourselves again */
};

static void on_flush(struct flush *f)
{
    struct marked *m = CONTAINER_OF(f, struct marked, flush);
    m->runs++;
    if (m->next)
        loop_flush_later(&m->rig->loop, &m->next->flush);
    if (m->left) {
        m->left--;
        loop_flush_later(&m->rig->loop, &m->flush);
    }
}

static void marked_init(struct marked *m, struct rig *r)
{
    *m = (struct marked){.rig = r};
    flush_init(&m->flush, on_flush);
}

static void test_flush(void **state)
{
    struct marked a, b, c;
    struct rig r;
    (void)state;
    rig_init(&r);
    marked_init(&a, &r);
    marked_init(&b, &r);
    marked_init(&c, &r);
    a.next = &b;
    loop_flush_later(&r.loop, &a.flush);
    loop_flush_later(&r.loop, &a.flush);
    loop_flush_later(&r.loop, &c.flush);
    flush_cancel(&c.flush);
    flush_cancel(&c.flush);
    assert_int_equal(a.runs, 0);
    turn(&r);
    assert_int_equal(a.runs, 1);
    assert_int_equal(b.runs, 1); /* in the same pass */
    assert_int_equal(c.runs, 0);
    turn(&r);
    assert_int_equal(a.runs, 1);
    loop_fini(&r.loop);
}

/* Two that mark each other for ever: the pass ends all the same, and the rest
 * does not wait for an event. */
static void test_flush_rounds(void **state)
{
    struct marked a, b;
    struct rig r;
    (void)state;
    rig_init(&r);
    marked_init(&a, &r);
    marked_init(&b, &r);
    a.next = &b;
    a.left = 1000;
    loop_flush_later(&r.loop, &a.flush);
    turn(&r);
    assert_int_equal(a.runs, 64);
    while (a.left > 64)
        uv_run(&r.loop.uv, UV_RUN_ONCE); /* would hang without a wake-up */
    uv_run(&r.loop.uv, UV_RUN_NOWAIT);
    assert_int_equal(a.runs, 1001);
    loop_fini(&r.loop);
}

/* ---- reap ---- */

struct reaped {
    struct reap reap;
    struct rig *rig;
    struct reaped *other;
};

static void on_reap(struct reap *p)
{
    struct reaped *x = CONTAINER_OF(p, struct reaped, reap);
    x->rig->freed++;
    if (x->other)
        loop_reap(&x->rig->loop, &x->other->reap, on_reap);
    mem_free(x);
}

static void test_reap(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    struct reaped *a = MEM_NEW(struct reaped), *b = MEM_NEW(struct reaped);
    a->rig = b->rig = &r;
    a->other = b;
    loop_reap(&r.loop, &a->reap, on_reap);
    assert_int_equal(r.freed, 0);
    turn(&r);
    assert_int_equal(r.freed, 2);
    a = MEM_NEW(struct reaped);
    a->rig = &r;
    loop_reap(&r.loop, &a->reap, on_reap);
    loop_fini(&r.loop); /* also frees */
    assert_int_equal(r.freed, 3);
}

/* ---- posts ---- */

enum { POSTS = 20000, THREADS = 4 };

struct numbered {
    struct post post;
    struct rig *rig;
    int thread, number;
    int *expected; /* the next number of that thread */
    unsigned *seen;
};

static void on_post(struct post *p)
{
    struct numbered *n = CONTAINER_OF(p, struct numbered, post);
    assert_int_equal(n->number, n->expected[n->thread]);
    n->expected[n->thread]++;
    if (++*n->seen == POSTS * THREADS)
        loop_stop(&n->rig->loop);
}

static void *poster(void *arg)
{
    struct numbered *all = arg;
    for (int i = 0; i < POSTS; i++)
        loop_post(&all[i].rig->loop, &all[i].post);
    return NULL;
}

static void test_posts(void **state)
{
    static struct numbered all[THREADS][POSTS];
    pthread_t threads[THREADS];
    int expected[THREADS] = {0};
    unsigned seen = 0;
    struct rig r;
    (void)state;
    rig_init(&r);
    for (int t = 0; t < THREADS; t++) {
        for (int i = 0; i < POSTS; i++)
            all[t][i] = (struct numbered){.post.run = on_post,
                                          .rig = &r,
                                          .thread = t,
                                          .number = i,
                                          .expected = expected,
                                          .seen = &seen};
        assert_int_equal(pthread_create(&threads[t], NULL, poster, all[t]), 0);
    }
    loop_run(&r.loop);
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    assert_int_equal(seen, POSTS * THREADS);
    loop_fini(&r.loop);
}

/* Posted, and the loop never ran again: it still runs once. */
static void on_last_post(struct post *p)
{
    struct numbered *n = CONTAINER_OF(p, struct numbered, post);
    ++*n->seen;
}

static void test_post_and_fini(void **state)
{
    unsigned seen = 0;
    struct rig r;
    (void)state;
    rig_init(&r);
    struct numbered n = {.post.run = on_last_post, .seen = &seen};
    loop_post(&r.loop, &n.post);
    loop_fini(&r.loop);
    assert_int_equal(seen, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flush),
        cmocka_unit_test(test_flush_rounds),
        cmocka_unit_test(test_reap),
        cmocka_unit_test(test_posts),
        cmocka_unit_test(test_post_and_fini),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
