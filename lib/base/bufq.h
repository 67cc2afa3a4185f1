/* SPDX-License-Identifier: Apache-2.0 */
/* A queue of byte chunks with a limit: the only I/O buffer. Chunks come from a
 * pool (one per loop) that keeps a capped number of free ones; an empty queue
 * holds no chunk. */
#ifndef TULLE_BASE_BUFQ_H
#define TULLE_BASE_BUFQ_H

#include <sys/uio.h>

#include "lib/base/slice.h"

enum { BUFQ_CHUNK = 16384 }; /* payload bytes of one chunk */

struct bufq_chunk {
    struct bufq_chunk *next;
    uint32_t off, len; /* payload is data[off .. off+len) */
    char data[BUFQ_CHUNK];
};

/* Free chunks, last freed first. Not thread safe: one per loop. */
struct bufq_pool {
    struct bufq_chunk *free;
    size_t count, cap; /* at most `cap` are kept, others go back to malloc */
};

void bufq_pool_init(struct bufq_pool *p, size_t cap);
/* Gives all free chunks back to malloc. */
void bufq_pool_trim(struct bufq_pool *p);

struct bufq {
    struct bufq_chunk *head, *tail;
    size_t len;
    struct bufq_pool *pool;
};

/* Borrows the pool, which must outlive the queue. */
void bufq_init(struct bufq *q, struct bufq_pool *pool);
void bufq_fini(struct bufq *q);

/* Copies to the end. Never fails: the caller bounds `len` against its own
 * watermark before adding (peers never decide how much is queued). */
void bufq_add(struct bufq *q, const void *ptr, size_t len);
/* Writes in place: `*room` (at least 1) writable bytes at the end; then say how
 * many were written. `want` <= BUFQ_CHUNK gives at least `want`. */
char *bufq_room(struct bufq *q, size_t want, size_t *room);
void bufq_wrote(struct bufq *q, size_t n);
/* The first contiguous bytes; empty when the queue is. Borrows until the next
 * change. */
slice bufq_front(const struct bufq *q);
/* Drops n <= len bytes from the front. */
void bufq_drop(struct bufq *q, size_t n);
/* Fills at most `max` vectors from the front; returns how many, and the sum of
 * their bytes in `*bytes`. */
int bufq_peek(const struct bufq *q, struct iovec *iov, int max, size_t *bytes);
/* Copies up to `max` bytes from the front without dropping; returns how many. */
size_t bufq_copy(const struct bufq *q, void *dst, size_t max);
/* Moves everything from `from` to the end of `to` without copying (same pool). */
void bufq_move(struct bufq *to, struct bufq *from);

#endif
