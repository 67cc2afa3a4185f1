/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/registry/registry_json.h"

#include <stdlib.h>

#include "lib/json/json_write.h"

static void texts_json(struct json_write *w, const char *name, const slice *at,
                       uint32_t len)
{
    json_write_name(w, name);
    json_write_array(w);
    for (uint32_t i = 0; i < len; i++)
        json_write_string(w, at[i]);
    json_write_array_end(w);
}

static void settings_json(struct json_write *w, const struct mesh_settings *s)
{
    static const char *const modes[] = {"", "permissive", "strict"};

    json_member_text(w, "mtls", slice_str(modes[s->mtls]));
    json_member_text(w, "opaquePorts", s->opaque_ports);
    json_member_text(w, "skipInboundPorts", s->skip_inbound_ports);
}

static void service_json(struct json_write *w, const struct service_record *s)
{
    texts_json(w, "ips", s->ips, s->ips_len);
    json_member_text(w, "opaquePorts", s->opaque_ports);
    json_write_name(w, "ports");
    json_write_array(w);
    for (uint32_t i = 0; i < s->ports_len; i++) {
        json_write_object(w);
        json_member_text(w, "name", s->ports[i].name);
        json_member_int(w, "port", s->ports[i].port);
        json_member_text(w, "appProtocol", s->ports[i].app_protocol);
        json_write_object_end(w);
    }
    json_write_array_end(w);
}

static void slice_json(struct json_write *w, const struct slice_record *s)
{
    json_member_text(w, "service", s->service);
    json_write_name(w, "ports");
    json_write_array(w);
    for (uint32_t i = 0; i < s->ports_len; i++)
        json_write_int(w, s->ports[i].port);
    json_write_array_end(w);
    json_write_name(w, "endpoints");
    json_write_array(w);
    for (uint32_t i = 0; i < s->endpoints_len; i++) {
        json_write_object(w);
        json_member_string(w, "ip", s->endpoints[i].ip);
        json_member_bool(w, "ready", s->endpoints[i].ready);
        json_member_bool(w, "serving", s->endpoints[i].serving);
        json_member_bool(w, "terminating", s->endpoints[i].terminating);
        json_member_text(w, "zone", s->endpoints[i].zone);
        json_write_object_end(w);
    }
    json_write_array_end(w);
}

static void pod_json(struct json_write *w, const struct pod_record *p)
{
    json_member_text(w, "uid", p->uid);
    json_member_text(w, "serviceAccount", p->service_account);
    json_member_text(w, "node", p->node);
    texts_json(w, "ips", p->ips, p->ips_len);
    json_write_name(w, "ports");
    json_write_array(w);
    for (uint32_t i = 0; i < p->ports_len; i++)
        json_write_int(w, p->ports[i]);
    json_write_array_end(w);
    settings_json(w, &p->settings);
    json_member_bool(w, "meshed", p->meshed);
    json_member_bool(w, "live", p->live);
    json_member_bool(w, "terminating", p->terminating);
    json_member_bool(w, "hostNetwork", p->host_network);
}

static void record_json(struct json_write *w, const struct record *r)
{
    char key[KEY_TEXT];

    json_write_object(w);
    json_member_string(w, "name", key_name(key, r->ns, r->name));
    switch (r->kind) {
    case RECORD_NAMESPACE:
        settings_json(w, &r->space.settings);
        break;
    case RECORD_SERVICE:
        service_json(w, &r->service);
        break;
    case RECORD_SLICE:
        slice_json(w, &r->epslice);
        break;
    case RECORD_POD:
        pod_json(w, &r->pod);
        break;
    case RECORD_KINDS:
        break;
    }
    json_member_text(w, "problem", r->problem);
    json_write_object_end(w);
}

static int by_name(const void *a, const void *b)
{
    const struct record *const *x = a, *const *y = b;
    int order = slice_cmp((*x)->ns, (*y)->ns);

    return order ? order : slice_cmp((*x)->name, (*y)->name);
}

static void kind_json(const struct registry *r, enum record_kind kind,
                      struct json_write *w)
{
    record_list all = {0};
    const struct record *rec;

    for (size_t i = 0; registry_next(r, kind, &i, &rec);)
        VEC_PUSH(&all, rec);
    if (all.len)
        qsort(all.at, all.len, sizeof *all.at, by_name);
    json_write_name(w, record_kind_name(kind));
    json_write_array(w);
    for (size_t i = 0; i < all.len; i++)
        record_json(w, all.at[i]);
    json_write_array_end(w);
    VEC_FINI(&all);
}

void registry_json(const struct registry *r, struct text *out)
{
    struct json_write w;

    json_write_init(&w, out);
    json_write_object(&w);
    json_member_u64(&w, "version", registry_version(r));
    json_member_bool(&w, "synced", registry_synced(r));
    for (enum record_kind k = 0; k < RECORD_KINDS; k++)
        kind_json(r, k, &w);
    json_write_object_end(&w);
}

void registry_change_json(const struct registry_change *c, struct text *out)
{
    struct json_write w;
    char key[KEY_TEXT];

    json_write_init(&w, out);
    json_write_object(&w);
    json_member_u64(&w, "version", c->version);
    json_member_string(&w, "kind", slice_str(record_kind_name(c->kind)));
    json_member_string(&w, "name", key_name(key, c->ns, c->name));
    json_member_string(&w, "change", c->gone ? SLICE("gone") : SLICE("put"));
    json_write_object_end(&w);
    text_add_char(out, '\n');
}
