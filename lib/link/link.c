/* SPDX-License-Identifier: Apache-2.0 */
/* The outbound end.
 *
 *   dialling -> handshaking -> up -> retired -> down
 *       +------------+----------+-----------------^
 *
 * A retired link takes no new streams and ends with its last one. */
#include "lib/link/link.h"

#include "lib/base/clock.h"
#include "lib/base/fsm.h"
#include "lib/base/mem.h"
#include "lib/link/pulse.h"
#include "lib/net/dial.h"

static struct log_area area = LOG_AREA("link");

enum link_state {
    LINK_DIALLING,
    LINK_HANDSHAKING,
    LINK_UP,
    LINK_RETIRED,
    LINK_DOWN
};

static const struct fsm_state states[] = {
    [LINK_DIALLING] = {"dialling", TO(LINK_HANDSHAKING) | TO(LINK_DOWN)},
    [LINK_HANDSHAKING] = {"handshaking", TO(LINK_UP) | TO(LINK_DOWN)},
    [LINK_UP] = {"up", TO(LINK_RETIRED) | TO(LINK_DOWN)},
    [LINK_RETIRED] = {"retired", TO(LINK_DOWN)},
    [LINK_DOWN] = {"down", 0},
};

struct link {
    struct loop *loop;
    const struct link_events *events;
    void *owner;
    struct link_options opt;
    struct address to;
    char *identity;
    size_t identity_len;
    unsigned state;
    struct log log;
    struct tcp_dial *dial;
    struct tls_handshake *handshake;
    struct http_conn *conn;
    struct pulse pulse;
    struct timer idle;
    int64_t deadline; /* of dial and handshake together */
    struct reap reap;
};

static void move(struct link *l, enum link_state to)
{
    fsm_move(states, &l->state, to, &l->log);
}

static void free_link(struct reap *r)
{
    struct link *l = CONTAINER_OF(r, struct link, reap);
    tls_settings_unref(l->opt.tls);
    mem_free(l->identity);
    mem_free(l);
}

static void down(struct link *l, enum status why, const char *reason)
{
    move(l, LINK_DOWN);
    pulse_stop(&l->pulse);
    timer_stop(&l->loop->timers, &l->idle);
    loop_reap(l->loop, &l->reap, free_link);
    if (l->events)
        l->events->on_down(l, why, reason);
}

static void retired(struct link *l)
{
    if (l->state != LINK_UP)
        return;
    move(l, LINK_RETIRED);
    if (l->events)
        l->events->on_retired(l);
}

/* ---- the session ---- */

static void on_conn_closed(struct http_conn *c, enum status why)
{
    struct link *l = c->owner;
    l->conn = NULL;
    down(l, why, NULL);
}

static void on_conn_draining(struct http_conn *c)
{
    retired(c->owner);
}

static void on_conn_ready(struct http_conn *c)
{
    struct link *l = c->owner;
    if (c->running == 0)
        timer_set(&l->loop->timers, &l->idle,
                  loop_now(l->loop) + l->opt.idle_timeout);
    if (l->events && l->events->on_room)
        l->events->on_room(l);
}

static const struct http_conn_events conn_events = {
    .on_ready = on_conn_ready,
    .on_draining = on_conn_draining,
    .on_closed = on_conn_closed,
};

static void on_dead(struct pulse *p)
{
    struct link *l = CONTAINER_OF(p, struct link, pulse);
    log_warn(&l->log, "peer is silent, closing", "");
    http_conn_close(l->conn, ERR_TIMEOUT);
}

static void on_ended(struct pulse *p)
{
    struct link *l = CONTAINER_OF(p, struct link, pulse);
    log_warn(&l->log, "a certificate has ended, closing", "streams=%u",
             l->conn->running);
    http_conn_close(l->conn, ERR_TIMEOUT);
}

static void on_expired(struct pulse *p)
{
    link_retire(CONTAINER_OF(p, struct link, pulse));
}

static void on_idle(struct timer *t)
{
    struct link *l = CONTAINER_OF(t, struct link, idle);
    if (l->conn && l->conn->running == 0)
        link_retire(l);
}

/* ---- dial, handshake ---- */

static void on_handshake(void *arg, enum status rc, struct stream *s,
                         const struct tls_peer *peer, const char *reason)
{
    struct link *l = arg;
    l->handshake = NULL;
    if (rc) {
        down(l, rc, reason);
        return;
    }
    move(l, LINK_UP);
    log_debug(&l->log, "up", "group=%s resumed=%d", peer->group, peer->resumed);
    l->conn = h2_link_client_new(l->loop, s, l->opt.limits, &conn_events, l);
    int64_t not_after = peer->not_after;
    struct tls_identity *own = tls_settings_identity(l->opt.tls);
    if (own && tls_identity_not_after(own) < not_after)
        not_after = tls_identity_not_after(own);
    l->pulse.on_dead = on_dead;
    l->pulse.on_expired = on_expired;
    l->pulse.on_ended = on_ended;
    pulse_start(&l->pulse, l->conn, &l->opt, not_after);
    timer_set(&l->loop->timers, &l->idle,
              loop_now(l->loop) + l->opt.idle_timeout);
    l->events->on_up(l);
}

static void on_dialled(void *arg, enum status rc, struct stream *s)
{
    struct link *l = arg;
    l->dial = NULL;
    if (rc) {
        down(l, rc, NULL);
        return;
    }
    move(l, LINK_HANDSHAKING);
    tcp_stream_set_lowat(s, LINK_LOWAT);
    int64_t left = l->deadline - loop_now(l->loop);
    rc = tls_handshake_start(&l->handshake, s, l->opt.tls,
                             slice_of(l->identity, l->identity_len), SLICE_NONE,
                             left > NSEC_PER_MSEC ? left : NSEC_PER_MSEC,
                             on_handshake, l);
    if (rc)
        down(l, rc, NULL);
}

struct link *link_start(struct loop *loop, const struct address *to,
                        slice identity, const struct link_options *opt,
                        const struct link_events *ev, void *owner)
{
    struct link *l = MEM_NEW(struct link);
    l->loop = loop;
    l->events = ev;
    l->owner = owner;
    l->opt = *opt;
    l->opt.tls = tls_settings_ref(opt->tls);
    l->to = *to;
    l->identity = mem_str(identity);
    l->identity_len = identity.len;
    l->log = (struct log){.area = &area, .id = rand_u64(&loop->rand) >> 40};
    l->deadline = loop_now(loop) + opt->dial_timeout;
    timer_init(&l->idle, on_idle);
    char text[ADDRESS_TEXT];
    slice at = address_format(to, text);
    log_debug(&l->log, "dialling", "to=%.*s identity=%.*s", FMT(at),
              FMT(identity));
    /* Fails only later, through its callback. */
    enum status rc = tcp_dial_start(&l->dial, loop, to, opt->dial_timeout,
                                    opt->dead_after, on_dialled, l);
    (void)rc;
    return l;
}

void *link_owner(const struct link *l)
{
    return l->owner;
}

bool link_is_up(const struct link *l)
{
    return l->state == LINK_UP;
}

struct exchange *link_open(struct link *l)
{
    if (l->state != LINK_UP)
        return NULL;
    struct exchange *x = http_conn_open(l->conn);
    if (x)
        timer_stop(&l->loop->timers, &l->idle);
    return x;
}

bool link_is_bulky(const struct link *l)
{
    return l->conn &&
           (h2_conn_bulky(l->conn) ||
            h2_conn_held(l->conn) > l->opt.limits->session_window / 2);
}

unsigned link_streams(const struct link *l)
{
    return l->conn ? l->conn->running : 0;
}

void link_retire(struct link *l)
{
    retired(l);
    if (l->conn)
        http_conn_drain(l->conn);
}

void link_close(struct link *l)
{
    if (l->state == LINK_DOWN)
        return;
    l->events = NULL;
    if (l->dial)
        tcp_dial_cancel(l->dial);
    if (l->handshake)
        tls_handshake_cancel(l->handshake);
    if (l->conn)
        http_conn_close(l->conn, ERR_CANCELED); /* comes back to down() */
    else
        down(l, ERR_CANCELED, NULL);
}
