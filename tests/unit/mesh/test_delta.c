/* SPDX-License-Identifier: Apache-2.0 */
/* A delta applied is the snapshot, whatever changed; and nothing else passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "lib/base/rand.h"
#include "lib/mesh/wire.h"

enum { ADDRESSES = 60 };

/* What may be in a view: slot i is address i. */
struct world {
    bool here[ADDRESSES];
    struct backend_endpoint at[ADDRESSES];
};

static const struct world empty; /* nothing anywhere */

static void put_slot(struct world *w, struct rand *r, int i)
{
    static const char *const identities[] = {"", "spiffe://td/ns/shop/sa/a",
                                             "spiffe://td/ns/shop/sa/b"};
    static const char *const zones[] = {"", "a", "b"};

    w->here[i] = true;
    w->at[i].identity = slice_str(identities[rand_below(r, 3)]);
    w->at[i].zone = slice_str(zones[rand_below(r, 3)]);
    w->at[i].pod = rand_below(r, 2) ? SLICE("shop/pod") : SLICE_NONE;
    w->at[i].weight = 1 + (uint32_t)rand_below(r, 3);
    w->at[i].protocol = (enum protocol)rand_below(r, PROTOCOLS);
    w->at[i].state = (enum endpoint_state)rand_below(r, 2);
}

static void change(struct world *w, struct rand *r, uint64_t changes)
{
    while (changes--) {
        int i = (int)rand_below(r, ADDRESSES);
        if (rand_below(r, 3) == 0)
            w->here[i] = false;
        else
            put_slot(w, r, i);
    }
}

static struct view *view_of(const struct world *w)
{
    struct view *v = view_new(VIEW_BACKEND, SLICE("shop/cart:80"));
    struct backend_view *b = &v->backend;
    struct text t;

    b->service = SLICE("shop/cart:80");
    b->endpoints = arena_alloc(&v->arena, ADDRESSES * sizeof *b->endpoints);
    for (int i = 0; i < ADDRESSES; i++) {
        struct backend_endpoint *p = &b->endpoints[b->endpoints_len];
        char address[32];
        if (!w->here[i])
            continue;
        *p = w->at[i];
        snprintf(address, sizeof address, "10.0.0.%d:80", i);
        assert_int_equal(arena_copy(&v->arena, slice_str(address), &p->address),
                         OK);
        b->endpoints_len++;
    }
    text_init(&t, VIEW_BYTES_MAX);
    view_encode(v, &t); /* sorts: 10.0.0.10 is before 10.0.0.2 */
    text_fini(&t);
    return v;
}

/* old -> delta -> line -> delta -> apply, and compares with the snapshot. */
static void check(struct view *old, struct view *new_, const struct delta *d)
{
    struct msg m = {.type = MSG_DELTA, .key = old->key, .delta = *d}, back;
    struct text line, a, b;
    struct view *got = NULL;
    struct error e = {""};

    text_init(&line, WIRE_LINE_MAX);
    text_init(&a, VIEW_BYTES_MAX);
    text_init(&b, VIEW_BYTES_MAX);
    msg_encode(&m, &line);
    if (msg_decode(slice_sub(text_slice(&line), 0, line.len - 1), &back, &e))
        fail_msg("%s", e.text);
    if (delta_apply(old, &back.delta, &got, &e))
        fail_msg("%s", e.text);
    msg_fini(&back);
    view_encode(got, &a);
    view_encode(new_, &b);
    assert_true(slice_eq(text_slice(&a), text_slice(&b)));
    assert_string_equal(got->hash, new_->hash);
    view_unref(got);
    text_fini(&line);
    text_fini(&a);
    text_fini(&b);
}

static void test_random_changes(void **state UNUSED)
{
    struct world w = empty;
    int deltas = 0, snapshots = 0;
    struct view *old, *new_;
    struct rand r;

    rand_seed(&r, 20260);
    change(&w, &r, 100);
    old = view_of(&w);
    for (int round = 0; round < 500; round++) {
        struct arena a;
        struct delta d;
        change(&w, &r, rand_below(&r, round % 10 ? 8 : 2000));
        new_ = view_of(&w);
        arena_init(&a, VIEW_BYTES_MAX);
        if (delta_make(old, new_, &a, &d)) {
            check(old, new_, &d);
            deltas++;
        } else {
            snapshots++;
        }
        arena_reset(&a);
        view_unref(old);
        old = new_;
    }
    view_unref(old);
    assert_true(deltas > 300);
    assert_true(snapshots > 10);
}

/* Two views of all addresses, the second with one changed and one gone. */
static void make_pair(struct view **old, struct view **new_)
{
    struct world w = empty;
    struct rand r;

    rand_seed(&r, 1);
    for (int i = 0; i < ADDRESSES; i++)
        put_slot(&w, &r, i);
    *old = view_of(&w);
    w.at[5].weight += 7;
    w.here[6] = false;
    *new_ = view_of(&w);
}

static void test_says_only_what_changed(void **state UNUSED)
{
    struct view *old, *new_;
    struct arena a;
    struct delta d;

    make_pair(&old, &new_);
    arena_init(&a, VIEW_BYTES_MAX);
    assert_true(delta_make(old, new_, &a, &d));
    assert_int_equal(d.put_len, 1);
    assert_true(slice_eq(d.put[0].address, SLICE("10.0.0.5:80")));
    assert_int_equal(d.gone_len, 1);
    assert_true(slice_eq(d.gone[0], SLICE("10.0.0.6:80")));
    assert_true(slice_eq(d.base, slice_str(old->hash)));
    assert_true(slice_eq(d.hash, slice_str(new_->hash)));
    arena_reset(&a);
    view_unref(old);
    view_unref(new_);
}

static void test_what_a_delta_cannot_say_needs_a_snapshot(void **state UNUSED)
{
    struct view *old, *new_, *other = view_new(VIEW_WORKLOAD, SLICE_NONE);
    struct arena a;
    struct delta d;

    make_pair(&old, &new_);
    arena_init(&a, VIEW_BYTES_MAX);
    assert_false(delta_make(old, other, &a, &d));
    assert_false(delta_make(other, new_, &a, &d));
    new_->backend.service = SLICE("shop/other:80");
    assert_false(delta_make(old, new_, &a, &d));
    new_->backend.service = SLICE("shop/cart:80");
    new_->needs = &(slice){"x", 1};
    new_->needs_len = 1;
    assert_false(delta_make(old, new_, &a, &d));
    new_->needs_len = 0;
    old->hash[0] = 0;
    assert_false(delta_make(old, new_, &a, &d));
    arena_reset(&a);
    view_unref(old);
    view_unref(new_);
    view_unref(other);
}

static void apply_refused(struct view *old, const struct delta *d,
                          const char *sentence)
{
    struct view *got = NULL;
    struct error e = {""};

    assert_int_equal(delta_apply(old, d, &got, &e), ERR_INVALID);
    assert_null(got);
    assert_true(slice_starts(slice_str(e.text), slice_str(sentence)));
}

static void test_a_wrong_delta_is_refused(void **state UNUSED)
{
    struct view *old, *new_, *other = view_new(VIEW_WORKLOAD, SLICE_NONE);
    struct backend_endpoint swapped[2];
    struct arena a;
    struct delta d, bad;

    make_pair(&old, &new_);
    arena_init(&a, VIEW_BYTES_MAX);
    assert_true(delta_make(old, new_, &a, &d));
    apply_refused(other, &d, "a delta for a workload view");
    apply_refused(new_, &d, "a delta on ");
    bad = d;
    bad.gone_len = 0;
    apply_refused(old, &bad, "the result has hash ");
    bad = d;
    bad.put_len = 0;
    apply_refused(old, &bad, "the result has hash ");
    /* Not as the decoder would let it pass: out of order, twice. */
    swapped[0] = old->backend.endpoints[9];
    swapped[1] = old->backend.endpoints[2];
    bad = d;
    bad.put = swapped;
    bad.put_len = 2;
    apply_refused(old, &bad, "the result has hash ");
    arena_reset(&a);
    view_unref(old);
    view_unref(new_);
    view_unref(other);
}

static void test_needs_outlive_a_delta(void **state UNUSED)
{
    struct view *old, *new_, *got = NULL;
    slice need = SLICE("backend-delta/1");
    struct arena a;
    struct delta d;

    make_pair(&old, &new_);
    old->needs = new_->needs = &need;
    old->needs_len = new_->needs_len = 1;
    arena_init(&a, VIEW_BYTES_MAX);
    assert_true(delta_make(old, new_, &a, &d));
    assert_int_equal(delta_apply(old, &d, &got, NULL), OK);
    view_unref(old);
    assert_int_equal(got->needs_len, 1);
    assert_true(slice_eq(got->needs[0], need));
    assert_true(slice_eq(got->key, SLICE("shop/cart:80")));
    arena_reset(&a);
    view_unref(new_);
    view_unref(got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_changes),
        cmocka_unit_test(test_says_only_what_changed),
        cmocka_unit_test(test_what_a_delta_cannot_say_needs_a_snapshot),
        cmocka_unit_test(test_a_wrong_delta_is_refused),
        cmocka_unit_test(test_needs_outlive_a_delta),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
