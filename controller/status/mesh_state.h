/* SPDX-License-Identifier: Apache-2.0 */
/* What `kubectl get mesh` shows: from what the registry and the sessions say to
 * the status of a MeshProxy or the MeshConfig. Pure. */
#ifndef TULLE_CONTROLLER_STATUS_MESH_STATE_H
#define TULLE_CONTROLLER_STATUS_MESH_STATE_H

#include "controller/registry/resolve.h"
#include "controller/subscribe/session.h"
#include "lib/json/json_write.h"

enum { STATE_TEXT = 1024, CONDITIONS_MAX = 3 };

enum verdict {
    VERDICT_UNKNOWN,
    VERDICT_FALSE,
    VERDICT_TRUE,
};
const char *verdict_name(enum verdict v); /* "Unknown", "False", "True" */

/* metav1.Condition without its time. */
struct condition {
    const char *type; /* a constant */
    enum verdict status;
    const char *reason; /* a constant, CamelCase */
    char message[STATE_TEXT];
};

/* Times of conditions, as an object that is there has them. */
struct condition_times {
    enum verdict status[CONDITIONS_MAX];
    char since[CONDITIONS_MAX][21]; /* RFC 3339; "": unknown */
};

struct mesh_proxy {
    const char *sync, *mtls; /* constants */
    char cert_expires[21], identity[700], version[64], config[16];
    char node[254], pod_ip[64];
    struct condition conditions[3]; /* Ready, Synced, CertificateValid */
};

/* `s` NULL: no session. `met`: it has had one before. `now`: seconds since 1970.
 * `mtls`: what holds for the pod. */
void mesh_proxy_compute(const struct record *pod, enum mtls_mode mtls,
                        const struct proxy_state *s, bool met, int64_t now,
                        struct mesh_proxy *out);
/* {"ready":...}; conditions that did not change keep the time in `times` (which
 * may be NULL), the others get `now`. */
void mesh_proxy_write(const struct mesh_proxy *p,
                      const struct condition_times *times, int64_t now,
                      struct json_write *w);
struct mesh_config {
    uint64_t proxies, synced;
    enum mtls_mode mtls;
    slice trust_domain;
    char ca_expires[21];
    const char *version;
    struct condition conditions[2]; /* Ready, AuthorityValid */
};
struct mesh_config_facts {
    uint64_t proxies, synced;
    enum mtls_mode mtls;
    slice trust_domain, problem; /* of the issuer; empty: none */
    int64_t ca_not_after;        /* 0: there is none */
    const char *version;
};
void mesh_config_compute(const struct mesh_config_facts *f, int64_t now,
                         struct mesh_config *out);
void mesh_config_write(const struct mesh_config *c,
                       const struct condition_times *times, int64_t now,
                       struct json_write *w);

/* Equal for equal states, whatever the order of members and the times of
 * conditions: is what we would write what is there already? */
uint64_t state_hash(struct json status);

/* What an object says: times of the conditions of these types, in that order. */
void condition_times_read(struct json status, const char *const types[],
                          unsigned n, struct condition_times *out);
extern const char *const mesh_proxy_conditions[3];
extern const char *const mesh_config_conditions[2];

#endif
