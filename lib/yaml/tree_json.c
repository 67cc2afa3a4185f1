/* SPDX-License-Identifier: Apache-2.0 */
/* A tree as JSON. Aliases are written out where they stand: the limit on values
 * holds for what comes out. Of a merge key's members those count that the mapping
 * does not have itself; of several, the first. */
#include "lib/base/map.h"
#include "lib/json/json_build.h"
#include "lib/yaml/scalar.h"
#include "lib/yaml/tree.h"

/* Merging writes nothing of what is there already, so nothing else counts it. */
enum { MERGED_MAX = 1000000, MERGE_DEPTH_MAX = 32 };

struct writer {
    const struct yaml_tree *tree;
    struct json_build *build;
    unsigned merged, merge_depth;
    struct error *e;
};

static enum status refuse(struct writer *w, const struct yaml_node *n,
                          const char *why)
{
    return error_set(w->e, ERR_INVALID, "%.*s:%u: %s", FMT(w->tree->source),
                     n->line, why);
}

static enum status write_node(struct writer *w, uint32_t i);

static enum status write_scalar(struct writer *w, const struct yaml_node *n)
{
    const char *why = NULL;
    struct scalar s = {.type = SCALAR_STRING};

    if (n->odd_tag)
        return refuse(w, n, "tags other than !!str are not supported");
    if (n->plain && !n->string && scalar_resolve(n->text, &s, &why))
        return refuse(w, n, why);
    switch (s.type) {
    case SCALAR_NULL:
        return json_build_null(w->build, n->line, w->e);
    case SCALAR_BOOL:
        return json_build_bool(w->build, s.boolean, n->line, w->e);
    case SCALAR_NUMBER:
        return json_build_number(w->build, s.number, n->line, w->e);
    case SCALAR_STRING:
        break;
    }
    return json_build_string(w->build, n->text, n->line, w->e);
}

static bool is_merge(const struct yaml_node *n)
{
    return n->key_plain && slice_eq(n->key, SLICE("<<"));
}

/* The mapping that a node is or stands for; YAML_NOWHERE for anything else. */
static uint32_t mapping_of(const struct yaml_tree *t, uint32_t i)
{
    if (yaml_node(t, i)->kind == YAML_ALIAS)
        i = yaml_node(t, i)->target;
    return yaml_node(t, i)->kind == YAML_MAPPING ? i : YAML_NOWHERE;
}

static enum status write_members(struct writer *w, uint32_t mapping,
                                 struct map *seen);

static enum status merge(struct writer *w, uint32_t value, struct map *seen)
{
    const struct yaml_tree *t = w->tree;
    uint32_t mapping = mapping_of(t, value), i;
    enum status rc = OK;

    if (mapping)
        return write_members(w, mapping, seen);
    if (yaml_node(t, value)->kind != YAML_SEQUENCE)
        return refuse(w, yaml_node(t, value), "<< of what is no mapping");
    for (i = yaml_node(t, value)->first; i && !rc; i = yaml_node(t, i)->next) {
        mapping = mapping_of(t, i);
        rc = mapping ? write_members(w, mapping, seen)
                     : refuse(w, yaml_node(t, i), "<< of what is no mapping");
    }
    return rc;
}

/* `seen` NULL: the first time, names twice are an error (found by the builder);
 * else only what is not there yet. */
static enum status write_own(struct writer *w, uint32_t mapping,
                             struct map *seen, bool first, bool *merges)
{
    const struct yaml_tree *t = w->tree;
    enum status rc = OK;

    for (uint32_t i = yaml_node(t, mapping)->first; i && !rc;
         i = yaml_node(t, i)->next) {
        const struct yaml_node *n = yaml_node(t, i);

        if (is_merge(n)) {
            *merges = true;
            continue;
        }
        if (w->merged++ > MERGED_MAX)
            return refuse(w, n, "too much is merged");
        if (map_put(seen, n->key, w) && !first)
            continue;
        rc = json_build_name(w->build, n->key, n->key_line, w->e);
        if (!rc)
            rc = write_node(w, i);
    }
    return rc;
}

/* NOLINTNEXTLINE(misc-no-recursion): closed anchors only; values are counted */
static enum status write_members(struct writer *w, uint32_t mapping,
                                 struct map *seen)
{
    const struct yaml_tree *t = w->tree;
    bool merges = false;
    enum status rc = write_own(w, mapping, seen, seen->len == 0, &merges);

    if (!rc && merges && w->merge_depth == MERGE_DEPTH_MAX)
        return refuse(w, yaml_node(t, mapping), "too much is merged");
    w->merge_depth++;
    for (uint32_t i = merges ? yaml_node(t, mapping)->first : 0; i && !rc;
         i = yaml_node(t, i)->next)
        if (is_merge(yaml_node(t, i)))
            rc = merge(w, i, seen);
    w->merge_depth--;
    return rc;
}

static enum status write_mapping(struct writer *w, uint32_t i)
{
    const struct yaml_node *n = yaml_node(w->tree, i);
    struct map seen;
    enum status rc = json_build_object(w->build, n->line, w->e);

    if (rc)
        return rc;
    map_init(&seen);
    rc = write_members(w, i, &seen);
    map_fini(&seen);
    if (!rc)
        json_build_end(w->build);
    return rc;
}

static enum status write_sequence(struct writer *w, uint32_t i)
{
    const struct yaml_node *n = yaml_node(w->tree, i);
    enum status rc = json_build_array(w->build, n->line, w->e);

    for (uint32_t k = n->first; k && !rc; k = yaml_node(w->tree, k)->next)
        rc = write_node(w, k);
    if (!rc)
        json_build_end(w->build);
    return rc;
}

/* NOLINTNEXTLINE(misc-no-recursion): the builder bounds depth and number */
static enum status write_node(struct writer *w, uint32_t i)
{
    const struct yaml_node *n = yaml_node(w->tree, i);

    if (n->kind == YAML_ALIAS)
        return write_node(w, n->target);
    if (n->kind == YAML_SCALAR)
        return write_scalar(w, n);
    if (n->odd_tag)
        return refuse(w, n, "tags other than !!str are not supported");
    return n->kind == YAML_MAPPING ? write_mapping(w, i) : write_sequence(w, i);
}

enum status yaml_tree_json(const struct yaml_tree *t, struct json_doc **out,
                           struct error *e)
{
    const struct json_limits limits = {YAML_TREE_BYTES_MAX,
                                       YAML_TREE_VALUES_MAX};
    struct writer w = {
        .tree = t, .build = json_build_new(t->source, &limits), .e = e};
    enum status rc = write_node(&w, t->root);

    if (!rc)
        rc = json_build_finish(w.build, out, e);
    json_build_free(w.build);
    return rc;
}
