/* SPDX-License-Identifier: Apache-2.0 */
<<<<<<< HEAD
/* The proxy's admin pages, on the main loop: those of lib/admin and
 *
 *   GET /config          JSON: settings in force, identity, session, and every
 *                        view that the proxy has
 *   GET /config?key=shop/  only the views whose key begins so
 */
=======
/* The proxy's admin pages, on loopback and on the main loop: /live /ready /metrics
 * /version /log-level, and /config: what the proxy is set to and what it knows. */
>>>>>>> main
#ifndef TULLE_PROXY_ADMIN_PAGES_H
#define TULLE_PROXY_ADMIN_PAGES_H

#include "lib/net/address.h"
<<<<<<< HEAD
#include "lib/net/loop.h"
=======
>>>>>>> main
#include "proxy/config.h"
#include "proxy/discovery/store.h"
#include "proxy/telemetry/telemetry.h"

struct pages;

<<<<<<< HEAD
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
=======
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
>>>>>>> main
    size_t telemetry_len;
    void *arg;
};

<<<<<<< HEAD
/* Listens. `opt` is copied. */
=======
>>>>>>> main
CHECKED enum status pages_start(struct pages **out, struct loop *l,
                                const struct pages_options *opt,
                                struct error *e);
const struct address *pages_address(const struct pages *p);
<<<<<<< HEAD
/* Closes every connection now and frees. NULL is ignored. */
void pages_close(struct pages *p);

/* The text of /config; `key` empty: all. out->failed: it did not fit. */
void pages_config(const struct pages_options *opt, slice key, struct text *out);

=======
void pages_close(struct pages *p);

>>>>>>> main
#endif
