/* SPDX-License-Identifier: Apache-2.0 */
/* Roots, intermediates, and what cannot be an issuer. The intermediate and its
 * root come from the openssl program: not from our own code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "controller/identity/authority.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"

#define DOMAIN SLICE("cluster.local")

static const char script[] =
    "exec >/dev/null 2>&1; set -e; cd \"$1\"\n"
    "k() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 "
    "-out $1.key; }\n"
    "k root; k other; k mid\n"
    "for r in root other; do openssl req -x509 -new -key $r.key -subj /CN=$r "
    "-days 30 -out $r.crt -addext basicConstraints=critical,CA:TRUE "
    "-addext keyUsage=critical,keyCertSign,cRLSign; done\n"
    "openssl req -new -key mid.key -subj /CN=mid -out mid.csr\n"
    "printf 'basicConstraints=critical,CA:TRUE,pathlen:0\\n"
    "keyUsage=critical,keyCertSign,cRLSign\\nsubjectKeyIdentifier=hash\\n"
    "authorityKeyIdentifier=keyid:always\\n' >ext\n"
    "openssl x509 -req -in mid.csr -CA root.crt -CAkey root.key -days 20 "
    "-CAcreateserial -extfile ext -out mid.crt\n";

struct files {
    char dir[64];
    char *root, *root_key, *other, *mid, *mid_key;
};

static char *slurp(const struct files *f, const char *name)
{
    char path[128];
    struct error e;
    slice s;

    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    if (file_read(slice_str(path), 1 << 16, &s, &e))
        fail_msg("%s", e.text);
    return (char *)(uintptr_t)s.ptr;
}

static int make(void **state)
{
    struct files *f = MEM_NEW(struct files);
    char command[256], script_path[96];
    struct error e;

    snprintf(f->dir, sizeof f->dir, "/tmp/tulle-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(script_path, sizeof script_path, "%s/script", f->dir);
    assert_int_equal(
        file_write_atomic(slice_str(script_path), slice_str(script), 0600, &e),
        OK);
    snprintf(command, sizeof command, "sh %s %s", script_path, f->dir);
    assert_int_equal(system(command), 0);
    f->root = slurp(f, "root.crt");
    f->root_key = slurp(f, "root.key");
    f->other = slurp(f, "other.crt");
    f->mid = slurp(f, "mid.crt");
    f->mid_key = slurp(f, "mid.key");
    *state = f;
    return 0;
}

static int clean(void **state)
{
    struct files *f = *state;
    char command[128];
    int rc;

    snprintf(command, sizeof command, "rm -r %s", f->dir);
    rc = system(command);
    mem_free(f->root);
    mem_free(f->root_key);
    mem_free(f->other);
    mem_free(f->mid);
    mem_free(f->mid_key);
    mem_free(f);
    return rc;
}

static enum status load(struct authority **a, const char *cert, const char *key,
                        const char *roots, struct error *e)
{
    struct authority_parts p = {slice_str(cert), slice_str(key),
                                slice_str(roots)};

    return authority_new(a, &p, DOMAIN, e);
}

static unsigned certificates(slice pem)
{
    unsigned n = 0;

    for (const char *at = pem.ptr;
         at && (at = strstr(at, "BEGIN CERTIFICATE")) != NULL; at++)
        n++;
    return n;
}

static char *sign(const struct authority *a)
{
    struct cert_request r = {
        .name = SLICE("spiffe://cluster.local/ns/a/sa/b"),
        .not_before = clock_real_ns() / NSEC_PER_SEC - 60,
        .not_after = clock_real_ns() / NSEC_PER_SEC + 600,
    };
    char *key, *der, *chain;
    struct error e;
    size_t len;

    assert_int_equal(key_new(&key, &e), OK);
    assert_int_equal(key_public_der(slice_str(key), &der, &len, &e), OK);
    r.public_der = slice_of(der, len);
    assert_int_equal(authority_sign(a, &r, &chain, &e), OK);
    mem_free(der);
    mem_wipe_free(key, strlen(key));
    return chain;
}

static void a_root_is_its_own_bundle(void **state)
{
    const struct files *f = *state;
    struct authority *a;
    struct error e;
    char *chain;

    assert_int_equal(load(&a, f->root, f->root_key, f->other, &e), OK);
    assert_int_equal(certificates(authority_bundle(a)), 2);
    chain = sign(a);
    assert_int_equal(certificates(slice_str(chain)), 1);
    assert_int_equal(chain_check(slice_str(chain), slice_str(f->root), &e), OK);
    mem_free(chain);
    authority_free(a);
}

static void an_intermediate_goes_along_with_its_leaves(void **state)
{
    const struct files *f = *state;
    struct authority *a;
    struct error e;
    char *chain;

    assert_int_equal(load(&a, f->mid, f->mid_key, f->root, &e), OK);
    assert_int_equal(certificates(authority_bundle(a)), 1);
    chain = sign(a);
    assert_int_equal(certificates(slice_str(chain)), 2);
    assert_int_equal(chain_check(slice_str(chain), slice_str(f->root), &e), OK);
    assert_int_equal(chain_check(slice_str(chain), slice_str(f->other), &e),
                     ERR_INVALID);
    mem_free(chain);
    authority_free(a);
}

static void what_cannot_be_an_issuer(void **state)
{
    const struct files *f = *state;
    struct authority *a;
    struct error e;

    assert_int_equal(load(&a, f->mid, f->mid_key, "", &e), ERR_INVALID);
    assert_string_equal(e.text, "the issuer is no root, and no root was given");
    assert_int_equal(load(&a, f->mid, f->mid_key, f->other, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "leads to none of the roots"));
    assert_int_equal(load(&a, f->mid, f->root_key, f->root, &e), ERR_INVALID);
    assert_int_equal(load(&a, f->root, f->root_key, "x", &e), ERR_INVALID);
    assert_int_equal(load(&a, "", "", "", &e), ERR_INVALID);
}

/* Proxies would refuse the whole bundle, and with it a root that they need. */
static void what_cannot_be_trusted(void **state)
{
    const struct files *f = *state;
    struct authority *a;
    struct error e;
    char *leaf;

    assert_int_equal(load(&a, f->root, f->root_key, "", &e), OK);
    leaf = sign(a);
    authority_free(a);
    assert_int_equal(load(&a, f->root, f->root_key, leaf, &e), ERR_INVALID);
    assert_string_equal(e.text, "roots: certificate 2 is not an authority");
    mem_free(leaf);
}

static void equal_when_issuer_and_roots_are(void **state)
{
    const struct files *f = *state;
    struct authority *a, *b, *c;
    struct error e;

    assert_int_equal(load(&a, f->root, f->root_key, "", &e), OK);
    assert_int_equal(load(&b, f->root, f->root_key, f->root, &e), OK);
    assert_int_equal(load(&c, f->root, f->root_key, f->other, &e), OK);
    assert_true(authority_eq(a, b));
    assert_false(authority_eq(a, c));
    authority_free(a);
    authority_free(b);
    authority_free(c);
}

/* Who borrows the bundle must not lose it when nothing changes. */
static void roots_are_kept_for_a_while(void **state)
{
    const struct files *f = *state;
    struct authority *a;
    struct error e;
    slice own;

    assert_int_equal(load(&a, f->root, f->root_key, "", &e), OK);
    own = authority_bundle(a);
    assert_int_equal(authority_keep(a, slice_str(f->root), &e), OK);
    assert_ptr_equal(authority_bundle(a).ptr, own.ptr);
    assert_false(authority_let_go(a));
    assert_ptr_equal(authority_bundle(a).ptr, own.ptr);
    assert_int_equal(authority_keep(a, slice_str(f->other), &e), OK);
    assert_int_equal(authority_keep(a, slice_str(f->root), &e), OK);
    assert_true(authority_bundle(a).len > own.len);
    assert_true(authority_let_go(a));
    assert_ptr_equal(authority_bundle(a).ptr, own.ptr);
    authority_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_root_is_its_own_bundle),
        cmocka_unit_test(an_intermediate_goes_along_with_its_leaves),
        cmocka_unit_test(what_cannot_be_an_issuer),
        cmocka_unit_test(what_cannot_be_trusted),
        cmocka_unit_test(equal_when_issuer_and_roots_are),
        cmocka_unit_test(roots_are_kept_for_a_while),
    };

    return cmocka_run_group_tests(tests, make, clean);
}
