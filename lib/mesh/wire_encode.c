/* SPDX-License-Identifier: Apache-2.0 */
/* A message to a line. What is empty is left out, save where the reader asks
 * for it. */
#include "lib/mesh/wire_parts.h"

static void subject_write(const struct msg *m, struct json_write *w)
{
    json_member_string(w, "kind", slice_str(view_kind_name(m->kind)));
    json_member_text(w, "key", m->key);
    json_member_text(w, "hash", m->hash);
}

static void hello_write(const struct msg *m, struct json_write *w)
{
    json_member_string(w, "version", m->version);
    json_member_text(w, "name", m->name);
    names_write(w, "capabilities", m->capabilities, m->capabilities_len);
}

static void nack_write(const struct msg *m, struct json_write *w)
{
    size_t end = m->reason.len;

    if (end > WIRE_REASON_MAX) {
        end = WIRE_REASON_MAX;
        /* Not inside of a UTF-8 character. */
        while (end && (m->reason.ptr[end] & 0xc0) == 0x80)
            end--;
    }
    subject_write(m, w);
    json_member_string(w, "reason",
                       end ? slice_sub(m->reason, 0, end) : SLICE("unknown"));
}

/* An encoded view says its hash; one that never was encoded is, now. */
static void view_msg_write(const struct msg *m, struct json_write *w)
{
    struct view *v = m->view;
    struct text content;

    text_init(&content, VIEW_BYTES_MAX);
    if (!v->hash[0])
        view_encode(v, &content);
    if (content.failed)
        w->out->failed = true;
    json_member_text(w, "key", v->key);
    json_member_string(w, "hash", slice_str(v->hash));
    names_write(w, "needs", v->needs, v->needs_len);
    json_write_name(w, "view");
    view_write(v, w);
    text_fini(&content);
}

static void delta_msg_write(const struct msg *m, struct json_write *w)
{
    json_member_string(w, "kind", slice_str(view_kind_name(VIEW_BACKEND)));
    json_member_text(w, "key", m->key);
    delta_write(&m->delta, w);
}

static void report_msg_write(const struct msg *m, struct json_write *w)
{
    report_write(&m->report, w);
}

static const struct writer {
    const char *type;
    void (*write)(const struct msg *m, struct json_write *w);
} writers[] = {
    [MSG_HELLO] = {"hello", hello_write},
    [MSG_SUBSCRIBE] = {"subscribe", subject_write},
    [MSG_UNSUBSCRIBE] = {"unsubscribe", subject_write},
    [MSG_ACK] = {"ack", subject_write},
    [MSG_NACK] = {"nack", nack_write},
    [MSG_REPORT] = {"report", report_msg_write},
    [MSG_HEARTBEAT] = {"heartbeat", NULL},
    [MSG_VIEW] = {NULL, view_msg_write}, /* its type is the kind's name */
    [MSG_DELTA] = {"delta", delta_msg_write},
    [MSG_SAME] = {"same", subject_write},
    [MSG_REMOVE] = {"remove", subject_write},
};

void msg_encode(const struct msg *m, struct text *out)
{
    const struct writer *writer = &writers[m->type];
    const char *type = writer->type;
    struct json_write w;

    if (m->type == MSG_UNKNOWN)
        return;
    if (m->type == MSG_VIEW)
        type = view_kind_name(m->view->kind);
    json_write_init(&w, out);
    json_write_object(&w);
    json_member_string(&w, "type", slice_str(type));
    if (writer->write)
        writer->write(m, &w);
    json_write_object_end(&w);
    text_add_char(out, '\n');
}
