/* SPDX-License-Identifier: Apache-2.0 */
/* PEM text in and out, for lib/tls only. Sizes are checked before parsing; an
 * encrypted key is refused, nobody is asked for a passphrase. */
#ifndef TULLE_TLS_PEM_H
#define TULLE_TLS_PEM_H

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "lib/base/slice.h"

enum {
    PEM_KEY_MAX = 16 << 10,
    PEM_CHAIN_MAX = 64 << 10,
    PEM_ROOTS_MAX = 512 << 10,
};

/* A reader over `pem` (borrowed), NULL when longer than `limit` or empty. */
BIO *pem_reader(slice pem, size_t limit);
/* For the PEM readers: OpenSSL's own would read from the terminal. */
int pem_no_passphrase(char *buf, int size, int rw, void *arg);
/* What was written to the memory BIO, as a heap string (mem_*). */
char *pem_take(BIO *out);

CHECKED enum status pem_key(slice pem, EVP_PKEY **key, struct error *e);
/* The first certificate. */
CHECKED enum status pem_cert(slice pem, X509 **cert, struct error *e);
/* All certificates, 1 to `max`. Gives the stack. */
CHECKED enum status pem_certs(slice pem, size_t limit, int max,
                              STACK_OF(X509) * *certs, struct error *e);
/* A date as seconds since 1970; false when it cannot be read. */
bool pem_date(const ASN1_TIME *t, int64_t *seconds);

/* Writes "<what>: <OpenSSL's reason>" and empties OpenSSL's error queue. */
enum status pem_error(struct error *e, enum status rc, const char *what);

#endif
