/* SPDX-License-Identifier: Apache-2.0 */
/* For tests and fuzz targets: bytes in a block of exactly their size (so that
 * the sanitizer sees one read too many), and whether two heads say the same. */
#ifndef TULLE_TESTS_HEADS_H
#define TULLE_TESTS_HEADS_H

#include "lib/base/mem.h"
#include "lib/http/message.h"

static inline slice exact_copy(slice s)
{
    char *p = mem_alloc(s.len);

    if (s.len)
        memcpy(p, s.ptr, s.len);
    return slice_of(p, s.len);
}

static inline void exact_free(slice s)
{
    mem_free((void *)(uintptr_t)s.ptr);
}

static inline bool headers_same(const struct headers *a,
                                const struct headers *b)
{
    if (a->len != b->len)
        return false;
    for (uint32_t i = 0; i < a->len; i++)
        if (!slice_eq(a->at[i].name, b->at[i].name) ||
            !slice_eq(a->at[i].value, b->at[i].value) ||
            a->at[i].id != b->at[i].id || a->at[i].hop != b->at[i].hop)
            return false;
    return true;
}

static inline bool head_same(const struct head *a, const struct head *b)
{
    return slice_eq(a->method, b->method) && slice_eq(a->target, b->target) &&
           slice_eq(a->authority, b->authority) && slice_eq(a->path, b->path) &&
           slice_eq(a->protocol, b->protocol) &&
           slice_eq(a->reason, b->reason) && a->method_id == b->method_id &&
           a->status == b->status && a->minor == b->minor &&
           a->keep_alive == b->keep_alive && a->chunked == b->chunked &&
           a->upgrade == b->upgrade &&
           a->expect_continue == b->expect_continue &&
           a->te_trailers == b->te_trailers &&
           a->content_length == b->content_length &&
           headers_same(&a->headers, &b->headers);
}

#endif
