/* SPDX-License-Identifier: Apache-2.0 */
/* A byte stream whose bytes are the bodies of an exchange: an opaque connection
 * on a link (CONNECT, head.opaque). */
#ifndef TULLE_HTTP_EXCHANGE_STREAM_H
#define TULLE_HTTP_EXCHANGE_STREAM_H

#include "lib/http/exchange.h"
#include "lib/net/stream.h"

/* Client side: sends a CONNECT head for `authority` on `x` (taken) and gives the
 * stream; bytes may be written at once. `connected` runs once, later: OK on a 2xx
 * answer, else ERR_REFUSED with the answer's head (NULL when the exchange broke;
 * then `why` says how). After a failure the stream is dead: no event follows, the
 * owner closes it. */
typedef void exchange_stream_fn(void *arg, enum status rc,
                                const struct head *answer, enum reset_why why);
struct stream *exchange_stream_connect(struct exchange *x, slice authority,
                                       exchange_stream_fn *connected,
                                       void *arg);
/* Server side: takes an exchange whose CONNECT head was received. The caller
 * answers with exchange_stream_accept, or replies on the exchange itself and never
 * calls this. */
struct stream *exchange_stream_accept(struct exchange *x);
/* Sends the 200. Before it, bytes may come in but none goes out. */
void exchange_stream_confirm(struct stream *s);
/* Refuses with a status and fields instead; closes the stream. */
void exchange_stream_refuse(struct stream *s, unsigned status,
                            const struct headers *fields);

#endif
