/* SPDX-License-Identifier: Apache-2.0 */
/* A line to a message. "type" picks the reader, and each reader asks for the
 * members that it knows; the rest of the line is another version's affair. */
#include "lib/mesh/wire_parts.h"

typedef enum status read_fn(struct json obj, struct msg *out, struct error *e);

/* ERR_NOT_FOUND: a kind of a later version, nothing that concerns us. */
static enum status read_kind(struct json obj, struct msg *out, struct error *e)
{
    slice name;
    enum status rc = json_string(obj, "kind", &name, e);

    if (rc)
        return rc;
    return view_kind_parse(name, &out->kind) ? ERR_NOT_FOUND : OK;
}

/* Only the workload has no key. */
static enum status read_key(struct json obj, struct msg *out, struct error *e)
{
    if (out->kind == VIEW_WORKLOAD)
        return read_text(obj, "key", WIRE_KEY_MAX, &out->arena, &out->key, e);
    return read_filled(obj, "key", WIRE_KEY_MAX, &out->arena, &out->key, e);
}

static enum status read_subject(struct json obj, struct msg *out,
                                struct error *e)
{
    enum status rc = read_kind(obj, out, e);

    return rc ? rc : read_key(obj, out, e);
}

static enum status read_hello(struct json obj, struct msg *out, struct error *e)
{
    enum status rc;

    rc = read_filled(obj, "version", WIRE_NAME_MAX, &out->arena, &out->version,
                     e);
    if (rc)
        return rc;
    rc = read_text(obj, "name", WIRE_KEY_MAX, &out->arena, &out->name, e);
    if (rc)
        return rc;
    return read_names(obj, "capabilities", &out->arena, &out->capabilities,
                      &out->capabilities_len, e);
}

static enum status read_subscribe(struct json obj, struct msg *out,
                                  struct error *e)
{
    enum status rc = read_subject(obj, out, e);

    if (rc)
        return rc;
    return read_hash(obj, "hash", true, &out->arena, &out->hash, e);
}

static enum status read_ack(struct json obj, struct msg *out, struct error *e)
{
    enum status rc = read_subject(obj, out, e);

    if (rc)
        return rc;
    return read_hash(obj, "hash", false, &out->arena, &out->hash, e);
}

static enum status read_nack(struct json obj, struct msg *out, struct error *e)
{
    enum status rc = read_subscribe(obj, out, e);

    if (rc)
        return rc;
    return read_filled(obj, "reason", WIRE_REASON_MAX, &out->arena,
                       &out->reason, e);
}

static enum status read_report(struct json obj, struct msg *out,
                               struct error *e)
{
    return report_read(obj, &out->arena, &out->report, e);
}

static enum status read_heartbeat(struct json obj UNUSED,
                                  struct msg *out UNUSED,
                                  struct error *e UNUSED)
{
    return OK;
}

static enum status read_delta(struct json obj, struct msg *out, struct error *e)
{
    enum status rc = read_ack(obj, out, e);

    if (rc)
        return rc;
    if (out->kind != VIEW_BACKEND)
        return json_error(json_get(obj, "kind"), ERR_INVALID, e,
                          "only backends have deltas");
    out->delta.hash = out->hash;
    rc = read_hash(obj, "base", false, &out->arena, &out->delta.base, e);
    if (rc)
        return rc;
    return delta_read(obj, &out->arena, &out->delta, e);
}

/* The first need that this build lacks; empty when it lacks none. */
static slice lacking(const slice *needs, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        if (!wire_capable(needs[i]))
            return needs[i];
    }
    return SLICE_NONE;
}

/* The needs come first: when a view of a later version cannot be read, that it
 * needs more than we have is the better reason. */
static enum status read_view(struct json obj, struct msg *out, struct error *e)
{
    struct json content;
    slice *needs, lack;
    uint32_t needs_len;
    enum status rc;

    rc = read_key(obj, out, e);
    if (rc)
        return rc;
    rc = read_hash(obj, "hash", false, &out->arena, &out->hash, e);
    if (rc)
        return rc;
    rc = read_names(obj, "needs", &out->arena, &needs, &needs_len, e);
    if (rc)
        return rc;
    lack = lacking(needs, needs_len);
    rc = json_object(obj, "view", &content, e);
    if (!rc)
        rc = view_read(out->kind, out->key, content, &out->view, e);
    if (rc && lack.len)
        return error_set(e, rc, "needs %.*s, which this version does not have",
                         FMT(lack));
    if (rc)
        return rc;
    /* The name that the controller gave to the content: it covers members that
     * we may not know. */
    memcpy(out->view->hash, out->hash.ptr, VIEW_HASH);
    return read_names(obj, "needs", &out->view->arena, &out->view->needs,
                      &out->view->needs_len, e);
}

static const struct reader {
    const char *type;
    enum msg_type code;
    enum view_kind kind; /* of a view */
    read_fn *read;
} readers[] = {
    {"hello", MSG_HELLO, 0, read_hello},
    {"subscribe", MSG_SUBSCRIBE, 0, read_subscribe},
    {"unsubscribe", MSG_UNSUBSCRIBE, 0, read_subject},
    {"ack", MSG_ACK, 0, read_ack},
    {"nack", MSG_NACK, 0, read_nack},
    {"report", MSG_REPORT, 0, read_report},
    {"heartbeat", MSG_HEARTBEAT, 0, read_heartbeat},
    {"workload", MSG_VIEW, VIEW_WORKLOAD, read_view},
    {"destination", MSG_VIEW, VIEW_DESTINATION, read_view},
    {"backend", MSG_VIEW, VIEW_BACKEND, read_view},
    {"delta", MSG_DELTA, 0, read_delta},
    {"same", MSG_SAME, 0, read_ack},
    {"remove", MSG_REMOVE, 0, read_subject},
};

static enum status read_msg(struct json obj, struct msg *out, struct error *e)
{
    slice type;
    enum status rc;

    if (json_type(obj) != JSON_OBJECT)
        return json_error(obj, ERR_INVALID, e, "expected an object");
    rc = json_string(obj, "type", &type, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        if (!slice_eq(type, slice_str(readers[i].type)))
            continue;
        out->type = readers[i].code;
        out->kind = readers[i].kind;
        rc = readers[i].read(obj, out, e);
        if (rc == ERR_NOT_FOUND) {
            out->type = MSG_UNKNOWN;
            return OK;
        }
        return rc ? error_prefix(e, rc, "%s", readers[i].type) : OK;
    }
    return OK; /* MSG_UNKNOWN */
}

enum status msg_decode(slice line, struct msg *out, struct error *e)
{
    const struct json_limits limits = {WIRE_LINE_MAX, WIRE_VALUES_MAX};
    struct json_doc *doc = NULL;
    enum status rc;

    *out = (struct msg){.type = MSG_UNKNOWN};
    arena_init(&out->arena, 2 * (size_t)WIRE_LINE_MAX);
    rc = json_parse(line, &limits, &doc, e);
    if (rc)
        return rc;
    rc = read_msg(json_root(doc), out, e);
    json_free(doc);
    return rc;
}

void msg_fini(struct msg *m)
{
    view_unref(m->view);
    arena_reset(&m->arena);
    *m = (struct msg){.type = MSG_UNKNOWN};
}
