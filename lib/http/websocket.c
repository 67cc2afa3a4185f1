/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/http/websocket.h"

#include <assert.h>

#include "lib/base/base64.h"
#include "lib/tls/digest.h"

/* RFC 6455 section 1.3. */
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

bool websocket_is(slice protocol)
{
    return slice_eq_nocase(protocol, SLICE("websocket"));
}

static void encode(slice bytes, char *out, size_t len)
{
    struct text t;

    text_init(&t, len);
    base64_encode(bytes, &t);
    assert(t.len == len);
    memcpy(out, t.ptr, len);
    text_fini(&t);
}

void websocket_key(struct rand *r, char out[WEBSOCKET_KEY_LEN])
{
    uint64_t bytes[2] = {rand_u64(r), rand_u64(r)};

    encode(slice_of((const char *)bytes, sizeof bytes), out, WEBSOCKET_KEY_LEN);
}

void websocket_accept(slice key, char out[WEBSOCKET_ACCEPT_LEN])
{
    uint8_t digest[SHA1_BYTES];
    struct text t;

    text_init(&t, key.len + sizeof GUID);
    text_add(&t, key);
    text_add(&t, SLICE(GUID));
    digest_sha1(text_slice(&t), digest);
    text_fini(&t);
    encode(slice_of((const char *)digest, sizeof digest), out,
           WEBSOCKET_ACCEPT_LEN);
}
