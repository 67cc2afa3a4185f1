/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/identity/serving.h"

#include "lib/base/mem.h"
#include "lib/mesh/identity.h"

static enum status sign(const struct authority *a, slice trust_domain,
                        slice key, int64_t date, int64_t life, char **leaf,
                        struct error *e)
{
    struct text name;
    char *der = NULL;
    size_t len = 0;
    enum status rc;

    text_init(&name, WORKLOAD_NAME_MAX);
    rc = controller_name_build(trust_domain, &name, e);
    if (!rc)
        rc = key_public_der(key, &der, &len, e);
    if (!rc) {
        struct cert_request r = {
            .public_der = slice_of(der, len),
            .name = text_slice(&name),
            .not_before = date - 60,
            .not_after = date + life,
        };
        rc = authority_sign(a, &r, leaf, e);
    }
    mem_free(der);
    text_fini(&name);
    return rc;
}

enum status serving_new(struct tls_settings **out, const struct authority *a,
                        slice trust_domain, int64_t date, int64_t life,
                        int64_t *not_after, struct error *e)
{
    static const struct tls_options options = {
        .role = TLS_SERVER,
        .alpn = {TLS_ALPN_H2, TLS_ALPN_HTTP1},
        .alpn_optional = true,
        .ask_peer = true,
    };
    slice bundle = authority_bundle(a);
    struct tls_identity *id = NULL;
    char *key = NULL, *leaf = NULL;
    enum status rc = key_new(&key, e);

    if (!rc)
        rc = sign(a, trust_domain, slice_str(key), date, life, &leaf, e);
    if (!rc)
        rc = tls_identity_new(&id, slice_str(leaf), slice_str(key), bundle, e);
    if (!rc)
        rc = tls_settings_new(out, &options, id, bundle, e);
    if (!rc)
        *not_after = tls_identity_not_after(id);
    tls_identity_unref(id);
    if (key)
        mem_wipe_free(key, strlen(key));
    mem_free(leaf);
    return rc;
}

enum status serving_client(struct tls_settings **out,
                           const struct tls_settings *serving, slice bundle,
                           struct error *e)
{
    static const struct tls_options options = {
        .role = TLS_CLIENT,
        .alpn = {TLS_ALPN_H2},
    };

    return tls_settings_new(out, &options, tls_settings_identity(serving),
                            bundle, e);
}
