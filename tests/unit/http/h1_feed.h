/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: heads given to the parser whole, cut, or dripping. */
#ifndef TULLE_TESTS_H1_FEED_H
#define TULLE_TESTS_H1_FEED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/http/h1_parse.h"
#include "tests/unit/http/heads.h"

enum { ROOM = 100 };

/* Everything one call of the parser gives. */
struct result {
    enum status rc;
    struct h1_error err;
    struct head head;
    struct header fields[ROOM];
    size_t scanned, used;
    int request; /* enum http_method for a response, -1 for a request */
};

static inline void start(struct result *r, int request)
{
    memset(r, 0, sizeof *r);
    r->request = request;
    r->head.headers.at = r->fields;
    r->head.headers.cap = ROOM;
}

static inline void feed(struct result *r, slice bytes,
                        const struct http_limits *lim)
{
    if (r->request < 0)
        r->rc = h1_parse_request(bytes, lim, &r->scanned, &r->head, &r->used,
                                 &r->err);
    else
        r->rc = h1_parse_response(bytes, lim, (enum http_method)r->request,
                                  &r->scanned, &r->head, &r->used, &r->err);
}

/* Feeds `bytes` grown by `step` at a time, each time in a block of its own of
 * exactly that size; only the last one stays, for the head borrows from it. */
static inline slice feed_in_steps(struct result *r, slice bytes, size_t first,
                                  size_t step, const struct http_limits *lim)
{
    size_t n = first < bytes.len ? first : bytes.len;

    for (;;) {
        slice part = exact_copy(slice_sub(bytes, 0, n));

        feed(r, part, lim);
        if (r->rc != ERR_AGAIN || n == bytes.len)
            return part;
        exact_free(part);
        n = n + step < bytes.len ? n + step : bytes.len;
    }
}

/* Whole, cut in two at every byte, and dripping: the same answer. */
static inline void expect_same_however_split(slice raw, int request,
                                             bool complete)
{
    const struct http_limits *lim = &http_limits_default;
    struct result whole, split;
    slice a, b;

    start(&whole, request);
    a = feed_in_steps(&whole, raw, raw.len, 1, lim);
    for (size_t cut = 0; cut <= raw.len; cut++) {
        start(&split, request);
        /* The last round drips. */
        b = feed_in_steps(&split, raw, cut == raw.len ? 0 : cut,
                          cut == raw.len ? 1 : raw.len, lim);
        if (split.rc == ERR_AGAIN && !complete) { /* refused when it ends */
            assert_int_not_equal(whole.rc, OK);
            exact_free(b);
            continue;
        }
        assert_int_equal(split.rc, whole.rc);
        if (whole.rc == OK) {
            assert_int_equal(split.used, whole.used);
            assert_true(head_same(&split.head, &whole.head));
        } else {
            assert_string_equal(split.err.why, whole.err.why);
            assert_int_equal(split.err.status, whole.err.status);
        }
        exact_free(b);
    }
    exact_free(a);
}

static inline void parse_whole(struct result *r, int request, slice raw)
{
    start(r, request);
    feed(r, raw, &http_limits_default);
    if (r->rc)
        fail_msg("refused (%s): %s", r->err.why ? r->err.why : "?", raw.ptr);
}

#endif
