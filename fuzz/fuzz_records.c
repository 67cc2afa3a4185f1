/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a manifest: what is read resolves, encodes, and decodes to the
 * same; and taking it all out again leaves nothing. */
#include <stdlib.h>

#include "controller/registry/registry_json.h"
#include "controller/registry/resolve.h"
#include "controller/watch/manifest.h"
#include "lib/mesh/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct resolve_settings settings = {
    .trust_domain = SLICE_INIT("cluster.local"),
    .bundle = SLICE_INIT("PEM"),
    .default_mtls = MTLS_PERMISSIVE,
};

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_view(const struct registry *r, enum view_kind kind,
                       const struct client *c, slice key)
{
    struct view *v = NULL, *back = NULL;
    struct topics topics;
    struct text json;
    struct error e;

    if (resolve(r, &settings, kind, c, key, &v, &e))
        return;
    check(resolve_topics(kind, c, key, &topics) > 0);
    text_init(&json, VIEW_BYTES_MAX);
    view_encode(v, &json);
    check(!json.failed);
    if (view_decode(kind, key, text_slice(&json), &back, &e))
        abort();
    check(strcmp(v->hash, back->hash) == 0);
    text_fini(&json);
    view_unref(back);
    view_unref(v);
}

static void check_service(const struct registry *r, const struct record *rec)
{
    struct client c = {.ns = rec->ns};
    char buf[KEY_TEXT];

    for (uint32_t i = 0; i < rec->service.ports_len && i < 8; i++) {
        uint16_t port = rec->service.ports[i].port;
        slice key = key_service(buf, rec->ns, rec->name, port);

        check_view(r, VIEW_DESTINATION, &c, key);
        check_view(r, VIEW_BACKEND, &c, key);
        for (uint32_t n = 0; n < rec->service.ips_len; n++)
            check_view(r, VIEW_DESTINATION, &c,
                       key_address(buf, rec->service.ips[n], port));
    }
}

static void check_pod(const struct registry *r, const struct record *rec)
{
    struct client c = {rec->ns, rec->pod.service_account, rec->name,
                       rec->pod.uid};
    char buf[KEY_TEXT];

    check_view(r, VIEW_WORKLOAD, &c, SLICE(""));
    for (uint32_t i = 0; i < rec->pod.ips_len; i++) {
        check_view(r, VIEW_DESTINATION, &c,
                   key_address(buf, rec->pod.ips[i], 80));
        check_view(r, VIEW_BACKEND, &c, key_address(buf, rec->pod.ips[i], 80));
    }
}

static void check_all(const struct registry *r)
{
    const struct record *rec;
    struct text json;

    for (size_t i = 0; registry_next(r, RECORD_SERVICE, &i, &rec);)
        check_service(r, rec);
    for (size_t i = 0; registry_next(r, RECORD_POD, &i, &rec);)
        check_pod(r, rec);
    text_init(&json, 64 << 20);
    registry_json(r, &json);
    check(!json.failed);
    text_fini(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct registry *r = registry_new();
    record_vec objects = {0};
    struct error e;

    if (size <= 1 << 16 &&
        manifest_read(slice_of(data, size), SLICE("f"), &objects, &e) == OK) {
        for (size_t i = 0; i < objects.len; i++)
            registry_put(r, record_ref(objects.at[i]));
        check_all(r);
        for (size_t i = 0; i < objects.len; i++)
            registry_del(r, objects.at[i]->kind, objects.at[i]->ns,
                         objects.at[i]->name);
        for (int k = 0; k < RECORD_KINDS; k++)
            check(registry_count(r, (enum record_kind)k) == 0);
    }
    record_vec_fini(&objects);
    registry_free(r);
    return 0;
}
