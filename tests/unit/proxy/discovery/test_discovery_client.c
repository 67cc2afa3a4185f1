/* SPDX-License-Identifier: Apache-2.0 */
/* The session against a controller that does what the test says, over mTLS on
 * loopback. Times are short options, nobody sleeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/log.h"
#include "lib/http/server.h"
#include "proxy/discovery/client.h"
#include "proxy/discovery/lookup.h"
#include "tests/unit/http/ids.h"
#include "tests/unit/http/talk.h"
#include "tests/unit/net/cut.h"
#include "tests/unit/proxy/discovery/views.h"

static struct tls_settings *server_tls, *wrong_tls, *client_tls;
static const slice controller = SLICE_INIT("spiffe://test/tulle/controller");

/* ---- the controller ---- */

struct fake {
    struct http_server *server;
    struct exchange *x; /* the session, or NULL */
    struct text got;    /* lines of this session */
    unsigned sessions;
    unsigned status; /* what it answers; 0: nothing at all */
};

static void fake_head(struct exchange *x, const struct head *h, bool end)
{
    struct fake *f = x->owner;
    struct header fields[1];
    struct head out;
    (void)end;
    assert_true(slice_eq(h->path, SLICE("/v1/session")));
    f->sessions++;
    f->x = x;
    text_clear(&f->got);
    if (!f->status)
        return;
    head_init_response(&out, f->status, fields, 1);
    exchange_send_head(x, &out, f->status != 200);
}

static void fake_body(struct exchange *x, slice data, bool end)
{
    struct fake *f = x->owner;
    (void)end;
    text_add(&f->got, data);
    exchange_consumed(x, data.len);
}
static void fake_trailers(struct exchange *x, const struct headers *t)
{
    (void)x, (void)t;
}
static void fake_sent(struct exchange *x, size_t n)
{
    (void)x, (void)n;
}
static void fake_reset(struct exchange *x, enum reset_why why)
{
    struct fake *f = x->owner;
    (void)why;
    if (f->x == x)
        f->x = NULL;
}
static void fake_done(struct exchange *x)
{
    fake_reset(x, RESET_CANCELED);
}

static const struct exchange_events fake_events = {
    .on_head = fake_head,
    .on_body = fake_body,
    .on_trailers = fake_trailers,
    .on_sent = fake_sent,
    .on_reset = fake_reset,
    .on_done = fake_done,
};

static void fake_take(void *arg, struct exchange *x,
                      const struct tls_peer *peer)
{
    assert_true(slice_eq(peer->name, SLICE("spiffe://test/ns/shop/sa/web")));
    exchange_own(x, &fake_events, arg);
}

static void fake_start(struct fake *f, struct turner *t,
                       struct tls_settings *tls)
{
    struct error e;
    struct http_server_options opt = {.tls = tls,
                                      .limits = http_limits_default};
    *f = (struct fake){.status = 200};
    text_init(&f->got, 1 << 20);
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), &opt.at), OK);
    assert_int_equal(
        http_server_start(&f->server, &t->loop, &opt, fake_take, f, &e), OK);
}

static void fake_stop(struct fake *f)
{
    http_server_close(f->server);
    text_fini(&f->got);
}

static bool heard(struct fake *f, const char *what)
{
    return strstr(text_cstr(&f->got), what) != NULL;
}

static void say_msg(struct fake *f, const struct msg *m)
{
    struct text line;
    text_init(&line, WIRE_LINE_MAX);
    msg_encode(m, &line);
    assert_false(line.failed);
    exchange_send_body(f->x, text_slice(&line), false);
    text_fini(&line);
}

/* Gives the view away. */
static void say_view(struct fake *f, struct view *v)
{
    struct msg m = {.type = MSG_VIEW,
                    .kind = v->kind,
                    .key = v->key,
                    .hash = slice_str(v->hash),
                    .view = v};
    say_msg(f, &m);
    view_unref(v);
}

static void say(struct fake *f, const char *text)
{
    exchange_send_body(f->x, slice_str(text), false);
}

/* ---- the rig ---- */

struct rig {
    struct turner t;
    struct fake fakes[2];
    struct discovery *d;
    struct lookup *lk;
    struct controllers *controllers;
    struct discovery_client *c;
    unsigned synced, lost, reports;
    bool closed;
};

static bool on_report(void *arg, struct report *out)
{
    struct rig *r = arg;
    out->epoch = SLICE("e1");
    out->sequence = ++r->reports;
    return true;
}

static void on_sync(void *arg, bool in_sync)
{
    struct rig *r = arg;
    r->synced += in_sync;
    r->lost += !in_sync;
}

static const struct discovery_client_events client_events = {on_report,
                                                             on_sync};

static struct discovery_client_options quick(void)
{
    struct discovery_client_options o = discovery_client_defaults;
    o.backoff_min = 2 * NSEC_PER_MSEC;
    o.backoff_max = 20 * NSEC_PER_MSEC;
    o.expect = controller;
    o.name = SLICE("shop/web-1");
    return o;
}

static void rig_init(struct rig *r, struct discovery_client_options o,
                     unsigned fakes, struct tls_settings *first)
{
    struct text list;
    struct error e;
    *r = (struct rig){0};
    turner_init(&r->t);
    text_init(&list, 1024);
    for (unsigned i = 0; i < fakes; i++) {
        char at[ADDRESS_TEXT];
        fake_start(&r->fakes[i], &r->t, i ? server_tls : first);
        slice a = address_format(http_server_address(r->fakes[i].server), at);
        text_printf(&list, "%s%.*s", i ? "," : "", FMT(a));
    }
    assert_int_equal(controllers_new(&r->controllers, &r->t.loop,
                                     text_slice(&list), NULL, &e),
                     OK);
    text_fini(&list);
    o.controllers = r->controllers;
    r->d = discovery_new(&r->t.loop, NULL);
    r->lk = lookup_new(r->d, &r->t.loop, NULL);
    r->c = discovery_client_new(&r->t.loop, r->d, &o, &client_events, r);
    assert_string_equal(discovery_client_state(r->c),
                        "waiting for a certificate");
    discovery_client_set_tls(r->c, client_tls);
}

static void on_closed(void *arg)
{
    struct rig *r = arg;
    r->closed = true;
}

static void rig_fini(struct rig *r)
{
    if (r->c)
        discovery_client_close(r->c);
    lookup_close(r->lk, on_closed, r);
    TURN_UNTIL(&r->t, r->closed);
    controllers_free(r->controllers);
    discovery_free(r->d);
    for (int i = 0; i < 2; i++)
        if (r->fakes[i].server)
            fake_stop(&r->fakes[i]);
    turner_fini(&r->t);
}

static void get_in_sync(struct rig *r, struct fake *f)
{
    unsigned before = r->synced;
    TURN_UNTIL(&r->t, f->x && heard(f, "\"subscribe\""));
    say_view(f, workload_of("shop"));
    TURN_UNTIL(&r->t, r->synced == before + 1);
}

/* ---- tests ---- */

static void test_session(void **state)
{
    struct rig r;
    struct view *v;
    (void)state;
    rig_init(&r, quick(), 1, server_tls);
    struct fake *f = &r.fakes[0];
    get_in_sync(&r, f);
    assert_true(strncmp(text_cstr(&f->got), "{\"type\":\"hello\"", 15) == 0);
    assert_true(heard(f, "backend-delta/1"));
    assert_true(heard(f, "shop/web-1"));
    TURN_UNTIL(&r.t, heard(f, "\"ack\""));
    TURN_UNTIL(&r.t, lookup_workload(r.lk) != NULL);
    assert_int_equal(
        lookup_destination(r.lk, SLICE("10.0.0.1:80"), &v, NULL, NULL, NULL),
        ERR_AGAIN);
    TURN_UNTIL(&r.t, heard(f, "10.0.0.1:80"));
    say_view(f, backend_of("shop/cart:80", "1.1.1.1:1"));
    say_view(f, destination_of("10.0.0.1:80", "shop/cart:80", NULL));
    TURN_UNTIL(&r.t, lookup_destination(r.lk, SLICE("10.0.0.1:80"), &v, NULL,
                                        NULL, NULL) == OK);
    assert_int_equal(v->destination.backends_len, 1);
    assert_true(discovery_client_in_sync(r.c));
    /* taken back */
    say(f, "{\"type\":\"remove\",\"kind\":\"destination\","
           "\"key\":\"10.0.0.1:80\"}\n");
    TURN_UNTIL(&r.t, lookup_destination(r.lk, SLICE("10.0.0.1:80"), &v, NULL,
                                        NULL, NULL) == OK &&
                         v->destination.resolution == RESOLUTION_UNKNOWN);
    assert_int_equal(discovery_client_stats(r.c).views, 3);
    rig_fini(&r);
}

/* Lines in pieces, empty ones, unknown types, several in one piece. */
static void test_lines(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, quick(), 1, server_tls);
    struct fake *f = &r.fakes[0];
    TURN_UNTIL(&r.t, f->x && heard(f, "subscribe"));
    const char *text = "\n{\"type\":\"new thing\"}\n{\"type\":\"heartbeat\"}\n"
                       "{\"type\":\"remove\",\"kind\":\"workload\"}\n";
    for (const char *p = text; *p; p++) {
        exchange_send_body(f->x, slice_of(p, 1), false);
        turn(&r.t);
    }
    TURN_UNTIL(&r.t, r.synced == 1);
    say(f, text);
    say(f, "{\"type\":\"same\",\"kind\":\"destination\",\"key\":\"1.1.1.1:1\","
           "\"hash\":\"00000000000000000000000000000000\"}\n");
    say_view(f, workload_of("late"));
    TURN_UNTIL(&r.t, heard(f, "\"ack\""));
    assert_false(heard(f, "1.1.1.1:1")); /* nobody wants that */
    assert_int_equal(r.lost, 0);
    rig_fini(&r);
}

static void test_nack(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, quick(), 1, server_tls);
    struct fake *f = &r.fakes[0];
    get_in_sync(&r, f);
    /* what cannot be read */
    say(f,
        "{\"type\":\"destination\",\"key\":\"10.0.0.1:80\",\"hash\":"
        "\"0123456789abcdef0123456789abcdef\",\"view\":{\"resolution\":7}}\n");
    TURN_UNTIL(&r.t, heard(f, "\"nack\""));
    assert_true(heard(f, "resolution"));
    assert_int_equal(discovery_client_stats(r.c).nacks, 1);
    /* what asks for more than we have */
    text_clear(&f->got);
    say(f, "{\"type\":\"backend\",\"key\":\"shop/cart:80\",\"hash\":"
           "\"0123456789abcdef0123456789abcdef\",\"needs\":[\"magic/1\"],"
           "\"view\":{\"service\":\"shop/cart:80\",\"endpoints\":[]}}\n");
    TURN_UNTIL(&r.t, heard(f, "\"nack\""));
    assert_true(heard(f, "magic/1"));
    assert_null(discovery_get(r.d, VIEW_BACKEND, SLICE("shop/cart:80")));
    assert_int_equal(r.lost, 0); /* the session goes on */
    /* what is no message at all ends it */
    say(f, "{\n");
    TURN_UNTIL(&r.t, r.lost == 1);
    rig_fini(&r);
}

/* A delta that fits, then one for another base. */
static void test_delta(void **state)
{
    struct rig r;
    struct lookup_watch w;
    struct arena a;
    (void)state;
    rig_init(&r, quick(), 1, server_tls);
    struct fake *f = &r.fakes[0];
    get_in_sync(&r, f);
    (void)lookup_hold(r.lk, VIEW_BACKEND, SLICE("shop/cart:80"), &w, NULL,
                      NULL);
    TURN_UNTIL(&r.t, heard(f, "shop/cart:80"));
    /* far more endpoints than change, or a snapshot were shorter */
    enum { MANY = 50 };
    struct backend_endpoint at[MANY];
    char text[MANY][24];
    struct view *views[2];
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < MANY; i++) {
            snprintf(text[i], sizeof text[i], "10.0.0.%d:80", i + 100);
            at[i] = (struct backend_endpoint){.address = slice_str(text[i]),
                                              .weight = i == 7 && k ? 9 : 1};
        }
        struct view *v = views[k] = view_new(VIEW_BACKEND,
                                             SLICE("shop/cart:80"));
        struct text json;
        v->backend.service = SLICE("shop/cart:80");
        v->backend.endpoints = at;
        v->backend.endpoints_len = MANY;
        text_init(&json, 1 << 20);
        view_encode(v, &json);
        views[k] = view_of(VIEW_BACKEND, SLICE("shop/cart:80"),
                           text_slice(&json));
        text_fini(&json);
        view_unref(v);
    }
    struct msg m = {
        .type = MSG_DELTA, .kind = VIEW_BACKEND, .key = SLICE("shop/cart:80")};
    arena_init(&a, 1 << 20);
    assert_true(delta_make(views[0], views[1], &a, &m.delta));
    m.hash = slice_str(views[1]->hash);
    view_ref(views[0]);
    say_view(f, views[0]);
    say_msg(f, &m);
    TURN_UNTIL(&r.t, lookup_held(&w) &&
                         strcmp(lookup_held(&w)->hash, views[1]->hash) == 0);
    assert_int_equal(lookup_held(&w)->backend.endpoints[7].weight, 9);
    text_clear(&f->got);
    m.delta.base = SLICE("0123456789abcdef0123456789abcdef");
    m.hash = m.delta.hash = SLICE("0123456789abcdef0123456789abcdee");
    say_msg(f, &m);
    TURN_UNTIL(&r.t, heard(f, "\"subscribe\""));
    assert_false(heard(f, "\"hash\":\"")); /* the whole view, please */
    assert_int_equal(lookup_held(&w)->backend.endpoints[7].weight, 9);
    arena_reset(&a);
    view_unref(views[0]);
    view_unref(views[1]);
    lookup_release(&w);
    rig_fini(&r);
}

/* The controller goes: views stay; the other one is told what is here. */
static void test_reconnect(void **state)
{
    struct rig r;
    struct view *v;
    (void)state;
    rig_init(&r, quick(), 2, server_tls);
    TURN_UNTIL(&r.t, r.fakes[0].x || r.fakes[1].x);
    struct fake *one = r.fakes[0].x ? &r.fakes[0] : &r.fakes[1];
    struct fake *two = one == &r.fakes[0] ? &r.fakes[1] : &r.fakes[0];
    get_in_sync(&r, one);
    assert_int_equal(
        lookup_destination(r.lk, SLICE("10.0.0.1:80"), &v, NULL, NULL, NULL),
        ERR_AGAIN);
    TURN_UNTIL(&r.t, heard(one, "10.0.0.1:80"));
    struct view *d = destination_of("10.0.0.1:80", NULL, NULL);
    char expected[160];
    snprintf(expected, sizeof expected,
             "{\"type\":\"subscribe\",\"kind\":\"destination\","
             "\"key\":\"10.0.0.1:80\",\"hash\":\"%s\"}\n",
             d->hash);
    say_view(one, d);
    TURN_UNTIL(&r.t, lookup_destination(r.lk, SLICE("10.0.0.1:80"), &v, NULL,
                                        NULL, NULL) == OK);
    fake_stop(one);
    one->server = NULL;
    TURN_UNTIL(&r.t, r.lost == 1);
    assert_int_equal(
        lookup_destination(r.lk, SLICE("10.0.0.1:80"), &v, NULL, NULL, NULL),
        OK);
    assert_int_equal(v->destination.resolution, RESOLUTION_KNOWN);
    TURN_UNTIL(&r.t, two->x && heard(two, expected));
    assert_true(heard(two, "\"workload\""));
    /* "same" is enough */
    struct msg same = {.type = MSG_SAME,
                       .kind = VIEW_WORKLOAD,
                       .hash = slice_str(lookup_workload(r.lk)->hash)};
    say_msg(two, &same);
    TURN_UNTIL(&r.t, r.synced == 2);
    rig_fini(&r);
}

static void test_silence(void **state)
{
    struct rig r;
    struct discovery_client_options o = quick();
    (void)state;
    o.heartbeat = 5 * NSEC_PER_MSEC;
    o.silence = 60 * NSEC_PER_MSEC;
    rig_init(&r, o, 1, server_tls);
    struct fake *f = &r.fakes[0];
    get_in_sync(&r, f);
    /* as long as it speaks the session lives, and so do we */
    int64_t end = clock_mono_ns() + 150 * NSEC_PER_MSEC;
    while (clock_mono_ns() < end) {
        turn(&r.t);
        say(f, "{\"type\":\"heartbeat\"}\n");
    }
    assert_int_equal(r.lost, 0);
    assert_true(heard(f, "heartbeat"));
    TURN_UNTIL(&r.t, r.lost == 1);
    TURN_UNTIL(&r.t, f->sessions == 2);
    rig_fini(&r);
}

static void test_no_answer(void **state)
{
    struct rig r;
    struct discovery_client_options o = quick();
    (void)state;
    /* Long enough for the handshake on a busy machine: the last is to succeed. */
    o.connect_timeout = 500 * NSEC_PER_MSEC;
    rig_init(&r, o, 1, server_tls);
    r.fakes[0].status = 0;
    TURN_UNTIL(&r.t, r.fakes[0].sessions == 2);
    assert_true(discovery_client_stats(r.c).failures >= 1);
    assert_int_equal(r.synced, 0);
    /* refused is no better, and later it is taken */
    r.fakes[0].status = 403;
    unsigned before = r.fakes[0].sessions;
    TURN_UNTIL(&r.t, r.fakes[0].sessions >= before + 3);
    r.fakes[0].status = 200;
    before = r.fakes[0].sessions;
    TURN_UNTIL(&r.t, r.fakes[0].sessions > before && r.fakes[0].x &&
                         heard(&r.fakes[0], "subscribe"));
    get_in_sync(&r, &r.fakes[0]);
    rig_fini(&r);
}

/* One that is not the controller gets not one line. */
static void test_wrong_controller(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, quick(), 1, wrong_tls);
    TURN_UNTIL(&r.t, discovery_client_stats(r.c).failures >= 3);
    assert_int_equal(r.fakes[0].sessions, 0);
    rig_fini(&r);
}

static void test_report(void **state)
{
    struct rig r;
    struct discovery_client_options o = quick();
    (void)state;
    o.report_every = 5 * NSEC_PER_MSEC;
    rig_init(&r, o, 1, server_tls);
    get_in_sync(&r, &r.fakes[0]);
    TURN_UNTIL(&r.t, heard(&r.fakes[0], "\"sequence\":2"));
    assert_true(heard(&r.fakes[0], "\"epoch\":\"e1\""));
    rig_fini(&r);
}

static void test_ended(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, quick(), 1, server_tls);
    for (unsigned i = 1; i <= 3; i++) {
        get_in_sync(&r, &r.fakes[0]);
        exchange_send_body(r.fakes[0].x, SLICE_NONE, true);
        TURN_UNTIL(&r.t, r.lost == i);
        r.fakes[0].x = NULL;
    }
    rig_fini(&r);
}

/* Closing at every turn: nothing follows, nothing is left. */
static void test_sweep(void **state)
{
    (void)state;
    for (int n = 0; n < 40; n++) {
        struct rig r;
        rig_init(&r, quick(), 1, server_tls);
        struct fake *f = &r.fakes[0];
        for (int i = 0; i < n; i++) {
            turn(&r.t);
            if (f->x && f->got.len && !r.synced && i % 2)
                say_view(f, workload_of("shop"));
        }
        unsigned synced = r.synced, lost = r.lost;
        discovery_client_close(r.c);
        r.c = NULL;
        TURN_UNTIL(&r.t, http_server_connections(f->server) == 0);
        assert_int_equal(r.synced, synced);
        assert_int_equal(r.lost, lost);
        rig_fini(&r);
    }
}

/* A controller that came back gets its share: sessions end while all is well, and
 * begin anew at any of them. */
static void test_age(void **state)
{
    unsigned told[2] = {0, 0};
    struct rig r;
    struct discovery_client_options o = quick();
    (void)state;
    o.age = NSEC_PER_MSEC;
    o.heartbeat = 5 * NSEC_PER_MSEC; /* when it looks */
    rig_init(&r, o, 2, server_tls);
    int64_t end = clock_mono_ns() + 20 * NSEC_PER_SEC;
    while ((told[0] < 3 || told[1] < 3) && clock_mono_ns() < end) {
        turn(&r.t);
        for (int i = 0; i < 2; i++) {
            struct fake *f = &r.fakes[i];
            if (!f->x || told[i] == f->sessions || !heard(f, "\"subscribe\""))
                continue;
            say_view(f, workload_of("shop"));
            told[i] = f->sessions;
        }
        if (r.synced) /* what is known stays */
            assert_non_null(discovery_get(r.d, VIEW_WORKLOAD, SLICE_NONE));
    }
    assert_true(told[0] >= 3 && told[1] >= 3);
    assert_int_equal(discovery_client_stats(r.c).failures, 0);
    rig_fini(&r);
}

/* The way to the controller breaks after so many bytes, for good: it is in sync
 * or not, and goes on trying; views stay. */
static bool cut_at(enum cut_how how, size_t bytes)
{
    struct rig r;
    struct cut cut;
    char at[ADDRESS_TEXT];
    struct error e;
    struct discovery_client_options o = quick();
    if (how == CUT_STALL)
        o.connect_timeout = o.silence = 60 * NSEC_PER_MSEC;
    rig_init(&r, o, 1, server_tls);
    struct fake *f = &r.fakes[0];
    discovery_client_close(r.c);
    cut_open(&cut, &r.t.loop, http_server_address(f->server), how, bytes);
    controllers_free(r.controllers);
    assert_int_equal(controllers_new(&r.controllers, &r.t.loop,
                                     address_format(cut_address(&cut), at),
                                     NULL, &e),
                     OK);
    o.controllers = r.controllers;
    r.c = discovery_client_new(&r.t.loop, r.d, &o, &client_events, &r);
    discovery_client_set_tls(r.c, client_tls);
    bool said = false;
    int64_t end = clock_mono_ns() + 20 * NSEC_PER_SEC;
    while (!r.synced && discovery_client_stats(r.c).failures < 2 &&
           clock_mono_ns() < end) {
        turn(&r.t);
        if (f->x && !said && heard(f, "\"subscribe\""))
            say_view(f, workload_of("shop"));
        said |= f->x && heard(f, "\"subscribe\"");
    }
    bool whole = r.synced > 0;
    assert_true(whole || discovery_client_stats(r.c).failures >= 2);
    assert_int_equal(discovery_get(r.d, VIEW_WORKLOAD, SLICE_NONE) != NULL,
                     whole);
    if (!whole)
        assert_int_equal(r.lost, 0);
    cut_close(&cut);
    rig_fini(&r);
    return !whole;
}

static void test_cut_at_every_byte(void **state)
{
    struct error e;
    (void)state;
    assert_int_equal(log_set_levels(SLICE("error"), &e), OK);
    for (int how = 0; how < CUT_HOWS; how++) {
        size_t n = 0;
        while (cut_at((enum cut_how)how, n))
            n += how == CUT_STALL ? 1499 : 211;
        assert_true(n > 2000);
    }
}

static int make_identities(void **state)
{
    struct ca *ca = ids_ca(SLICE("test"));
    const slice web = SLICE("spiffe://test/ns/shop/sa/web");
    (void)state;
    server_tls = ids_settings(ca, controller, TLS_SERVER, TLS_ALPN_H2);
    wrong_tls = ids_settings(ca, SLICE("spiffe://test/ns/shop/sa/evil"),
                             TLS_SERVER, TLS_ALPN_H2);
    client_tls = ids_settings(ca, web, TLS_CLIENT, TLS_ALPN_H2);
    ca_free(ca);
    return 0;
}

static int free_identities(void **state)
{
    (void)state;
    tls_settings_unref(server_tls);
    tls_settings_unref(wrong_tls);
    tls_settings_unref(client_tls);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_nack),
        cmocka_unit_test(test_delta),
        cmocka_unit_test(test_reconnect),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_wrong_controller),
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_ended),
        cmocka_unit_test(test_sweep),
        cmocka_unit_test(test_cut_at_every_byte),
    };
    return cmocka_run_group_tests(tests, make_identities, free_identities);
}
