/* SPDX-License-Identifier: Apache-2.0 */
/* The byte-stream contract. Sockets, TLS, an in-memory pair, and an opaque
 * connection on a link all are streams.
 *
 * Output: stream_write copies into the stream's queue; it leaves at the end of
 * the pass. The owner bounds what it queues by watching stream_queued(), and
 * hears on_drained when the queue has shrunk.
 * Input: on_data lends the bytes for the length of the call; all are taken.
 * Back-pressure: stream_read(s, false); bytes that were already decrypted are
 * kept by the stream. A new stream does not read until told to.
 * End: on_end once after the last byte (the peer half-closed); on_fail once when
 * the stream is dead (reset, time-out, TLS failure): no other event follows
 * either... except that after on_end output may go on and may still fail.
 * stream_close gives the stream away: no event follows, memory ends by itself
 * after the pass. It may be called inside any event. */
#ifndef TULLE_NET_STREAM_H
#define TULLE_NET_STREAM_H

#include <sys/socket.h>

#include "lib/base/slice.h"
#include "lib/net/loop.h"

struct stream;

enum stream_close {
    STREAM_FLUSH, /* send what is queued and our end, then wait for the peer's
                     (dropping its input), close; bounded by 5 s in which the
                     peer takes nothing, and by a minute */
    STREAM_NOW,   /* drop what is queued; a plain end (FIN) */
    STREAM_RESET, /* drop everything; the peer sees a reset where the carrier
                     has one (RST, RST_STREAM) */
};

struct stream_events {
    void (*on_data)(struct stream *s, const char *ptr, size_t len);
    void (*on_end)(struct stream *s);
    void (*on_fail)(struct stream *s, enum status why);
    /* The queue has shrunk. May be NULL. */
    void (*on_drained)(struct stream *s);
    /* The stream is about to be flushed (it was marked with stream_wake or
     * written to): add what is waiting. May be NULL. */
    void (*on_fill)(struct stream *s);
};

struct stream_type {
    const char *name;
    void (*read)(struct stream *s, bool on);
    void (*write)(struct stream *s, const void *ptr, size_t len);
    char *(*room)(struct stream *s, size_t want, size_t *room);
    void (*wrote)(struct stream *s, size_t n);
    size_t (*queued)(const struct stream *s);
    size_t (*kept)(const struct stream *s); /* may be NULL: 0 */
    void (*wake)(struct stream *s);
    void (*end)(struct stream *s);
    void (*close)(struct stream *s, enum stream_close how);
};

struct stream {
    const struct stream_type *type;
    const struct stream_events *events;
    void *owner;
    struct loop *loop;
    bool reading, ended_out, closed;
};

static inline void stream_own(struct stream *s, const struct stream_events *ev,
                              void *owner)
{
    s->events = ev;
    s->owner = owner;
}
static inline void stream_read(struct stream *s, bool on)
{
    s->type->read(s, on);
}
/* Copies. Ignored after stream_end or when dead. */
static inline void stream_write(struct stream *s, const void *ptr, size_t len)
{
    s->type->write(s, ptr, len);
}
/* Write in place: at least `want` (<= BUFQ_CHUNK) bytes; then stream_wrote. */
static inline char *stream_room(struct stream *s, size_t want, size_t *room)
{
    return s->type->room(s, want, room);
}
static inline void stream_wrote(struct stream *s, size_t n)
{
    s->type->wrote(s, n);
}
/* Bytes accepted and not yet given to the kernel (or to the link's wire). */
static inline size_t stream_queued(const struct stream *s)
{
    return s->type->queued(s);
}
/* Bytes that came while the owner does not read. */
static inline size_t stream_kept(const struct stream *s)
{
    return s->type->kept ? s->type->kept(s) : 0;
}
/* Asks for on_fill at the end of this pass. */
static inline void stream_wake(struct stream *s)
{
    s->type->wake(s);
}
/* Ends our direction after what is queued (half-close). */
static inline void stream_end(struct stream *s)
{
    s->type->end(s);
}
static inline void stream_close(struct stream *s, enum stream_close how)
{
    s->type->close(s, how);
}

#endif
