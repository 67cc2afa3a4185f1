/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: an authority, and TLS settings with certificates of it. */
#ifndef TULLE_TESTS_IDS_H
#define TULLE_TESTS_IDS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/tls/cert.h"
#include "lib/tls/tls_settings.h"

UNUSED static struct ca *ids_ca(slice domain)
{
    struct error e = {0};
    struct ca *ca;
    int64_t now = clock_real_ns() / NSEC_PER_SEC;
    assert_int_equal(ca_new(&ca, domain, now - 60, 86400, &e), OK);
    return ca;
}

UNUSED static struct tls_identity *ids_identity(struct ca *ca, slice name,
                                                int64_t life)
{
    struct error e = {0};
    char *key, *der, *pem;
    size_t len;
    struct tls_identity *id;
    int64_t now = clock_real_ns() / NSEC_PER_SEC;
    assert_int_equal(key_new(&key, &e), OK);
    assert_int_equal(key_public_der(slice_str(key), &der, &len, &e), OK);
    struct cert_request rq = {.public_der = slice_of(der, len),
                              .name = name,
                              .not_before = now - 60,
                              .not_after = now + life};
    assert_int_equal(ca_sign(ca, &rq, &pem, &e), OK);
    assert_int_equal(tls_identity_new(&id, slice_str(pem), slice_str(key),
                                      ca_cert_pem(ca), &e),
                     OK);
    mem_free(pem);
    mem_free(der);
    mem_wipe_free(key, strlen(key));
    return id;
}

UNUSED static struct tls_settings *ids_settings(struct ca *ca, slice name,
                                                enum tls_role role,
                                                const char *alpn)
{
    struct error e = {0};
    struct tls_settings *out;
    struct tls_identity *id = ids_identity(ca, name, 3600);
    struct tls_options opt = {
        .role = role,
        .alpn = {alpn, role == TLS_SERVER ? TLS_ALPN_HTTP1 : NULL},
        .alpn_optional = role == TLS_SERVER,
        .ask_peer = role == TLS_SERVER};
    assert_int_equal(tls_settings_new(&out, &opt, id, SLICE_NONE, &e), OK);
    tls_identity_unref(id);
    return out;
}

#endif
