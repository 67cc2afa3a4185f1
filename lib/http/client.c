/* SPDX-License-Identifier: Apache-2.0 */
/* dialing -> handshake -> a connection. A failure of either step, or the
 * time-out, ends it with one callback. */
#include "lib/http/client.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/net/dial.h"

static const int64_t USER_TIMEOUT = 30 * NSEC_PER_SEC;

struct http_client {
    struct loop *loop;
    struct tcp_dial *dial;           /* while dialing */
    struct tls_handshake *handshake; /* while in it */
    struct tls_settings *tls;
    char *expect;
    int64_t deadline;
    const struct http_limits *limits;
    http_client_fn *done; /* NULL once called or canceled */
    void *arg;
    struct reap reap;
};

static void free_client(struct reap *r)
{
    struct http_client *c = CONTAINER_OF(r, struct http_client, reap);
    tls_settings_unref(c->tls);
    mem_free(c->expect);
    mem_free(c);
}

static void on_unowned_closed(struct http_conn *c, enum status why)
{
    (void)c, (void)why;
}

/* Until the callee sets its own. */
static const struct http_conn_events unowned = {.on_closed = on_unowned_closed};

static void finish(struct http_client *c, enum status rc,
                   struct http_conn *conn, const struct tls_peer *peer,
                   const char *reason)
{
    http_client_fn *done = c->done;
    c->done = NULL;
    c->dial = NULL;
    c->handshake = NULL;
    loop_reap(c->loop, &c->reap, free_client);
    done(c->arg, rc, conn, peer, reason);
}

static void on_handshake(void *arg, enum status rc, struct stream *s,
                         const struct tls_peer *peer, const char *reason)
{
    struct http_client *c = arg;
    struct http_conn *conn = NULL;
    if (rc) {
        finish(c, rc, NULL, NULL, reason);
        return;
    }
    if (slice_eq(peer->alpn, SLICE(TLS_ALPN_H2)))
        conn = h2_client_new(c->loop, s, c->limits, &unowned, NULL);
    else
        conn = h1_client_new(c->loop, s, c->limits, &unowned, NULL);
    finish(c, OK, conn, peer, NULL);
}

static void on_dialed(void *arg, enum status rc, struct stream *s)
{
    struct http_client *c = arg;
    c->dial = NULL;
    if (rc) {
        finish(c, rc, NULL, NULL, status_name(rc));
        return;
    }
    if (!c->tls) {
        finish(c, OK, h2_client_new(c->loop, s, c->limits, &unowned, NULL),
               NULL, NULL);
        return;
    }
    int64_t left = c->deadline - loop_now(c->loop);
    rc = tls_handshake_start(&c->handshake, s, c->tls, slice_str(c->expect),
                             SLICE_NONE, left > 0 ? left : 1, on_handshake, c);
    if (rc)
        finish(c, rc, NULL, NULL, status_name(rc));
}

enum status http_client_start(struct http_client **out, struct loop *l,
                              const struct address *to,
                              struct tls_settings *tls, slice expect,
                              int64_t timeout, const struct http_limits *lim,
                              http_client_fn *done, void *arg)
{
    struct http_client *c = MEM_NEW(struct http_client);
    c->loop = l;
    c->tls = tls ? tls_settings_ref(tls) : NULL;
    c->expect = mem_str(expect);
    c->deadline = loop_now(l) + timeout;
    c->limits = lim;
    c->done = done;
    c->arg = arg;
    enum status rc = tcp_dial_start(&c->dial, l, to, timeout, USER_TIMEOUT,
                                    on_dialed, c);
    if (rc) {
        free_client(&c->reap);
        return rc;
    }
    *out = c;
    return OK;
}

void http_client_cancel(struct http_client *c)
{
    if (!c->done)
        return;
    c->done = NULL;
    if (c->dial)
        tcp_dial_cancel(c->dial);
    if (c->handshake)
        tls_handshake_cancel(c->handshake);
    loop_reap(c->loop, &c->reap, free_client);
}
