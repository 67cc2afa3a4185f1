/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy's admin pages, on the main loop: those of lib/admin and
 *
 *   GET /config          JSON: settings in force, identity, session, and every
 *                        view that the proxy has
 *   GET /config?key=shop/  only the views whose key begins so
 */
#ifndef TULLE_PROXY_ADMIN_PAGES_H
#define TULLE_PROXY_ADMIN_PAGES_H

#include "lib/net/address.h"
#include "lib/net/loop.h"
#include "proxy/config.h"
#include "proxy/discovery/store.h"
#include "proxy/telemetry/telemetry.h"

struct pages;

/* Slices borrow until the page is written, within the same call. */
struct pages_identity {
    slice name;                    /* empty: no certificate yet */
    int64_t not_before, not_after; /* seconds since 1970; 0: none */
    int64_t renew_at;
    slice session; /* "in sync", "backing off" ... */
};

/* Everything is borrowed until pages_close. */
struct pages_options {
    struct address at; /* loopback, or ERR_DENIED */
    const struct config *settings;
    /* True, or writes the reason. */
    bool (*ready)(void *arg, struct text *why);
    void (*process)(void *arg, struct telemetry_process *out);
    void (*identity)(void *arg, struct pages_identity *out);
    const struct discovery *discovery;
    struct telemetry *const *telemetry; /* one a worker */
    size_t telemetry_len;
    void *arg;
};

/* Listens. `opt` is copied. */
CHECKED enum status pages_start(struct pages **out, struct loop *l,
                                const struct pages_options *opt,
                                struct error *e);
const struct address *pages_address(const struct pages *p);
/* Closes every connection now and frees. NULL is ignored. */
void pages_close(struct pages *p);

/* The text of /config; `key` empty: all. out->failed: it did not fit. */
void pages_config(const struct pages_options *opt, slice key, struct text *out);

#endif
