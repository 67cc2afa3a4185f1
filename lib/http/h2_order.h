/* SPDX-License-Identifier: Apache-2.0 */
/* In which order a client may use its streams. nghttp2 would have to keep every
 * closed stream to tell, up to as many as may be open; a few numbers do as well, for
 * the streams that were closed last. Pure. */
#ifndef TULLE_HTTP_H2_ORDER_H
#define TULLE_HTTP_H2_ORDER_H

#include "lib/base/slice.h"

enum { H2_ORDER_GONE = 16, H2_FRAME_HEAD = 9 };

struct h2_order {
    int32_t last, gap_first, gap_last; /* the highest id; those left out when
                                           some were left out last */
    int32_t gone[H2_ORDER_GONE];       /* ended by the client, of late */
    uint8_t gone_at;
    uint32_t skip;                    /* bytes to the next frame's head */
    uint8_t head[H2_FRAME_HEAD], had; /* of the next frame */
};

/* The client's preface comes first. */
void h2_order_init(struct h2_order *o);
/* The client has ended this stream, by END_STREAM or RST_STREAM, and it is closed. */
void h2_order_gone(struct h2_order *o, int32_t id);
/* Bytes of `data` up to the end of the frame that they begin with; the library must
 * have had what came before. `*code`: the HTTP/2 error if that frame may not come now
 * (RFC 9113 sections 5.1 and 5.1.1), else 0. What a client sends on a stream that we
 * have reset may have been on its way, and is no error. */
size_t h2_order_next(struct h2_order *o, slice data, uint32_t *code);

#endif
