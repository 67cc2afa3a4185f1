/* SPDX-License-Identifier: Apache-2.0 */
/* The state folder: the root, join tokens, and certificates made of both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "controller/identity/ca_store.h"
#include "controller/identity/issuer.h"
#include "controller/identity/join_token.h"
#include "controller/identity/serving.h"
#include "controller/identity/state_file.h"
#include "lib/base/mem.h"

#define DOMAIN SLICE("cluster.local")
enum { NOW = 1800000000, YEAR = 365 * 86400 };

struct folder {
    char path[64];
};

static int make_folder(void **state)
{
    struct folder *f = calloc(1, sizeof *f);

    snprintf(f->path, sizeof f->path, "/tmp/tulle-test-XXXXXX");
    *state = f;
    return mkdtemp(f->path) ? 0 : -1;
}

static int drop_folder(void **state)
{
    struct folder *f = *state;
    char command[100];
    int rc;

    snprintf(command, sizeof command, "rm -rf '%s'", f->path);
    rc = system(command);
    free(f);
    return rc;
}

static char *in(const struct folder *f, const char *name)
{
    static char path[200];

    snprintf(path, sizeof path, "%s/%s", f->path, name);
    return path;
}

static mode_t mode_of(const char *path)
{
    struct stat st;

    return stat(path, &st) ? 0 : st.st_mode & 0777;
}

static struct ca *open_ca(const struct folder *f)
{
    struct ca *ca = NULL;
    struct error e;

    if (ca_store_open(&ca, slice_str(f->path), DOMAIN, NOW, YEAR, &e))
        fail_msg("%s", e.text);
    return ca;
}

static void a_root_is_made_once(void **state)
{
    const struct folder *f = *state;
    struct ca *first = open_ca(f), *second = open_ca(f);

    assert_true(slice_eq(ca_cert_pem(first), ca_cert_pem(second)));
    assert_int_equal(mode_of(in(f, "ca-key.pem")), 0600);
    assert_int_equal(mode_of(in(f, "bundle.pem")), 0644);
    ca_free(first);
    ca_free(second);
}

static void racers_end_up_with_one_root(void **state)
{
    enum { RACERS = 6 };
    const struct folder *f = *state;
    pid_t children[RACERS];
    struct ca *ca;
    char hex[65], got[65] = "";

    for (int i = 0; i < RACERS; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            struct ca *mine = NULL;
            char path[200];
            FILE *out;

            if (ca_store_open(&mine, slice_str(f->path), DOMAIN, NOW, YEAR,
                              NULL))
                _exit(1);
            sha256_hex(ca_cert_pem(mine), hex);
            snprintf(path, sizeof path, "%s/saw-%d", f->path, i);
            out = fopen(path, "w");
            if (!out || fputs(hex, out) < 0 || fclose(out))
                _exit(1);
            _exit(0);
        }
    }
    for (int i = 0; i < RACERS; i++) {
        int status = -1;

        waitpid(children[i], &status, 0);
        assert_int_equal(status, 0);
    }
    ca = open_ca(f);
    sha256_hex(ca_cert_pem(ca), hex);
    for (int i = 0; i < RACERS; i++) {
        char name[20];
        FILE *saw;

        snprintf(name, sizeof name, "saw-%d", i);
        saw = fopen(in(f, name), "r");
        assert_non_null(saw);
        assert_non_null(fgets(got, sizeof got, saw));
        fclose(saw);
        assert_string_equal(got, hex);
    }
    ca_free(ca);
}

static void refuse_ca(const struct folder *f, slice domain, int64_t now,
                      const char *says)
{
    struct ca *ca = NULL;
    struct error e = {""};

    assert_int_not_equal(
        ca_store_open(&ca, slice_str(f->path), domain, now, YEAR, &e), OK);
    assert_null(ca);
    if (!strstr(e.text, says))
        fail_msg("'%s' does not say '%s'", e.text, says);
}

static void bad_roots_are_refused(void **state)
{
    const struct folder *f = *state;

    ca_free(open_ca(f));
    refuse_ca(f, SLICE("other.local"), NOW, "trust domain 'cluster.local'");
    refuse_ca(f, DOMAIN, NOW + YEAR + 1, "expired");
    assert_int_equal(chmod(in(f, "ca-key.pem"), 0644), 0);
    refuse_ca(f, DOMAIN, NOW, "others may read it");
    assert_int_equal(chmod(in(f, "ca-key.pem"), 0600), 0);
    assert_int_equal(unlink(in(f, "ca.pem")), 0);
    refuse_ca(f, DOMAIN, NOW, "half of the root");
}

/* A crash between the two renames. */
static void a_half_made_root_is_finished(void **state)
{
    const struct folder *f = *state;
    struct ca *ca = open_ca(f), *again;
    char from[200];

    snprintf(from, sizeof from, "%s/ca.pem", f->path);
    assert_int_equal(rename(from, in(f, "ca.pem.new")), 0);
    again = open_ca(f);
    assert_true(slice_eq(ca_cert_pem(ca), ca_cert_pem(again)));
    ca_free(ca);
    ca_free(again);
}

static void a_token_is_good_once(void **state)
{
    const struct folder *f = *state;
    slice dir = slice_str(f->path);
    char token[JOIN_TOKEN_TEXT], hex[65], path[100];
    struct join_token t;
    struct error e;

    assert_int_equal(join_token_new(dir, DOMAIN, SLICE("shop/cart"),
                                    SLICE("shop/cart-1"), NOW, 600, token, &e),
                     OK);
    assert_int_equal(join_token_read(dir, slice_str(token), &t, &e), OK);
    assert_string_equal(t.name, "spiffe://cluster.local/ns/shop/sa/cart");
    assert_string_equal(t.pod, "shop/cart-1/");
    assert_int_equal(t.expires, NOW + 600);
    sha256_hex(slice_str(token), hex);
    snprintf(path, sizeof path, "tokens/%s", hex);
    assert_int_equal(mode_of(in(f, path)), 0600);
    assert_int_equal(join_token_consume(dir, slice_str(token), &e), OK);
    assert_int_equal(join_token_consume(dir, slice_str(token), &e), ERR_DENIED);
    assert_int_equal(join_token_read(dir, slice_str(token), &t, &e),
                     ERR_DENIED);
}

static void bad_tokens(void **state)
{
    static const char *const names[][2] = {
        {"cart", ""},          {"shop/", ""},         {"/cart", ""},
        {"shop/cart/x", ""},   {"Shop/cart", ""},     {"shop/cart", "cart-1"},
        {"shop/cart", "x/c1"}, {"shop/cart", "shop/"}};
    const struct folder *f = *state;
    slice dir = slice_str(f->path);
    char token[JOIN_TOKEN_TEXT];
    struct join_token t;
    struct error e;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(join_token_new(dir, DOMAIN, slice_str(names[i][0]),
                                        slice_str(names[i][1]), NOW, 600, token,
                                        &e),
                         ERR_INVALID);
    assert_int_equal(join_token_read(dir, SLICE("nonsense"), &t, &e),
                     ERR_DENIED);
    assert_int_equal(join_token_read(dir, SLICE("tulle-join-../../x"), &t, &e),
                     ERR_DENIED);
}

static void old_tokens_are_removed(void **state)
{
    const struct folder *f = *state;
    slice dir = slice_str(f->path);
    char old[JOIN_TOKEN_TEXT], token[JOIN_TOKEN_TEXT];
    struct join_token t;
    struct error e;

    assert_int_equal(join_token_new(dir, DOMAIN, SLICE("shop/cart"), SLICE_NONE,
                                    NOW, 600, old, &e),
                     OK);
    assert_int_equal(join_token_new(dir, DOMAIN, SLICE("shop/cart"), SLICE_NONE,
                                    NOW + 600, 600, token, &e),
                     OK);
    assert_int_equal(join_token_read(dir, slice_str(old), &t, &e), ERR_DENIED);
    assert_int_equal(join_token_read(dir, slice_str(token), &t, &e), OK);
}

/* --- the issuer --- */

struct shop {
    struct authority *authority;
    struct issuer issuer;
    char *key, *csr, *other_csr;
};

static void shop_init(struct shop *s, const struct folder *f)
{
    struct error e;

    *s = (struct shop){.authority = authority_of(open_ca(f))};
    s->issuer = (struct issuer){
        .authority = s->authority,
        .state = slice_str(f->path),
        .rules = {.trust_domain = DOMAIN,
                  .life = 86400,
                  .renew_by_certificate = true},
    };
    issue_rate_init(&s->issuer.rate, 100, 0);
    assert_int_equal(key_new(&s->key, &e), OK);
    assert_int_equal(csr_new(slice_str(s->key),
                             SLICE("spiffe://cluster.local/ns/shop/sa/cart"),
                             &s->csr, &e),
                     OK);
    assert_int_equal(csr_new(slice_str(s->key),
                             SLICE("spiffe://cluster.local/tulle/controller"),
                             &s->other_csr, &e),
                     OK);
}

static void shop_fini(struct shop *s)
{
    mem_free(s->key);
    mem_free(s->csr);
    mem_free(s->other_csr);
    authority_free(s->authority);
}

struct asked {
    struct issue_job job;
    enum status rc;
    struct issued *out;
    unsigned answers;
};

static void on_answer(struct issue_job *job, enum status rc,
                      const struct issued *is, const struct error *e)
{
    struct asked *a = (struct asked *)job;

    a->answers++;
    a->rc = rc;
    if (rc) {
        assert_true(e->text[0]);
        return;
    }
    *a->out = *is;
    a->out->chain = mem_str(slice_str(is->chain));
}

static enum status ask(struct shop *s, const char *csr, const char *token,
                       const struct tls_peer *peer, struct issued *out)
{
    struct certificate_request req = {slice_str(csr), slice_str(token)};
    struct asked a = {.out = out};

    issuer_begin(&s->issuer, &a.job, &req, peer, 0, NOW, on_answer);
    assert_int_equal(a.answers, 1);
    return a.rc;
}

static void a_failed_request_does_not_use_the_token_up(void **state)
{
    const struct folder *f = *state;
    char token[JOIN_TOKEN_TEXT];
    struct issued out;
    struct shop s;
    struct error e;
    int64_t from, to;

    shop_init(&s, f);
    assert_int_equal(join_token_new(slice_str(f->path), DOMAIN,
                                    SLICE("shop/cart"), SLICE_NONE, NOW, 600,
                                    token, &e),
                     OK);
    assert_int_equal(ask(&s, "nonsense", token, NULL, &out), ERR_INVALID);
    assert_int_equal(ask(&s, s.other_csr, token, NULL, &out), ERR_DENIED);
    assert_int_equal(ask(&s, s.csr, token, NULL, &out), OK);
    assert_int_equal(cert_dates(slice_str(out.chain), &from, &to, &e), OK);
    assert_int_equal(to, NOW + 86400);
    mem_free(out.chain);
    assert_int_equal(ask(&s, s.csr, token, NULL, &out), ERR_DENIED);
    assert_int_equal(s.issuer.issued, 1);
    assert_int_equal(s.issuer.refused, 3);
    shop_fini(&s);
}

static void renewal_by_the_certificate_in_force(void **state)
{
    struct tls_peer peer = {
        .name = SLICE("spiffe://cluster.local/ns/shop/sa/cart"),
        .extension = SLICE("shop/cart-1/u1"),
        .not_after = NOW + 5,
    };
    const struct tls_peer nobody = {.name = SLICE("")};
    struct issued out;
    struct shop s;

    shop_init(&s, *state);
    assert_int_equal(ask(&s, s.csr, "", NULL, &out), ERR_DENIED);
    assert_int_equal(ask(&s, s.csr, "", &nobody, &out), ERR_DENIED);
    assert_int_equal(ask(&s, s.csr, "", &peer, &out), OK);
    assert_true(slice_eq(out.grant.pod, SLICE("shop/cart-1/u1")));
    mem_free(out.chain);
    peer.not_after = NOW;
    assert_int_equal(ask(&s, s.csr, "", &peer, &out), ERR_DENIED);
    shop_fini(&s);
}

static void the_rate_is_bounded(void **state)
{
    struct tls_peer peer = {
        .name = SLICE("spiffe://cluster.local/ns/shop/sa/cart"),
        .not_after = NOW + 5,
    };
    struct issued out;
    struct shop s;

    shop_init(&s, *state);
    issue_rate_init(&s.issuer.rate, 1, 0);
    assert_int_equal(ask(&s, s.csr, "", &peer, &out), OK);
    mem_free(out.chain);
    assert_int_equal(ask(&s, s.csr, "", &peer, &out), ERR_RESOURCES);
    assert_int_equal(s.issuer.limited, 1);
    shop_fini(&s);
}

static void the_controllers_own_certificate(void **state)
{
    struct tls_settings *tls = NULL;
    struct authority *a = authority_of(open_ca(*state));
    struct error e;
    int64_t end;

    if (serving_new(&tls, a, DOMAIN, NOW, 3600, &end, &e))
        fail_msg("%s", e.text);
    assert_int_equal(end, NOW + 3600);
    assert_true(slice_eq(tls_identity_name(tls_settings_identity(tls)),
                         SLICE("spiffe://cluster.local/tulle/controller")));
    tls_settings_unref(tls);
    authority_free(a);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_folder, drop_folder)
    const struct CMUnitTest tests[] = {
        T(a_root_is_made_once),
        T(racers_end_up_with_one_root),
        T(bad_roots_are_refused),
        T(a_half_made_root_is_finished),
        T(a_token_is_good_once),
        T(bad_tokens),
        T(old_tokens_are_removed),
        T(a_failed_request_does_not_use_the_token_up),
        T(renewal_by_the_certificate_in_force),
        T(the_rate_is_bounded),
        T(the_controllers_own_certificate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
