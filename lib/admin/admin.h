/* SPDX-License-Identifier: Apache-2.0 */
/* The pages that every program has (/live, /ready, /metrics, /version,
 * /log-level) and a routing table for those of its own, as a handler for
 * lib/http's server:
 *
 *     admin_init(&p->admin, &options);
 *     rc = admin_check_address(&at, allowed_anywhere, e);
 *     rc = http_server_start(&s, loop, &server_options, admin_serve, &p->admin,
 *                            e);
 *
 *   GET  /live       200 as long as the loop runs
 *   GET  /ready      200, or 503 with the reason
 *   GET  /metrics    Prometheus text
 *   GET  /version    JSON: program, version, compiler
 *   GET  /log-level  the levels in force; PUT or POST sets them from the body
 *
 * HEAD is answered wherever GET is. An unknown path is 404, a known one with
 * another method 405, a body over the route's limit 413. */
#ifndef TULLE_ADMIN_ADMIN_H
#define TULLE_ADMIN_ADMIN_H

#include "lib/base/text.h"
#include "lib/http/server.h"

/* Borrows until the function returns; a function that answers later copies to
 * x->arena what it needs. */
struct admin_request {
    slice path;  /* without the query */
    slice query; /* what follows the '?', as received */
    slice body;
    enum http_method method;
};

/* Answers with exchange_reply before it returns, or takes the exchange over
 * with exchange_own and answers later. The request has ended. */
typedef void admin_fn(void *arg, struct exchange *x,
                      const struct admin_request *req);

struct admin_route {
    enum http_method method;
    const char *path; /* exact */
    admin_fn *fn;
    uint32_t body_max; /* 0: 1 KiB */
};

/* What the ready-made pages ask the program. All are called with `arg`. */
struct admin_options {
    const char *program; /* "tulle-proxy" */
    /* True, or writes the reason. NULL: always ready. */
    bool (*ready)(void *arg, struct text *why);
    /* Appends the exposition. NULL: no such page. */
    enum status (*metrics)(void *arg, struct text *out);
    /* Nothing but /live and /ready of the ready-made pages, which tell nothing and
     * change nothing: for an address that kubelets, and so anybody, can reach. */
    bool health_only;
    /* Of the program's own; they win over ready-made ones. Borrowed. */
    const struct admin_route *routes;
    unsigned routes_len;
    void *arg;
};

struct admin {
    struct admin_options opt;
};

void admin_init(struct admin *a, const struct admin_options *opt);

/* An http_server_fn; `arg` is the struct admin. */
void admin_serve(void *arg, struct exchange *x, const struct tls_peer *peer);

/* These pages reveal and change things: ERR_DENIED unless the address is
 * loopback or `anywhere` was asked for. */
CHECKED enum status admin_check_address(const struct address *at, bool anywhere,
                                        struct error *e);

/* Answers with text/plain: the sentence and a newline. */
void admin_reply_text(struct exchange *x, unsigned status, const char *fmt, ...)
    PRINTF(3, 4);

#endif
