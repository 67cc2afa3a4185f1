/* SPDX-License-Identifier: Apache-2.0 */
/* What every fallible function returns, and the sentence that cold paths
 * write where they fail. */
#ifndef TULLE_BASE_STATUS_H
#define TULLE_BASE_STATUS_H

#define CHECKED __attribute__((warn_unused_result))
#define PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define UNUSED __attribute__((unused))

enum status {
    OK = 0,
    ERR_AGAIN,   /* incomplete: call again with more */
    ERR_INVALID, /* malformed or forbidden value */
    ERR_TOO_BIG, /* over a limit */
    ERR_NOT_FOUND,
    ERR_EXISTS,
    ERR_DENIED,   /* not allowed */
    ERR_PROTOCOL, /* the peer broke a protocol */
    ERR_TLS,      /* handshake or record failure, certificate refused */
    ERR_REFUSED,  /* connection refused or host unreachable */
    ERR_RESET,    /* connection reset by the peer */
    ERR_EOF,      /* the peer ended before it should */
    ERR_TIMEOUT,
    ERR_CANCELED,  /* closed by ourselves */
    ERR_RESOURCES, /* out of descriptors or memory budget */
    ERR_IO,        /* any other system error */
};

/* The name of a status in lower case with dashes: "too-big". Never NULL. */
const char *status_name(enum status rc);

/* Maps errno to a status: ECONNREFUSED -> ERR_REFUSED, EMFILE ->
 * ERR_RESOURCES ... anything unknown -> ERR_IO. */
enum status status_from_errno(int err);

/* A sentence: what failed, which object, why. */
struct error {
    char text[512];
};

/* Writes the sentence (cut to fit). `e` may be NULL. Returns `rc`. */
enum status error_set(struct error *e, enum status rc, const char *fmt, ...)
    PRINTF(3, 4);

/* Puts "<prefix>: " before what is there. Never rewords. Returns `rc`. */
enum status error_prefix(struct error *e, enum status rc, const char *fmt, ...)
    PRINTF(3, 4);

#endif
