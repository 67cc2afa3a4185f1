/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/mesh/hash.h"

#include <inttypes.h>
#include <stdio.h>

typedef unsigned __int128 u128;

#define U128(high, low) ((u128)(high) << 64 | (low))

void content_hash(slice content, char out[VIEW_HASH + 1])
{
    /* The offset basis and prime of FNV-1a for 128 bits. */
    u128 h = U128(0x6c62272e07bb0142, 0x62b821756295c58d);
    const u128 prime = U128(0x0000000001000000, 0x000000000000013b);

    for (size_t i = 0; i < content.len; i++) {
        h ^= (unsigned char)content.ptr[i];
        h *= prime;
    }
    snprintf(out, VIEW_HASH + 1, "%016" PRIx64 "%016" PRIx64,
             (uint64_t)(h >> 64), (uint64_t)h);
}
