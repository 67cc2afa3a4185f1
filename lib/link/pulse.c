/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/link/pulse.h"

#include "lib/base/clock.h"

static const int64_t EXPIRY_MARGIN = 60 * NSEC_PER_SEC;

static void rearm(struct pulse *p)
{
    struct loop *l = p->conn->loop;
    timer_set(&l->timers, &p->timer, loop_now(l) + p->ping_after / 2);
}

static void on_beat(struct timer *t)
{
    struct pulse *p = CONTAINER_OF(t, struct pulse, timer);
    int64_t now = loop_now(p->conn->loop);
    int64_t silent = now - h2_conn_last_heard(p->conn);

    /* A machine that slept sees a long silence that was its own: only what stays
     * silent after a ping is dead. */
    if (p->pinged && h2_conn_last_heard(p->conn) >= p->pinged)
        p->pinged = 0;
    if (p->pinged && now - p->pinged >= p->dead_after - p->ping_after) {
        p->on_dead(p);
        return;
    }
    if (!p->pinged && silent >= p->ping_after) {
        p->pinged = now;
        h2_conn_ping(p->conn);
    }
    rearm(p);
    if (p->end && now >= p->end) {
        p->on_dead(p);
        return;
    }
    if (p->expires && now >= p->expires) {
        p->expires = 0;
        p->on_expired(p);
    }
}

void pulse_start(struct pulse *p, struct http_conn *conn,
                 const struct link_options *opt, int64_t not_after)
{
    p->conn = conn;
    p->ping_after = opt->ping_after;
    p->dead_after = opt->dead_after;
    p->pinged = 0;
    int64_t left = not_after * NSEC_PER_SEC - clock_real_ns() - EXPIRY_MARGIN;
    int64_t last = left + EXPIRY_MARGIN;
    p->end = not_after ? loop_now(conn->loop) + (last > 1 ? last : 1) : 0;
    p->expires = not_after ? loop_now(conn->loop) + (left > 1 ? left : 1) : 0;
    timer_init(&p->timer, on_beat);
    rearm(p);
}

void pulse_stop(struct pulse *p)
{
    if (p->conn)
        timer_stop(&p->conn->loop->timers, &p->timer);
}
