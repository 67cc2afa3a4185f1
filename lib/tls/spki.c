/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tls/spki.h"

#include <openssl/err.h>
#include <openssl/x509.h>

/* SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING { 04 ... } }.
 * Comparing bytes leaves no room for explicit curve parameters. */
static const char p256_head[] = {
    0x30,       0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, (char)0x86, 0x48,
    (char)0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, (char)0x86, 0x48,
    (char)0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,       0x04,
};

bool spki_is_p256(slice der)
{
    return der.len == SPKI_P256_LEN &&
           slice_starts(der, slice_of(p256_head, sizeof p256_head));
}

EVP_PKEY *spki_key(slice der)
{
    const unsigned char *at = (const unsigned char *)der.ptr;
    EVP_PKEY *key;

    if (!spki_is_p256(der))
        return NULL;
    key = d2i_PUBKEY(NULL, &at, (long)der.len); /* checks the point */
    ERR_clear_error();
    return key;
}
