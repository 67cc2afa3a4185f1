/* SPDX-License-Identifier: Apache-2.0 */
/* Signing requests: what any pod may send to the controller. Input that is not
 * PEM is taken as DER and put into PEM, so that mutations reach the parser. */
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/tls/cert.h"
#include "lib/tls/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(slice pem)
{
    struct error e = {""};
    char *der, *name;
    size_t len;

    if (csr_check(pem, &der, &len, &name, &e)) {
        if (der || name || !e.text[0])
            abort();
        return;
    }
    if (len != 91 || (name[0] && !verify_spiffe_name(slice_str(name))))
        abort();
    mem_free(der);
    mem_free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice input = slice_of(data, size);
    char *pem = NULL;
    BIO *out;
    long len;

    if (size == 0 || size > 32 << 10 || slice_starts(input, SLICE("-----"))) {
        check(input);
        return 0;
    }
    out = BIO_new(BIO_s_mem());
    if (!out ||
        !PEM_write_bio(out, "CERTIFICATE REQUEST", "", data, (long)size))
        abort();
    len = BIO_get_mem_data(out, &pem);
    check(slice_of(pem, (size_t)len));
    BIO_free(out);
    return 0;
}
