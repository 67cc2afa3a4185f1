/* SPDX-License-Identifier: Apache-2.0 */
/* Pages that only a controller has, beside those of lib/admin; on loopback:
 *     /v1/registry           everything that the source said
 *     /v1/registry?watch     its changes as JSON lines, until the caller leaves
 *     /v1/sessions           the proxies that have their session here, and what
 *                            each has
 *     /v1/proxies            every proxy, also those of other replicas that tell
 *                            us: the leader knows all */
#ifndef TULLE_CONTROLLER_ADMIN_H
#define TULLE_CONTROLLER_ADMIN_H

#include "controller/subscribe/publish.h"
#include "lib/http/server.h"
#include "lib/json/json_write.h"

struct admin_pages;

struct admin_pages_options {
    struct address at;
    const struct address *health; /* /live and /ready alone; NULL: nowhere */
    struct registry *registry;    /* borrowed, as the publisher */
    const struct publisher *publisher;
    /* As in lib/admin: see admin.h there. */
    bool (*ready)(void *arg, struct text *why);
    enum status (*metrics)(void *arg, struct text *out);
    /* Items of the open array. */
    void (*proxies)(void *arg, struct json_write *w);
    void *arg;
};

CHECKED enum status admin_pages_start(struct admin_pages **out, struct loop *l,
                                      const struct admin_pages_options *opt,
                                      struct error *e);
const struct address *admin_pages_address(const struct admin_pages *a);
/* NULL without one. */
const struct address *admin_pages_health(const struct admin_pages *a);
/* Ends everything now; memory ends by itself. NULL is ignored. */
void admin_pages_close(struct admin_pages *a);

#endif
