/* SPDX-License-Identifier: Apache-2.0 */
/* Which name does a certificate prove? Pure. The rules (X.509-SVID sections 4
 * and 5, and stricter): exactly one URI SAN in one SAN extension, scheme
 * "spiffe" and trust domain in lower case, path of non-empty segments without
 * ".", "..", escapes, query or fragment, at most 2,048 bytes, no NUL; CA:FALSE
 * (or no basic constraints) on the leaf; keyUsage, if there, has
 * digitalSignature and not keyCertSign or cRLSign; extended key usage, if there,
 * has what the role needs. */
#ifndef TULLE_TLS_VERIFY_H
#define TULLE_TLS_VERIFY_H

#include "lib/base/arena.h"
#include "lib/base/slice.h"

struct x509_st;
struct ssl_ctx_st;

/* The SPIFFE name of a leaf, copied into the arena; checks all of the above but
 * not the chain (OpenSSL has). `server`: the leaf is a server's. `reason` gets a
 * constant phrase on ERR_DENIED. */
CHECKED enum status verify_leaf(struct x509_st *leaf, bool server,
                                struct arena *a, slice *name,
                                const char **reason);
/* spiffe://<trust-domain>/<path> as the rules above say. */
bool verify_spiffe_name(slice name);
/* The trust domain; empty when the name is not valid. */
slice verify_trust_domain(slice name);
/* Bytes of our private extension (OID in cert.h), copied; empty when absent. */
CHECKED enum status verify_pod_extension(struct x509_st *leaf, struct arena *a,
                                         slice *value);

#endif
