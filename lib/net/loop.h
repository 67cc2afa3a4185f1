/* SPDX-License-Identifier: Apache-2.0 */
/* One event loop per thread, and what the objects on it share: the clock, the
 * chunk pool, the buffers that are lent to connections while they have bytes,
 * the once-per-pass flush, and the reaper.
 *
 * A pass: callbacks run (sockets, timers, posts); what they want to send is only
 * queued and marked; then, once, before the loop waits again, everything marked
 * is flushed and everything reaped is freed. So output of one pass leaves in as
 * few system calls as possible, and an object that closes itself somewhere deep
 * in a call stays valid memory until the pass is over. */
#ifndef TULLE_NET_LOOP_H
#define TULLE_NET_LOOP_H

#include <pthread.h>
#include <uv.h>

#include "lib/base/bufq.h"
#include "lib/base/list.h"
#include "lib/base/rand.h"
#include "lib/net/timer.h"

enum { LOOP_LENT = 131072 }; /* bytes of each lent buffer */

/* Something to flush at the end of the pass. Embed; init with flush_init. */
struct flush {
    struct list node;
    void (*run)(struct flush *f);
};

/* Something to free after the pass. Embed. */
struct reap {
    struct list node;
    void (*free)(struct reap *r);
};

/* Something that ends by itself in its own time (a closed socket that still
 * sends), and must end at once when the loop does, or memory is wanted. Embed. */
struct lingerer {
    struct list node;
    int64_t since; /* loop time */
    void (*end)(struct lingerer *g);
    size_t (*queued)(const struct lingerer *g);
};

/* Work posted from another thread. The poster owns it until `run` is called on
 * the loop's thread. */
struct post {
    struct post *next;
    void (*run)(struct post *p);
};

struct loop {
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_async_t async;
    struct bufq_pool chunks;
    struct timers timers;
    struct rand rand;
    struct list flushes, reaps, lingerers;
    char *lent_wire;     /* LOOP_LENT bytes: what sockets read into */
    char *lent_plain;    /* LOOP_LENT bytes: what TLS decrypts into */
    unsigned handshakes; /* steps taken in this pass: see tls_stream */
    uint64_t passes;
    pthread_mutex_t post_lock; /* guards `posts` only */
    struct post *posts;
    void *owner; /* the program's per-thread root, for its own use */
    /* Once a pass, after the callbacks and before what was marked is flushed. May
     * be NULL. */
    void (*on_pass)(struct loop *l);
    bool stopping;
};

/* `pool_chunks`: most free chunks kept. Must be paired with loop_fini after
 * loop_run has returned. */
CHECKED enum status loop_init(struct loop *l, size_t pool_chunks,
                              struct error *e);
/* Runs until loop_stop. */
void loop_run(struct loop *l);
/* Makes loop_run return after this pass. On the loop's own thread. */
void loop_stop(struct loop *l);
/* Ends what lingers, closes our own handles, runs what is left for at most 1,000
 * passes, frees.
 * Asserts that nothing of the callers is left. */
void loop_fini(struct loop *l);

/* Monotonic ns, sampled once a pass. */
int64_t loop_now(const struct loop *l);

static inline void flush_init(struct flush *f, void (*run)(struct flush *))
{
    list_init(&f->node);
    f->run = run;
}
/* Marks; marking twice is harmless. Flushing may mark again: the flush goes on
 * until nothing is marked (a bound of 64 rounds, the rest waits one pass). */
void loop_flush_later(struct loop *l, struct flush *f);
static inline void flush_cancel(struct flush *f)
{
    list_remove(&f->node);
}
/* `fn` is called once, after this pass (callbacks and flush). */
void loop_reap(struct loop *l, struct reap *r, void (*fn)(struct reap *));
/* From any thread. Exactly one `run`, on the loop's thread. */
void loop_post(struct loop *l, struct post *p);

#endif
