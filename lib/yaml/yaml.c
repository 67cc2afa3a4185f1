/* SPDX-License-Identifier: Apache-2.0 */
/* libyaml's events go to a json_build as they come; a stack says for each open
 * collection whether a scalar is a key or a value. Nothing is read twice, so
 * nothing can grow: aliases, which would, are refused. */
#include "lib/yaml/yaml.h"

#include <assert.h>

#include "lib/base/mem.h"
#include "lib/base/vec.h"
#include "lib/json/json_build.h"
#include "lib/yaml/events.h"
#include "lib/yaml/scalar.h"

struct reader {
    slice source;
    struct json_build *build;
    uint64_t mappings; /* bit i: the open collection i is a mapping */
    unsigned depth;
    bool key_next; /* in the innermost mapping */
    bool empty;    /* the document is one plain null: nothing was written */
    struct yaml_documents *docs;
    struct error *e;
};

_Static_assert(JSON_DEPTH_MAX <= 64, "one bit an open collection");

static enum status refuse(struct reader *r, enum status rc, yaml_mark_t at,
                          const char *why)
{
    return error_set(r->e, rc, "%.*s:%zu:%zu: %s", FMT(r->source), at.line + 1,
                     at.column + 1, why);
}

static bool in_mapping(const struct reader *r)
{
    return r->depth && (r->mappings >> (r->depth - 1) & 1);
}

/* A value is done: in a mapping, a key comes next. */
static void value_done(struct reader *r)
{
    r->key_next = in_mapping(r);
}

/* ---- scalars ---- */

static bool plain(const yaml_event_t *ev)
{
    return ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static slice scalar_text(const yaml_event_t *ev)
{
    return slice_of(ev->data.scalar.value, ev->data.scalar.length);
}

static enum status on_key(struct reader *r, const yaml_event_t *ev)
{
    slice text = scalar_text(ev);
    enum status rc;

    if (ev->data.scalar.tag)
        return refuse(r, ERR_INVALID, ev->start_mark, "a key with a tag");
    if (plain(ev) && slice_eq(text, SLICE("<<")))
        return refuse(r, ERR_INVALID, ev->start_mark,
                      "merge keys (<<) are not supported");
    rc = json_build_name(r->build, text, (unsigned)ev->start_mark.line + 1,
                         r->e);
    if (rc)
        return rc;
    r->key_next = false;
    return OK;
}

/* !!str and ! make a string of a plain scalar. */
static enum status check_tag(struct reader *r, const yaml_event_t *ev,
                             bool *string)
{
    slice tag = slice_str((const char *)ev->data.scalar.tag);

    *string = !plain(ev);
    if (slice_empty(tag))
        return OK;
    if (!slice_eq(tag, SLICE(YAML_STR_TAG)) && !slice_eq(tag, SLICE("!")))
        return refuse(r, ERR_INVALID, ev->start_mark,
                      "tags other than !!str are not supported");
    *string = true;
    return OK;
}

static enum status build_plain(struct reader *r, const yaml_event_t *ev)
{
    unsigned line = (unsigned)ev->start_mark.line + 1;
    const char *why = NULL;
    struct scalar s;

    if (scalar_resolve(scalar_text(ev), &s, &why))
        return refuse(r, ERR_INVALID, ev->start_mark, why);
    switch (s.type) {
    case SCALAR_NULL:
        r->empty = r->depth == 0;
        return json_build_null(r->build, line, r->e);
    case SCALAR_BOOL:
        return json_build_bool(r->build, s.boolean, line, r->e);
    case SCALAR_NUMBER:
        return json_build_number(r->build, s.number, line, r->e);
    case SCALAR_STRING:
        break;
    }
    return json_build_string(r->build, scalar_text(ev), line, r->e);
}

static enum status on_scalar(struct reader *r, const yaml_event_t *ev)
{
    bool string;
    enum status rc;

    if (in_mapping(r) && r->key_next)
        return on_key(r, ev);
    rc = check_tag(r, ev, &string);
    if (rc)
        return rc;
    if (string)
        rc = json_build_string(r->build, scalar_text(ev),
                               (unsigned)ev->start_mark.line + 1, r->e);
    else
        rc = build_plain(r, ev);
    if (rc)
        return rc;
    value_done(r);
    return OK;
}

/* ---- collections ---- */

static enum status on_open(struct reader *r, const yaml_event_t *ev,
                           bool mapping, slice tag, slice usual_tag)
{
    unsigned line = (unsigned)ev->start_mark.line + 1;
    uint64_t bit = UINT64_C(1) << (r->depth & 63);
    enum status rc;

    if (in_mapping(r) && r->key_next)
        return refuse(r, ERR_INVALID, ev->start_mark,
                      "a key that is not a scalar");
    if (!slice_empty(tag) && !slice_eq(tag, usual_tag))
        return refuse(r, ERR_INVALID, ev->start_mark,
                      "tags other than !!str are not supported");
    if (r->depth == JSON_DEPTH_MAX)
        return refuse(r, ERR_TOO_BIG, ev->start_mark,
                      "more than 64 levels deep");
    rc = mapping ? json_build_object(r->build, line, r->e)
                 : json_build_array(r->build, line, r->e);
    if (rc)
        return rc;
    r->mappings = mapping ? r->mappings | bit : r->mappings & ~bit;
    r->depth++;
    r->key_next = mapping;
    return OK;
}

static enum status on_close(struct reader *r)
{
    assert(r->depth); /* libyaml closes what it opened */
    json_build_end(r->build);
    r->depth--;
    value_done(r);
    return OK;
}

static enum status on_document_end(struct reader *r, const yaml_event_t *ev)
{
    struct json_doc *doc;
    enum status rc = json_build_finish(r->build, &doc, r->e);

    if (rc)
        return rc;
    if (r->empty) {
        json_free(doc);
        return OK;
    }
    if (r->docs->len == YAML_DOCUMENTS_MAX) {
        json_free(doc);
        return refuse(r, ERR_TOO_BIG, ev->start_mark, "too many documents");
    }
    VEC_PUSH(r->docs, doc);
    return OK;
}

static enum status on_event(void *arg, const yaml_event_t *ev)
{
    struct reader *r = arg;

    switch (ev->type) {
    case YAML_DOCUMENT_START_EVENT:
        r->empty = false;
        return OK;
    case YAML_DOCUMENT_END_EVENT:
        return on_document_end(r, ev);
    case YAML_ALIAS_EVENT:
        return refuse(r, ERR_INVALID, ev->start_mark,
                      "aliases (*name) are not supported");
    case YAML_SCALAR_EVENT:
        return on_scalar(r, ev);
    case YAML_MAPPING_START_EVENT:
        return on_open(r, ev, true,
                       slice_str((const char *)ev->data.mapping_start.tag),
                       SLICE(YAML_MAP_TAG));
    case YAML_SEQUENCE_START_EVENT:
        return on_open(r, ev, false,
                       slice_str((const char *)ev->data.sequence_start.tag),
                       SLICE(YAML_SEQ_TAG));
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        return on_close(r);
    default:
        return OK;
    }
}

/* ---- a file ---- */

enum status yaml_read(slice text, slice source, struct yaml_documents *out,
                      struct error *e)
{
    const struct json_limits limits = {YAML_BYTES_MAX, YAML_VALUES_MAX};
    struct reader r = {.source = source, .docs = out, .e = e};
    enum status rc;

    *out = (struct yaml_documents){0};
    r.build = json_build_new(source, &limits);
    rc = yaml_events_read(text, source, YAML_BYTES_MAX, on_event, &r, e);
    if (rc)
        yaml_documents_fini(out);
    json_build_free(r.build);
    return rc;
}

void yaml_documents_fini(struct yaml_documents *docs)
{
    for (size_t i = 0; i < docs->len; i++)
        json_free(docs->at[i]);
    VEC_FINI(docs);
}
