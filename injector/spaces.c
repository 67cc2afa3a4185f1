/* SPDX-License-Identifier: Apache-2.0 */
#include "injector/spaces.h"

#include "lib/json/json_write.h"
#include "lib/mesh/labels.h"

enum { SPACE_BYTES = 256 << 10, SPACE_VALUES = 1000 };

void spaces_init(struct spaces *s)
{
    map_init(&s->by_name);
}

void spaces_fini(struct spaces *s)
{
    void *doc;
    slice name;

    for (size_t at = 0; map_next(&s->by_name, &at, &name, &doc);)
        json_free(doc);
    map_fini(&s->by_name);
}

/* Texts only: a namespace that the API server took has nothing else. */
static void write_ours(struct json_write *w, const char *name, struct json all)
{
    json_write_name(w, name);
    json_write_object(w);
    for (struct json i = json_first(all); json_present(i); i = json_next(i)) {
        if (json_type(i) != JSON_STRING ||
            !slice_starts(json_name(i), SLICE(ANNOTATION_PREFIX)))
            continue;
        json_write_name_slice(w, json_name(i));
        json_write_value(w, i);
    }
    json_write_object_end(w);
}

static struct json_doc *keep(struct json meta)
{
    const struct json_limits limits = {SPACE_BYTES, SPACE_VALUES};
    struct json_doc *doc = NULL;
    struct error ignored;
    struct json_write w;
    struct text t;

    text_init(&t, SPACE_BYTES);
    json_write_init(&w, &t);
    json_write_object(&w);
    write_ours(&w, "labels", json_get(meta, "labels"));
    write_ours(&w, "annotations", json_get(meta, "annotations"));
    json_write_object_end(&w);
    if (t.failed || json_parse(text_slice(&t), &limits, &doc, &ignored))
        doc = NULL;
    text_fini(&t);
    return doc;
}

void spaces_put(struct spaces *s, struct json object)
{
    struct json meta = json_get(object, "metadata");
    struct json_doc *doc;
    struct error ignored;
    slice name;

    if (json_string(meta, "name", &name, &ignored))
        return;
    doc = keep(meta);
    if (doc)
        json_free(map_put(&s->by_name, name, doc));
}

void spaces_del(struct spaces *s, slice name)
{
    json_free(map_del(&s->by_name, name));
}

bool spaces_get(const struct spaces *s, slice name, struct space *out)
{
    const struct json_doc *doc = map_get(&s->by_name, name);

    *out = (struct space){{0}, {0}};
    if (!doc)
        return false;
    out->labels = json_get(json_root(doc), "labels");
    out->annotations = json_get(json_root(doc), "annotations");
    return true;
}

size_t spaces_count(const struct spaces *s)
{
    return s->by_name.len;
}
