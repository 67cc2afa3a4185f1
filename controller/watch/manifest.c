/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/watch/manifest.h"

#include "controller/watch/watches.h"
#include "lib/base/map.h"
#include "lib/base/text.h"
#include "lib/yaml/yaml.h"

struct reading {
    record_vec found;
    struct map names; /* "Kind ns/name": seen in this file */
};

void record_vec_fini(record_vec *v)
{
    for (size_t i = 0; i < v->len; i++)
        record_unref(v->at[i]);
    VEC_FINI(v);
}

static enum status add(struct reading *r, struct json obj, struct record *rec,
                       struct error *e)
{
    char key[KEY_TEXT];
    struct text full;
    bool twice;

    text_init(&full, 2 * KEY_TEXT);
    text_printf(&full, "%s %.*s", record_kind_name(rec->kind),
                FMT(key_name(key, rec->ns, rec->name)));
    twice = map_put(&r->names, text_slice(&full), r) != NULL;
    text_fini(&full);
    VEC_PUSH(&r->found, rec);
    if (twice)
        return json_error(obj, ERR_INVALID, e, "%s %.*s is declared twice",
                          record_kind_name(rec->kind),
                          FMT(key_name(key, rec->ns, rec->name)));
    if (r->found.len > MANIFEST_OBJECTS_MAX)
        return json_error(obj, ERR_TOO_BIG, e, "too many objects");
    return OK;
}

static enum status read_object(struct reading *r, struct json obj,
                               unsigned depth, struct error *e);

/* "List", and also "PodList" and its like: kubectl prints both. */
static enum status read_items(struct reading *r, struct json obj,
                              unsigned depth, struct error *e)
{
    struct json items = {0};
    enum status rc = json_opt_array(obj, "items", &items, e);

    for (struct json i = json_first(items); json_present(i) && !rc;
         i = json_next(i))
        rc = read_object(r, i, depth + 1, e);
    return rc;
}

static enum status read_object(struct reading *r, struct json obj,
                               unsigned depth, struct error *e)
{
    const struct watched *w;
    struct record *rec = NULL;
    slice api, kind;
    enum status rc;

    if (json_type(obj) != JSON_OBJECT)
        return json_error(obj, ERR_INVALID, e, "is not an object");
    rc = json_string(obj, "apiVersion", &api, e);
    if (!rc)
        rc = json_string(obj, "kind", &kind, e);
    if (rc)
        return rc;
    if (slice_ends(kind, SLICE("List")) && depth == 0)
        return read_items(r, obj, depth, e);
    w = watched_find(api, kind);
    if (!w)
        return OK;
    rc = w->decode(obj, &rec, e);
    return rc ? rc : add(r, obj, rec, e);
}

enum status manifest_read(slice text, slice source, record_vec *out,
                          struct error *e)
{
    struct yaml_documents docs = {0};
    struct reading r = {0};
    enum status rc = yaml_read(text, source, &docs, e);

    map_init(&r.names);
    for (size_t i = 0; i < docs.len && !rc; i++)
        rc = read_object(&r, json_root(docs.at[i]), 0, e);
    for (size_t i = 0; i < r.found.len && !rc; i++)
        VEC_PUSH(out, record_ref(r.found.at[i]));
    record_vec_fini(&r.found);
    map_fini(&r.names);
    yaml_documents_fini(&docs);
    return rc;
}
