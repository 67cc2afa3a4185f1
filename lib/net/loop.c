/* SPDX-License-Identifier: Apache-2.0 */
/* uv_prepare runs after the callbacks of a pass and before the loop waits: there
 * we flush what was marked and free what was reaped. */
#include "lib/net/loop.h"

#include <assert.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"

enum { FLUSH_ROUNDS = 64, FINI_PASSES = 1000 };

static void flush_all(struct loop *l)
{
    for (int round = 0; round < FLUSH_ROUNDS && !list_empty(&l->flushes);
         round++) {
        struct list marked;
        list_take(&marked, &l->flushes);
        struct list *node;
        while ((node = list_pop_front(&marked)) != NULL) {
            struct flush *f = CONTAINER_OF(node, struct flush, node);
            f->run(f);
        }
    }
}

static void reap_all(struct loop *l)
{
    struct list *node;
    while ((node = list_pop_front(&l->reaps)) != NULL) {
        struct reap *r = CONTAINER_OF(node, struct reap, node);
        r->free(r);
    }
}

static void end_pass(struct loop *l)
{
    if (l->on_pass)
        l->on_pass(l);
    flush_all(l);
    reap_all(l);
    l->handshakes = 0;
    l->passes++;
    /* What is still marked (a round too many) must not wait for a socket. */
    if (!list_empty(&l->flushes))
        uv_async_send(&l->async);
}

static void on_prepare(uv_prepare_t *h)
{
    end_pass(h->data);
}

static void on_async(uv_async_t *h)
{
    struct loop *l = h->data;
    pthread_mutex_lock(&l->post_lock);
    struct post *p = l->posts;
    l->posts = NULL;
    pthread_mutex_unlock(&l->post_lock);

    struct post *oldest = NULL; /* the stack holds the newest first */
    while (p) {
        struct post *next = p->next;
        p->next = oldest;
        oldest = p;
        p = next;
    }
    while (oldest) {
        struct post *next = oldest->next;
        oldest->run(oldest);
        oldest = next;
    }
}

enum status loop_init(struct loop *l, size_t pool_chunks, struct error *e)
{
    *l = (struct loop){0};
    int rc = uv_loop_init(&l->uv);
    if (rc)
        return error_set(e, ERR_IO, "event loop: %s", uv_strerror(rc));
    l->uv.data = l;
    uv_prepare_init(&l->uv, &l->prepare);
    l->prepare.data = l;
    uv_prepare_start(&l->prepare, on_prepare);
    uv_unref((uv_handle_t *)&l->prepare);
    rc = uv_async_init(&l->uv, &l->async, on_async);
    assert(rc == 0); /* only fails without descriptors, at start-up */
    l->async.data = l;
    timers_init(&l->timers, &l->uv);
    bufq_pool_init(&l->chunks, pool_chunks);
    rand_seed_random(&l->rand);
    list_init(&l->flushes);
    list_init(&l->reaps);
    list_init(&l->lingerers);
    pthread_mutex_init(&l->post_lock, NULL);
    l->lent_wire = mem_alloc(LOOP_LENT);
    l->lent_plain = mem_alloc(LOOP_LENT);
    return OK;
}

void loop_run(struct loop *l)
{
    while (!l->stopping)
        uv_run(&l->uv, UV_RUN_ONCE);
}

void loop_stop(struct loop *l)
{
    l->stopping = true;
    uv_async_send(&l->async);
}

void loop_fini(struct loop *l)
{
    struct list *node;

    on_async(&l->async); /* each post runs once */
    end_pass(l);
    while ((node = list_pop_front(&l->lingerers)) != NULL) {
        struct lingerer *g = CONTAINER_OF(node, struct lingerer, node);
        g->end(g);
    }
    uv_close((uv_handle_t *)&l->prepare, NULL);
    uv_close((uv_handle_t *)&l->async, NULL);
    timers_close(&l->timers);
    for (int i = 0; i < FINI_PASSES && uv_loop_alive(&l->uv); i++) {
        uv_run(&l->uv, UV_RUN_NOWAIT);
        end_pass(l);
    }
    int rc = uv_loop_close(&l->uv);
    assert(rc == 0); /* somebody left a handle open */
    (void)rc;
    bufq_pool_trim(&l->chunks);
    pthread_mutex_destroy(&l->post_lock);
    mem_free(l->lent_wire);
    mem_free(l->lent_plain);
}

int64_t loop_now(const struct loop *l)
{
    /* libuv samples CLOCK_MONOTONIC once a pass, in milliseconds; deadlines need
     * no more. */
    return (int64_t)uv_now(&l->uv) * NSEC_PER_MSEC;
}

void loop_flush_later(struct loop *l, struct flush *f)
{
    if (list_empty(&f->node))
        list_push_back(&l->flushes, &f->node);
}

void loop_reap(struct loop *l, struct reap *r, void (*fn)(struct reap *))
{
    r->free = fn;
    list_push_back(&l->reaps, &r->node);
}

void loop_post(struct loop *l, struct post *p)
{
    pthread_mutex_lock(&l->post_lock);
    p->next = l->posts;
    l->posts = p;
    pthread_mutex_unlock(&l->post_lock);
    uv_async_send(&l->async);
}
