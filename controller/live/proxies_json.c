/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/live/proxies_json.h"

#include "lib/mesh/silent.h"

void proxy_state_json(const struct proxy_state *s, struct json_write *w)
{
    json_write_object(w);
    json_member_string(w, "namespace", s->ns);
    json_member_string(w, "pod", s->pod);
    json_member_text(w, "uid", s->uid);
    json_member_text(w, "identity", s->identity);
    json_member_text(w, "version", s->version);
    json_member_text(w, "mtls", s->mtls);
    json_member_text(w, "problem", s->problem);
    json_member_bool(w, "inSync", s->in_sync);
    json_member_int(w, "certExpires", s->cert_not_after);
    json_member_u64(w, "requests", s->requests);
    json_member_u64(w, "failures", s->failures);
    json_member_u64(w, "connections", s->connections);
    json_member_u64(w, "secured", s->secured);
    json_member_u64(w, "detectTimeouts", s->detect_timeouts);
    silent_write(s->silent, s->silent_len, w);
    json_write_object_end(w);
}

void proxies_json(const struct proxies *p, struct json_write *w)
{
    const struct proxy_state *s;
    size_t i = 0;

    while (proxies_all(p, &i, &s))
        proxy_state_json(s, w);
}
