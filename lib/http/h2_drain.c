/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP/2 connection that shall carry nothing new. A server says so twice (RFC
 * 9113 section 6.8): a notice, and, when what was opened before the peer read it
 * has come, the last stream that counts. A client just opens no more. */
#include "lib/base/clock.h"
#include "lib/http/h2_conn.h"

static const int64_t GOODBYE_AFTER = 300 * NSEC_PER_MSEC;

static void wait_a_little(struct h2_conn *h)
{
    timer_set(&h->c.loop->timers, &h->goodbye,
              loop_now(h->c.loop) + GOODBYE_AFTER);
}

void h2_say_notice(struct h2_conn *h)
{
    h->notice_said = true;
    nghttp2_submit_shutdown_notice(h->ng);
    wait_a_little(h);
    h2_wake(h);
}

void h2_on_goodbye(struct timer *t)
{
    struct h2_conn *h = CONTAINER_OF(t, struct h2_conn, goodbye);
    if (!h->notice_said) { /* nobody asked for anything */
        h2_say_notice(h);
        return;
    }
    h->goodbye_said = true;
    nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(h->ng),
                          NGHTTP2_NO_ERROR, NULL, 0);
    h2_wake(h);
}

/* Who has connected for a request is told with the first one. A gRPC client that
 * is told before connects anew, without having asked for anything, and again,
 * for as long as the drain lasts. Other proxies know better. */
static bool unused(const struct h2_conn *h)
{
    return !h->link && !h->order.last;
}

void h2_drain(struct http_conn *c)
{
    struct h2_conn *h = CONTAINER_OF(c, struct h2_conn, c);
    if (c->closed || c->draining)
        return;
    c->draining = true;
    if (!c->server)
        h->goodbye_said = true; /* said with the last exchange: what was opened
                                   may not have left yet */
    else if (unused(h))
        wait_a_little(h);
    else
        h2_say_notice(h);
    h2_wake(h);
}
