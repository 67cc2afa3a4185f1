/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates from a controller that does what the test says; and who hears of
 * them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/mesh/wire.h"
#include "proxy/tls/renew.h"
#include "tests/unit/http/ids.h"
#include "tests/unit/http/talk.h"
#include "tests/unit/net/cut.h"

static const slice controller = SLICE_INIT("spiffe://test/tulle/controller");
static const slice web = SLICE_INIT("spiffe://test/ns/shop/sa/web");

/* ---- the controller ---- */

enum mood { GOOD, REFUSES, SILENT, LIES, EXPIRED };

/* What is due when its answer has come is not believed, and an answer can take more
 * than a second on a busy machine. */
enum { RENEW_SOON = 3 /* seconds */ };

struct fake {
    struct http_server *server;
    struct ca *ca;
    enum mood mood;
    int64_t renew_in; /* seconds */
    unsigned asked, by_certificate;
    struct text body;
    char token[64], name[128]; /* of the last request */
};

static void certify(struct fake *f, struct exchange *x)
{
    struct certificate_request rq;
    struct arena a;
    struct error e = {0};
    char *der, *name, *pem;
    size_t len;
    int64_t now = clock_real_ns() / NSEC_PER_SEC;
    arena_init(&a, 1 << 20);
    assert_int_equal(
        certificate_request_decode(text_slice(&f->body), &a, &rq, &e), OK);
    assert_int_equal(slice_to_cstr(rq.token, f->token, sizeof f->token), OK);
    assert_int_equal(csr_check(rq.csr, &der, &len, &name, &e), OK);
    assert_int_equal(slice_to_cstr(slice_str(name), f->name, sizeof f->name),
                     OK);
    struct cert_request c = {.public_der = slice_of(der, len),
                             .name = web,
                             .not_before = now - 100,
                             .not_after = f->mood == EXPIRED ? now - 5
                                                             : now + 3600};
    assert_int_equal(ca_sign(f->ca, &c, &pem, &e), OK);
    struct certificate_answer answer = {.chain = slice_str(pem),
                                        .bundle = ca_cert_pem(f->ca),
                                        .renew_at = now + f->renew_in};
    struct text t;
    text_init(&t, 1 << 20);
    if (f->mood == LIES)
        answer.chain = ca_cert_pem(f->ca); /* of another key */
    certificate_answer_encode(&answer, &t);
    exchange_reply(x, 200, SLICE("application/json"), text_slice(&t), NULL);
    text_fini(&t);
    mem_free(der);
    mem_free(name);
    mem_free(pem);
    arena_reset(&a);
}

static void fake_head(struct exchange *x, const struct head *h, bool end)
{
    struct fake *f = x->owner;
    (void)end;
    assert_true(slice_eq(h->path, SLICE("/v1/certificates")));
    text_clear(&f->body);
    f->asked++;
}

static void fake_body(struct exchange *x, slice data, bool end)
{
    struct fake *f = x->owner;
    text_add(&f->body, data);
    exchange_consumed(x, data.len);
    if (!end || f->mood == SILENT)
        return;
    if (f->mood == REFUSES)
        exchange_reply(x, 403, SLICE("application/json"),
                       SLICE("{\"error\":\"no such token\"}\n"), NULL);
    else
        certify(f, x);
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
    (void)x, (void)why;
}
static void fake_done(struct exchange *x)
{
    (void)x;
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
    struct fake *f = arg;
    f->by_certificate += peer->name.len > 0;
    exchange_own(x, &fake_events, f);
}

/* ---- the rig ---- */

struct rig {
    struct turner t;
    struct fake f;
    struct identity *id;
    struct renew *renew;
    struct controllers *controllers;
    struct renew_options opt;
    char dir[64], token_file[96], bundle_file[96];
    unsigned heard, closed;
    char last_name[128];
};

static void rig_init(struct rig *r, slice server_name)
{
    struct error e;
    char at[ADDRESS_TEXT];
    *r = (struct rig){.opt = renew_defaults};
    turner_init(&r->t);
    text_init(&r->f.body, 1 << 20);
    r->f.ca = ids_ca(SLICE("test"));
    r->f.renew_in = 3600;
    struct tls_settings *tls = ids_settings(r->f.ca, server_name, TLS_SERVER,
                                            TLS_ALPN_H2);
    struct http_server_options opt = {.tls = tls,
                                      .limits = http_limits_default};
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), &opt.at), OK);
    assert_int_equal(
        http_server_start(&r->f.server, &r->t.loop, &opt, fake_take, &r->f, &e),
        OK);
    tls_settings_unref(tls);
    snprintf(r->dir, sizeof r->dir, "/tmp/tulle-renew-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    snprintf(r->token_file, sizeof r->token_file, "%s/token", r->dir);
    assert_int_equal(
        file_write_atomic(slice_str(r->token_file), SLICE("first\n"), 0600, &e),
        OK);
    snprintf(r->bundle_file, sizeof r->bundle_file, "%s/bundle", r->dir);
    slice list = address_format(http_server_address(r->f.server), at);
    assert_int_equal(
        controllers_new(&r->controllers, &r->t.loop, list, NULL, &e), OK);
    r->opt.controllers = r->controllers;
    r->opt.bundle_pem = ca_cert_pem(r->f.ca);
    r->opt.token_file = slice_str(r->token_file);
    r->opt.backoff_min = NSEC_PER_MSEC;
    r->opt.backoff_max = 4 * NSEC_PER_MSEC;
    r->id = identity_new(&r->t.loop);
}

static void rig_start(struct rig *r)
{
    struct error e = {0};
    if (renew_start(&r->renew, &r->t.loop, &r->opt, r->id, &e))
        fail_msg("%s", e.text);
}

static void rig_fini(struct rig *r)
{
    if (r->renew)
        renew_close(r->renew);
    controllers_free(r->controllers);
    http_server_close(r->f.server);
    identity_free(r->id);
    turner_fini(&r->t);
    ca_free(r->f.ca);
    text_fini(&r->f.body);
    unlink(r->token_file);
    unlink(r->bundle_file);
    rmdir(r->dir);
}

static bool issued(struct rig *r, unsigned n)
{
    return renew_stats(r->renew).issued >= n;
}

static void on_identity(void *arg, struct tls_identity *now)
{
    struct rig *r = arg;
    r->heard++;
    assert_int_equal(slice_to_cstr(tls_identity_name(now), r->last_name,
                                   sizeof r->last_name),
                     OK);
}

static void on_closed(void *arg)
{
    struct rig *r = arg;
    r->closed++;
}

/* ---- tests ---- */

static void test_first(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, controller);
    struct identity_watch *early = identity_watch_new(r.id, &r.t.loop,
                                                      on_identity, &r);
    rig_start(&r);
    assert_true(slice_eq(renew_controller(r.renew), controller));
    TURN_UNTIL(&r.t, issued(&r, 1) && r.heard == 1);
    assert_string_equal(r.last_name, "spiffe://test/ns/shop/sa/web");
    assert_string_equal(r.f.token, "first");
    assert_string_equal(r.f.name, ""); /* the token decides */
    assert_int_equal(r.f.by_certificate, 0);
    int64_t in = renew_stats(r.renew).renew_at - clock_real_ns() / NSEC_PER_SEC;
    assert_in_range(in, 3600 * 9 / 10 - 2, 3600);
    /* who comes later hears it too */
    struct identity_watch *late = identity_watch_new(r.id, &r.t.loop,
                                                     on_identity, &r);
    TURN_UNTIL(&r.t, r.heard == 2);
    assert_int_equal(identity_watches(r.id), 2);
    identity_watch_close(early, on_closed, &r);
    identity_watch_close(late, on_closed, &r);
    TURN_UNTIL(&r.t, r.closed == 2);
    rig_fini(&r);
}

/* Our clock is far ahead of the controller's: it is not asked again and again. */
static void test_renew_at_is_past(void **state)
{
    static const int64_t in[] = {0, -10, -100000};
    (void)state;
    for (size_t i = 0; i < sizeof in / sizeof *in; i++) {
        struct rig r;
        rig_init(&r, controller);
        r.f.renew_in = in[i];
        rig_start(&r);
        TURN_UNTIL(&r.t, issued(&r, 1));
        int64_t left = renew_stats(r.renew).renew_at -
                       clock_real_ns() / NSEC_PER_SEC;
        assert_in_range(left, 1800 * 9 / 10 - 5, 1800); /* of an hour */
        rig_fini(&r);
    }
}

static void test_join_token_once(void **state)
{
    struct rig r;
    struct error e;
    (void)state;
    rig_init(&r, controller);
    r.opt.join_token = true;
    r.opt.name = web;
    r.f.renew_in = RENEW_SOON;
    rig_start(&r);
    TURN_UNTIL(&r.t, issued(&r, 1));
    assert_string_equal(r.f.token, "first");
    assert_string_equal(r.f.name, "spiffe://test/ns/shop/sa/web");
    assert_int_equal(
        file_write_atomic(slice_str(r.token_file), SLICE("second"), 0600, &e),
        OK);
    TURN_UNTIL(&r.t, issued(&r, 2));
    assert_string_equal(r.f.token, "");
    assert_int_equal(r.f.by_certificate, 1);
    rig_fini(&r);
}

static void test_token_again(void **state)
{
    struct rig r;
    struct error e;
    (void)state;
    rig_init(&r, controller);
    r.f.renew_in = RENEW_SOON;
    rig_start(&r);
    TURN_UNTIL(&r.t, issued(&r, 1));
    assert_int_equal(
        file_write_atomic(slice_str(r.token_file), SLICE("second"), 0600, &e),
        OK);
    TURN_UNTIL(&r.t, issued(&r, 2));
    assert_string_equal(r.f.token, "second");
    assert_int_equal(r.f.by_certificate, 0);
    rig_fini(&r);
}

/* Failures of every kind are tried again, and then it works. */
static void test_failures(void **state)
{
    static const enum mood moods[] = {REFUSES, SILENT, LIES, EXPIRED};
    (void)state;
    for (size_t i = 0; i < sizeof moods / sizeof *moods; i++) {
        struct rig r;
        rig_init(&r, controller);
        r.f.mood = moods[i];
        r.opt.timeout = moods[i] == SILENT ? 50 * NSEC_PER_MSEC
                                           : 10 * NSEC_PER_SEC;
        rig_start(&r);
        TURN_UNTIL(&r.t, renew_stats(r.renew).failures >= 3);
        assert_null(identity_now(r.id));
        r.f.mood = GOOD;
        TURN_UNTIL(&r.t, issued(&r, 1));
        assert_non_null(identity_now(r.id));
        rig_fini(&r);
    }
}

static void test_no_token(void **state)
{
    struct rig r;
    struct error e;
    (void)state;
    rig_init(&r, controller);
    unlink(r.token_file);
    rig_start(&r);
    TURN_UNTIL(&r.t, renew_stats(r.renew).failures >= 2);
    assert_int_equal(r.f.asked, 0);
    assert_int_equal(
        file_write_atomic(slice_str(r.token_file), SLICE("late"), 0600, &e),
        OK);
    TURN_UNTIL(&r.t, issued(&r, 1));
    assert_string_equal(r.f.token, "late");
    rig_fini(&r);
}

/* Whoever is not the controller never sees the token. */
static void test_wrong_controller(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, SLICE("spiffe://test/ns/shop/sa/evil"));
    rig_start(&r);
    TURN_UNTIL(&r.t, renew_stats(r.renew).failures >= 3);
    assert_int_equal(r.f.asked, 0);
    rig_fini(&r);
}

static void test_bundle(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r, controller);
    struct identity_watch *w = identity_watch_new(r.id, &r.t.loop, on_identity,
                                                  &r);
    rig_start(&r);
    TURN_UNTIL(&r.t, r.heard == 1);
    struct tls_identity *before = identity_now(r.id);
    renew_set_bundle(r.renew, ca_cert_pem(r.f.ca)); /* the same */
    renew_set_bundle(r.renew, SLICE("rubbish"));
    assert_ptr_equal(identity_now(r.id), before);
    struct ca *next = ids_ca(SLICE("test"));
    struct text both;
    text_init(&both, 1 << 20);
    text_add(&both, ca_cert_pem(r.f.ca));
    text_add(&both, ca_cert_pem(next));
    renew_set_bundle(r.renew, text_slice(&both));
    TURN_UNTIL(&r.t, r.heard == 2);
    text_fini(&both);
    ca_free(next);
    identity_watch_close(w, on_closed, &r);
    TURN_UNTIL(&r.t, r.closed == 1);
    rig_fini(&r);
}

/* Who answers may not have heard of the next root yet. */
static void test_answers_take_no_root_away(void **state)
{
    struct rig r;
    struct ca *next = ids_ca(SLICE("test"));
    struct text both;
    (void)state;
    text_init(&both, 1 << 20);
    rig_init(&r, controller);
    r.f.renew_in = RENEW_SOON;
    rig_start(&r);
    TURN_UNTIL(&r.t, issued(&r, 1));
    assert_true(slice_eq(renew_bundle(r.renew), ca_cert_pem(r.f.ca)));
    text_add(&both, ca_cert_pem(next));
    text_add(&both, ca_cert_pem(r.f.ca));
    renew_set_bundle(r.renew, text_slice(&both));
    TURN_UNTIL(&r.t, issued(&r, 2));
    assert_true(slice_eq(renew_bundle(r.renew), text_slice(&both)));
    /* The session may. */
    renew_set_bundle(r.renew, ca_cert_pem(r.f.ca));
    assert_true(slice_eq(renew_bundle(r.renew), ca_cert_pem(r.f.ca)));
    rig_fini(&r);
    text_fini(&both);
    ca_free(next);
}

static void write_bundle(const struct rig *r, slice pem)
{
    struct error e;
    assert_int_equal(
        file_write_atomic(slice_str(r->bundle_file), pem, 0600, &e), OK);
}

/* Who was away while the root was changed: its file has followed. */
static void test_roots_of_long_ago(void **state)
{
    struct rig r;
    struct ca *old = ids_ca(SLICE("test"));
    (void)state;
    rig_init(&r, controller);
    r.opt.bundle_pem = ca_cert_pem(old);
    r.opt.bundle_file = slice_str(r.bundle_file);
    rig_start(&r);
    TURN_UNTIL(&r.t, renew_stats(r.renew).failures >= 3); /* no such file */
    write_bundle(&r, SLICE("rubbish"));
    TURN_UNTIL(&r.t, renew_stats(r.renew).failures >= 6);
    assert_int_equal(r.f.asked, 0);
    write_bundle(&r, ca_cert_pem(r.f.ca));
    TURN_UNTIL(&r.t, issued(&r, 1));
    assert_true(slice_eq(renew_bundle(r.renew), ca_cert_pem(r.f.ca)));
    rig_fini(&r);
    ca_free(old);
}

/* The file may also be what is late. */
static void test_file_of_long_ago(void **state)
{
    struct rig r;
    struct ca *old = ids_ca(SLICE("test"));
    (void)state;
    rig_init(&r, controller);
    write_bundle(&r, ca_cert_pem(old));
    r.opt.bundle_pem = ca_cert_pem(old);
    r.opt.bundle_file = slice_str(r.bundle_file);
    rig_start(&r);
    TURN_UNTIL(&r.t, renew_stats(r.renew).failures >= 3);
    renew_set_bundle(r.renew, ca_cert_pem(r.f.ca));
    TURN_UNTIL(&r.t, issued(&r, 1));
    assert_true(slice_eq(renew_bundle(r.renew), ca_cert_pem(r.f.ca)));
    rig_fini(&r);
    ca_free(old);
}

static void test_bad_options(void **state)
{
    struct rig r;
    struct error e = {0};
    (void)state;
    rig_init(&r, controller);
    r.opt.bundle_pem = SLICE("rubbish");
    assert_int_equal(renew_start(&r.renew, &r.t.loop, &r.opt, r.id, &e),
                     ERR_INVALID);
    assert_non_null(strstr(e.text, "roots"));
    r.opt.bundle_pem = ca_cert_pem(r.f.ca);
    r.opt.controllers = NULL;
    assert_int_equal(renew_start(&r.renew, &r.t.loop, &r.opt, r.id, &e),
                     ERR_INVALID);
    assert_non_null(strstr(e.text, "controller"));
    r.renew = NULL;
    rig_fini(&r);
}

static void test_sweep(void **state)
{
    (void)state;
    for (int n = 0; n < 20; n++) {
        struct rig r;
        rig_init(&r, controller);
        rig_start(&r);
        for (int i = 0; i < n; i++)
            turn(&r.t);
        renew_close(r.renew);
        r.renew = NULL;
        TURN_UNTIL(&r.t, http_server_connections(r.f.server) == 0);
        rig_fini(&r);
    }
}

/* The way to the controller breaks after so many bytes, for good: a certificate
 * is whole or none, and it goes on trying. */
static bool cut_at(enum cut_how how, size_t bytes)
{
    struct rig r;
    struct cut cut;
    char at[ADDRESS_TEXT];
    struct error e;
    rig_init(&r, controller);
    cut_open(&cut, &r.t.loop, http_server_address(r.f.server), how, bytes);
    controllers_free(r.controllers);
    assert_int_equal(controllers_new(&r.controllers, &r.t.loop,
                                     address_format(cut_address(&cut), at),
                                     NULL, &e),
                     OK);
    r.opt.controllers = r.controllers;
    if (how == CUT_STALL)
        r.opt.timeout = 100 * NSEC_PER_MSEC;
    rig_start(&r);
    TURN_UNTIL(&r.t, issued(&r, 1) || renew_stats(r.renew).failures >= 2);
    bool whole = issued(&r, 1);
    assert_int_equal(identity_now(r.id) != NULL, whole);
    assert_true(whole || cut.done || how == CUT_STALL); /* a slow machine */
    renew_close(r.renew);
    r.renew = NULL;
    cut_close(&cut);
    TURN_UNTIL(&r.t, http_server_connections(r.f.server) == 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first),
        cmocka_unit_test(test_renew_at_is_past),
        cmocka_unit_test(test_join_token_once),
        cmocka_unit_test(test_token_again),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_no_token),
        cmocka_unit_test(test_wrong_controller),
        cmocka_unit_test(test_bundle),
        cmocka_unit_test(test_answers_take_no_root_away),
        cmocka_unit_test(test_roots_of_long_ago),
        cmocka_unit_test(test_file_of_long_ago),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_sweep),
        cmocka_unit_test(test_cut_at_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
