/* SPDX-License-Identifier: Apache-2.0 */
/* Shows that the rules do what they say, from inside the pod and before anything
 * else runs in it.
 *
 *   1  a connection to an address that nobody has arrives at the proxy's outbound
 *      port, and the kernel tells there where it was going (IPv4, and IPv6 where
 *      the pod has a route)
 *   2  so does a connection to each of the controller's addresses. A network
 *      plugin that replaces a Service's address in connect() would fail it, and
 *      routes would silently not apply */
#ifndef TULLE_PROXY_REDIRECT_PROVE_H
#define TULLE_PROXY_REDIRECT_PROVE_H

#include "lib/base/text.h"
#include "proxy/redirect/rules.h"

struct prove_options {
    const struct rules *rules;
    const struct address *controllers;
    unsigned controllers_len;
    int64_t timeout; /* nanoseconds, for each connection */
};

/* Listens on the proxy's outbound port meanwhile; sends nothing out of the pod
 * when the rules hold. ERR_DENIED: a proof failed; ERR_INVALID, ERR_IO: it could
 * not be tried. The sentence says which proof, what was seen, what to do. Appends
 * to `notes` a line about each proof and each that had to be left out. Blocks. */
CHECKED enum status prove(const struct prove_options *opt, struct text *notes,
                          struct error *e);

#endif
