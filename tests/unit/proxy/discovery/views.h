/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: views made of a line of text. */
#ifndef TULLE_TESTS_VIEWS_H
#define TULLE_TESTS_VIEWS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/mesh/wire.h"

UNUSED static struct view *view_of(enum view_kind kind, slice key, slice json)
{
    struct view *v;
    struct error e = {0};
    if (view_decode(kind, key, json, &v, &e))
        fail_msg("%s", e.text);
    return v;
}

/* Copies, as views own what they say. */
UNUSED static slice kept(struct view *v, const char *text)
{
    slice out;
    assert_int_equal(arena_copy(&v->arena, slice_str(text), &out), OK);
    return out;
}

/* A known destination that names up to two backends (NULL: none). */
UNUSED static struct view *destination_of(const char *key, const char *b1,
                                          const char *b2)
{
    struct view *v = view_new(VIEW_DESTINATION, slice_str(key));
    struct text t;
    v->destination.resolution = RESOLUTION_KNOWN;
    v->destination.service = SLICE("shop/cart:80");
    v->destination.backends_len = (b1 != NULL) + (b2 != NULL);
    v->destination.backends = arena_alloc(&v->arena,
                                          2 * sizeof *v->destination.backends);
    v->destination.backends[0] = (struct backend_ref){kept(v, b1), 1};
    v->destination.backends[1] = (struct backend_ref){kept(v, b2), 1};
    text_init(&t, 4096);
    view_encode(v, &t);
    text_fini(&t);
    return v;
}

/* A backend with one endpoint. */
UNUSED static struct view *backend_of(const char *key, const char *address)
{
    struct view *v = view_new(VIEW_BACKEND, slice_str(key));
    struct text t;
    v->backend.service = kept(v, key);
    v->backend.endpoints_len = 1;
    v->backend.endpoints = arena_alloc(&v->arena, sizeof *v->backend.endpoints);
    v->backend.endpoints[0] =
        (struct backend_endpoint){.address = kept(v, address), .weight = 1};
    text_init(&t, 4096);
    view_encode(v, &t);
    text_fini(&t);
    return v;
}

UNUSED static struct view *workload_of(const char *ns)
{
    struct view *v = view_new(VIEW_WORKLOAD, SLICE_NONE);
    struct text t;
    v->workload.ns = kept(v, ns);
    v->workload.pod = SLICE("web-1");
    v->workload.service_account = SLICE("web");
    text_init(&t, 4096);
    view_encode(v, &t);
    text_fini(&t);
    return v;
}

#endif
