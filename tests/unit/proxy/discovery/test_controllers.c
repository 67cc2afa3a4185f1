/* SPDX-License-Identifier: Apache-2.0 */
/* With a resolver that answers when the test says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "proxy/discovery/controllers.h"

enum { QUERIES = 8, LIST = 256 };

static struct fake {
    char host[64];
    uint16_t port;
    dns_fn *done;
    void *arg;
    bool canceled;
} fakes[QUERIES];
static unsigned asked;

static enum status fake_query(struct dns_query **out, struct loop *l,
                              slice host, uint16_t port, dns_fn *done,
                              void *arg)
{
    struct fake *f = &fakes[asked];
    (void)l;
    if (asked == QUERIES)
        return ERR_RESOURCES;
    snprintf(f->host, sizeof f->host, "%.*s", FMT(host));
    f->port = port;
    f->done = done;
    f->arg = arg;
    f->canceled = false;
    *out = (struct dns_query *)(void *)&fakes[asked++];
    return OK;
}

static void fake_cancel(struct dns_query *q)
{
    ((struct fake *)(void *)q)->canceled = true;
}

static const struct controllers_resolver resolver = {fake_query, fake_cancel};

static void answer(unsigned i, const char *list)
{
    struct address at[DNS_ADDRESSES_MAX];
    size_t n = 0;
    slice rest = slice_str(list), item;
    while (rest.len && slice_next(&rest, ',', &item))
        assert_int_equal(address_parse(item, &at[n++]), OK);
    fakes[i].done(fakes[i].arg, n ? OK : ERR_NOT_FOUND, at, n,
                  n ? "" : "no such name");
}

struct world {
    struct loop loop;
    struct controllers *c;
    struct controllers_pick pick;
    unsigned calls;
    bool running;
    char got[ADDRESS_TEXT];
};

static void on_pick(struct controllers_pick *p, const struct address *to)
{
    struct world *w = CONTAINER_OF(p, struct world, pick);
    w->calls++;
    w->got[0] = 0;
    if (to)
        address_format(to, w->got);
    if (w->running)
        loop_stop(&w->loop);
}

static void await_call(struct world *w)
{
    unsigned before = w->calls;
    w->running = true;
    loop_run(&w->loop);
    w->running = w->loop.stopping = false;
    assert_int_equal(w->calls, before + 1);
}

static void setup(struct world *w, slice list)
{
    struct error e = {{0}};
    *w = (struct world){.calls = 0};
    asked = 0;
    assert_int_equal(loop_init(&w->loop, 4, &e), OK);
    assert_int_equal(controllers_new(&w->c, &w->loop, list, &resolver, &e), OK);
}

static void teardown(struct world *w)
{
    controllers_free(w->c);
    loop_fini(&w->loop);
}

static enum status next(struct world *w)
{
    struct address to;
    enum status rc = controllers_next(w->c, &w->pick, &to, on_pick);
    w->got[0] = 0;
    if (rc == OK)
        address_format(&to, w->got);
    return rc;
}

static void test_given(void **state)
{
    struct world w;
    char seen[2][ADDRESS_TEXT];
    (void)state;
    setup(&w, SLICE("10.0.0.1:8443, [fd00::1]:8443"));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(next(&w), OK);
        if (i < 2)
            snprintf(seen[i], sizeof seen[i], "%s", w.got);
        else
            assert_string_equal(w.got, seen[i - 2]);
    }
    assert_string_not_equal(seen[0], seen[1]);
    assert_int_equal(asked, 0);
    teardown(&w);
}

static void test_name(void **state)
{
    struct world w;
    (void)state;
    setup(&w, SLICE("tulle-controller.x.svc.:8443,10.96.0.5:8443"));
    assert_int_equal(next(&w), ERR_AGAIN);
    assert_int_equal(asked, 1);
    assert_string_equal(fakes[0].host, "tulle-controller.x.svc.");
    assert_int_equal(fakes[0].port, 8443);
    answer(0, "10.1.0.1:8443,10.1.0.2:8443");
    assert_int_equal(w.calls, 1);
    /* Those of the name before the one that is given. */
    assert_true(slice_starts(slice_str(w.got), SLICE("10.1.0.")));
    bool seen[3] = {false};
    for (int i = 0; i < 3; i++) { /* fresh: nobody is asked */
        assert_int_equal(next(&w), OK);
        seen[0] |= !strcmp(w.got, "10.1.0.1:8443");
        seen[1] |= !strcmp(w.got, "10.1.0.2:8443");
        seen[2] |= !strcmp(w.got, "10.96.0.5:8443");
    }
    assert_int_equal(asked, 1);
    assert_true(seen[0] && seen[1] && seen[2]);
    teardown(&w);
}

/* The usual: the name of a Service, and its address. */
static void test_same(void **state)
{
    struct world w;
    (void)state;
    setup(&w, SLICE("tulle-controller:8443,10.96.0.5:8443"));
    assert_int_equal(next(&w), ERR_AGAIN);
    answer(0, "10.96.0.5:8443");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(next(&w), OK);
        assert_string_equal(w.got, "10.96.0.5:8443");
    }
    teardown(&w);
}

static void test_spread(void **state)
{
    unsigned first[4] = {0};
    (void)state;
    for (int i = 0; i < 400; i++) {
        struct world w;
        setup(&w, SLICE("tulle:1"));
        assert_int_equal(next(&w), ERR_AGAIN);
        answer(0, "10.1.0.1:1,10.1.0.2:1,10.1.0.3:1,10.1.0.4:1");
        assert_int_equal(strlen(w.got), strlen("10.1.0.1:1"));
        first[w.got[7] - '1']++;
        teardown(&w);
    }
    for (int i = 0; i < 4; i++)
        assert_in_range(first[i], 50, 150);
}

static void test_no_answer(void **state)
{
    struct world w;
    (void)state;
    setup(&w, SLICE("tulle:1,10.96.0.5:1"));
    assert_int_equal(next(&w), ERR_AGAIN);
    answer(0, "");
    assert_int_equal(w.calls, 1);
    assert_string_equal(w.got, "10.96.0.5:1");
    teardown(&w);
    setup(&w, SLICE("tulle:1"));
    assert_int_equal(next(&w), ERR_AGAIN);
    answer(0, "");
    assert_int_equal(w.calls, 1);
    assert_string_equal(w.got, "");
    /* Lately asked in vain: told from the loop, not in the call. */
    assert_int_equal(next(&w), ERR_AGAIN);
    assert_int_equal(w.calls, 1);
    await_call(&w);
    assert_string_equal(w.got, "");
    teardown(&w);
}

/* A resolver that hangs: what is known is used after a while. */
static void test_patience(void **state)
{
    struct world w;
    int64_t before = clock_mono_ns();
    (void)state;
    setup(&w, SLICE("tulle:1,10.96.0.5:1"));
    assert_int_equal(next(&w), ERR_AGAIN);
    await_call(&w);
    assert_string_equal(w.got, "10.96.0.5:1");
    assert_true(clock_mono_ns() - before > NSEC_PER_SEC);
    /* One query at a time; its late answer is taken. */
    assert_int_equal(next(&w), ERR_AGAIN);
    assert_int_equal(asked, 1);
    answer(0, "10.1.0.1:1");
    assert_int_equal(w.calls, 2);
    teardown(&w);
}

static void test_several_wait(void **state)
{
    struct world w;
    struct world other = {.calls = 0};
    struct address to;
    (void)state;
    setup(&w, SLICE("a:1,b:2"));
    assert_int_equal(next(&w), ERR_AGAIN);
    assert_int_equal(controllers_next(w.c, &other.pick, &to, on_pick),
                     ERR_AGAIN);
    assert_int_equal(asked, 2);
    answer(1, "10.1.0.2:2");
    assert_int_equal(w.calls + other.calls, 0);
    controllers_cancel(&w.pick);
    controllers_cancel(&w.pick);
    answer(0, "10.1.0.1:1");
    assert_int_equal(w.calls, 0);
    assert_int_equal(other.calls, 1);
    teardown(&w);
}

static void test_closed_while_asking(void **state)
{
    struct world w;
    (void)state;
    setup(&w, SLICE("tulle:1"));
    assert_int_equal(next(&w), ERR_AGAIN);
    controllers_cancel(&w.pick);
    teardown(&w);
    assert_true(fakes[0].canceled);
    assert_int_equal(w.calls, 0);
}

static void bad(slice list, const char *want)
{
    struct world w;
    struct error e = {{0}};
    assert_int_equal(loop_init(&w.loop, 4, &e), OK);
    assert_int_not_equal(controllers_new(&w.c, &w.loop, list, &resolver, &e),
                         OK);
    assert_string_equal(e.text, want);
    loop_fini(&w.loop);
}

static void test_bad(void **state)
{
    (void)state;
    bad(SLICE("10.0.0.1"),
        "controller: '10.0.0.1' is neither IP:port nor name:port");
    bad(SLICE("tulle"), "controller: 'tulle' is neither IP:port nor name:port");
    bad(SLICE("tulle:0"),
        "controller: 'tulle:0' is neither IP:port nor name:port");
    bad(SLICE("tulle:99999"),
        "controller: 'tulle:99999' is neither IP:port nor name:port");
    bad(SLICE("a_b/c:80"),
        "controller: 'a_b/c:80' is neither IP:port nor name:port");
    bad(SLICE(":80"), "controller: ':80' is neither IP:port nor name:port");
    bad(SLICE("a:1,"), "controller: '' is neither IP:port nor name:port");
    bad(SLICE("a:1,a:2,a:3,a:4,10.0.0.1:5,10.0.0.1:6,a:7,a:8,a:9"),
        "controller: more than 8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_given),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_spread),
        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_patience),
        cmocka_unit_test(test_several_wait),
        cmocka_unit_test(test_closed_while_asking),
        cmocka_unit_test(test_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
