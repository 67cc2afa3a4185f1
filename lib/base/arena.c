/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of 1 KiB, then doubling to 16 KiB; what is larger gets a block of its
 * own size. */
#include "lib/base/arena.h"

#include "lib/base/mem.h"

enum { ALIGN = 16, FIRST_BLOCK = 1024, LAST_BLOCK = 16 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t size; /* payload bytes */
    _Alignas(ALIGN) char data[];
};

void arena_init(struct arena *a, size_t limit)
{
    *a = (struct arena){.limit = limit};
}

/* Block sizes include the header, so that malloc's bins fit well. */
static void grow(struct arena *a, size_t size)
{
    size_t whole = a->blocks ? a->blocks->size + sizeof(struct arena_block) : 0;
    size_t need = size + sizeof(struct arena_block);
    struct arena_block *b;

    whole = whole ? whole * 2 : FIRST_BLOCK;
    if (whole > LAST_BLOCK)
        whole = LAST_BLOCK;
    if (whole < need)
        whole = need;
    b = mem_alloc(whole);
    b->size = whole - sizeof *b;
    b->next = a->blocks;
    a->blocks = b;
    a->at = b->data;
    a->end = b->data + b->size;
}

void *arena_alloc(struct arena *a, size_t size)
{
    size_t rounded;
    void *ptr;

    if (size == 0)
        size = 1; /* a unique pointer, and not for nothing */
    if (size > a->limit - a->used)
        return NULL;
    if (size > SIZE_MAX - ALIGN - sizeof(struct arena_block))
        return NULL;
    rounded = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (rounded > (size_t)(a->end - a->at))
        grow(a, rounded);
    ptr = a->at;
    a->at += rounded;
    a->used += size;
    return ptr;
}

enum status arena_copy(struct arena *a, slice s, slice *out)
{
    char *ptr;

    if (s.len == 0) {
        *out = SLICE_NONE;
        return OK;
    }
    ptr = arena_alloc(a, s.len);
    if (!ptr)
        return ERR_TOO_BIG;
    memcpy(ptr, s.ptr, s.len);
    *out = slice_of(ptr, s.len);
    return OK;
}

void arena_reset(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        mem_free(b);
    }
    a->at = a->end = NULL;
    a->used = 0;
}
