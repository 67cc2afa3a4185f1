/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/net/memory_stream.h"
#include "proxy/upstream/endpoint.h"

#define HERE SLICE("10.0.0.1:80")

struct world {
    struct loop loop;
    struct upstream up;
    struct stream *delivered[4]; /* the inbound side's ends */
    unsigned deliveries;
};

struct asker {
    struct acquire acquire;
    struct exchange *x;
    enum fault fault;
    unsigned told;
};

static bool is_here(void *owner, const struct address *to)
{
    struct address here;
    (void)owner;
    return address_parse(HERE, &here) == OK && address_eq(&here, to);
}

static void deliver(void *owner, const struct address *to, struct stream *s)
{
    struct world *w = owner;
    (void)to;
    w->delivered[w->deliveries++] = s;
}

static void world_init(struct world *w)
{
    struct error e;
    memset(w, 0, sizeof *w);
    assert_int_equal(loop_init(&w->loop, 8, &e), OK);
    upstream_init(&w->up, &w->loop);
    w->up.app_limits = w->up.plain_limits = http_limits_default;
    w->up.connect_timeout = NSEC_PER_SEC;
    w->up.pending_timeout = 20 * NSEC_PER_MSEC;
    w->up.max_pending = 2;
    w->up.max_pool = 1;
    w->up.max_links = 1;
    w->up.is_self = is_here;
    w->up.deliver_self = deliver;
    w->up.owner = w;
}

static void world_fini(struct world *w)
{
    upstream_close(&w->up);
    for (unsigned i = 0; i < w->deliveries; i++)
        stream_close(w->delivered[i], STREAM_NOW);
    assert_int_equal(w->up.endpoints.len, 0);
    upstream_fini(&w->up);
    loop_fini(&w->loop);
}

static void on_acquired(struct acquire *a, enum fault f, struct exchange *x)
{
    struct asker *k = CONTAINER_OF(a, struct asker, acquire);
    k->fault = f;
    k->x = x;
    k->told++;
}

static enum status ask(struct endpoint *ep, struct asker *k)
{
    memset(k, 0, sizeof *k);
    list_init(&k->acquire.node);
    return endpoint_acquire(ep, false, &k->acquire, on_acquired, &k->x,
                            &k->fault);
}

static void turn_for(struct world *w, int64_t time)
{
    int64_t end = clock_mono_ns() + time;
    while (clock_mono_ns() < end)
        uv_run(&w->loop.uv, UV_RUN_NOWAIT);
}

/* The pod calls itself in-process, but its application is dialled; the two have
 * no connection in common, or a request would come back to us. */
static void app_is_not_the_pod(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    struct endpoint *pod = endpoint_get(&w.up, HERE, SLICE_NONE, 1);
    struct endpoint *app = endpoint_of_app(&w.up, HERE);
    struct endpoint *again = endpoint_get(&w.up, HERE, SLICE_NONE, 1);
    assert_true(pod->self);
    assert_false(app->self);
    assert_ptr_not_equal(pod, app);
    assert_ptr_equal(pod, again);
    assert_true(slice_eq(app->text, HERE));
    assert_int_equal(app->identity.len, 0);
    endpoint_unref(pod);
    endpoint_unref(app);
    endpoint_unref(again);
    world_fini(&w);
}

static void nobody_waits_for_ever(void **state)
{
    struct world w;
    struct asker first, second, third, fourth;
    (void)state;
    world_init(&w);
    struct endpoint *ep = endpoint_get(&w.up, HERE, SLICE_NONE, 1);
    assert_int_equal(ask(ep, &first), ERR_AGAIN); /* has the one connection */
    assert_int_equal(first.told, 1);
    assert_non_null(first.x);
    assert_int_equal(ask(ep, &second), ERR_AGAIN);
    assert_int_equal(ask(ep, &third), ERR_AGAIN);
    assert_int_equal(ask(ep, &fourth), ERR_RESOURCES);
    assert_int_equal(fourth.fault, FAULT_TOO_MANY_PENDING);
    acquire_cancel(&third.acquire);
    acquire_cancel(&third.acquire);
    assert_int_equal(ep->waiting, 1);
    turn_for(&w, 60 * NSEC_PER_MSEC);
    assert_int_equal(second.told, 1);
    assert_int_equal(second.fault, FAULT_TOO_MANY_PENDING);
    assert_int_equal(third.told, 0);
    assert_int_equal(ep->waiting, 0);
    exchange_reset(first.x, RESET_CANCELED);
    endpoint_unref(ep);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(app_is_not_the_pod),
        cmocka_unit_test(nobody_waits_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
