/* SPDX-License-Identifier: Apache-2.0 */
/* The injector's pages: all on loopback; /live and /ready for the kubelet too. */
#ifndef TULLE_INJECTOR_ADMIN_H
#define TULLE_INJECTOR_ADMIN_H

#include "lib/base/text.h"
#include "lib/net/address.h"
#include "lib/net/loop.h"

struct injector_pages;

struct injector_pages_options {
    struct address at;
    const struct address *health; /* NULL: none */
    bool (*ready)(void *arg, struct text *why);
    enum status (*metrics)(void *arg, struct text *out);
    void *arg;
};

/* Gives it, listening. */
CHECKED enum status injector_pages_start(struct injector_pages **out,
                                         struct loop *l,
                                         const struct injector_pages_options *o,
                                         struct error *e);
const struct address *injector_pages_address(const struct injector_pages *p);
/* NULL without. */
const struct address *injector_pages_health(const struct injector_pages *p);
/* Memory ends by itself. NULL is ignored. */
void injector_pages_close(struct injector_pages *p);

#endif
