/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: the far end of links, as another proxy would be, on loopback and on
 * the test's own loop. It answers exchanges as talk.h says; a CONNECT is granted
 * and echoed. */
#ifndef TULLE_TESTS_LINK_FAR_H
#define TULLE_TESTS_LINK_FAR_H

#include "lib/link/link.h"
#include "lib/net/listener.h"
#include "tests/unit/http/ids.h"
#include "tests/unit/http/talk.h"

struct far {
    struct loop *loop;
    struct listener *listener;
    struct tls_settings *tls;
    struct link_options opt;
    struct http_limits limits;
    struct answers answers;
    struct list conns;
    unsigned accepted, served, closed;
    enum status why; /* of the last that closed */
    char peer[128];  /* of the last that was served */
};

/* One accepted connection: first shakes hands, then serves. */
struct far_conn {
    struct list node;
    struct far *far;
    struct tls_handshake *hs;
    struct link_server *link;
};

static void far_conn_free(struct far_conn *c)
{
    list_remove(&c->node);
    mem_free(c);
}

static void far_on_exchange(struct link_server *s, struct exchange *x)
{
    struct far_conn *c = link_server_owner(s);
    answers_take(&c->far->answers, x, link_server_peer(s));
}

static void far_on_closed(struct link_server *s, enum status why)
{
    struct far_conn *c = link_server_owner(s);
    c->far->closed++;
    c->far->why = why;
    far_conn_free(c);
}

static const struct link_server_events far_link_events = {
    .on_exchange = far_on_exchange, .on_closed = far_on_closed};

static void far_on_handshake(void *arg, enum status rc, struct stream *s,
                             const struct tls_peer *peer, const char *reason)
{
    struct far_conn *c = arg;
    (void)reason;
    c->hs = NULL;
    if (rc) {
        far_conn_free(c);
        return;
    }
    c->far->served++;
    assert_int_equal(
        slice_to_cstr(peer->name, c->far->peer, sizeof c->far->peer), OK);
    c->link = link_serve(c->far->loop, s, &c->far->opt, &far_link_events, c);
}

static void far_on_accept(void *owner, int fd, const struct address *peer)
{
    struct far *f = owner;
    struct far_conn *c = MEM_NEW(struct far_conn);
    struct stream *s;
    (void)peer;
    c->far = f;
    f->accepted++;
    list_push_back(&f->conns, &c->node);
    assert_int_equal(tcp_stream_open(&s, f->loop, fd, 0), OK);
    assert_int_equal(tls_handshake_start(&c->hs, s, f->tls, SLICE_NONE,
                                         SLICE_NONE, 10 * NSEC_PER_SEC,
                                         far_on_handshake, c),
                     OK);
}

static const struct listener_events far_listener_events = {
    .on_accept = far_on_accept};

/* Times that let nothing happen by itself. */
UNUSED static struct link_options far_options(const struct http_limits *lim)
{
    return (struct link_options){.limits = lim,
                                 .dial_timeout = 10 * NSEC_PER_SEC,
                                 .ping_after = 100 * NSEC_PER_SEC,
                                 .dead_after = 200 * NSEC_PER_SEC,
                                 .idle_timeout = 100 * NSEC_PER_SEC};
}

/* `tls` (of a server) is borrowed. f->opt may be changed afterwards. */
UNUSED static void far_open(struct far *f, struct loop *l,
                            struct tls_settings *tls)
{
    struct listener_options opt = {.backlog = 16};
    struct address at;
    struct error e;
    *f = (struct far){.loop = l, .tls = tls, .limits = http_limits_default};
    f->opt = far_options(&f->limits);
    list_init(&f->conns);
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), &at), OK);
    assert_int_equal(
        listener_open(&f->listener, l, &at, &opt, &far_listener_events, f, &e),
        OK);
}

/* The first link that it serves, or NULL. */
UNUSED static struct link_server *far_link(struct far *f)
{
    LIST_EACH(node, &f->conns) {
        struct far_conn *c = CONTAINER_OF(node, struct far_conn, node);
        if (c->link)
            return c->link;
    }
    return NULL;
}

/* Breaks what it has; goes on listening. */
UNUSED static void far_break(struct far *f)
{
    while (!list_empty(&f->conns)) {
        struct far_conn *c = CONTAINER_OF(f->conns.next, struct far_conn, node);
        if (c->link) {
            link_server_close(c->link); /* comes back to far_on_closed */
        } else {
            tls_handshake_cancel(c->hs);
            far_conn_free(c);
        }
    }
}

UNUSED static void far_close(struct far *f)
{
    listener_close(f->listener);
    far_break(f);
    assert_int_equal(f->served, f->closed);
    assert_int_equal(f->answers.begun, f->answers.done + f->answers.resets);
}

#endif
