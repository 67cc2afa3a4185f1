/* SPDX-License-Identifier: Apache-2.0 */
/* The request of an upgrade, and the tunnel that may come of it, on one stream:
 * END_STREAM cannot part them, since it ends the tunnel. So a body travels in
 * pieces, each behind four bytes that say its length, the highest first; the
 * length 0 ends it. A request without a body has no pieces. What follows are
 * bytes of the tunnel; those that come before it is granted wait, as much as the
 * window of the stream allows. */
#include "lib/http/h2_conn.h"

enum { PIECE_HEAD = 4 };

static void put_head(struct h2_stream *s, uint32_t n)
{
    uint8_t head[PIECE_HEAD] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16),
                                (uint8_t)(n >> 8), (uint8_t)n};
    bufq_add(&s->out, head, sizeof head);
    s->overhead += PIECE_HEAD;
}

void h2_upgrade_send(struct h2_stream *s, slice data, bool end)
{
    if (data.len) {
        put_head(s, (uint32_t)data.len);
        bufq_add(&s->out, data.ptr, data.len);
    }
    if (!end)
        return;
    put_head(s, 0);
    s->pieces = false;
}

/* One byte of a piece's head. */
static void take_head(struct h2_stream *s, char byte)
{
    s->piece_left = s->piece_left << 8 | (uint8_t)byte;
    h2_drop(s, 1);
    if (++s->in_head < PIECE_HEAD)
        return;
    if (s->piece_left)
        return;
    s->pieces = false;
    exchange_got_body(&s->x, SLICE_NONE, true);
}

/* Of the request; returns how much was used. */
static size_t take_pieces(struct h2_stream *s, slice data)
{
    size_t used = 0;
    while (used < data.len && s->pieces && !s->x.over) {
        if (s->in_head < PIECE_HEAD) {
            take_head(s, data.ptr[used++]);
            continue;
        }
        slice part = slice_sub(data, used, used + s->piece_left);
        used += part.len;
        s->piece_left -= (uint32_t)part.len;
        if (s->piece_left == 0)
            s->in_head = 0;
        exchange_got_body(&s->x, part, false);
    }
    return used;
}

void h2_upgrade_got(struct h2_stream *s, slice data)
{
    slice rest = slice_sub(data, take_pieces(s, data), data.len);
    if (s->x.over || rest.len == 0)
        return;
    if (s->x.tunnel)
        exchange_got_body(&s->x, rest, false);
    else if (s->x.head_out) /* refused: nobody's */
        h2_drop(s, rest.len);
    else
        bufq_add(&s->early, rest.ptr, rest.len);
}

void h2_upgrade_got_end(struct h2_stream *s)
{
    s->end_got = true;
    if (s->x.over)
        return;
    if (s->pieces) { /* in the middle of the request */
        nghttp2_submit_rst_stream(s->h->ng, NGHTTP2_FLAG_NONE, s->id,
                                  NGHTTP2_PROTOCOL_ERROR);
        exchange_broke(&s->x, RESET_PROTOCOL);
        h2_wake(s->h);
    } else if (s->x.tunnel) {
        exchange_got_body(&s->x, SLICE_NONE, true);
    }
}

void h2_upgrade_granted(struct h2_stream *s)
{
    while (s->early.len && !s->x.over && !s->h->c.closed) {
        slice front = bufq_front(&s->early);
        exchange_got_body(&s->x, front, false);
        bufq_drop(&s->early, front.len);
    }
    if (s->end_got && !s->pieces && !s->x.over && !s->h->c.closed)
        exchange_got_body(&s->x, SLICE_NONE, true);
}
