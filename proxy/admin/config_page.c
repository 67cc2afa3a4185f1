/* SPDX-License-Identifier: Apache-2.0 */
/* /config: what the proxy was told, and what it makes of it. Views come in any
 * order and are sorted, so that two pages can be compared. Nothing secret is in
 * here: settings name files, not tokens. */
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/vec.h"
#include "lib/json/json_write.h"
#include "proxy/admin/pages.h"

enum { SETTINGS_MAX = 256 * 1024 };

struct known {
    enum view_kind kind;
    slice key;
    const struct view *view; /* NULL: asked, not answered */
};

struct knowns {
    VEC(struct known) all;
    slice prefix;
};

static void add_known(void *arg, enum view_kind kind, slice key, struct view *v)
{
    struct knowns *k = arg;

    if (slice_starts(key, k->prefix))
        VEC_PUSH(&k->all, ((struct known){kind, key, v}));
}

static int by_key(const void *a, const void *b)
{
    const struct known *x = a, *y = b;

    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return slice_cmp(x->key, y->key);
}

/* --- views --- */

static void member_date(struct json_write *w, const char *name, int64_t seconds)
{
    char date[21];

    if (seconds <= 0)
        return;
    clock_format_rfc3339(seconds, date);
    json_member_string(w, name, slice_str(date));
}

static void put_workload(struct json_write *w, const struct workload_view *v)
{
    json_member_text(w, "namespace", v->ns);
    json_member_text(w, "pod", v->pod);
    json_member_text(w, "serviceAccount", v->service_account);
    json_member_string(w, "mtls",
                       v->mtls == MTLS_STRICT ? SLICE("strict")
                                              : SLICE("permissive"));
    json_member_bool(w, "terminating", v->terminating);
    json_write_name(w, "ports");
    json_write_array(w);
    for (uint32_t i = 0; i < v->ports_len; i++) {
        json_write_object(w);
        json_member_int(w, "port", v->ports[i].port);
        json_member_string(w, "protocol",
                           slice_str(protocol_name(v->ports[i].protocol)));
        json_member_bool(w, "skip", v->ports[i].skip);
        json_write_object_end(w);
    }
    json_write_array_end(w);
}

static void put_destination(struct json_write *w,
                            const struct destination_view *v)
{
    json_member_string(w, "resolution",
                       slice_str(resolution_name(v->resolution)));
    json_member_text(w, "service", v->service);
    json_member_string(w, "protocol", slice_str(protocol_name(v->protocol)));
    json_member_bool(w, "direct", v->direct);
    json_write_name(w, "backends");
    json_write_array(w);
    for (uint32_t i = 0; i < v->backends_len; i++) {
        json_write_object(w);
        json_member_string(w, "key", v->backends[i].key);
        json_member_int(w, "weight", v->backends[i].weight);
        json_write_object_end(w);
    }
    json_write_array_end(w);
}

static void put_endpoint(struct json_write *w, const struct backend_endpoint *e)
{
    json_write_object(w);
    json_member_string(w, "address", e->address);
    json_member_text(w, "identity", e->identity);
    json_member_text(w, "pod", e->pod);
    json_member_text(w, "zone", e->zone);
    json_member_int(w, "weight", e->weight);
    json_member_string(w, "protocol", slice_str(protocol_name(e->protocol)));
    json_member_string(w, "state",
                       e->state == ENDPOINT_READY ? SLICE("ready")
                                                  : SLICE("draining"));
    json_write_object_end(w);
}

static void put_backend(struct json_write *w, const struct backend_view *v)
{
    json_member_text(w, "service", v->service);
    json_write_name(w, "endpoints");
    json_write_array(w);
    for (uint32_t i = 0; i < v->endpoints_len; i++)
        put_endpoint(w, &v->endpoints[i]);
    json_write_array_end(w);
}

static void put_view(struct json_write *w, const struct known *k)
{
    json_write_object(w);
    json_member_text(w, "key", k->key);
    json_member_bool(w, "answered", k->view);
    if (k->view) {
        json_member_text(w, "hash", slice_str(k->view->hash));
        if (k->kind == VIEW_WORKLOAD)
            put_workload(w, &k->view->workload);
        if (k->kind == VIEW_DESTINATION)
            put_destination(w, &k->view->destination);
        if (k->kind == VIEW_BACKEND)
            put_backend(w, &k->view->backend);
    }
    json_write_object_end(w);
}

static void put_views(struct json_write *w, const char *name,
                      const struct knowns *k, enum view_kind kind)
{
    json_write_name(w, name);
    json_write_array(w);
    for (size_t i = 0; i < k->all.len; i++)
        if (k->all.at[i].kind == kind)
            put_view(w, &k->all.at[i]);
    json_write_array_end(w);
}

/* --- the page --- */

static void put_settings(struct json_write *w, const struct config *c)
{
    struct text t;

    text_init(&t, SETTINGS_MAX);
    text_add_char(&t, '{');
    settings_json(config_rows, config_rows_len, c, &t);
    text_add_char(&t, '}');
    json_write_name(w, "settings");
    if (t.failed)
        json_write_null(w);
    else
        json_write_raw(w, text_slice(&t));
    text_fini(&t);
}

static void put_identity(struct json_write *w, const struct pages_identity *id)
{
    json_write_name(w, "identity");
    json_write_object(w);
    json_member_text(w, "name", id->name);
    member_date(w, "notBefore", id->not_before);
    member_date(w, "notAfter", id->not_after);
    member_date(w, "renewAt", id->renew_at);
    json_write_object_end(w);
}

static void put_session(struct json_write *w, const struct pages_options *opt,
                        const struct pages_identity *id)
{
    struct telemetry_process process = {0};

    opt->process(opt->arg, &process);
    json_write_name(w, "session");
    json_write_object(w);
    json_member_string(w, "state", id->session);
    json_member_bool(w, "up", process.session_up);
    json_member_u64(w, "renewals", process.renewals);
    json_member_u64(w, "renewalFailures", process.renewal_failures);
    json_write_object_end(w);
}

void pages_config(const struct pages_options *opt, slice key, struct text *out)
{
    struct knowns k = {.prefix = key};
    struct pages_identity id = {0};
    struct json_write w;

    opt->identity(opt->arg, &id);
    discovery_each(opt->discovery, add_known, &k);
    if (k.all.len)
        qsort(k.all.at, k.all.len, sizeof *k.all.at, by_key);
    json_write_init(&w, out);
    json_write_object(&w);
    json_member_string(&w, "program", SLICE("tulle-proxy"));
    json_member_string(&w, "version", SLICE(TULLE_VERSION));
    put_settings(&w, opt->settings);
    put_identity(&w, &id);
    put_session(&w, opt, &id);
    put_views(&w, "workload", &k, VIEW_WORKLOAD);
    put_views(&w, "destinations", &k, VIEW_DESTINATION);
    put_views(&w, "backends", &k, VIEW_BACKEND);
    json_write_object_end(&w);
    text_add_char(out, '\n');
    VEC_FINI(&k.all);
}
