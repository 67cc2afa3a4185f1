/* SPDX-License-Identifier: Apache-2.0 */
/* Keys, certificates and signing requests: made and read. ECDSA P-256 with
 * SHA-256 throughout. PEM text outputs are heap strings that the caller frees
 * (keys with mem_wipe_free). */
#ifndef TULLE_TLS_CERT_H
#define TULLE_TLS_CERT_H

#include "lib/base/slice.h"
#include "lib/base/text.h"

/* Private enterprise arc used for the pod extension: a UTF8String
 * "<namespace>/<pod>/<uid>". */
#define CERT_POD_OID "1.3.6.1.4.1.62851.1.1"

/* A new key. `*pem` is PKCS#8. */
CHECKED enum status key_new(char **pem, struct error *e);

/* A CSR signed by the key, with the wanted name as URI SAN (informative: the
 * issuer decides); without one when `name` is empty. */
CHECKED enum status csr_new(slice key_pem, slice name, char **csr_pem,
                            struct error *e);
/* Checks size (<= 16 KiB), signature and key type (P-256 only) of a CSR; gives
 * the proven public key as DER SubjectPublicKeyInfo (heap) and the name that it
 * asks for (heap, may be empty). ERR_INVALID with the reason in `e`. */
CHECKED enum status csr_check(slice csr_pem, char **public_der, size_t *len,
                              char **name, struct error *e);

struct ca; /* a root with its key, in memory */

/* A new self-signed root: CN "tulle root <trust domain>", path length 1, URI SAN
 * spiffe://<trust domain>. */
CHECKED enum status ca_new(struct ca **out, slice trust_domain, int64_t now,
                           int64_t life_seconds, struct error *e);
CHECKED enum status ca_load(struct ca **out, slice cert_pem, slice key_pem,
                            struct error *e);
void ca_free(struct ca *ca);
/* Borrow from the ca. */
slice ca_cert_pem(const struct ca *ca);
slice ca_key_pem(const struct ca *ca);
slice ca_trust_domain(const struct ca *ca);
int64_t ca_not_after(const struct ca *ca);
/* Self-signed; else it is an intermediate, whose root is elsewhere. */
bool ca_is_root(const struct ca *ca);

struct cert_request {
    slice public_der; /* from csr_check, or of a key of our own */
    slice name;       /* SPIFFE URI: the one SAN */
    slice pod;        /* value of the private extension; empty: none */
    const char
        *dns[4]; /* extra DNS SANs, for serving certificates; NULL ends */
    int64_t not_before, not_after; /* cut to the ca's own life */
};
/* A leaf: CA:FALSE, digitalSignature, serverAuth + clientAuth, random 128-bit
 * serial. `*pem` is the leaf alone. */
CHECKED enum status ca_sign(const struct ca *ca, const struct cert_request *r,
                            char **pem, struct error *e);

/* SubjectPublicKeyInfo of a private key, heap. */
CHECKED enum status key_public_der(slice key_pem, char **der, size_t *len,
                                   struct error *e);
/* Dates of the first certificate of a PEM, seconds since 1970. */
CHECKED enum status cert_dates(slice pem, int64_t *not_before,
                               int64_t *not_after, struct error *e);
/* Trust domain in the URI of the first certificate of a PEM of roots: heap, empty
 * when it names none. */
CHECKED enum status cert_root_domain(slice pem, char **domain, struct error *e);
/* The certificates of several PEM texts (each may be empty), each once, in their
 * order. Heap; empty when there is none. At most 64. */
CHECKED enum status certs_merge(const slice *pems, size_t n, char **out,
                                struct error *e);
/* Would TLS take all of these as roots? ERR_INVALID with a sentence. */
CHECKED enum status roots_check(slice roots_pem, struct error *e);
/* Does this chain, leaf first, lead to one of `roots_pem`, by the rules that
 * peers in the mesh apply? Whatever the date is. */
CHECKED enum status chain_check(slice chain_pem, slice roots_pem,
                                struct error *e);
/* Hex SHA-256 of bytes, for fingerprints and content hashes: 64 characters. */
void sha256_hex(slice bytes, char out[65]);
/* `n` random bytes as hex (2n characters and a 0), from OpenSSL. */
CHECKED enum status random_hex(char *out, size_t n);
/* Equal in time that depends only on the length. */
bool bytes_equal_secret(slice a, slice b);

#endif
