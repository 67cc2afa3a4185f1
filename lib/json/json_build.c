/* SPDX-License-Identifier: Apache-2.0 */
/* A stack of what is open. A value goes to the innermost open object (under the
 * name that was given before it) or array, or becomes the root. */
#include "lib/json/json_build.h"

#include <assert.h>

#include "lib/base/mem.h"
#include "lib/json/json_doc.h"

struct json_build {
    char *source;
    struct json_limits limits;
    size_t bytes, values;
    cJSON *root;
    cJSON *open[JSON_DEPTH_MAX];
    unsigned depth;
    char *name; /* of the next member, or NULL */
    unsigned name_line;
};

struct json_build *json_build_new(slice source,
                                  const struct json_limits *limits)
{
    struct json_build *b = MEM_NEW(struct json_build);

    json_doc_setup();
    b->source = mem_str(source);
    b->limits = *limits;
    return b;
}

static void clear(struct json_build *b)
{
    cJSON_Delete(b->root);
    mem_free(b->name);
    b->root = NULL;
    b->name = NULL;
    b->depth = 0;
    b->bytes = b->values = 0;
}

void json_build_free(struct json_build *b)
{
    if (!b)
        return;
    clear(b);
    mem_free(b->source);
    mem_free(b);
}

static enum status refuse(const struct json_build *b, enum status rc,
                          unsigned line, struct error *e, const char *why)
{
    return error_set(e, rc, "%s:%u: %s", b->source, line, why);
}

/* Counts what is about to be held. */
static enum status charge(struct json_build *b, slice text, unsigned line,
                          struct error *e)
{
    if (text.len && memchr(text.ptr, 0, text.len))
        return refuse(b, ERR_INVALID, line, e, "text that holds NUL");
    if (text.len > b->limits.bytes - b->bytes)
        return refuse(b, ERR_TOO_BIG, line, e, "too much text");
    b->bytes += text.len;
    return OK;
}

enum status json_build_name(struct json_build *b, slice name, unsigned line,
                            struct error *e)
{
    enum status rc = charge(b, name, line, e);

    assert(b->depth && cJSON_IsObject(b->open[b->depth - 1]) && !b->name);
    if (rc)
        return rc;
    b->name = mem_str(name);
    b->name_line = line;
    return OK;
}

/* Takes `item` (NULL when there was no memory for it). */
static enum status add(struct json_build *b, cJSON *item, unsigned line,
                       struct error *e)
{
    cJSON *parent = b->depth ? b->open[b->depth - 1] : NULL;

    if (!item)
        return refuse(b, ERR_RESOURCES, line, e, "no memory");
    if (b->values++ >= b->limits.values) {
        cJSON_Delete(item);
        return refuse(b, ERR_TOO_BIG, line, e, "too many values");
    }
    item->valueint = (int)(b->name ? b->name_line : line);
    if (!parent) {
        assert(!b->root);
        b->root = item;
    } else if (b->name) {
        cJSON_AddItemToObject(parent, b->name, item);
        mem_free(b->name);
        b->name = NULL;
    } else {
        assert(cJSON_IsArray(parent));
        cJSON_AddItemToArray(parent, item);
    }
    return OK;
}

static enum status add_open(struct json_build *b, cJSON *item, unsigned line,
                            struct error *e)
{
    enum status rc;

    if (b->depth == JSON_DEPTH_MAX) {
        cJSON_Delete(item);
        return refuse(b, ERR_TOO_BIG, line, e, "more than 64 levels deep");
    }
    rc = add(b, item, line, e);
    if (rc)
        return rc;
    b->open[b->depth++] = item;
    return OK;
}

enum status json_build_object(struct json_build *b, unsigned line,
                              struct error *e)
{
    return add_open(b, cJSON_CreateObject(), line, e);
}

enum status json_build_array(struct json_build *b, unsigned line,
                             struct error *e)
{
    return add_open(b, cJSON_CreateArray(), line, e);
}

void json_build_end(struct json_build *b)
{
    assert(b->depth && !b->name);
    b->depth--;
}

enum status json_build_string(struct json_build *b, slice s, unsigned line,
                              struct error *e)
{
    enum status rc = charge(b, s, line, e);
    cJSON *item;
    char *text;

    if (rc)
        return rc;
    text = mem_str(s);
    item = cJSON_CreateString(text);
    mem_free(text);
    return add(b, item, line, e);
}

enum status json_build_number(struct json_build *b, double d, unsigned line,
                              struct error *e)
{
    return add(b, cJSON_CreateNumber(d), line, e);
}

enum status json_build_bool(struct json_build *b, bool v, unsigned line,
                            struct error *e)
{
    return add(b, cJSON_CreateBool(v), line, e);
}

enum status json_build_null(struct json_build *b, unsigned line,
                            struct error *e)
{
    return add(b, cJSON_CreateNull(), line, e);
}

enum status json_build_finish(struct json_build *b, struct json_doc **out,
                              struct error *e)
{
    struct json_doc *doc = MEM_NEW(struct json_doc);
    enum status rc;

    assert(b->root && !b->depth);
    doc->source = mem_str(slice_str(b->source));
    doc->root = b->root;
    b->root = NULL; /* moved */
    clear(b);
    rc = json_doc_check_names(doc, e);
    if (rc) {
        json_free(doc);
        return rc;
    }
    *out = doc;
    return OK;
}
