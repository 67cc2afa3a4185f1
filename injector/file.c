/* SPDX-License-Identifier: Apache-2.0 */
/* Text -> documents -> pods in them -> a patch for each -> the text with one
 * operation of every pod after the other, read anew each time; at the end what
 * came out must be what was meant, and all else as it was.
 *
 * Operations of different pods do not touch each other, so the first ones of all
 * are done together: a list of a thousand pods is read twenty times, not twenty
 * thousand. */
#include "injector/file.h"

#include <stdio.h>

#include "injector/apply.h"
#include "lib/base/map.h"
#include "lib/mesh/labels.h"
#include "lib/yaml/edit.h"

enum { PREFIX_MAX = 64, PODS_MAX = 20000, OUTPUT_MAX = 64 << 20 };

struct found { /* a pod, or the template of one */
    char prefix[PREFIX_MAX];
    const char *kind;        /* of the object around it */
    struct json pod;         /* in the document as it was */
    struct json_doc *wanted; /* NULL: as it was */
    struct inject_result result;
    bool done;
};

struct document {
    const struct yaml_part *part;
    struct json_doc *doc; /* NULL: none of our kinds */
    VEC(struct found) pods;
};

struct job {
    const struct file_options *opt;
    slice source;
    struct yaml_parts parts;
    VEC(struct document) documents;
    struct map spaces; /* name -> struct json, the namespace's metadata */
    size_t pods;
    struct error *e;
};

static slice text_of(struct json obj, const char *name)
{
    struct error ignored;
    slice s = SLICE_NONE;

    return json_opt_string(obj, name, &s, &ignored) ? SLICE_NONE : s;
}

/* --- kinds --- */

struct kind {
    const char *name, *group, *prefix;
};

static const struct kind kinds[] = {
    {"Pod", "", ""},
    {"Deployment", "apps", "/spec/template"},
    {"StatefulSet", "apps", "/spec/template"},
    {"DaemonSet", "apps", "/spec/template"},
    {"ReplicaSet", "apps", "/spec/template"},
    {"ReplicationController", "", "/spec/template"},
    {"Job", "batch", "/spec/template"},
    {"CronJob", "batch", "/spec/jobTemplate/spec/template"},
};

/* "apps" of "apps/v1", "" of "v1". Others have kinds of the same names. An
 * apiVersion that is missing is anybody's. */
static bool in_group(slice api, const char *group)
{
    slice before = SLICE(""), version;

    (void)slice_cut(api, '/', &before, &version);
    return slice_empty(api) || slice_eq(before, slice_str(group));
}

static const struct kind *kind_of(slice name, slice api)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (slice_eq(name, slice_str(kinds[i].name)))
            return in_group(api, kinds[i].group) ? &kinds[i] : NULL;
    return NULL;
}

static bool is_space(slice name, slice api)
{
    return slice_eq(name, SLICE("Namespace")) && in_group(api, "");
}

/* List, PodList, DeploymentList: of what we know. */
static bool is_list(slice kind, slice api)
{
    slice of = slice_sub(kind, 0, kind.len - 4);

    if (!slice_ends(kind, SLICE("List")))
        return false;
    return slice_empty(of) ? in_group(api, "")
                           : kind_of(of, api) || is_space(of, api);
}

/* Other people's documents need not even be JSON. */
static slice scalar(const struct yaml_tree *t, const char *name)
{
    uint32_t i = t->root ? yaml_member(t, t->root, slice_str(name)) : 0;

    return i && yaml_node(t, i)->kind == YAML_SCALAR ? yaml_node(t, i)->text
                                                     : SLICE_NONE;
}

static bool is_of_ours(const struct yaml_tree *t)
{
    slice kind = scalar(t, "kind"), api = scalar(t, "apiVersion");

    return kind_of(kind, api) || is_list(kind, api) || is_space(kind, api);
}

/* --- reading --- */

static struct json follow(struct json v, const char *pointer)
{
    slice rest = slice_str(pointer);
    char part[POINTER_PART];

    while (pointer_next(&rest, part))
        v = json_get(v, part);
    return v;
}

static slice namespace_of(const struct job *j, struct json object)
{
    slice ns = text_of(json_get(object, "metadata"), "namespace");

    return slice_empty(ns) ? j->opt->ns : ns;
}

static void say(struct job *j, const struct found *f, struct json object,
                slice ns, const char *what, slice why)
{
    slice name = text_of(json_get(object, "metadata"), "name");
    char line[1024];

    if (!j->opt->report)
        return;
    snprintf(line, sizeof line, "%.*s/%s/%.*s: %s%s%.*s", FMT(ns), f->kind,
             FMT(name), what, slice_empty(why) ? "" : ": ", FMT(why));
    j->opt->report(j->opt->arg, line);
}

/* A patch for kustomize, say. */
static bool has_containers(struct json pod)
{
    struct json spec = json_get(pod, "spec");

    return json_type(pod) == JSON_OBJECT
               ? json_present(json_get(spec, "containers")) ||
                     (json_present(spec) && json_type(spec) != JSON_OBJECT)
               : json_present(pod);
}

static enum status find_pod(struct job *j, struct document *d, struct json obj,
                            const struct kind *k, const char *at)
{
    struct found f = {.kind = k->name};
    int n;

    if (j->pods++ == PODS_MAX)
        return error_set(j->e, ERR_TOO_BIG, "%.*s: more than %d pods",
                         FMT(j->source), PODS_MAX);
    n = snprintf(f.prefix, sizeof f.prefix, "%s%s", at, k->prefix);
    f.pod = follow(obj, k->prefix);
    if (k->prefix[0] && !has_containers(f.pod)) {
        say(j, &f, obj, namespace_of(j, obj), "left as it is",
            SLICE("it has no containers"));
        return OK;
    }
    if (n < 0 || n >= PREFIX_MAX || json_type(f.pod) != JSON_OBJECT)
        return json_error(obj, ERR_INVALID, j->e, "no %s of a %s",
                          k->prefix[0] ? k->prefix + 1 : "fields", k->name);
    VEC_PUSH(&d->pods, f);
    return OK;
}

/* Kept as the values of a map: they live as long as the document. */
static void find_space(struct job *j, struct json obj)
{
    struct json meta = json_get(obj, "metadata");
    slice name = text_of(meta, "name");

    if (!slice_empty(name)) {
        struct json *kept = MEM_NEW(struct json);

        *kept = meta;
        mem_free(map_put(&j->spaces, name, kept));
    }
}

static enum status find_object(struct job *j, struct document *d,
                               struct json obj, slice kind, slice api,
                               const char *at)
{
    const struct kind *k = kind_of(kind, api);

    if (is_space(kind, api))
        find_space(j, obj);
    return k ? find_pod(j, d, obj, k, at) : OK;
}

static enum status find_in_list(struct job *j, struct document *d,
                                struct json root)
{
    slice list = text_of(root, "kind");
    slice of = slice_sub(list, 0, list.len - 4);
    enum status rc = OK;
    unsigned n = 0;

    for (struct json i = json_first(json_get(root, "items"));
         json_present(i) && !rc; i = json_next(i), n++) {
        slice kind = text_of(i, "kind"), api = text_of(i, "apiVersion");
        char at[32];

        snprintf(at, sizeof at, "/items/%u", n);
        /* In a PodList they need not say it again. */
        if (slice_empty(kind)) {
            kind = of;
            api = text_of(root, "apiVersion");
        }
        rc = find_object(j, d, i, kind, api, at);
    }
    return rc;
}

static enum status find(struct job *j, struct document *d)
{
    struct json root = json_root(d->doc);
    slice kind = text_of(root, "kind"), api = text_of(root, "apiVersion");

    if (is_list(kind, api))
        return find_in_list(j, d, root);
    return find_object(j, d, root, kind, api, "");
}

static enum status read_document(struct job *j, const struct yaml_part *part)
{
    struct document d = {.part = part};
    struct yaml_tree *t;
    enum status rc = yaml_tree_read(part, j->source, &t, j->e);

    if (rc)
        return rc;
    if (is_of_ours(t))
        rc = yaml_tree_json(t, &d.doc, j->e);
    yaml_tree_free(t);
    if (!rc && d.doc)
        rc = find(j, &d);
    VEC_PUSH(&j->documents, d);
    return rc;
}

/* --- deciding --- */

/* What the pod is part of: the object itself, or the one around the template. */
static struct json object_of(const struct document *d, const struct found *f)
{
    struct json root = json_root(d->doc);
    slice rest = slice_str(f->prefix);
    char part[POINTER_PART];
    uint64_t n = 0;

    if (!slice_starts(rest, SLICE("/items/")))
        return root;
    (void)pointer_next(&rest, part);
    root = json_first(json_get(root, part));
    (void)pointer_next(&rest, part);
    if (slice_to_u64(slice_str(part), UINT32_MAX, &n))
        return (struct json){0};
    while (n-- > 0)
        root = json_next(root);
    return root;
}

/* A sentence about the document knows the line already. */
static enum status refuse(struct job *j, struct json object,
                          const struct found *f)
{
    slice name = text_of(json_get(object, "metadata"), "name");
    slice why = slice_str(f->result.why.text);

    if (slice_starts(why, j->source))
        return error_set(j->e, ERR_INVALID, "%.*s", FMT(why));
    return error_set(j->e, ERR_INVALID, "%.*s:%u: %s %.*s: %.*s",
                     FMT(j->source), json_line(f->pod), f->kind, FMT(name),
                     FMT(why));
}

static void tell(struct job *j, struct json object, slice ns,
                 const struct found *f)
{
    static const char *const words[] = {
        [VERDICT_INJECT] = "injected",
        [VERDICT_LEAVE] = "left as it is",
        [VERDICT_TELL] = "not injected",
        [VERDICT_REFUSE] = "refused",
    };
    const struct inject_result *r = &f->result;
    bool nothing = r->verdict == VERDICT_INJECT && r->patch.ops.len == 0;

    say(j, f, object, ns, nothing ? "injected already" : words[r->verdict],
        r->verdict == VERDICT_INJECT ? SLICE_NONE : slice_str(r->why.text));
    for (unsigned i = 0; i < r->notes.len; i++)
        if (r->notes.at[i].kind != NOTE_POD)
            say(j, f, object, ns, "warning", r->notes.at[i].text);
}

static enum status decide(struct job *j, struct document *d, struct found *f)
{
    struct json object = object_of(d, f);
    slice ns = namespace_of(j, object);
    const struct json *space = map_get(&j->spaces, ns);
    struct inject_input in = {
        .settings = j->opt->settings, .pod = f->pod, .ns = ns};
    struct error ignored;

    if (space) {
        in.ns_labels = json_get(*space, "labels");
        in.ns_annotations = json_get(*space, "annotations");
    }
    in.asked = j->opt->all || eligible_namespace_asks(in.ns_labels, &ignored);
    inject(&in, &f->result);
    f->done = true;
    if (f->result.verdict == VERDICT_REFUSE)
        return refuse(j, object, f);
    tell(j, object, ns, f);
    if (f->result.patch.ops.len == 0)
        return OK;
    return patch_apply(&f->result.patch, f->pod, &f->wanted, j->e);
}

/* --- writing --- */

typedef VEC(struct yaml_change) change_list;

/* The operation number `round` of every pod that has so many. */
static enum status gather(const struct document *d, size_t round,
                          struct arena *arena, change_list *out)
{
    static const enum yaml_change_kind kinds_of[] = {
        [PATCH_ADD] = YAML_ADD,
        [PATCH_REPLACE] = YAML_REPLACE,
        [PATCH_REMOVE] = YAML_REMOVE,
    };

    for (size_t i = 0; i < d->pods.len; i++) {
        const struct found *f = &d->pods.at[i];
        const struct patch_op *op;
        struct yaml_change c;
        char path[1024];
        int n;

        if (round >= f->result.patch.ops.len)
            continue;
        op = &f->result.patch.ops.at[round];
        n = snprintf(path, sizeof path, "%s%.*s", f->prefix, FMT(op->path));
        c = (struct yaml_change){.kind = kinds_of[op->kind],
                                 .value = op->value};
        if (arena_copy(arena, slice_of(path, (size_t)n), &c.path))
            return ERR_TOO_BIG;
        VEC_PUSH(out, c);
    }
    return OK;
}

static enum status not_in_place(struct job *j, const struct document *d)
{
    return error_set(
        j->e, ERR_INVALID,
        "%.*s:%u: written in a way that cannot be changed in place",
        FMT(j->source), d->part->line);
}

/* One round: `*text` becomes the next one. */
static enum status edit_once(struct job *j, const struct document *d,
                             const change_list *changes, struct text *text)
{
    const struct yaml_part part = {text_slice(text), d->part->line};
    struct yaml_tree *t = NULL;
    struct text next;
    enum status rc = yaml_tree_read(&part, j->source, &t, j->e);

    text_init(&next, OUTPUT_MAX);
    if (rc && rc != ERR_TOO_BIG) /* our own change broke it */
        rc = not_in_place(j, d);
    if (!rc)
        rc = yaml_edit(t, changes->at, changes->len, &next, j->e);
    yaml_tree_free(t);
    if (rc) {
        text_fini(&next);
        return rc;
    }
    text_fini(text);
    *text = next;
    return OK;
}

static enum status edit(struct job *j, const struct document *d,
                        struct text *text)
{
    struct arena arena;
    change_list changes = {0};
    enum status rc = OK;

    arena_init(&arena, 16 << 20);
    for (size_t round = 0; !rc; round++) {
        changes.len = 0;
        rc = gather(d, round, &arena, &changes);
        if (rc)
            rc = error_set(j->e, rc, "%.*s: too much to do", FMT(j->source));
        if (rc || changes.len == 0)
            break;
        rc = edit_once(j, d, &changes, text);
        arena_reset(&arena);
    }
    VEC_FINI(&changes);
    arena_reset(&arena);
    return rc;
}

/* --- comparing --- */

/* Walks both documents; pods come in the order in which they were found. */
struct compared {
    const struct document *d;
    size_t next;
};

static bool as_meant(struct compared *c, struct json was, struct json is,
                     size_t levels);

static bool members_as_meant(struct compared *c, struct json was,
                             struct json is, size_t levels)
{
    struct json k = json_first(is);

    if (json_count(was) != json_count(is))
        return false;
    for (struct json i = json_first(was); json_present(i);
         i = json_next(i), k = json_next(k))
        if (!slice_eq(json_name(i), json_name(k)) ||
            !as_meant(c, i, k, levels - 1))
            return false;
    return true;
}

/* Pods are at most six levels deep (items, n, spec, jobTemplate, spec,
 * template); below that nothing has changed. */
/* NOLINTNEXTLINE(misc-no-recursion): `levels` ends it */
static bool as_meant(struct compared *c, struct json was, struct json is,
                     size_t levels)
{
    const struct found *f = NULL;

    if (c->next < c->d->pods.len && c->d->pods.at[c->next].pod.node == was.node)
        f = &c->d->pods.at[c->next++];
    if (f && f->wanted)
        return patch_same(json_root(f->wanted), is);
    if (f || !levels || json_type(was) != json_type(is) ||
        (json_type(was) != JSON_OBJECT && json_type(was) != JSON_ARRAY))
        return patch_same(was, is);
    return members_as_meant(c, was, is, levels);
}

static enum status check(struct job *j, const struct document *d,
                         const struct text *text)
{
    enum { POD_LEVELS = 6 };
    const struct yaml_part part = {text_slice(text), d->part->line};
    struct yaml_tree *t = NULL;
    struct compared c = {.d = d};
    struct json_doc *is = NULL;
    struct error why;
    bool good;
    enum status rc = yaml_tree_read(&part, j->source, &t, &why);

    if (!rc)
        rc = yaml_tree_json(t, &is, &why);
    good = !rc &&
           as_meant(&c, json_root(d->doc), json_root(is), POD_LEVELS + 1) &&
           c.next == d->pods.len;
    json_free(is);
    yaml_tree_free(t);
    if (rc == ERR_TOO_BIG)
        return error_set(j->e, rc, "%s", why.text);
    return good ? OK : not_in_place(j, d);
}

/* --- all of it --- */

static enum status write_document(struct job *j, struct document *d,
                                  struct text *out)
{
    bool changed = false;
    struct text text;
    enum status rc = OK;

    for (size_t i = 0; i < d->pods.len; i++)
        changed |= d->pods.at[i].wanted != NULL;
    text_init(&text, OUTPUT_MAX);
    text_add(&text, d->part->text);
    if (changed)
        rc = edit(j, d, &text);
    if (!rc && changed)
        rc = check(j, d, &text);
    if (!rc)
        text_add(out, text_slice(&text));
    text_fini(&text);
    return rc;
}

static enum status run(struct job *j, struct text *out)
{
    enum status rc = OK;

    for (size_t i = 0; i < j->parts.len && !rc; i++)
        rc = read_document(j, &j->parts.at[i]);
    for (size_t i = 0; i < j->documents.len && !rc; i++)
        for (size_t k = 0; k < j->documents.at[i].pods.len && !rc; k++)
            rc = decide(j, &j->documents.at[i], &j->documents.at[i].pods.at[k]);
    for (size_t i = 0; i < j->documents.len && !rc; i++)
        rc = write_document(j, &j->documents.at[i], out);
    return rc;
}

static void found_fini(struct found *f)
{
    json_free(f->wanted);
    if (f->done)
        inject_fini(&f->result);
}

static void job_fini(struct job *j)
{
    size_t at = 0;
    void *value;
    slice key;

    for (size_t i = 0; i < j->documents.len; i++) {
        struct document *d = &j->documents.at[i];

        for (size_t k = 0; k < d->pods.len; k++)
            found_fini(&d->pods.at[k]);
        VEC_FINI(&d->pods);
        json_free(d->doc);
    }
    VEC_FINI(&j->documents);
    while (map_next(&j->spaces, &at, &key, &value))
        mem_free(value);
    map_fini(&j->spaces);
    yaml_parts_fini(&j->parts);
}

enum status file_inject(slice text, slice source,
                        const struct file_options *opt, struct text *out,
                        struct error *e)
{
    struct job j = {.opt = opt, .source = source, .e = e};
    struct text made;
    enum status rc;

    map_init(&j.spaces);
    text_init(&made, OUTPUT_MAX);
    rc = yaml_split(text, source, &j.parts, e);
    if (!rc)
        rc = run(&j, &made);
    if (!rc && made.failed)
        rc = error_set(e, ERR_TOO_BIG, "%.*s: too large", FMT(source));
    if (!rc)
        text_add(out, text_slice(&made));
    text_fini(&made);
    job_fini(&j);
    return rc;
}
