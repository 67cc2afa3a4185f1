/* SPDX-License-Identifier: Apache-2.0 */
/* Links to a peer on loopback, and what a new identity does to them. */
#include "lib/base/mem.h"
#include "lib/net/listener.h"
#include "lib/net/tcp_stream.h"
#include "proxy/upstream/endpoint.h"
#include "tests/unit/http/ids.h"
#include "tests/unit/http/talk.h"

#define WEB SLICE("spiffe://cluster.local/ns/shop/sa/web")
#define CART SLICE("spiffe://cluster.local/ns/shop/sa/cart")

enum { PEERS = 8 };

struct world {
    struct turner t;
    struct upstream up;
    struct ca *ca;
    struct tls_settings *server;
    struct listener *listener;
    struct link_server *links[PEERS];
    unsigned accepted, open;
};

struct asker {
    struct acquire acquire;
    struct exchange *x;
    enum fault fault;
    unsigned told;
};

/* ---- the peer ---- */

static void on_exchange(struct link_server *s, struct exchange *x)
{
    (void)s;
    exchange_own(x, &answer_events, NULL);
    exchange_reset(x, RESET_CANCELED);
}

static void on_closed(struct link_server *s, enum status why)
{
    struct world *w = link_server_owner(s);
    (void)why;
    for (unsigned i = 0; i < PEERS; i++)
        if (w->links[i] == s)
            w->links[i] = NULL;
    w->open--;
}

static const struct link_server_events server_events = {
    .on_exchange = on_exchange, .on_closed = on_closed};

static void on_peer(void *arg, enum status rc, struct stream *s,
                    const struct tls_peer *peer, const char *reason)
{
    struct world *w = arg;
    (void)peer, (void)reason;
    assert_int_equal(rc, OK);
    w->links[w->accepted++] = link_serve(&w->t.loop, s, &w->up.link,
                                         &server_events, w);
    w->open++;
}

static void on_accept(void *owner, int fd, const struct address *peer)
{
    struct world *w = owner;
    struct tls_handshake *h;
    struct stream *s;
    (void)peer;
    assert_int_equal(tcp_stream_open(&s, &w->t.loop, fd, NSEC_PER_SEC), OK);
    assert_int_equal(tls_handshake_start(&h, s, w->server, SLICE_NONE,
                                         SLICE_NONE, 5 * NSEC_PER_SEC, on_peer,
                                         w),
                     OK);
}

static const struct listener_events listener_events = {.on_accept = on_accept};

/* ---- this side ---- */

static void on_handshake(void *owner, bool ok)
{
    (void)owner;
    assert_true(ok);
}

static void new_identity(struct world *w)
{
    struct tls_settings *tls = ids_settings(w->ca, WEB, TLS_CLIENT,
                                            TLS_ALPN_LINK);
    upstream_set_tls(&w->up, tls);
    tls_settings_unref(tls);
}

static void world_init(struct world *w)
{
    struct listener_options lo = {0};
    struct address at;
    struct error e;
    *w = (struct world){0};
    turner_init(&w->t);
    upstream_init(&w->up, &w->t.loop);
    w->up.link = (struct link_options){.limits = &http_limits_default,
                                       .dial_timeout = 5 * NSEC_PER_SEC,
                                       .ping_after = 10 * NSEC_PER_SEC,
                                       .dead_after = 30 * NSEC_PER_SEC,
                                       .idle_timeout = 30 * NSEC_PER_SEC};
    w->up.pending_timeout = 10 * NSEC_PER_SEC;
    w->up.max_pending = w->up.max_links = 4;
    w->up.on_handshake = on_handshake;
    w->ca = ids_ca(SLICE("cluster.local"));
    w->server = ids_settings(w->ca, CART, TLS_SERVER, TLS_ALPN_LINK);
    new_identity(w);
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), &at), OK);
    assert_int_equal(listener_open(&w->listener, &w->t.loop, &at, &lo,
                                   &listener_events, w, &e),
                     OK);
}

static void world_fini(struct world *w)
{
    listener_close(w->listener);
    upstream_close(&w->up);
    for (unsigned i = 0; i < PEERS; i++)
        if (w->links[i])
            link_server_close(w->links[i]);
    assert_int_equal(w->up.endpoints.len, 0);
    upstream_fini(&w->up);
    tls_settings_unref(w->server);
    ca_free(w->ca);
    turner_fini(&w->t);
}

static struct endpoint *peer_of(struct world *w)
{
    char text[ADDRESS_TEXT];
    slice at = address_format(listener_address(w->listener), text);
    return endpoint_get(&w->up, at, CART, 1);
}

static void on_acquired(struct acquire *a, enum fault f, struct exchange *x)
{
    struct asker *k = CONTAINER_OF(a, struct asker, acquire);
    k->fault = f;
    k->x = x;
    k->told++;
}

static enum status ask(struct endpoint *ep, struct asker *k)
{
    *k = (struct asker){0};
    list_init(&k->acquire.node);
    return endpoint_acquire(ep, false, &k->acquire, on_acquired, &k->x,
                            &k->fault);
}

static void let_go(struct asker *k)
{
    exchange_own(k->x, &call_events, NULL);
    exchange_reset(k->x, RESET_CANCELED);
}

/* A link that is up when the identity changes takes nothing new. */
static void old_links_retire(void **state)
{
    struct world w;
    struct asker first, second;
    (void)state;
    world_init(&w);
    struct endpoint *ep = peer_of(&w);
    assert_int_equal(ask(ep, &first), ERR_AGAIN);
    TURN_UNTIL(&w.t, first.told);
    assert_non_null(first.x);
    new_identity(&w);
    assert_int_equal(ask(ep, &second), ERR_AGAIN);
    TURN_UNTIL(&w.t, second.told);
    assert_non_null(second.x);
    TURN_UNTIL(&w.t, w.accepted == 2);
    let_go(&first);
    let_go(&second);
    endpoint_unref(ep);
    world_fini(&w);
}

/* Nor does one that is being dialled then: it may be proved by roots that are in
 * force no more. */
static void links_that_begin_old_retire(void **state)
{
    struct world w;
    struct asker k;
    (void)state;
    world_init(&w);
    struct endpoint *ep = peer_of(&w);
    assert_int_equal(ask(ep, &k), ERR_AGAIN);
    new_identity(&w);
    TURN_UNTIL(&w.t, k.told);
    assert_non_null(k.x);
    TURN_UNTIL(&w.t, w.accepted == 2);
    TURN_UNTIL(&w.t, w.open == 1); /* the old one ends by itself */
    let_go(&k);
    endpoint_unref(ep);
    world_fini(&w);
}

static void settings_until(struct tls_settings **out, struct ca *ca, slice name,
                           enum tls_role role, int64_t date)
{
    struct error e = {0};
    const struct tls_options opt = {.role = role, .alpn = {TLS_ALPN_LINK}};
    struct tls_identity *id =
        ids_identity(ca, name, date - clock_real_ns() / NSEC_PER_SEC);
    assert_int_equal(tls_settings_new(out, &opt, id, SLICE_NONE, &e), OK);
    tls_identity_unref(id);
}

/* Certificates of a user's own authority may end in the year 9999 (RFC 5280
 * section 4.1.2.5): later than our clock counts in ns. */
static void certificates_without_end(void **state)
{
    const int64_t year_9999 = INT64_C(253402300799);
    int64_t now = clock_real_ns() / NSEC_PER_SEC;
    struct tls_settings *client;
    struct error e = {0};
    struct asker k;
    struct world w;
    (void)state;
    world_init(&w);
    ca_free(w.ca);
    tls_settings_unref(w.server);
    assert_int_equal(
        ca_new(&w.ca, SLICE("cluster.local"), now - 60, year_9999 - now, &e),
        OK);
    settings_until(&w.server, w.ca, CART, TLS_SERVER, year_9999 - 60);
    settings_until(&client, w.ca, WEB, TLS_CLIENT, year_9999 - 60);
    upstream_set_tls(&w.up, client);
    tls_settings_unref(client);
    struct endpoint *ep = peer_of(&w);
    assert_int_equal(ask(ep, &k), ERR_AGAIN);
    TURN_UNTIL(&w.t, k.told && w.accepted);
    assert_non_null(k.x);
    for (int i = 0; i < 10; i++)
        turn(&w.t);
    assert_int_equal(w.open, 1);
    let_go(&k);
    endpoint_unref(ep);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_links_retire),
        cmocka_unit_test(links_that_begin_old_retire),
        cmocka_unit_test(certificates_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
