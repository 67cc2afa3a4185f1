/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/kube/watch_event.h"

/* How the API server marks the end of a streamed list. */
#define LISTED "k8s.io/initial-events-end"

enum { KEEP = 256 << 10 };

void lines_init(struct lines *l, size_t max)
{
    *l = (struct lines){0};
    text_init(&l->kept, max);
}

void lines_fini(struct lines *l)
{
    text_fini(&l->kept);
}

static void forget(struct lines *l)
{
    size_t max = l->kept.limit;

    l->whole = false;
    if (l->kept.cap <= KEEP) {
        text_clear(&l->kept);
        return;
    }
    text_fini(&l->kept);
    text_init(&l->kept, max);
}

/* Takes a piece of a line; false when the line becomes too long by it. */
static bool keep(struct lines *l, slice piece)
{
    if (l->skipping)
        return true;
    if (piece.len <= l->kept.limit - l->kept.len) {
        text_add(&l->kept, piece);
        return true;
    }
    forget(l);
    l->skipping = true;
    return false;
}

enum line lines_next(struct lines *l, slice *rest, slice *line)
{
    if (l->whole)
        forget(l);
    while (rest->len) {
        ptrdiff_t end = slice_find(*rest, '\n');
        slice piece = slice_sub(*rest, 0, end < 0 ? rest->len : (size_t)end);
        bool fits;

        *rest = slice_sub(*rest, end < 0 ? rest->len : (size_t)end + 1,
                          rest->len);
        if (end >= 0 && !l->skipping && l->kept.len == 0 && piece.len &&
            piece.len <= l->kept.limit) {
            *line = piece; /* all of it is here: nothing is copied */
            return LINE_WHOLE;
        }
        fits = keep(l, piece);
        if (end >= 0 && l->skipping)
            l->skipping = false;
        else if (end >= 0 && l->kept.len) {
            l->whole = true;
            *line = text_slice(&l->kept);
            return LINE_WHOLE;
        }
        if (!fits)
            return LINE_TOO_LONG;
    }
    return LINE_NONE;
}

/* --- events --- */

static enum status read_type(struct json root, enum watch_type *out,
                             struct error *e)
{
    static const struct {
        const char *name;
        enum watch_type type;
    } types[] = {{"ADDED", WATCH_PUT},
                 {"MODIFIED", WATCH_PUT},
                 {"DELETED", WATCH_GONE},
                 {"BOOKMARK", WATCH_BOOKMARK},
                 {"ERROR", WATCH_FAILED}};
    slice name;
    enum status rc = json_string(root, "type", &name, e);

    if (rc)
        return rc;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (slice_eq(name, slice_str(types[i].name))) {
            *out = types[i].type;
            return OK;
        }
    return json_error(json_get(root, "type"), ERR_INVALID, e,
                      "'%.*s' is no type of event",
                      FMT(slice_sub(name, 0, 60)));
}

static enum status read_failure(struct watch_event *out, struct error *e)
{
    int64_t code = 0;
    slice reason = SLICE_NONE;
    enum status rc = json_opt_int(out->object, "code", 0, 999, &code, e);

    if (!rc)
        rc = json_opt_string(out->object, "reason", &reason, e);
    if (!rc)
        rc = json_opt_string(out->object, "message", &out->message, e);
    out->expired = code == 410 || slice_eq(reason, SLICE("Expired")) ||
                   slice_eq(reason, SLICE("Gone"));
    return rc;
}

static enum status read_bookmark(struct watch_event *out, struct json metadata,
                                 struct error *e)
{
    struct json annotations = {0};
    slice listed = SLICE_NONE;
    enum status rc = json_opt_object(metadata, "annotations", &annotations, e);

    if (!rc)
        rc = json_opt_string(annotations, LISTED, &listed, e);
    out->listed = slice_eq(listed, SLICE("true"));
    return rc;
}

enum status object_names(struct json object, slice *ns, slice *name,
                         struct error *e)
{
    struct json metadata = {0};
    enum status rc = json_object(object, "metadata", &metadata, e);

    *ns = SLICE_NONE;
    if (!rc)
        rc = json_string(metadata, "name", name, e);
    if (!rc)
        rc = json_opt_string(metadata, "namespace", ns, e);
    if (!rc && slice_empty(*name))
        rc = json_error(json_get(metadata, "name"), ERR_INVALID, e,
                        "must not be empty");
    return rc;
}

enum status watch_event_read(struct json root, struct watch_event *out,
                             struct error *e)
{
    struct json metadata = {0};
    enum status rc;

    *out = (struct watch_event){0};
    rc = read_type(root, &out->type, e);
    if (!rc)
        rc = json_object(root, "object", &out->object, e);
    if (!rc && out->type == WATCH_FAILED)
        return read_failure(out, e);
    if (!rc)
        rc = json_object(out->object, "metadata", &metadata, e);
    if (!rc)
        rc = json_string(metadata, "resourceVersion", &out->version, e);
    if (!rc && out->type == WATCH_BOOKMARK)
        return read_bookmark(out, metadata, e);
    return rc ? rc : object_names(out->object, &out->ns, &out->name, e);
}
