/* SPDX-License-Identifier: Apache-2.0 */
/* An object belongs to the file that declared it first, for as long as that file
 * declares it; among files that came together, to the first by name. */
#include "controller/watch/manifest_set.h"

#include <stdlib.h>

#include "lib/base/map.h"
#include "lib/base/text.h"

struct held_file {
    slice path;
    char *path_text;
    record_vec objects;
};

/* An object in force. */
struct held {
    struct record *told; /* what was told; NULL: nothing yet */
    struct record *now;  /* what a file declares; NULL: none (any more) */
    slice owner;         /* path, borrowed from the file; only while settling */
    char *owner_text;    /* path of the file that it belongs to */
    char *clash_text;    /* path of another that was told of */
};

struct manifest_set {
    struct map files;   /* path -> held_file */
    struct map objects; /* "Kind ns/name" -> held */
};

struct manifest_set *manifest_set_new(void)
{
    struct manifest_set *s = MEM_NEW(struct manifest_set);

    map_init(&s->files);
    map_init(&s->objects);
    return s;
}

static void file_free(struct held_file *f)
{
    if (!f)
        return;
    record_vec_fini(&f->objects);
    mem_free(f->path_text);
    mem_free(f);
}

static void held_free(struct held *h)
{
    record_unref(h->told);
    record_unref(h->now);
    mem_free(h->owner_text);
    mem_free(h->clash_text);
    mem_free(h);
}

void manifest_set_free(struct manifest_set *s)
{
    void *value;
    slice key;

    if (!s)
        return;
    for (size_t i = 0; map_next(&s->files, &i, &key, &value);)
        file_free(value);
    for (size_t i = 0; map_next(&s->objects, &i, &key, &value);)
        held_free(value);
    map_fini(&s->files);
    map_fini(&s->objects);
    mem_free(s);
}

void manifest_set_put(struct manifest_set *s, slice path, record_vec *objects)
{
    struct held_file *f = MEM_NEW(struct held_file);

    f->path_text = mem_str(path);
    f->path = slice_str(f->path_text);
    f->objects = *objects;
    *objects = (record_vec){0};
    file_free(map_put(&s->files, path, f));
}

void manifest_set_del(struct manifest_set *s, slice path)
{
    file_free(map_del(&s->files, path));
}

static bool owned_by(const struct held *h, const struct held_file *f)
{
    return h->owner_text && slice_eq(slice_str(h->owner_text), f->path);
}

static void declare(struct held *h, struct held_file *f, struct record *rec)
{
    record_unref(h->now);
    h->now = record_ref(rec);
    h->owner = f->path;
}

static void set_text(char **at, slice text)
{
    mem_free(*at);
    *at = text.ptr ? mem_str(text) : NULL;
}

static void clash(struct held *h, slice ignored, const struct record *rec,
                  const struct manifest_set_events *ev, void *owner)
{
    if (h->clash_text && slice_eq(slice_str(h->clash_text), ignored))
        return;
    set_text(&h->clash_text, ignored);
    ev->on_clash(owner, rec, h->owner, ignored);
}

static struct held *held_of(struct manifest_set *s, const struct record *rec)
{
    char key[KEY_TEXT];
    struct text full;
    struct held *h;

    text_init(&full, 2 * KEY_TEXT);
    text_printf(&full, "%s %.*s", record_kind_name(rec->kind),
                FMT(key_name(key, rec->ns, rec->name)));
    h = map_get(&s->objects, text_slice(&full));
    if (!h) {
        h = MEM_NEW(struct held);
        (void)map_put(&s->objects, text_slice(&full), h);
    }
    text_fini(&full);
    return h;
}

static int by_path(const void *a, const void *b)
{
    const struct held_file *const *x = a, *const *y = b;

    return slice_cmp((*x)->path, (*y)->path);
}

typedef VEC(struct held_file *) file_vec;

static file_vec sorted_files(const struct manifest_set *s)
{
    file_vec files = {0};
    void *value;
    slice key;

    for (size_t i = 0; map_next(&s->files, &i, &key, &value);)
        VEC_PUSH(&files, value);
    if (files.len)
        qsort(files.at, files.len, sizeof *files.at, by_path);
    return files;
}

/* First pass: files that own an object keep it. */
static void keep_owned(struct manifest_set *s, const file_vec *files)
{
    void *value;
    slice key;

    for (size_t i = 0; map_next(&s->objects, &i, &key, &value);) {
        struct held *h = value;

        record_unref(h->now);
        h->now = NULL;
    }
    for (size_t i = 0; i < files->len; i++)
        for (size_t n = 0; n < files->at[i]->objects.len; n++) {
            struct record *rec = files->at[i]->objects.at[n];
            struct held *h = held_of(s, rec);

            if (owned_by(h, files->at[i]))
                declare(h, files->at[i], rec);
        }
}

/* Second pass: what nobody owns goes to the first; the others are clashes. */
static void give_rest(struct manifest_set *s, const file_vec *files,
                      const struct manifest_set_events *ev, void *owner)
{
    for (size_t i = 0; i < files->len; i++)
        for (size_t n = 0; n < files->at[i]->objects.len; n++) {
            struct record *rec = files->at[i]->objects.at[n];
            struct held *h = held_of(s, rec);

            if (!h->now)
                declare(h, files->at[i], rec);
            else if (!slice_eq(h->owner, files->at[i]->path))
                clash(h, files->at[i]->path, rec, ev, owner);
        }
}

static void tell(struct manifest_set *s, const struct manifest_set_events *ev,
                 void *owner)
{
    void *value;
    slice key;

    for (size_t i = 0; map_next(&s->objects, &i, &key, &value);) {
        struct held *h = value;

        if (!h->now) {
            (void)map_del(&s->objects, key);
            if (h->told)
                ev->on_gone(owner, h->told->kind, h->told->ns, h->told->name);
            held_free(h);
            continue;
        }
        set_text(&h->owner_text, h->owner);
        if (h->told && record_eq(h->told, h->now))
            continue;
        record_unref(h->told);
        h->told = record_ref(h->now);
        ev->on_put(owner, record_ref(h->now));
    }
}

void manifest_set_settle(struct manifest_set *s,
                         const struct manifest_set_events *ev, void *owner)
{
    file_vec files = sorted_files(s);

    keep_owned(s, &files);
    give_rest(s, &files, ev, owner);
    tell(s, ev, owner);
    VEC_FINI(&files);
}
