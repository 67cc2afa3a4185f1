/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/bufq.h"

#include <assert.h>

#include "lib/base/mem.h"

void bufq_pool_init(struct bufq_pool *p, size_t cap)
{
    *p = (struct bufq_pool){.cap = cap};
}

void bufq_pool_trim(struct bufq_pool *p)
{
    while (p->free) {
        struct bufq_chunk *c = p->free;
        p->free = c->next;
        mem_free(c);
    }
    p->count = 0;
}

static struct bufq_chunk *chunk_take(struct bufq_pool *p)
{
    struct bufq_chunk *c = p->free;

    if (c) {
        p->free = c->next;
        p->count--;
    } else {
        c = mem_alloc(sizeof *c);
    }
    c->next = NULL;
    c->off = c->len = 0;
    return c;
}

static void chunk_give(struct bufq_pool *p, struct bufq_chunk *c)
{
    if (p->count >= p->cap) {
        mem_free(c);
        return;
    }
    c->next = p->free;
    p->free = c;
    p->count++;
}

void bufq_init(struct bufq *q, struct bufq_pool *pool)
{
    *q = (struct bufq){.pool = pool};
}

void bufq_fini(struct bufq *q)
{
    while (q->head) {
        struct bufq_chunk *c = q->head;
        q->head = c->next;
        chunk_give(q->pool, c);
    }
    q->tail = NULL;
    q->len = 0;
}

/* Free bytes behind the content of a chunk. */
static size_t space(const struct bufq_chunk *c)
{
    return c ? BUFQ_CHUNK - c->off - c->len : 0;
}

/* Until bufq_wrote, the chunk at the end may be empty; asking again uses the
 * same one. */
char *bufq_room(struct bufq *q, size_t want, size_t *room)
{
    struct bufq_chunk *c = q->tail;

    assert(want <= BUFQ_CHUNK);
    if (!c || space(c) == 0 || space(c) < want) {
        c = chunk_take(q->pool);
        if (q->tail)
            q->tail->next = c;
        else
            q->head = c;
        q->tail = c;
    }
    *room = space(c);
    return c->data + c->off + c->len;
}

static void drop_empty_tail(struct bufq *q)
{
    struct bufq_chunk *c = q->head, *before = NULL;

    if (!q->tail || q->tail->len)
        return;
    while (c != q->tail) {
        before = c;
        c = c->next;
    }
    if (before)
        before->next = NULL;
    else
        q->head = NULL;
    q->tail = before;
    chunk_give(q->pool, c);
}

/* Nothing written: the chunk that bufq_room took goes back, so that an empty
 * queue holds none and no reader ever sees an empty chunk. */
void bufq_wrote(struct bufq *q, size_t n)
{
    assert(n <= space(q->tail));
    if (n == 0) {
        drop_empty_tail(q);
        return;
    }
    q->tail->len += (uint32_t)n;
    q->len += n;
}

void bufq_add(struct bufq *q, const void *ptr, size_t len)
{
    const char *from = ptr;

    while (len) {
        size_t room;
        char *to = bufq_room(q, 1, &room);

        if (room > len)
            room = len;
        memcpy(to, from, room);
        bufq_wrote(q, room);
        from += room;
        len -= room;
    }
}

slice bufq_front(const struct bufq *q)
{
    if (q->len == 0)
        return SLICE_NONE;
    return slice_of(q->head->data + q->head->off, q->head->len);
}

void bufq_drop(struct bufq *q, size_t n)
{
    assert(n <= q->len);
    q->len -= n;
    while (n) {
        struct bufq_chunk *c = q->head;

        assert(c); /* `len` is the sum of the chunks */
        if (n < c->len) {
            c->off += (uint32_t)n;
            c->len -= (uint32_t)n;
            return;
        }
        n -= c->len;
        q->head = c->next;
        if (!q->head)
            q->tail = NULL;
        chunk_give(q->pool, c);
    }
}

int bufq_peek(const struct bufq *q, struct iovec *iov, int max, size_t *bytes)
{
    int n = 0;

    *bytes = 0;
    for (struct bufq_chunk *c = q->head; c && c->len && n < max; c = c->next) {
        iov[n].iov_base = c->data + c->off;
        iov[n].iov_len = c->len;
        *bytes += c->len;
        n++;
    }
    return n;
}

size_t bufq_copy(const struct bufq *q, void *dst, size_t max)
{
    size_t done = 0;

    for (struct bufq_chunk *c = q->head; c && done < max; c = c->next) {
        size_t n = c->len < max - done ? c->len : max - done;

        memcpy((char *)dst + done, c->data + c->off, n);
        done += n;
    }
    return done;
}

void bufq_move(struct bufq *to, struct bufq *from)
{
    assert(to->pool == from->pool && to != from);
    drop_empty_tail(to);
    drop_empty_tail(from);
    if (!from->head)
        return;
    if (to->tail)
        to->tail->next = from->head;
    else
        to->head = from->head;
    to->tail = from->tail;
    to->len += from->len;
    from->head = from->tail = NULL;
    from->len = 0;
}
