/* SPDX-License-Identifier: Apache-2.0 */
/* Reading. A getter is a lookup and a check of the type; only when one fails is
 * the path worth knowing, and then it is searched from the root: nodes need no
 * pointer to their parents for what almost never happens. */
#include "lib/json/json.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/base/text.h"
#include "lib/json/json_doc.h"

/* ---- walking ---- */

static const cJSON *node_of(struct json v)
{
    return v.node;
}

static struct json place(struct json v, const cJSON *node)
{
    return (struct json){v.doc, node};
}

struct json json_root(const struct json_doc *doc)
{
    return (struct json){doc, doc->root};
}

enum json_type json_type(struct json v)
{
    const cJSON *n = node_of(v);

    if (!n)
        return JSON_ABSENT;
    switch (n->type & 0xff) {
    case cJSON_False:
    case cJSON_True:
        return JSON_BOOL;
    case cJSON_Number:
        return JSON_NUMBER;
    case cJSON_String:
        return JSON_STRING;
    case cJSON_Array:
        return JSON_ARRAY;
    case cJSON_Object:
        return JSON_OBJECT;
    default:
        return JSON_NULL;
    }
}

struct json json_get(struct json v, const char *name)
{
    const cJSON *n = node_of(v);

    if (json_type(v) != JSON_OBJECT)
        return place(v, NULL);
    return place(v, cJSON_GetObjectItemCaseSensitive(n, name));
}

struct json json_first(struct json v)
{
    return place(v, v.node ? node_of(v)->child : NULL);
}

struct json json_next(struct json v)
{
    return place(v, v.node ? node_of(v)->next : NULL);
}

slice json_name(struct json member)
{
    return slice_str(member.node ? node_of(member)->string : NULL);
}

size_t json_count(struct json v)
{
    return v.node ? (size_t)cJSON_GetArraySize(node_of(v)) : 0;
}

unsigned json_line(struct json v)
{
    if (!v.node || !v.doc->source)
        return 0;
    return (unsigned)node_of(v)->valueint;
}

/* ---- sentences ---- */

struct step {
    const cJSON *node;
    size_t index; /* in its parent */
};

/* Fills `path` from below the root down to `target`; false when it is not
 * there. As deep as the document. */
static bool find_path(const cJSON *at, const cJSON *target, struct step *path,
                      size_t *len)
{
    size_t index = 0, own = *len;

    if (at == target)
        return true;
    for (const cJSON *c = at->child; c; c = c->next, index++) {
        path[own] = (struct step){c, index};
        *len = own + 1;
        if (find_path(c, target, path, len))
            return true;
    }
    *len = own;
    return false;
}

static bool name_is_plain(slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        bool letter = (c | 32) >= 'a' && (c | 32) <= 'z';
        bool other = (c >= '0' && c <= '9') || c == '_' || c == '-';
        if (!letter && !other)
            return false;
    }
    return name.len > 0;
}

/* ".port", or ["a.b/c"] for names that would be misread. */
static void add_name(struct text *t, slice name)
{
    if (!name_is_plain(name)) {
        text_add(t, SLICE("[\""));
        text_add_json(t, name);
        text_add(t, SLICE("\"]"));
        return;
    }
    if (t->len)
        text_add_char(t, '.');
    text_add(t, name);
}

static void add_path(struct text *t, struct json v)
{
    struct step path[JSON_DEPTH_MAX + 1];
    size_t len = 0;

    if (!v.node || !find_path(v.doc->root, v.node, path, &len))
        return;
    for (size_t i = 0; i < len; i++) {
        const cJSON *n = path[i].node;
        if (n->string)
            add_name(t, slice_str(n->string));
        else
            text_printf(t, "[%zu]", path[i].index);
    }
}

/* "mesh/cart.yaml:12: <path>: " before what is in `e`; `name` (may be NULL) is
 * a member of `v`, present or not. */
static void prefix_place(struct json v, const char *name, struct error *e)
{
    struct json member = name ? json_get(v, name) : v;
    unsigned line = json_line(json_present(member) ? member : v);
    struct text path;

    text_init(&path, 300);
    add_path(&path, v);
    if (name)
        add_name(&path, slice_str(name));
    if (path.len)
        error_prefix(e, ERR_INVALID, "%s", text_cstr(&path));
    if (line)
        error_prefix(e, ERR_INVALID, "%s:%u", v.doc->source, line);
    text_fini(&path);
}

enum status json_error(struct json v, enum status rc, struct error *e,
                       const char *fmt, ...)
{
    char sentence[400];
    va_list ap;

    if (!e)
        return rc;
    va_start(ap, fmt);
    vsnprintf(sentence, sizeof sentence, fmt, ap);
    va_end(ap);
    error_set(e, rc, "%s", sentence);
    prefix_place(v, NULL, e);
    return rc;
}

/* What is there instead: `"http"`, `70000`, `an object`. */
static void describe(struct json v, struct text *t)
{
    switch (json_type(v)) {
    case JSON_STRING:
        text_add_char(t, '"');
        text_add_json(t, slice_str(node_of(v)->valuestring));
        if (!t->failed)
            text_add_char(t, '"');
        break;
    case JSON_NUMBER:
        text_printf(t, "%.15g", node_of(v)->valuedouble);
        break;
    case JSON_BOOL:
        text_printf(t, "%s", cJSON_IsTrue(node_of(v)) ? "true" : "false");
        break;
    case JSON_OBJECT:
        text_add(t, SLICE("an object"));
        break;
    case JSON_ARRAY:
        text_add(t, SLICE("a list"));
        break;
    case JSON_NULL:
    case JSON_ABSENT:
        text_add(t, SLICE("null"));
        break;
    }
}

static bool given(struct json v)
{
    return json_type(v) != JSON_ABSENT && json_type(v) != JSON_NULL;
}

/* "expected <what>, not <what is there>", or "missing"; without the place. */
static enum status mismatch(struct json v, struct error *e, const char *what)
{
    struct text found;

    if (!given(v))
        return error_set(e, ERR_INVALID, "missing");
    text_init(&found, 60);
    describe(v, &found);
    error_set(e, ERR_INVALID, "expected %s, not %s%s", what, text_cstr(&found),
              found.failed ? "..." : "");
    text_fini(&found);
    return ERR_INVALID;
}

/* ---- the value itself; these write no place ---- */

static enum status read_string(struct json v, slice *out, struct error *e)
{
    if (json_type(v) != JSON_STRING)
        return mismatch(v, e, "a string");
    *out = slice_str(node_of(v)->valuestring);
    return OK;
}

static enum status read_bool(struct json v, bool *out, struct error *e)
{
    if (json_type(v) != JSON_BOOL)
        return mismatch(v, e, "true or false");
    *out = cJSON_IsTrue(node_of(v));
    return OK;
}

static enum status read_double(struct json v, double *out, struct error *e)
{
    if (json_type(v) != JSON_NUMBER || !isfinite(node_of(v)->valuedouble))
        return mismatch(v, e, "a number");
    *out = node_of(v)->valuedouble;
    return OK;
}

static enum status read_int(struct json v, int64_t min, int64_t max,
                            int64_t *out, struct error *e)
{
    const double edge = (double)JSON_WHOLE_MAX;
    char what[80];
    double d = 0;

    if (json_type(v) == JSON_NUMBER)
        d = node_of(v)->valuedouble;
    /* The edges first: a cast beyond int64_t is undefined. */
    if (json_type(v) == JSON_NUMBER && d >= -edge && d <= edge &&
        d == (double)(int64_t)d && (int64_t)d >= min && (int64_t)d <= max) {
        *out = (int64_t)d;
        return OK;
    }
    snprintf(what, sizeof what, "a number from %lld to %lld", (long long)min,
             (long long)max);
    return mismatch(v, e, what);
}

static enum status read_u64(struct json v, uint64_t *out, struct error *e)
{
    int64_t n = 0;

    if (json_type(v) == JSON_STRING &&
        slice_to_u64(slice_str(node_of(v)->valuestring), UINT64_MAX, out) == OK)
        return OK;
    if (read_int(v, 0, JSON_WHOLE_MAX, &n, NULL) == OK) {
        *out = (uint64_t)n;
        return OK;
    }
    return mismatch(v, e, "a count");
}

static enum status read_container(struct json v, enum json_type type,
                                  struct json *out, struct error *e)
{
    if (json_type(v) != type)
        return mismatch(v, e, type == JSON_OBJECT ? "an object" : "a list");
    *out = v;
    return OK;
}

/* ---- the same with the place ---- */

/* `rc` of a read of `v`, or of its member `name`. */
static enum status with_place(enum status rc, struct json v, const char *name,
                              struct error *e)
{
    if (rc && e)
        prefix_place(v, name, e);
    return rc;
}

enum status json_as_string(struct json v, slice *out, struct error *e)
{
    return with_place(read_string(v, out, e), v, NULL, e);
}

enum status json_as_bool(struct json v, bool *out, struct error *e)
{
    return with_place(read_bool(v, out, e), v, NULL, e);
}

enum status json_as_double(struct json v, double *out, struct error *e)
{
    return with_place(read_double(v, out, e), v, NULL, e);
}

enum status json_as_int(struct json v, int64_t min, int64_t max, int64_t *out,
                        struct error *e)
{
    return with_place(read_int(v, min, max, out, e), v, NULL, e);
}

enum status json_as_u64(struct json v, uint64_t *out, struct error *e)
{
    return with_place(read_u64(v, out, e), v, NULL, e);
}

/* The member, absent or not, of something that may have members. */
static enum status member_of(struct json obj, const char *name,
                             struct json *out, struct error *e)
{
    *out = json_get(obj, name);
    if (!given(obj) || json_type(obj) == JSON_OBJECT)
        return OK;
    return with_place(mismatch(obj, e, "an object"), obj, NULL, e);
}

enum status json_string(struct json obj, const char *name, slice *out,
                        struct error *e)
{
    struct json v;
    enum status rc = member_of(obj, name, &v, e);

    return rc ? rc : with_place(read_string(v, out, e), obj, name, e);
}

enum status json_bool(struct json obj, const char *name, bool *out,
                      struct error *e)
{
    struct json v;
    enum status rc = member_of(obj, name, &v, e);

    return rc ? rc : with_place(read_bool(v, out, e), obj, name, e);
}

enum status json_int(struct json obj, const char *name, int64_t min,
                     int64_t max, int64_t *out, struct error *e)
{
    struct json v;
    enum status rc = member_of(obj, name, &v, e);

    return rc ? rc : with_place(read_int(v, min, max, out, e), obj, name, e);
}

enum status json_u64(struct json obj, const char *name, uint64_t *out,
                     struct error *e)
{
    struct json v;
    enum status rc = member_of(obj, name, &v, e);

    return rc ? rc : with_place(read_u64(v, out, e), obj, name, e);
}

enum status json_object(struct json obj, const char *name, struct json *out,
                        struct error *e)
{
    struct json v;
    enum status rc = member_of(obj, name, &v, e);

    if (!rc)
        rc = with_place(read_container(v, JSON_OBJECT, out, e), obj, name, e);
    return rc;
}

enum status json_array(struct json obj, const char *name, struct json *out,
                       struct error *e)
{
    struct json v;
    enum status rc = member_of(obj, name, &v, e);

    if (!rc)
        rc = with_place(read_container(v, JSON_ARRAY, out, e), obj, name, e);
    return rc;
}

/* ---- members that may be left out ---- */

/* Not when `obj` is something that cannot have members: that is an error. */
static bool left_out(struct json obj, const char *name)
{
    if (given(obj) && json_type(obj) != JSON_OBJECT)
        return false;
    return !given(json_get(obj, name));
}

enum status json_opt_string(struct json obj, const char *name, slice *out,
                            struct error *e)
{
    if (left_out(obj, name))
        return OK;
    return json_string(obj, name, out, e);
}

enum status json_opt_bool(struct json obj, const char *name, bool *out,
                          struct error *e)
{
    if (left_out(obj, name))
        return OK;
    return json_bool(obj, name, out, e);
}

enum status json_opt_int(struct json obj, const char *name, int64_t min,
                         int64_t max, int64_t *out, struct error *e)
{
    if (left_out(obj, name))
        return OK;
    return json_int(obj, name, min, max, out, e);
}

enum status json_opt_u64(struct json obj, const char *name, uint64_t *out,
                         struct error *e)
{
    if (left_out(obj, name))
        return OK;
    return json_u64(obj, name, out, e);
}

enum status json_opt_object(struct json obj, const char *name, struct json *out,
                            struct error *e)
{
    *out = (struct json){obj.doc, NULL};
    if (left_out(obj, name))
        return OK;
    return json_object(obj, name, out, e);
}

enum status json_opt_array(struct json obj, const char *name, struct json *out,
                           struct error *e)
{
    *out = (struct json){obj.doc, NULL};
    if (left_out(obj, name))
        return OK;
    return json_array(obj, name, out, e);
}
