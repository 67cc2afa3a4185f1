/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/link/pulse.h"

#include "lib/base/clock.h"

/* A link is retired so long before a certificate ends, or a quarter of what is
 * left if that is less. */
static const int64_t EXPIRY_MARGIN = 60 * NSEC_PER_SEC;

/* Seconds; a certificate may end in the year 9999. */
static const int64_t DATE_MAX = INT64_MAX / NSEC_PER_SEC;

static int64_t earlier(int64_t at, int64_t other)
{
    return other && other < at ? other : at;
}

static void rearm(struct pulse *p)
{
    struct loop *l = p->conn->loop;
    int64_t at = loop_now(l) + p->ping_after / 2;
    at = earlier(earlier(at, p->expires), p->end);
    timer_set(&l->timers, &p->timer, at);
}

/* False when the peer is dead. */
static bool look_for_life(struct pulse *p, int64_t now)
{
    int64_t heard = h2_conn_last_heard(p->conn);
    /* A machine that slept sees a long silence that was its own: only what stays
     * silent after a ping is dead. */
    if (p->pinged && heard >= p->pinged)
        p->pinged = 0;
    if (p->pinged && now - p->pinged >= p->dead_after - p->ping_after)
        return false;
    if (!p->pinged && now - heard >= p->ping_after) {
        p->pinged = now;
        h2_conn_ping(p->conn);
    }
    return true;
}

static void on_beat(struct timer *t)
{
    struct pulse *p = CONTAINER_OF(t, struct pulse, timer);
    int64_t now = loop_now(p->conn->loop);

    if (p->end && now >= p->end) {
        p->on_ended(p);
        return;
    }
    if (!look_for_life(p, now)) {
        http_limits_hit(p->conn->limits, HTTP_LIMIT_SILENCE);
        p->on_dead(p);
        return;
    }
    bool expired = p->expires && now >= p->expires;
    if (expired)
        p->expires = 0;
    rearm(p);
    if (expired)
        p->on_expired(p);
}

void pulse_start(struct pulse *p, struct http_conn *conn,
                 const struct link_options *opt, int64_t not_after)
{
    p->conn = conn;
    p->ping_after = opt->ping_after;
    p->dead_after = opt->dead_after;
    p->pinged = p->expires = p->end = 0;
    timer_init(&p->timer, on_beat);
    if (not_after) {
        int64_t left = earlier(not_after, DATE_MAX) * NSEC_PER_SEC -
                       clock_real_ns();
        int64_t margin = left / 4 < EXPIRY_MARGIN ? left / 4 : EXPIRY_MARGIN;
        int64_t now = loop_now(conn->loop);
        p->end = now + (left > 1 ? left : 1);
        p->expires = p->end - (margin > 0 ? margin : 0);
    }
    rearm(p);
}

void pulse_stop(struct pulse *p)
{
    if (p->conn)
        timer_stop(&p->conn->loop->timers, &p->timer);
}
