/* SPDX-License-Identifier: Apache-2.0 */
/* A peer that makes TLS itself answer (KeyUpdate) and reads none of it: memory
 * stays bounded. The peer is OpenSSL, bare. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/tls/tls_ends.h"

enum { UPDATES = 20000, MUCH = 400000 };

struct bare {
    SSL *ssl;
    struct stream *s;
    size_t heard;
};

static void bare_data(struct stream *s, const char *ptr, size_t len)
{
    struct bare *b = s->owner;
    b->heard += len;
    assert_int_equal(BIO_write(SSL_get_rbio(b->ssl), ptr, (int)len), (int)len);
}
static void bare_end(struct stream *s)
{
    (void)s;
}
static void bare_fail(struct stream *s, enum status why)
{
    (void)s, (void)why;
}
static const struct stream_events bare_events = {
    .on_data = bare_data, .on_end = bare_end, .on_fail = bare_fail};

/* What OpenSSL wrote goes on. */
static void bare_flush(struct bare *b)
{
    char *data;
    long n = BIO_get_mem_data(SSL_get_wbio(b->ssl), &data);
    if (n > 0)
        stream_write(b->s, data, (size_t)n);
    (void)BIO_reset(SSL_get_wbio(b->ssl));
}

static void bare_open(struct bare *b, struct rig *r)
{
    rig_streams(r, 0);
    *b = (struct bare){.s = r->client.lower};
    b->ssl = SSL_new(tls_settings_ctx(client_tls));
    SSL_set_bio(b->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(b->ssl);
    struct tls_verify verify = {.expect = DB};
    tls_verify_attach(b->ssl, &verify);
    stream_own(b->s, &bare_events, b);
    stream_read(b->s, true);
    shake(r, &r->server, server_tls, SLICE_NONE, SLICE_NONE);
    for (int i = 0; i < 1000 && !r->server.called; i++) {
        (void)SSL_do_handshake(b->ssl);
        ERR_clear_error();
        bare_flush(b);
        turn(r);
    }
    assert_int_equal(r->server.rc, OK);
    tls_verify_fini(&verify);
}

static void bare_close(struct bare *b, struct rig *r)
{
    SSL_free(b->ssl);
    ERR_clear_error();
    stream_close(b->s, STREAM_NOW);
    rig_fini(r);
}

static void update(struct bare *b)
{
    assert_int_equal(SSL_key_update(b->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_do_handshake(b->ssl), 1);
    bare_flush(b);
}

static void updates_are_answered(void **state)
{
    struct bare b;
    struct rig r;
    (void)state;
    bare_open(&b, &r);
    size_t before = b.heard;
    for (int i = 0; i < 3; i++) {
        update(&b); /* the answer comes with the next one */
        turn(&r);
    }
    UNTIL(&r, b.heard > before);
    assert_int_equal(r.server.fails + r.server.ends, 0);
    bare_close(&b, &r);
}

static void updates_that_nobody_reads(void **state)
{
    struct bare b;
    struct rig r;
    size_t most = 0;
    (void)state;
    bare_open(&b, &r);
    stream_read(b.s, false);
    for (int i = 0; i < UPDATES && !r.server.fails; i++) {
        update(&b);
        turn(&r);
        if (!r.server.fails && stream_queued(r.server.s) > most)
            most = stream_queued(r.server.s);
    }
    assert_true(most < MUCH);
    assert_int_equal(r.server.fails, 1);
    assert_int_equal(r.server.why, ERR_TLS);
    bare_close(&b, &r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(updates_are_answered),
        cmocka_unit_test(updates_that_nobody_reads),
    };
    return cmocka_run_group_tests(tests, tls_ends_set_up, tls_ends_tear_down);
}
