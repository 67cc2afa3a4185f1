/* SPDX-License-Identifier: Apache-2.0 */
/* What both ends of a link do by the clock: ping a silent peer, notice a dead
 * one, retire before a certificate expires. */
#ifndef TULLE_LINK_PULSE_H
#define TULLE_LINK_PULSE_H

#include "lib/link/link.h"

struct pulse {
    struct timer timer;
    struct http_conn *conn;
    int64_t ping_after, dead_after;
    int64_t expires; /* loop time at which the link must be retired */
    int64_t end;     /* ... and must be gone: a certificate has ended */
    int64_t pinged;  /* loop time of the ping that waits for an answer, or 0 */
    void (*on_dead)(struct pulse *p);
    void (*on_expired)(struct pulse *p); /* retire it */
    void (*on_ended)(struct pulse *p);   /* a certificate has ended: close it */
};

/* Starts. `not_after`: the earlier end of both certificates, seconds since
 * 1970. */
void pulse_start(struct pulse *p, struct http_conn *conn,
                 const struct link_options *opt, int64_t not_after);
void pulse_stop(struct pulse *p);

#endif
