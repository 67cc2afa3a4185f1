/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/live/replica_wire.h"

#include "controller/identity/root_state.h"
#include "lib/json/json_write.h"
#include "lib/mesh/identity.h"
#include "lib/mesh/silent.h"

static const struct json_limits limits = {REPLICA_LINE_MAX, 64};

static const struct {
    const char *name;
    size_t at;
} texts[] =
    {
        {"uid", offsetof(struct proxy_state, uid)},
        {"identity", offsetof(struct proxy_state, identity)},
        {"version", offsetof(struct proxy_state, version)},
        {"config", offsetof(struct proxy_state, config)},
        {"mtls", offsetof(struct proxy_state, mtls)},
        {"roots", offsetof(struct proxy_state, roots)},
        {"problem", offsetof(struct proxy_state, problem)},
},
  numbers[] = {
      {"requests", offsetof(struct proxy_state, requests)},
      {"failures", offsetof(struct proxy_state, failures)},
      {"connections", offsetof(struct proxy_state, connections)},
      {"secured", offsetof(struct proxy_state, secured)},
      {"detectTimeouts", offsetof(struct proxy_state, detect_timeouts)},
};
enum {
    TEXTS = sizeof texts / sizeof *texts,
    NUMBERS = sizeof numbers / sizeof *numbers,
};

static void write_state(const struct proxy_state *s, struct json_write *w)
{
    for (size_t i = 0; i < TEXTS; i++)
        json_member_text(
            w, texts[i].name,
            *(const slice *)(const void *)((const char *)s + texts[i].at));
    json_member_bool(w, "inSync", s->in_sync);
    json_member_int(w, "certIssued", s->cert_issued);
    json_member_int(w, "certExpires", s->cert_not_after);
    for (size_t i = 0; i < NUMBERS; i++)
        json_member_u64(
            w, numbers[i].name,
            *(const uint64_t *)(const void *)((const char *)s + numbers[i].at));
    silent_write(s->silent, s->silent_len, w);
}

void replica_encode(enum replica_type type, const struct proxy_state *s,
                    struct text *out)
{
    static const char *const names[] = {
        [REPLICA_PROXY] = "proxy",
        [REPLICA_GONE] = "gone",
        [REPLICA_HEARTBEAT] = "heartbeat",
    };
    struct json_write w;

    json_write_init(&w, out);
    json_write_object(&w);
    json_member_string(&w, "type", slice_str(names[type]));
    if (type != REPLICA_HEARTBEAT)
        json_member_string(&w, "namespace", s->ns);
    json_member_text(&w, "pod", s->pod);
    if (type == REPLICA_HEARTBEAT)
        json_member_text(&w, "roots", s->roots);
    if (type == REPLICA_PROXY)
        write_state(s, &w);
    json_write_object_end(&w);
    text_add_char(out, '\n');
}

static enum status read_names(struct json v, struct proxy_state *s,
                              struct error *e)
{
    enum status rc = json_string(v, "namespace", &s->ns, e);

    if (!rc)
        rc = json_string(v, "pod", &s->pod, e);
    if (!rc && (!dns_label_valid(s->ns) || !dns_subdomain_valid(s->pod)))
        rc = json_error(v, ERR_INVALID, e, "names no pod");
    return rc;
}

static enum status read_state(struct json v, struct proxy_state *s,
                              struct error *e)
{
    enum status rc = json_opt_bool(v, "inSync", &s->in_sync, e);

    if (!rc)
        rc = json_opt_int(v, "certExpires", 0, JSON_WHOLE_MAX,
                          &s->cert_not_after, e);
    if (!rc)
        rc = json_opt_int(v, "certIssued", 0, JSON_WHOLE_MAX, &s->cert_issued,
                          e);
    for (size_t i = 0; i < TEXTS && !rc; i++)
        rc = json_opt_string(v, texts[i].name,
                             (slice *)(void *)((char *)s + texts[i].at), e);
    for (size_t i = 0; i < NUMBERS && !rc; i++)
        rc = json_opt_u64(v, numbers[i].name,
                          (uint64_t *)(void *)((char *)s + numbers[i].at), e);
    if (!rc)
        rc = silent_read(v, s->silent, WIRE_SILENT_MAX, &s->silent_len, e);
    return rc;
}

/* Earlier versions say neither. */
static enum status read_self(struct json v, struct proxy_state *s,
                             struct error *e)
{
    enum status rc = json_opt_string(v, "pod", &s->pod, e);

    if (!rc)
        rc = json_opt_string(v, "roots", &s->roots, e);
    if (!rc && (s->roots.len > ROOT_MARKS_MAX || s->pod.len > NAME_MAX_BYTES))
        rc = json_error(v, ERR_TOO_BIG, e, "says too much");
    return rc;
}

enum status replica_decode(slice line, struct replica_msg *out, struct error *e)
{
    slice type = SLICE_NONE;
    struct json v;
    enum status rc;

    *out = (struct replica_msg){0};
    rc = json_parse(line, &limits, &out->doc, e);
    if (rc)
        return rc;
    v = json_root(out->doc);
    rc = json_string(v, "type", &type, e);
    if (rc)
        return rc;
    if (slice_eq(type, SLICE("heartbeat")))
        out->type = REPLICA_HEARTBEAT;
    else if (slice_eq(type, SLICE("proxy")))
        out->type = REPLICA_PROXY;
    else if (slice_eq(type, SLICE("gone")))
        out->type = REPLICA_GONE;
    if (out->type == REPLICA_PROXY || out->type == REPLICA_GONE)
        rc = read_names(v, &out->state, e);
    if (!rc && out->type == REPLICA_PROXY)
        rc = read_state(v, &out->state, e);
    if (!rc && out->type == REPLICA_HEARTBEAT)
        rc = read_self(v, &out->state, e);
    return rc;
}

void replica_msg_fini(struct replica_msg *m)
{
    json_free(m->doc);
    m->doc = NULL;
}
