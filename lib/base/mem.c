/* SPDX-License-Identifier: Apache-2.0 */
/* Every thread charges its own account: a number that only it writes, so that
 * counting costs no locked instruction. Readers sum the accounts under a mutex.
 * A thread that ends leaves its balance in `left_behind`. A block freed by
 * another thread makes that thread's balance negative; the sum stays exact. */
#include "lib/base/mem.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/list.h"

struct account {
    struct list link;
    _Atomic int64_t bytes;
    bool registered;
};

/* An account asks for a new sum when it moved this far since the last one. */
enum { SUM_STEP = 64 * 1024 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list accounts = LIST_INIT(accounts);
static int64_t left_behind;
static _Atomic size_t budget;
static _Atomic bool over;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_exit_of_thread;

static _Thread_local struct account mine;
static _Thread_local int64_t summed_at; /* `mine.bytes` at the last sum */

/* Allocations by later destructors of the same thread register it again;
 * pthread then calls us again. */
static void leave(void *arg)
{
    struct account *a = arg;

    pthread_mutex_lock(&lock);
    left_behind += atomic_load_explicit(&a->bytes, memory_order_relaxed);
    atomic_store_explicit(&a->bytes, 0, memory_order_relaxed);
    list_remove(&a->link);
    a->registered = false;
    pthread_mutex_unlock(&lock);
}

static void make_key(void)
{
    if (pthread_key_create(&at_exit_of_thread, leave))
        abort();
}

static __attribute__((noinline)) void join(struct account *a)
{
    pthread_once(&once, make_key);
    pthread_mutex_lock(&lock);
    list_push_back(&accounts, &a->link);
    a->registered = true;
    pthread_mutex_unlock(&lock);
    pthread_setspecific(at_exit_of_thread, a);
}

static int64_t sum(void)
{
    int64_t total;

    pthread_mutex_lock(&lock);
    total = left_behind;
    LIST_EACH(node, &accounts) {
        struct account *a = CONTAINER_OF(node, struct account, link);
        total += atomic_load_explicit(&a->bytes, memory_order_relaxed);
    }
    pthread_mutex_unlock(&lock);
    return total;
}

size_t mem_used(void)
{
    int64_t total = sum();

    return total > 0 ? (size_t)total : 0;
}

static __attribute__((noinline)) void check_budget(int64_t bytes)
{
    size_t limit = atomic_load_explicit(&budget, memory_order_relaxed);

    summed_at = bytes;
    atomic_store_explicit(&over, limit && mem_used() > limit,
                          memory_order_relaxed);
}

static inline void charge(int64_t change)
{
    struct account *a = &mine;
    int64_t bytes, moved;

    if (__builtin_expect(!a->registered, 0))
        join(a);
    bytes = atomic_load_explicit(&a->bytes, memory_order_relaxed) + change;
    atomic_store_explicit(&a->bytes, bytes, memory_order_relaxed);
    moved = bytes - summed_at;
    if (__builtin_expect(moved > SUM_STEP || moved < -SUM_STEP, 0))
        check_budget(bytes);
}

static int64_t size_of(void *ptr)
{
    return (int64_t)malloc_usable_size(ptr);
}

void mem_set_budget(size_t bytes)
{
    atomic_store_explicit(&budget, bytes, memory_order_relaxed);
    check_budget(atomic_load_explicit(&mine.bytes, memory_order_relaxed));
}

size_t mem_budget(void)
{
    return atomic_load_explicit(&budget, memory_order_relaxed);
}

/* Below the budget: one relaxed load, exact to within SUM_STEP a thread. Above
 * it, sum again: while all work is refused nobody may allocate enough to notice
 * that there is room again. */
int mem_over_budget(void)
{
    if (!atomic_load_explicit(&over, memory_order_relaxed))
        return false;
    check_budget(atomic_load_explicit(&mine.bytes, memory_order_relaxed));
    return atomic_load_explicit(&over, memory_order_relaxed);
}

static __attribute__((noreturn)) void die(size_t size)
{
    fprintf(stderr, "out of memory: %zu bytes asked for\n", size);
    abort();
}

void *mem_lib_malloc(size_t size)
{
    void *ptr = malloc(size);

    if (ptr)
        charge(size_of(ptr));
    return ptr;
}

void *mem_lib_calloc(size_t n, size_t size)
{
    void *ptr = calloc(n, size);

    if (ptr)
        charge(size_of(ptr));
    return ptr;
}

void *mem_lib_realloc(void *ptr, size_t size)
{
    int64_t before = ptr ? size_of(ptr) : 0;
    void *now;

    if (ptr && size == 0) {
        mem_lib_free(ptr);
        return NULL;
    }
    now = realloc(ptr, size);
    if (now)
        charge(size_of(now) - before);
    return now;
}

void mem_lib_free(void *ptr)
{
    if (!ptr)
        return;
    charge(-size_of(ptr));
    free(ptr);
}

void *mem_alloc(size_t size)
{
    void *ptr = mem_lib_malloc(size ? size : 1);

    if (!ptr)
        die(size);
    return ptr;
}

void *mem_zalloc(size_t size)
{
    return mem_array(1, size);
}

void *mem_array(size_t n, size_t size)
{
    void *ptr = n && size ? mem_lib_calloc(n, size) : mem_lib_calloc(1, 1);

    if (!ptr)
        die(size);
    return ptr;
}

void *mem_resize(void *ptr, size_t size)
{
    void *now = mem_lib_realloc(ptr, size ? size : 1);

    if (!now)
        die(size);
    return now;
}

void mem_free(void *ptr)
{
    mem_lib_free(ptr);
}

void mem_wipe(void *ptr, size_t len)
{
    if (ptr && len)
        explicit_bzero(ptr, len);
}

void mem_wipe_free(void *ptr, size_t len)
{
    mem_wipe(ptr, len);
    mem_free(ptr);
}

char *mem_str(slice s)
{
    char *copy;

    if (s.len == SIZE_MAX)
        die(s.len);
    copy = mem_alloc(s.len + 1);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = 0;
    return copy;
}
