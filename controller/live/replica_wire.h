/* SPDX-License-Identifier: Apache-2.0 */
/* What a replica of the controller tells the leader: JSON lines, as in
 * docs/wire-protocol.md. Pure. */
#ifndef TULLE_CONTROLLER_LIVE_REPLICA_WIRE_H
#define TULLE_CONTROLLER_LIVE_REPLICA_WIRE_H

#include "controller/subscribe/session.h"
#include "lib/json/json.h"

enum { REPLICA_LINE_MAX = 16 << 10 };

enum replica_type {
    REPLICA_UNKNOWN,   /* of a later version: ignored */
    REPLICA_PROXY,     /* `state`: a proxy with a session there */
    REPLICA_GONE,      /* `state.ns` and `state.pod`: it has none any more */
    REPLICA_HEARTBEAT, /* `state.pod`: its own; `state.roots`: it trusts them;
                          of the leader neither */
};

struct replica_msg {
    enum replica_type type;
    struct proxy_state state;
    struct json_doc *doc; /* behind the slices */
};

/* Appends a line with its newline. `s` is never NULL. */
void replica_encode(enum replica_type type, const struct proxy_state *s,
                    struct text *out);
/* One line without its newline. Pair with replica_msg_fini, also on error. */
CHECKED enum status replica_decode(slice line, struct replica_msg *out,
                                   struct error *e);
void replica_msg_fini(struct replica_msg *m);

#endif
