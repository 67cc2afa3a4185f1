/* SPDX-License-Identifier: Apache-2.0 */
/* A WebSocket of an HTTP/2 client (RFC 8441) on its way to a server of HTTP/1: the
 * handshake that such a server wants, done in the client's place. */
#include "lib/http/h2_conn.h"
#include "lib/http/websocket.h"

enum status h2_websocket_ask(struct h2_stream *s, struct head *h)
{
    char *key;

    if (!websocket_is(h->protocol))
        return OK;
    for (uint32_t i = 0; i < h->headers.len; i++)
        if (slice_eq(h->headers.at[i].name, WEBSOCKET_KEY))
            h->headers.at[i].hop = true; /* has no meaning in HTTP/2 */
    key = arena_alloc(&s->x.arena, WEBSOCKET_KEY_LEN);
    if (!key)
        return ERR_TOO_BIG;
    websocket_key(&s->x.loop->rand, key);
    s->websocket_key = slice_of(key, WEBSOCKET_KEY_LEN);
    return headers_add(&h->headers, WEBSOCKET_KEY, s->websocket_key);
}

bool h2_websocket_granted(const struct h2_stream *s, struct headers *answer)
{
    char wanted[WEBSOCKET_ACCEPT_LEN];
    bool right = s->websocket_key.len == 0;

    if (right)
        return true;
    websocket_accept(s->websocket_key, wanted);
    for (uint32_t i = 0; i < answer->len; i++) {
        struct header *f = &answer->at[i];
        if (!slice_eq_nocase(f->name, WEBSOCKET_ACCEPT))
            continue;
        right = slice_eq(f->value, slice_of(wanted, sizeof wanted));
        f->hop = true;
    }
    return right;
}
