/* SPDX-License-Identifier: Apache-2.0 */
/* One accepted byte stream on its way: what does it speak? Then either its
 * requests are served, or it is joined to an endpoint.
 *
 *   peeking --HTTP----------------------------> serving
 *      |  \--other, also declared--> dialling --> relaying
 *      +--silent--> early (dialled meanwhile) --^  (or serving, if HTTP comes)
 *
 * Early: whoever speaks first, the client or who was dialled, decides.
 *
 * Used for outbound connections, for plaintext inbound ones, and for the opaque
 * streams of a link: each is judged by the declaration of its target and by its
 * own bytes. */
#ifndef TULLE_PROXY_ACCEPT_CONDUIT_H
#define TULLE_PROXY_ACCEPT_CONDUIT_H

#include "proxy/accept/target.h"

struct conduit_events {
    /* An endpoint was reached, or HTTP begins: from now on bytes flow. */
    void (*on_open)(void *owner);
    /* Nothing was reached, and nothing written: the owner says so to the
     * downstream, whose stream it gets back. */
    void (*on_refused)(void *owner, struct stream *s, enum fault f);
};

/* Takes the stream. `first` borrows for the length of the call. */
typedef void conduit_tls_fn(struct stream *s, const struct target *t,
                            slice first, bool input_ended);

struct conduit_options {
    struct target *target; /* shares */
    int64_t silence; /* how long an undeclared port may stay silent; 0: it has
                        been silent long enough */
    slice first;     /* bytes already read; copied */
    bool input_ended;
    conduit_tls_fn *on_tls; /* NULL, or: nothing was read yet; should TLS begin,
                               the stream goes back with its bytes */
    const struct conduit_events *events; /* NULL: a refusal resets the stream */
    void *owner;
};

/* Takes the stream. Everything else happens later. */
void conduit_start(struct stream *s, const struct conduit_options *opt);

#endif
