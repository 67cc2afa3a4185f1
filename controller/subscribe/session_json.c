/* SPDX-License-Identifier: Apache-2.0 */
/* What a session says of its proxy: to the tables of the mesh, and to people
 * (GET /v1/sessions). */
#include "controller/subscribe/session_parts.h"

#include "lib/base/clock.h"
#include "lib/json/json_write.h"
#include "lib/mesh/silent.h"

static slice first_nack(const struct session *s)
{
    void *value;
    slice key;
    size_t i = 0;

    while (map_next(&s->subs, &i, &key, &value)) {
        const struct subscription *sub = value;

        if (sub->nack)
            return slice_str(sub->nack);
    }
    return SLICE_NONE;
}

/* Of the workload view, what the proxy has acknowledged; the view in force here
 * may be a newer one. */
static void workload_state(const struct session *s, struct proxy_state *out)
{
    const struct subscription *sub = session_find(s, VIEW_WORKLOAD, SLICE(""));
    const struct view *v = sub ? sub->feed->view : NULL;
    const struct resolve_settings *settings = feeds_settings(s->feeds);

    if (!sub)
        return;
    out->config = slice_str(sub->acked);
    if (!v || !slice_eq(slice_str(v->hash), out->config))
        return;
    out->mtls = slice_str(v->workload.mtls == MTLS_STRICT ? "strict"
                                                          : "permissive");
    /* A bundle that has just changed is in no view yet. */
    if (slice_eq(v->workload.bundle, settings->bundle))
        out->roots = settings->roots;
}

void session_state(const struct session *s, struct proxy_state *out)
{
    *out = (struct proxy_state){
        .ns = s->client.ns,
        .pod = s->client.pod,
        .uid = s->client.uid,
        .identity = slice_str(s->name),
        .version = slice_str(s->version),
        .problem = first_nack(s),
        .in_sync = session_in_sync(s),
        .cert_not_after = s->cert_not_after,
        .cert_issued = s->cert_issued,
        .requests = s->report.requests,
        .failures = s->report.failures,
        .connections = s->report.connections,
        .secured = s->report.secured,
        .detect_timeouts = s->report.detect_timeouts,
        .silent_len = s->report.silent_len,
    };
    memcpy(out->silent, s->report.silent, sizeof out->silent);
    workload_state(s, out);
    if (s->report.any && s->report.cert_not_after > out->cert_not_after)
        out->cert_not_after = s->report.cert_not_after;
}

static void sub_json(const struct subscription *sub, struct json_write *w)
{
    const struct view *v = sub->feed->view;

    json_write_object(w);
    json_member_string(w, "kind", slice_str(view_kind_name(sub->feed->kind)));
    json_member_string(w, "key", sub->feed->key);
    json_member_bool(w, "asked", sub->asked);
    json_member_text(w, "current", slice_str(v ? v->hash : ""));
    json_member_text(w, "sent", slice_str(sub->sent));
    json_member_text(w, "acked", slice_str(sub->acked));
    if (sub->nack)
        json_member_string(w, "nack", slice_str(sub->nack));
    json_write_object_end(w);
}

static void report_json(const struct report_summary *r, int64_t now,
                        struct json_write *w)
{
    char date[21];

    clock_format_rfc3339(r->cert_not_after, date);
    json_write_name(w, "report");
    json_write_object(w);
    json_member_string(w, "epoch", slice_str(r->epoch));
    json_member_u64(w, "sequence", r->sequence);
    json_member_int(w, "ageSeconds", (now - r->at) / NSEC_PER_SEC);
    json_member_string(w, "certificateExpires", slice_str(date));
    json_member_u64(w, "detectTimeouts", r->detect_timeouts);
    json_member_u64(w, "rssBytes", r->rss);
    json_member_u64(w, "rows", r->rows);
    json_member_u64(w, "requests", r->requests);
    json_member_u64(w, "failures", r->failures);
    json_member_u64(w, "connections", r->connections);
    json_member_u64(w, "secured", r->secured);
    silent_write(r->silent, r->silent_len, w);
    json_write_object_end(w);
}

void session_json(const struct session *s, int64_t now, struct text *out)
{
    struct json_write w;
    void *value;
    slice key;

    json_write_init(&w, out);
    json_write_object(&w);
    json_member_u64(&w, "id", s->log.id);
    json_member_string(&w, "identity", slice_str(s->name));
    json_member_text(&w, "namespace", s->client.ns);
    json_member_text(&w, "pod", s->client.pod);
    json_member_text(&w, "uid", s->client.uid);
    json_member_text(&w, "name", slice_str(s->pod));
    json_member_text(&w, "version", slice_str(s->version));
    json_member_string(&w, "state", slice_str(session_states[s->state].name));
    json_member_bool(&w, "inSync", session_in_sync(s));
    json_member_int(&w, "ageSeconds", (now - s->started) / NSEC_PER_SEC);
    json_member_int(&w, "silentSeconds", (now - s->heard) / NSEC_PER_SEC);
    json_member_u64(&w, "bytesOnWay", s->on_way);
    json_member_u64(&w, "views", s->sent_views);
    json_member_u64(&w, "deltas", s->sent_deltas);
    json_member_u64(&w, "acks", s->acks);
    json_member_u64(&w, "nacks", s->nacks);
    if (s->report.any)
        report_json(&s->report, now, &w);
    json_write_name(&w, "subscriptions");
    json_write_array(&w);
    for (size_t i = 0; map_next(&s->subs, &i, &key, &value);)
        sub_json(value, &w);
    json_write_array_end(&w);
    json_write_object_end(&w);
}
