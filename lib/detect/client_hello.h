/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a ClientHello (RFC 8446 section 4.1.2) without decrypting anything: the
 * server name (RFC 6066 section 3) and the ALPN list (RFC 7301). Pure. Strict:
 * every length must agree with the one around it. */
#ifndef TULLE_DETECT_CLIENT_HELLO_H
#define TULLE_DETECT_CLIENT_HELLO_H

#include "lib/base/slice.h"

enum {
    CLIENT_HELLO_MAX = 16384, /* bytes, records' headers included */
    CLIENT_HELLO_NAME_MAX = 255,
    CLIENT_HELLO_ALPN_MAX = 1024, /* bytes of the whole list */
};

/* Copies, because a hello may lie in pieces in several records. */
struct client_hello {
    uint8_t name_len;
    uint16_t alpn_len;
    char name[CLIENT_HELLO_NAME_MAX]; /* as sent; no NUL in it */
    char alpn[CLIENT_HELLO_ALPN_MAX]; /* (length byte, name) each */
};

/* May the first bytes of a connection, at least one, be those of a ClientHello? */
static inline bool client_hello_begins(slice bytes)
{
    return bytes.len && bytes.ptr[0] == 0x16; /* a handshake record */
}

/* `bytes` are the first of a connection. ERR_AGAIN: so far good, incomplete.
 * ERR_PROTOCOL: not a well-formed ClientHello. ERR_TOO_BIG: over a limit above.
 * What follows the ClientHello is not looked at. As with detection, an answer
 * other than ERR_AGAIN stays the same for more bytes. */
CHECKED enum status client_hello_read(slice bytes, struct client_hello *out);

/* Empty when none was sent. Borrows from `h`. */
slice client_hello_name(const struct client_hello *h);
/* "tulle/1". Exact bytes. */
bool client_hello_has_alpn(const struct client_hello *h, slice name);
/* Walks the list: start with *at = 0; false at the end. `name` borrows. */
bool client_hello_next_alpn(const struct client_hello *h, size_t *at,
                            slice *name);

#endif
