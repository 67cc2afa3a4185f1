/* SPDX-License-Identifier: Apache-2.0 */
/* One operation after the other: the document is written anew with the one change
 * in it, and read again. */
#include "injector/apply.h"

#include <stdio.h>

enum { APPLY_BYTES_MAX = 16 << 20, APPLY_VALUES_MAX = 200000 };

struct change {
    const struct patch_op *op;
    struct json_write w;
    bool done;
};

bool pointer_next(slice *pointer, char buf[POINTER_PART])
{
    size_t n = 0, i = 1;

    if (pointer->len == 0 || pointer->ptr[0] != '/')
        return false;
    for (; i < pointer->len && pointer->ptr[i] != '/'; i++) {
        char c = pointer->ptr[i];

        if (c == '~' && i + 1 < pointer->len)
            c = pointer->ptr[++i] == '0' ? '~' : '/';
        if (n + 1 == POINTER_PART)
            return false;
        buf[n++] = c;
    }
    buf[n] = '\0';
    *pointer = slice_sub(*pointer, i, pointer->len);
    return true;
}

static void write_changed(struct change *c, struct json v, slice path);

static void write_new(struct change *c)
{
    json_write_raw(&c->w, c->op->value);
    c->done = true;
}

static void write_object(struct change *c, struct json v, const char *part,
                         slice rest)
{
    bool last = rest.len == 0, found = false;

    json_write_object(&c->w);
    for (struct json i = json_first(v); json_present(i); i = json_next(i)) {
        bool here = slice_eq(json_name(i), slice_str(part));

        found |= here;
        if (here && last && c->op->kind == PATCH_REMOVE) {
            c->done = true;
            continue;
        }
        json_write_name_slice(&c->w, json_name(i));
        if (here)
            write_changed(c, i, rest);
        else
            json_write_value(&c->w, i);
    }
    if (last && !found && c->op->kind == PATCH_ADD) {
        json_write_name(&c->w, part);
        write_new(c);
    }
    json_write_object_end(&c->w);
}

static void write_item(struct change *c, struct json v, slice rest)
{
    if (rest.len) {
        write_changed(c, v, rest);
        return;
    }
    if (c->op->kind == PATCH_REMOVE)
        c->done = true;
    else
        write_new(c);
    if (c->op->kind == PATCH_ADD)
        json_write_value(&c->w, v);
}

static void write_array(struct change *c, struct json v, const char *part,
                        slice rest)
{
    uint64_t n = json_count(v), at = n, i = 0;
    bool last = rest.len == 0, end = slice_eq(slice_str(part), SLICE("-"));

    if (!end && slice_to_u64(slice_str(part), n, &at))
        at = UINT64_MAX;
    json_write_array(&c->w);
    for (struct json k = json_first(v); json_present(k); k = json_next(k), i++)
        if (i == at)
            write_item(c, k, rest);
        else
            json_write_value(&c->w, k);
    if (last && at == n && c->op->kind == PATCH_ADD)
        write_new(c);
    json_write_array_end(&c->w);
}

/* NOLINTNEXTLINE(misc-no-recursion): JSON_DEPTH_MAX bounds it */
static void write_changed(struct change *c, struct json v, slice path)
{
    char part[POINTER_PART];

    if (path.len == 0)
        write_new(c);
    else if (!pointer_next(&path, part))
        json_write_value(&c->w, v);
    else if (json_type(v) == JSON_ARRAY)
        write_array(c, v, part, path);
    else if (json_type(v) == JSON_OBJECT)
        write_object(c, v, part, path);
    else
        json_write_value(&c->w, v);
}

static enum status apply_one(const struct patch_op *op, struct json v,
                             struct json_doc **out, struct error *e)
{
    const struct json_limits limits = {APPLY_BYTES_MAX, APPLY_VALUES_MAX};
    struct change c = {.op = op};
    struct text t;
    enum status rc;

    text_init(&t, APPLY_BYTES_MAX);
    json_write_init(&c.w, &t);
    write_changed(&c, v, op->path);
    if (!c.done)
        rc = error_set(e, ERR_NOT_FOUND, "%.*s: there is no such place",
                       FMT(op->path));
    else if (t.failed)
        rc = error_set(e, ERR_TOO_BIG, "the document is too large");
    else
        rc = json_parse(text_slice(&t), &limits, out, e);
    text_fini(&t);
    return rc;
}

enum status patch_apply(const struct patch *p, struct json pod,
                        struct json_doc **out, struct error *e)
{
    /* To begin with, a copy: replaces the whole by itself. */
    struct patch_op copy = {.kind = PATCH_REPLACE};
    struct json_doc *doc = NULL, *next = NULL;
    struct json_write w;
    struct text t;
    enum status rc;

    text_init(&t, APPLY_BYTES_MAX);
    json_write_init(&w, &t);
    json_write_value(&w, pod);
    copy.value = text_slice(&t);
    rc = apply_one(&copy, pod, &doc, e);
    text_fini(&t);
    for (size_t i = 0; i < p->ops.len && !rc; i++) {
        rc = apply_one(&p->ops.at[i], json_root(doc), &next, e);
        if (rc)
            break;
        json_free(doc);
        doc = next;
    }
    if (rc) {
        json_free(doc);
        return rc;
    }
    *out = doc;
    return OK;
}
