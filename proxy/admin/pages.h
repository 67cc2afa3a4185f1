/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy's admin pages, on loopback and on the main loop: /live /ready /metrics
 * /version /log-level, and /config: what the proxy is set to and what it knows. */
#ifndef TULLE_PROXY_ADMIN_PAGES_H
#define TULLE_PROXY_ADMIN_PAGES_H

#include "lib/net/address.h"
#include "proxy/config.h"
#include "proxy/discovery/store.h"
#include "proxy/telemetry/telemetry.h"

struct pages;

/* For /config; slices on loan. */
struct pages_identity {
    slice name; /* empty before the first certificate */
    int64_t not_before, not_after, renew_at; /* seconds since 1970 */
    slice session; /* "in sync" ... */
};

struct pages_options {
    struct address at; /* loopback, or the start is refused */
    const struct config *settings;
    bool (*ready)(void *arg, struct text *why);
    void (*process)(void *arg, struct telemetry_process *out);
    void (*identity)(void *arg, struct pages_identity *out);
    struct discovery *discovery;
    struct telemetry *const *telemetry;
    size_t telemetry_len;
    void *arg;
};

CHECKED enum status pages_start(struct pages **out, struct loop *l,
                                const struct pages_options *opt,
                                struct error *e);
const struct address *pages_address(const struct pages *p);
void pages_close(struct pages *p);

#endif
