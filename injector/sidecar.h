/* SPDX-License-Identifier: Apache-2.0 */
/* The containers and volumes that a meshed pod gets. Pure. */
#ifndef TULLE_INJECTOR_SIDECAR_H
#define TULLE_INJECTOR_SIDECAR_H

#include "injector/overrides.h"

/* What holds for a whole installation. Borrowed. */
struct sidecar_site {
    slice version;            /* ours */
    slice pull_policy;        /* IfNotPresent, Always, Never */
    slice ns, cluster_domain; /* where the controller is */
    slice controller;         /* its Service */
    slice controller_ip;      /* ClusterIP; empty: not known */
    slice trust_domain;
    slice bundle_pem; /* roots known now; empty: none */
    uint16_t controller_port;
    uint32_t uid, gid;
    bool log_json; /* proxies log JSON */
};

enum { SIDECAR_BUNDLE_MAX = 96 << 10 };

struct sidecar_input {
    const struct sidecar_site *site;
    const struct overrides *settings;
    slice probes; /* TULLE_PROBES */
    /* The containers as they are; absent: not yet there. What others rightly
     * changed is kept: an image of the same release from another registry, the
     * pull policy, resources that we do not set. */
    struct json init, proxy;
};

struct sidecar { /* JSON */
    slice init, proxy;
    slice token, bundle; /* volumes */
};

/* Texts are kept in `arena`. ERR_TOO_BIG. */
CHECKED enum status sidecar_build(const struct sidecar_input *in,
                                  struct arena *arena, struct sidecar *out,
                                  struct error *e);

#endif
