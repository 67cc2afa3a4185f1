/* SPDX-License-Identifier: Apache-2.0 */
/* The key by which a WebSocket server proves that it knows what it is asked for
 * (RFC 6455 section 4.2.2). HTTP/2 has none (RFC 8441 section 5), so it must be
 * made where a request of HTTP/2 goes on as one of HTTP/1. Pure. */
#ifndef TULLE_HTTP_WEBSOCKET_H
#define TULLE_HTTP_WEBSOCKET_H

#include "lib/base/rand.h"
#include "lib/base/slice.h"

#define WEBSOCKET_KEY SLICE("sec-websocket-key")
#define WEBSOCKET_ACCEPT SLICE("sec-websocket-accept")

enum { WEBSOCKET_KEY_LEN = 24, WEBSOCKET_ACCEPT_LEN = 28 };

bool websocket_is(slice protocol);
void websocket_key(struct rand *r, char out[WEBSOCKET_KEY_LEN]);
/* What a server answers to it. */
void websocket_accept(slice key, char out[WEBSOCKET_ACCEPT_LEN]);

#endif
