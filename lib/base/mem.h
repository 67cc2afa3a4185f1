/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is counted. Allocation never returns NULL: it aborts. So check
 * every size that a peer can choose before allocating.
 *
 * Every allocation is charged to the calling thread's account (a worker is a
 * thread); mem_used() sums all accounts. mem_count_openssl() and the nghttp2
 * allocator in lib/http route those libraries here too, so that one budget
 * covers everything. A block may be freed by another thread: only the sum is
 * exact. */
#ifndef TULLE_BASE_MEM_H
#define TULLE_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/slice.h"

/* Uninitialised. Size 0 gives a unique pointer. */
void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
/* All zero. Aborts when n * size overflows. */
void *mem_zalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_array(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
/* `ptr` may be NULL; keeps the first min(old, new) bytes. */
void *mem_resize(void *ptr, size_t size) __attribute__((returns_nonnull));
/* NULL is ignored. */
void mem_free(void *ptr);
/* Overwrites in a way the compiler must keep, then frees. */
void mem_wipe_free(void *ptr, size_t len);
void mem_wipe(void *ptr, size_t len);

/* A heap copy with a final 0 (not counted in the length); the caller frees. */
char *mem_str(slice s);

#define MEM_NEW(type) ((type *)mem_zalloc(sizeof(type)))

/* Bytes in use in the whole process, as malloc accounts them. */
size_t mem_used(void);
/* Above the budget mem_over_budget() is true: whoever accepts new work asks it
 * first and sheds. 0 = no budget. Allocation itself never fails by budget. */
void mem_set_budget(size_t bytes);
size_t mem_budget(void);
int mem_over_budget(void);

/* C-library shaped functions for libraries that take an allocator; they may
 * return NULL (never abort). */
void *mem_lib_malloc(size_t size);
void *mem_lib_realloc(void *ptr, size_t size);
void *mem_lib_calloc(size_t n, size_t size);
void mem_lib_free(void *ptr);

#endif
