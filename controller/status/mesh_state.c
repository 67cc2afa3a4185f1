/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/status/mesh_state.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/base/clock.h"

/* A certificate is renewed at half of its life; one that is this near to its end,
 * and in the last quarter, was not. */
enum { CERT_LATE = 3600, CONFIG_SHOWN = 10 };

const char *const mesh_proxy_conditions[3] = {"Ready", "Synced",
                                              "CertificateValid"};
const char *const mesh_config_conditions[2] = {"Ready", "AuthorityValid"};

const char *verdict_name(enum verdict v)
{
    static const char *const names[] = {"Unknown", "False", "True"};

    return names[v];
}

static void set(struct condition *c, const char *type, enum verdict status,
                const char *reason, const char *message)
{
    c->type = type;
    c->status = status;
    c->reason = reason;
    snprintf(c->message, sizeof c->message, "%s", message);
}

static void copy(char *dst, size_t cap, slice s)
{
    snprintf(dst, cap, "%.*s", FMT(s));
}

static void date(int64_t seconds, char out[21])
{
    if (seconds > 0)
        clock_format_rfc3339(seconds, out);
}

/* --- a proxy --- */

static void judge_ready(const struct record *pod, struct condition *c)
{
    const struct pod_record *p = &pod->pod;

    if (p->proxy_ready) {
        set(c, "Ready", VERDICT_TRUE, "ProxyReady", "");
        return;
    }
    if (slice_empty(p->init_problem)) {
        set(c, "Ready", VERDICT_FALSE, "ProxyNotReady",
            "the proxy has not started yet");
        return;
    }
    set(c, "Ready", VERDICT_FALSE, "ProxyFailed", "");
    snprintf(c->message, sizeof c->message, "%.*s", FMT(p->init_problem));
}

static void judge_sync(const struct proxy_state *s, bool met,
                       struct mesh_proxy *out)
{
    struct condition *c = &out->conditions[1];

    if (!s) {
        out->sync = met ? "unknown" : "never";
        set(c, "Synced", met ? VERDICT_UNKNOWN : VERDICT_FALSE,
            met ? "Disconnected" : "NeverConnected",
            met ? "the proxy has no session; it goes on with what it was "
                  "last told"
                : "the proxy has had no session yet");
        return;
    }
    out->sync = s->in_sync ? "yes" : "no";
    if (s->in_sync)
        set(c, "Synced", VERDICT_TRUE, "Acknowledged", "");
    else
        set(c, "Synced", VERDICT_FALSE,
            slice_empty(s->problem) ? "Behind" : "Refused", "");
    copy(c->message, sizeof c->message, s->problem);
}

static bool renewal_late(const struct proxy_state *s, int64_t now)
{
    int64_t left = s->cert_not_after - now;

    return left <= CERT_LATE &&
           (!s->cert_issued ||
            left <= (s->cert_not_after - s->cert_issued) / 4);
}

static void judge_cert(const struct proxy_state *s, int64_t now,
                       struct condition *c)
{
    if (!s)
        set(c, "CertificateValid", VERDICT_UNKNOWN, "Disconnected", "");
    else if (s->cert_not_after <= now)
        set(c, "CertificateValid", VERDICT_FALSE, "Expired",
            "the certificate has expired");
    else if (renewal_late(s, now))
        set(c, "CertificateValid", VERDICT_TRUE, "NotRenewed",
            "the certificate ends within the hour and was not renewed");
    else
        set(c, "CertificateValid", VERDICT_TRUE, "Valid", "");
}

void mesh_proxy_compute(const struct record *pod, enum mtls_mode mtls,
                        const struct proxy_state *s, bool met, int64_t now,
                        struct mesh_proxy *out)
{
    *out = (struct mesh_proxy){0};
    out->mtls = mtls == MTLS_STRICT ? "strict" : "permissive";
    copy(out->node, sizeof out->node, pod->pod.node);
    if (pod->pod.ips_len)
        copy(out->pod_ip, sizeof out->pod_ip, pod->pod.ips[0]);
    judge_ready(pod, &out->conditions[0]);
    judge_sync(s, met, out);
    judge_cert(s, now, &out->conditions[2]);
    if (!s)
        return;
    date(s->cert_not_after, out->cert_expires);
    copy(out->identity, sizeof out->identity, s->identity);
    copy(out->version, sizeof out->version, s->version);
    copy(out->config, sizeof out->config,
         slice_sub(s->config, 0, CONFIG_SHOWN));
}

/* --- writing --- */

static void write_conditions(const struct condition *c, unsigned n,
                             const struct condition_times *times, int64_t now,
                             struct json_write *w)
{
    char today[21];

    date(now, today);
    json_write_name(w, "conditions");
    json_write_array(w);
    for (unsigned i = 0; i < n; i++) {
        bool same = times && times->since[i][0] &&
                    times->status[i] == c[i].status;

        json_write_object(w);
        json_member_string(w, "type", slice_str(c[i].type));
        json_member_string(w, "status", slice_str(verdict_name(c[i].status)));
        json_member_string(w, "reason", slice_str(c[i].reason));
        json_member_string(w, "message", slice_str(c[i].message));
        json_member_string(w, "lastTransitionTime",
                           slice_str(same ? times->since[i] : today));
        json_write_object_end(w);
    }
    json_write_array_end(w);
}

/* The first that is not well, for the eye. */
static slice message_of(const struct condition *c, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (c[i].message[0])
            return slice_str(c[i].message);
    return SLICE_NONE;
}

void mesh_proxy_write(const struct mesh_proxy *p,
                      const struct condition_times *times, int64_t now,
                      struct json_write *w)
{
    const struct condition *ready = &p->conditions[0];

    json_write_object(w);
    json_member_string(w, "ready", slice_str(verdict_name(ready->status)));
    json_member_string(w, "sync", slice_str(p->sync));
    json_member_string(w, "mtls", slice_str(p->mtls));
    json_member_string(w, "certExpires", slice_str(p->cert_expires));
    json_member_string(w, "identity", slice_str(p->identity));
    json_member_string(w, "version", slice_str(p->version));
    json_member_string(w, "config", slice_str(p->config));
    json_member_string(w, "node", slice_str(p->node));
    json_member_string(w, "podIP", slice_str(p->pod_ip));
    json_member_string(w, "message", message_of(p->conditions, 3));
    write_conditions(p->conditions, 3, times, now, w);
    json_write_object_end(w);
}

/* --- the mesh --- */

void mesh_config_compute(const struct mesh_config_facts *f, int64_t now,
                         struct mesh_config *out)
{
    struct condition *ready = &out->conditions[0];
    struct condition *authority = &out->conditions[1];

    *out = (struct mesh_config){
        .proxies = f->proxies,
        .synced = f->synced,
        .mtls = f->mtls,
        .trust_domain = f->trust_domain,
        .version = f->version,
    };
    date(f->ca_not_after, out->ca_expires);
    if (f->ca_not_after == 0)
        set(authority, "AuthorityValid", VERDICT_FALSE, "NoAuthority", "");
    else if (f->ca_not_after <= now)
        set(authority, "AuthorityValid", VERDICT_FALSE, "Expired",
            "the certificate that signs has expired");
    else
        set(authority, "AuthorityValid", VERDICT_TRUE, "Valid", "");
    if (!slice_empty(f->problem))
        copy(authority->message, sizeof authority->message, f->problem);
    if (authority->status == VERDICT_TRUE)
        set(ready, "Ready", VERDICT_TRUE, "Serving", "");
    else
        set(ready, "Ready", VERDICT_FALSE, "NoAuthority",
            "no certificates can be issued");
}

void mesh_config_write(const struct mesh_config *c,
                       const struct condition_times *times, int64_t now,
                       struct json_write *w)
{
    const struct condition *ready = &c->conditions[0];

    json_write_object(w);
    json_member_string(w, "ready", slice_str(verdict_name(ready->status)));
    json_member_u64(w, "proxies", c->proxies);
    json_member_u64(w, "synced", c->synced);
    json_member_string(
        w, "mtls", slice_str(c->mtls == MTLS_STRICT ? "strict" : "permissive"));
    json_member_string(w, "trustDomain", c->trust_domain);
    json_member_string(w, "caExpires", slice_str(c->ca_expires));
    json_member_string(w, "version", slice_str(c->version));
    write_conditions(c->conditions, 2, times, now, w);
    json_write_object_end(w);
}

/* --- reading --- */

static uint64_t member_hash(struct json member, uint64_t seed)
{
    struct json_write w;
    struct text t;
    uint64_t hash;

    text_init(&t, 1 << 16);
    text_printf(&t, "%" PRIx64 ":%.*s:", seed, FMT(json_name(member)));
    json_write_init(&w, &t);
    json_write_value(&w, member);
    hash = slice_hash(text_slice(&t));
    text_fini(&t);
    return hash;
}

static uint64_t condition_hash(struct json condition)
{
    slice type = SLICE_NONE;
    uint64_t sum = 0, seed;
    struct error e;

    if (json_opt_string(condition, "type", &type, &e))
        type = SLICE_NONE;
    seed = slice_hash(type);
    for (struct json m = json_first(condition); json_present(m);
         m = json_next(m))
        if (!slice_eq(json_name(m), SLICE("lastTransitionTime")))
            sum += member_hash(m, seed);
    return sum;
}

/* Sums, as they do not depend on an order. */
uint64_t state_hash(struct json status)
{
    uint64_t sum = 0;

    for (struct json m = json_first(status); json_present(m);
         m = json_next(m)) {
        if (!slice_eq(json_name(m), SLICE("conditions"))) {
            sum += member_hash(m, 0);
            continue;
        }
        for (struct json c = json_first(m); json_present(c); c = json_next(c))
            sum += condition_hash(c);
    }
    return sum;
}

static enum verdict verdict_parse(slice s)
{
    for (unsigned v = VERDICT_FALSE; v <= VERDICT_TRUE; v++)
        if (slice_eq(s, slice_str(verdict_name(v))))
            return v;
    return VERDICT_UNKNOWN;
}

static void read_time(struct json condition, unsigned at,
                      struct condition_times *out)
{
    slice status = SLICE_NONE, since = SLICE_NONE;
    struct error e;

    if (json_opt_string(condition, "status", &status, &e) ||
        json_opt_string(condition, "lastTransitionTime", &since, &e) ||
        since.len >= sizeof out->since[at])
        return;
    out->status[at] = verdict_parse(status);
    copy(out->since[at], sizeof out->since[at], since);
}

void condition_times_read(struct json status, const char *const types[],
                          unsigned n, struct condition_times *out)
{
    struct json all = json_get(status, "conditions");

    *out = (struct condition_times){0};
    for (struct json c = json_first(all); json_present(c); c = json_next(c)) {
        slice type = SLICE_NONE;
        struct error e;

        if (json_opt_string(c, "type", &type, &e))
            continue;
        for (unsigned i = 0; i < n; i++)
            if (slice_eq(type, slice_str(types[i])))
                read_time(c, i, out);
    }
}
