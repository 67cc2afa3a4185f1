/* SPDX-License-Identifier: Apache-2.0 */
/* A loop and the telemetry of some workers, all on the test's thread. */
#ifndef TULLE_TESTS_TELEMETRY_RIG_H
#define TULLE_TESTS_TELEMETRY_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "proxy/telemetry/parts.h"

enum { RIG_MAX = 3 };
#define PEER "spiffe://test/ns/shop/sa/web"

struct rig {
    struct loop loop;
    struct telemetry *t[RIG_MAX];
    size_t n;
};

UNUSED static void rig_init(struct rig *r, size_t n)
{
    struct error e;

    assert_int_equal(loop_init(&r->loop, 8, &e), OK);
    r->n = n;
    for (size_t i = 0; i < n; i++)
        r->t[i] = telemetry_new(&r->loop, false);
}

UNUSED static void rig_fini(struct rig *r)
{
    for (size_t i = 0; i < r->n; i++)
        telemetry_free(r->t[i]);
    loop_fini(&r->loop);
}

/* The caller has room for a row's text; text_fini it. */
UNUSED static void rig_render(struct rig *r, struct text *out)
{
    struct telemetry_process p = {.cert_not_after = 1700000000,
                                  .session_up = true,
                                  .renewals = 3,
                                  .renewal_failures = 1};

    text_init(out, 64 << 20);
    telemetry_render(r->t, r->n, &p, out);
    assert_false(out->failed);
}

/* The value of the line that begins with `series`; -1 without one. */
UNUSED static int64_t rig_value(struct rig *r, const char *series)
{
    struct text t;
    slice rest, line, name, number;
    int64_t out = -1;

    rig_render(r, &t);
    rest = text_slice(&t);
    while (slice_next(&rest, '\n', &line)) {
        uint64_t n;

        if (!slice_rcut(line, ' ', &name, &number) ||
            !slice_eq(name, slice_str(series)))
            continue;
        assert_int_equal(out, -1); /* once */
        assert_int_equal(slice_to_u64(number, INT64_MAX, &n), OK);
        out = (int64_t)n;
    }
    text_fini(&t);
    return out;
}

/* One request from beginning to end. */
UNUSED static void one_request(struct traffic *tr, unsigned status,
                               enum fault f, int64_t latency)
{
    traffic_request_begin(tr);
    traffic_request_end(tr, status, f, latency);
}

#endif
