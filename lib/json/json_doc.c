/* SPDX-License-Identifier: Apache-2.0 */
/* Text to document: the strict scan first, then cJSON, which by then cannot be
 * surprised; then the names, which neither of them compares. */
#include "lib/json/json_doc.h"

#include <pthread.h>

#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/json/json_scan.h"

/* Up to here comparing all pairs is cheaper than a table. */
enum { FEW_NAMES = 16 };

static void set_allocator(void)
{
    cJSON_Hooks hooks = {.malloc_fn = mem_lib_malloc, .free_fn = mem_lib_free};

    cJSON_InitHooks(&hooks);
}

void json_doc_setup(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, set_allocator);
}

/* The second of two equal names among few, or NULL. */
static const cJSON *find_among_few(const cJSON *object)
{
    for (const cJSON *a = object->child; a; a = a->next) {
        for (const cJSON *b = a->next; b; b = b->next) {
            if (strcmp(a->string, b->string) == 0)
                return b;
        }
    }
    return NULL;
}

static const cJSON *find_among_many(const cJSON *object)
{
    const cJSON *found = NULL;
    struct map names;

    map_init(&names);
    for (cJSON *m = object->child; m && !found; m = m->next) {
        if (map_put(&names, slice_str(m->string), m))
            found = m;
    }
    map_fini(&names);
    return found;
}

static const cJSON *find_repeated(const cJSON *object)
{
    if (cJSON_GetArraySize(object) <= FEW_NAMES)
        return find_among_few(object);
    return find_among_many(object);
}

/* Recursion is as deep as the document: JSON_DEPTH_MAX. */
static enum status check_names(const struct json_doc *doc, const cJSON *at,
                               struct error *e)
{
    const cJSON *twice = cJSON_IsObject(at) ? find_repeated(at) : NULL;

    if (twice)
        return json_error((struct json){doc, twice}, ERR_INVALID, e,
                          "given twice");
    for (const cJSON *c = at->child; c; c = c->next) {
        enum status rc = c->child ? check_names(doc, c, e) : OK;
        if (rc)
            return rc;
    }
    return OK;
}

enum status json_doc_check_names(const struct json_doc *doc, struct error *e)
{
    return check_names(doc, doc->root, e);
}

enum status json_parse(slice text, const struct json_limits *limits,
                       struct json_doc **out, struct error *e)
{
    struct json_doc *doc = NULL;
    enum status rc;

    json_doc_setup();
    rc = json_scan(text, limits, e);
    if (rc)
        goto out;
    doc = MEM_NEW(struct json_doc);
    doc->root = cJSON_ParseWithLengthOpts(text.ptr, text.len, NULL, 0);
    if (!doc->root) {
        rc = error_set(e, ERR_RESOURCES, "no memory for %zu bytes of JSON",
                       text.len);
        goto out;
    }
    rc = json_doc_check_names(doc, e);
    if (rc)
        goto out;
    *out = doc;
    doc = NULL; /* moved */
out:
    json_free(doc);
    return rc;
}

/* Outside of strings JSON has no backslash. False: there is none. */
static bool next_nul(slice text, size_t *at)
{
    static const slice nul = SLICE_INIT("\\u0000");

    for (size_t i = *at; i < text.len; i++) {
        if (text.ptr[i] != '\\')
            continue;
        if (slice_starts(slice_sub(text, i, text.len), nul)) {
            *at = i;
            return true;
        }
        i++; /* what it escapes may be another one */
    }
    return false;
}

enum status json_parse_defused(slice text, const struct json_limits *limits,
                               struct json_doc **out, struct error *e)
{
    static const char replacement[] = {'\\', 'u', 'f', 'f', 'f', 'd'};
    size_t at = 0;
    enum status rc;
    char *copy;

    if (text.len > limits->bytes || !next_nul(text, &at))
        return json_parse(text, limits, out, e);
    copy = mem_str(text);
    do {
        memcpy(copy + at, replacement, sizeof replacement);
        at += sizeof replacement;
    } while (next_nul(text, &at));
    rc = json_parse(slice_of(copy, text.len), limits, out, e);
    mem_wipe(copy, text.len); /* it may be a Secret */
    mem_free(copy);
    return rc;
}

void json_free(struct json_doc *doc)
{
    if (!doc)
        return;
    cJSON_Delete(doc->root);
    mem_free(doc->source);
    mem_free(doc);
}
