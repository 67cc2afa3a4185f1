/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: two ends of TLS over streams in memory that cut bytes anywhere. Each
 * end sends a pattern, checks what it gets, and counts what it is told. */
#ifndef TULLE_TESTS_TLS_ENDS_H
#define TULLE_TESTS_TLS_ENDS_H

#include <string.h>

#include "lib/base/clock.h"
#include "lib/net/memory_stream.h"
#include "lib/tls/tls_stream.h"
#include "tests/unit/tls/pki.h"

#define WEB SLICE("spiffe://test/ns/shop/sa/web")
#define DB SLICE("spiffe://test/ns/shop/sa/db")

enum { BIG = 4 << 20, HIGH = 262144 };

/* What rig_init uses; the test makes them. */
static struct tls_settings *client_tls, *server_tls;

/* One end. */
struct end {
    struct stream *lower; /* what TLS took */
    struct tls_handshake *hs;
    struct stream *s; /* NULL before the handshake and after close */
    const struct tls_peer *peer;
    enum status rc, why;
    const char *reason;
    unsigned called, ends, fails, drained;
    size_t to_send, sent, got, most_queued;
    bool bad;
    bool end_after;   /* ends its side after the last byte */
    size_t stop_each; /* stops reading after each piece */
    bool stop_first;
    void (*after)(struct end *e); /* NULL, or: runs at the end of each event;
                                     it may close the stream */
};

struct rig {
    struct loop loop;
    struct end client, server;
};

static char byte_at(size_t i)
{
    return (char)(i * 7 + i / 251);
}

static void tls_ends_after(struct end *e)
{
    if (e->after)
        e->after(e);
}

UNUSED static void push(struct end *e)
{
    static char piece[20000];
    while (e->s && e->sent < e->to_send && stream_queued(e->s) < HIGH) {
        size_t n = e->to_send - e->sent;
        n = n < sizeof piece ? n : sizeof piece;
        for (size_t i = 0; i < n; i++)
            piece[i] = byte_at(e->sent + i);
        stream_write(e->s, piece, n);
        e->sent += n;
    }
    if (!e->s)
        return;
    if (stream_queued(e->s) > e->most_queued)
        e->most_queued = stream_queued(e->s);
    if (e->end_after && e->sent == e->to_send)
        stream_end(e->s);
}

static void on_data(struct stream *s, const char *ptr, size_t len)
{
    struct end *e = s->owner;
    assert_int_equal(e->ends + e->fails, 0);
    for (size_t i = 0; i < len; i++)
        e->bad |= ptr[i] != byte_at(e->got + i);
    e->got += len;
    if (e->stop_each || e->stop_first)
        stream_read(s, false);
    tls_ends_after(e);
}
static void on_end(struct stream *s)
{
    struct end *e = s->owner;
    assert_false(e->stop_first); /* it did not want to hear anything */
    e->ends++;
    tls_ends_after(e);
}
static void on_fail(struct stream *s, enum status why)
{
    struct end *e = s->owner;
    e->fails++;
    e->why = why;
    tls_ends_after(e);
}
static void on_drained(struct stream *s)
{
    struct end *e = s->owner;
    e->drained++;
    push(e);
    tls_ends_after(e);
}
static const struct stream_events events = {
    .on_data = on_data,
    .on_end = on_end,
    .on_fail = on_fail,
    .on_drained = on_drained,
};

static void on_handshake(void *arg, enum status rc, struct stream *s,
                         const struct tls_peer *peer, const char *reason)
{
    struct end *e = arg;
    e->called++;
    e->hs = NULL;
    e->rc = rc;
    e->reason = reason;
    e->s = s;
    e->peer = peer;
    assert_int_equal(rc == OK, s != NULL);
    assert_int_equal(rc == OK, reason == NULL);
    if (s) {
        stream_own(s, &events, e);
        stream_read(s, true);
    }
    tls_ends_after(e);
}

UNUSED static void turn(struct rig *r)
{
    uv_run(&r->loop.uv, UV_RUN_NOWAIT);
}

#define UNTIL(r, cond)                                      \
    do {                                                    \
        int64_t end_ = clock_mono_ns() + 30 * NSEC_PER_SEC; \
        while (!(cond) && clock_mono_ns() < end_)           \
            turn(r);                                        \
        assert_true(cond);                                  \
    } while (0)

UNUSED static void rig_streams(struct rig *r, size_t piece)
{
    struct error e;
    *r = (struct rig){0};
    assert_int_equal(loop_init(&r->loop, 16, &e), OK);
    memory_stream_pair(&r->loop, 65536, &r->client.lower, &r->server.lower);
    memory_stream_slice(r->client.lower, piece);
    memory_stream_slice(r->server.lower, piece);
}

UNUSED static void shake(struct rig *r, struct end *e, struct tls_settings *t,
                         slice expect, slice first)
{
    assert_int_equal(tls_handshake_start(&e->hs, e->lower, t, expect, first,
                                         20 * NSEC_PER_SEC, on_handshake, e),
                     OK);
    (void)r;
}

UNUSED static void rig_init(struct rig *r, size_t piece)
{
    rig_streams(r, piece);
    shake(r, &r->server, server_tls, SLICE_NONE, SLICE_NONE);
    shake(r, &r->client, client_tls, DB, SLICE_NONE);
}

UNUSED static void rig_open(struct rig *r, size_t piece)
{
    rig_init(r, piece);
    UNTIL(r, r->client.called && r->server.called);
    assert_int_equal(r->client.rc, OK);
    assert_int_equal(r->server.rc, OK);
}

UNUSED static void end_close(struct end *e)
{
    if (e->hs)
        tls_handshake_cancel(e->hs);
    if (e->s)
        stream_close(e->s, STREAM_NOW);
    e->hs = NULL;
    e->s = NULL;
}

UNUSED static void rig_fini(struct rig *r)
{
    end_close(&r->client);
    end_close(&r->server);
    for (int i = 0; i < 3; i++)
        turn(r);
    loop_fini(&r->loop);
}

/* ---- set-up: certificates of one authority ---- */

UNUSED static struct tls_settings *tls_ends_settings(struct tls_identity *id,
                                                     enum tls_role role)
{
    struct tls_options opt = {.role = role,
                              .alpn = {TLS_ALPN_LINK},
                              .ask_peer = true,
                              .require_peer = true,
                              .resume = true};
    struct tls_settings *t;
    struct error e;
    assert_int_equal(tls_settings_new(&t, &opt, id, SLICE_NONE, &e), OK);
    tls_identity_unref(id);
    return t;
}

UNUSED static int tls_ends_set_up(void **state)
{
    (void)state;
    struct pki_cert ca = pki_authority(NULL, "root");
    struct pki_cert web = pki_make(&ca, (struct pki_spec){.uri = WEB});
    struct pki_cert db = pki_make(&ca, (struct pki_spec){.uri = DB});
    char *roots = pki_cert_pem(&ca);
    client_tls = tls_ends_settings(pki_identity(&web, roots), TLS_CLIENT);
    server_tls = tls_ends_settings(pki_identity(&db, roots), TLS_SERVER);
    mem_free(roots);
    pki_free(&ca);
    pki_free(&web);
    pki_free(&db);
    return 0;
}

UNUSED static int tls_ends_tear_down(void **state)
{
    (void)state;
    tls_settings_unref(client_tls);
    tls_settings_unref(server_tls);
    return 0;
}

#endif
