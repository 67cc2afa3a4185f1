/* SPDX-License-Identifier: Apache-2.0 */
/* One key -> its view, computed from all that the registry holds. Pure: the
 * same registry, settings, client and key give the same view. */
#ifndef TULLE_CONTROLLER_REGISTRY_RESOLVE_H
#define TULLE_CONTROLLER_REGISTRY_RESOLVE_H

#include "controller/registry/registry.h"
#include "lib/mesh/views.h"

struct resolve_settings {
    slice trust_domain;
    slice bundle; /* PEM of the roots in force */
    slice roots;  /* their marks, for the tables of the mesh; may be empty */
    enum mtls_mode default_mtls;
};

/* Who asks: what its certificate says. */
struct client {
    slice ns, service_account;
    slice pod, uid; /* may be empty */
};

/* Gives a view (one reference; its hash is not set yet).
 * ERR_NOT_FOUND: there is nothing to offer under this key (no such Service or
 * pod); it may come later. ERR_INVALID: no key of this kind. ERR_TOO_BIG: more
 * than a view may hold. Each with a sentence. */
CHECKED enum status resolve(const struct registry *r,
                            const struct resolve_settings *s,
                            enum view_kind kind, const struct client *c,
                            slice key, struct view **out, struct error *e);

/* What holds for a pod: its own word, its namespace's, or the default. */
enum mtls_mode resolve_mtls(const struct registry *r,
                            const struct resolve_settings *s,
                            const struct record *pod);

/* The topics whose change may change that view; returns how many. */
enum { RESOLVE_TOPICS = 3 };
struct topics {
    slice at[RESOLVE_TOPICS];
    char text[RESOLVE_TOPICS][TOPIC_TEXT];
};
unsigned resolve_topics(enum view_kind kind, const struct client *c, slice key,
                        struct topics *out);
/* The bundle has changed: workload views depend on it. */
#define TOPIC_BUNDLE SLICE("bundle")

#endif
