/* SPDX-License-Identifier: Apache-2.0 */
#include "injector/patch.h"

#include <stdarg.h>
#include <stdio.h>

enum { PATH_MAX_BYTES = 512 };

void patch_init(struct patch *p, struct arena *arena)
{
    *p = (struct patch){.arena = arena};
}

void patch_fini(struct patch *p)
{
    VEC_FINI(&p->ops);
}

enum status patch_push(struct patch *p, enum patch_kind kind, slice value,
                       struct error *e, const char *path, ...)
{
    struct patch_op op = {.kind = kind};
    char text[PATH_MAX_BYTES];
    va_list args;
    int n;

    va_start(args, path);
    n = vsnprintf(text, sizeof text, path, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text || p->ops.len == PATCH_OPS_MAX ||
        arena_copy(p->arena, slice_of(text, (size_t)n), &op.path) ||
        arena_copy(p->arena, value, &op.value))
        return error_set(e, ERR_TOO_BIG, "the pod is too large");
    VEC_PUSH(&p->ops, op);
    return OK;
}

void patch_write(const struct patch *p, slice prefix, struct json_write *w)
{
    static const char *const names[] = {"add", "replace", "remove"};

    json_write_array(w);
    for (size_t i = 0; i < p->ops.len; i++) {
        const struct patch_op *op = &p->ops.at[i];
        char path[2 * PATH_MAX_BYTES];
        int n = snprintf(path, sizeof path, "%.*s%.*s", FMT(prefix),
                         FMT(op->path));

        json_write_object(w);
        json_member_string(w, "op", slice_str(names[op->kind]));
        json_member_string(w, "path", slice_of(path, (size_t)n));
        if (op->kind != PATCH_REMOVE) {
            json_write_name(w, "value");
            json_write_raw(w, op->value);
        }
        json_write_object_end(w);
    }
    json_write_array_end(w);
}

/* --- comparing --- */

static bool same_items(struct json a, struct json b)
{
    struct json i = json_first(a), j = json_first(b);

    while (json_present(i) && json_present(j) && patch_same(i, j)) {
        i = json_next(i);
        j = json_next(j);
    }
    return !json_present(i) && !json_present(j);
}

static struct json member(struct json obj, slice name)
{
    struct json i = json_first(obj);

    while (json_present(i) && !slice_eq(json_name(i), name))
        i = json_next(i);
    return i;
}

static bool same_members(struct json a, struct json b)
{
    if (json_count(a) != json_count(b))
        return false;
    for (struct json i = json_first(a); json_present(i); i = json_next(i))
        if (!patch_same(i, member(b, json_name(i))))
            return false;
    return true;
}

/* Types were compared before: these cannot fail. */
static bool same_scalar(struct json a, struct json b)
{
    struct error ignored;
    slice s, t;
    double x = 0, y = 0;
    bool p = false, q = false;

    switch (json_type(a)) {
    case JSON_STRING:
        return !json_as_string(a, &s, &ignored) &&
               !json_as_string(b, &t, &ignored) && slice_eq(s, t);
    case JSON_NUMBER:
        return !json_as_double(a, &x, &ignored) &&
               !json_as_double(b, &y, &ignored) && x == y;
    case JSON_BOOL:
        return !json_as_bool(a, &p, &ignored) &&
               !json_as_bool(b, &q, &ignored) && p == q;
    default:
        return true;
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): JSON_DEPTH_MAX bounds it */
bool patch_same(struct json a, struct json b)
{
    if (json_type(a) != json_type(b))
        return false;
    if (json_type(a) == JSON_OBJECT)
        return same_members(a, b);
    if (json_type(a) == JSON_ARRAY)
        return same_items(a, b);
    return same_scalar(a, b);
}

/* Against text of our own making. */
static bool same_as(struct json v, slice text)
{
    const struct json_limits limits = {1 << 22, 200000};
    struct json_doc *doc = NULL;
    struct error ignored;
    bool same;

    if (json_parse(text, &limits, &doc, &ignored))
        return false;
    same = patch_same(v, json_root(doc));
    json_free(doc);
    return same;
}

/* --- annotations --- */

/* RFC 6901: ~ and / are escaped. Names are ours: short. */
static void escape(const char *name, char *out, size_t cap)
{
    size_t n = 0;

    for (; *name && n + 2 < cap; name++) {
        bool special = *name == '~' || *name == '/';

        if (special)
            out[n++] = '~';
        out[n++] = (char)(*name == '~' ? '0' : *name == '/' ? '1' : *name);
    }
    out[n] = '\0';
}

static enum status annotation(struct patch *p, struct json annotations,
                              const struct patch_annotation *a, struct error *e)
{
    struct json is = json_get(annotations, a->name);
    struct json_write w;
    struct text value;
    char name[128];
    enum status rc = OK;

    escape(a->name, name, sizeof name);
    if (!a->value.ptr) {
        if (json_present(is))
            rc = patch_push(p, PATCH_REMOVE, SLICE_NONE, e,
                            "/metadata/annotations/%s", name);
        return rc;
    }
    if (json_present(is) && a->keep)
        return OK;
    text_init(&value, 1 << 16);
    json_write_init(&w, &value);
    json_write_string(&w, a->value);
    if (!json_present(is) || !same_as(is, text_slice(&value)))
        rc = patch_push(p, json_present(is) ? PATCH_REPLACE : PATCH_ADD,
                        text_slice(&value), e, "/metadata/annotations/%s",
                        name);
    text_fini(&value);
    return rc;
}

/* There are none yet: all in one. */
static enum status all_annotations(struct patch *p, struct json pod,
                                   const struct patch_annotation *want,
                                   size_t n, struct error *e)
{
    bool metadata = json_type(json_get(pod, "metadata")) == JSON_OBJECT;
    struct json_write w;
    struct text value;
    enum status rc;

    text_init(&value, 1 << 16);
    json_write_init(&w, &value);
    json_write_object(&w);
    if (!metadata) {
        json_write_name(&w, "annotations");
        json_write_object(&w);
    }
    for (size_t i = 0; i < n; i++)
        if (want[i].value.ptr)
            json_member_string(&w, want[i].name, want[i].value);
    json_write_object_end(&w);
    if (!metadata)
        json_write_object_end(&w);
    rc = patch_push(p, PATCH_ADD, text_slice(&value), e,
                    metadata ? "/metadata/annotations" : "/metadata");
    text_fini(&value);
    return rc;
}

enum status patch_annotations(struct patch *p, struct json pod,
                              const struct patch_annotation *want, size_t n,
                              struct error *e)
{
    struct json annotations = json_get(json_get(pod, "metadata"),
                                       "annotations");
    enum status rc = OK;

    if (json_type(annotations) != JSON_OBJECT)
        return all_annotations(p, pod, want, n, e);
    for (size_t i = 0; i < n && !rc; i++)
        rc = annotation(p, annotations, &want[i], e);
    return rc;
}

/* --- items --- */

static bool named(struct json item, const char *name)
{
    struct json n = json_get(item, "name");
    struct error ignored;
    slice s;

    return json_type(n) == JSON_STRING && !json_as_string(n, &s, &ignored) &&
           slice_eq(s, slice_str(name));
}

static bool is_ours(struct json item, const struct patch_items *items)
{
    return named(item, items->names[0]) || named(item, items->names[1]);
}

/* Ours are there once each, and first if they must be. */
static bool in_order(struct json list, const struct patch_items *items)
{
    size_t i = 0, found[2] = {0, 0};

    for (struct json c = json_first(list); json_present(c);
         c = json_next(c), i++)
        for (size_t k = 0; k < 2; k++) {
            if (!named(c, items->names[k]))
                continue;
            if (items->first && i != k)
                return false;
            found[k]++;
        }
    return found[0] == 1 && found[1] == 1;
}

static enum status change_some(struct patch *p, struct json list,
                               const struct patch_items *items, struct error *e)
{
    enum status rc = OK;
    size_t i = 0;

    for (struct json c = json_first(list); json_present(c) && !rc;
         c = json_next(c), i++)
        for (size_t k = 0; k < 2 && !rc; k++)
            if (named(c, items->names[k]) && !same_as(c, items->values[k]))
                rc = patch_push(p, PATCH_REPLACE, items->values[k], e,
                                "/spec/%s/%zu", items->list, i);
    return rc;
}

/* From the last to the first, so that the numbers stay right. */
static enum status remove_ours(struct patch *p, struct json list,
                               const struct patch_items *items, struct error *e)
{
    size_t n = json_count(list), i = 0;
    bool *ours = mem_array(n + 1, sizeof *ours);
    enum status rc = OK;

    for (struct json c = json_first(list); json_present(c);
         c = json_next(c), i++)
        ours[i] = is_ours(c, items);
    for (i = n; i > 0 && !rc; i--)
        if (ours[i - 1])
            rc = patch_push(p, PATCH_REMOVE, SLICE_NONE, e, "/spec/%s/%zu",
                            items->list, i - 1);
    mem_free(ours);
    return rc;
}

static enum status add_both(struct patch *p, const struct patch_items *items,
                            struct error *e)
{
    enum status rc = OK;

    for (size_t k = 0; k < 2 && !rc; k++)
        if (items->first)
            rc = patch_push(p, PATCH_ADD, items->values[k], e, "/spec/%s/%zu",
                            items->list, k);
        else
            rc = patch_push(p, PATCH_ADD, items->values[k], e, "/spec/%s/-",
                            items->list);
    return rc;
}

static enum status add_list(struct patch *p, const struct patch_items *items,
                            struct error *e)
{
    struct json_write w;
    struct text value;
    enum status rc;

    text_init(&value, 1 << 22);
    json_write_init(&w, &value);
    json_write_array(&w);
    json_write_raw(&w, items->values[0]);
    json_write_raw(&w, items->values[1]);
    json_write_array_end(&w);
    rc = patch_push(p, PATCH_ADD, text_slice(&value), e, "/spec/%s",
                    items->list);
    text_fini(&value);
    return rc;
}

enum status patch_items(struct patch *p, struct json pod,
                        const struct patch_items *items, struct error *e)
{
    struct json list = json_get(json_get(pod, "spec"), items->list);
    enum status rc;

    if (json_type(list) != JSON_ARRAY || json_count(list) == 0)
        return add_list(p, items, e);
    if (in_order(list, items))
        return change_some(p, list, items, e);
    rc = remove_ours(p, list, items, e);
    return rc ? rc : add_both(p, items, e);
}
