/* SPDX-License-Identifier: Apache-2.0 */
/* TLS over another stream. Plaintext is collected and encrypted once per pass;
 * OpenSSL's buffers are released while idle. */
#ifndef TULLE_TLS_STREAM_H
#define TULLE_TLS_STREAM_H

#include "lib/net/stream.h"
#include "lib/tls/tls_settings.h"

/* Who TLS says the other end is. */
struct tls_peer {
    slice name;      /* its one SPIFFE URI; empty: it showed no certificate */
    slice extension; /* value of the private pod extension; may be empty */
    int64_t not_before,
        not_after; /* seconds since 1970; 0 without certificate */
    slice alpn;    /* agreed protocol, may be empty */
    bool resumed;
    char group[32]; /* key exchange, for logs: "X25519" */
};

/* On OK `s` is the encrypted stream (not reading, no owner yet) and `peer` lives
 * as long as it. On error the lower stream was closed; `reason` says why in one
 * constant phrase ("certificate expired", "wrong identity", "no common ALPN"). */
typedef void tls_handshake_fn(void *arg, enum status rc, struct stream *s,
                              const struct tls_peer *peer, const char *reason);

struct tls_handshake;

/* Takes `lower`. Runs the handshake; `done` runs exactly once, later, unless
 * canceled. Client: `expect` (copied) is the only SPIFFE name accepted. Server:
 * `expect` empty: any name in our roots. `first`: bytes already read (copied).
 * ERR_* of `done`: ERR_TLS, ERR_TIMEOUT, ERR_EOF, ERR_RESET. */
CHECKED enum status tls_handshake_start(struct tls_handshake **out,
                                        struct stream *lower,
                                        struct tls_settings *settings,
                                        slice expect, slice first,
                                        int64_t timeout, tls_handshake_fn *done,
                                        void *arg);
/* Gives it away, the lower stream is closed, `done` does not run any more. */
void tls_handshake_cancel(struct tls_handshake *h);

/* The peer of a stream that tls_handshake made. */
const struct tls_peer *tls_stream_peer(const struct stream *s);

#endif
