/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tls/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>

void digest_sha1(slice bytes, uint8_t out[SHA1_BYTES])
{
    if (!EVP_Digest(bytes.ptr, bytes.len, out, NULL, EVP_sha1(), NULL))
        abort(); /* out of memory: as mem_alloc does */
}
