/* SPDX-License-Identifier: Apache-2.0 */
/* Keys to write, and an API server that answers when the test says so: its
 * kube_send and kube_cancel are here. */
#include "tests/unit/http/talk.h"

#include "controller/status/writes.h"
#include "lib/base/mem.h"

enum { KEYS = 40, SENT_MAX = 4000 };

struct kube {
    struct loop *loop;
};

struct kube_request {
    struct list node;
    kube_done_fn *done;
    void *owner;
    char *path;
};

struct rig {
    struct turner t;
    struct kube kube;
    struct writes *w;
    struct list under_way;
    char *sent[SENT_MAX];
    size_t sent_len, canceled, builds, answers;
    bool refuse;
    enum write_next next; /* what `answer` says */
    const char *nothing;  /* keys that begin so need no write */
};

static struct rig *rig_now;

/* --- the API server --- */

struct loop *kube_loop(const struct kube *k)
{
    return k->loop;
}

enum status kube_send(struct kube *k, const struct kube_call *call,
                      kube_done_fn *done, void *owner,
                      struct kube_request **out)
{
    struct rig *r = rig_now;
    struct kube_request *q;

    (void)k;
    if (r->refuse)
        return ERR_RESOURCES;
    q = MEM_NEW(struct kube_request);
    q->done = done;
    q->owner = owner;
    q->path = mem_str(call->path);
    list_init(&q->node);
    list_push_back(&r->under_way, &q->node);
    assert_true(r->sent_len < SENT_MAX);
    r->sent[r->sent_len++] = mem_str(call->path);
    *out = q;
    return OK;
}

static void request_end(struct kube_request *q)
{
    list_remove(&q->node);
    mem_free(q->path);
    mem_free(q);
}

void kube_cancel(struct kube_request *q)
{
    rig_now->canceled++;
    request_end(q);
}

static size_t under_way(const struct rig *r)
{
    size_t n = 0;

    LIST_EACH(node, &r->under_way) {
        n++;
    }
    return n;
}

/* Answers the oldest. */
static void reply(struct rig *r, enum status rc, int64_t retry_after)
{
    struct kube_request *q = CONTAINER_OF(r->under_way.next,
                                          struct kube_request, node);
    struct kube_request copy = *q;
    struct error e = {"as ordered"};
    struct kube_answer a = {.rc = rc, .retry_after = retry_after, .e = &e};

    assert_false(list_empty(&r->under_way));
    request_end(q);
    copy.done(copy.owner, &a);
}

/* --- the owner --- */

static bool build(void *owner, slice key, struct write_call *out)
{
    struct rig *r = owner;

    r->builds++;
    text_add(&out->path, key);
    return !r->nothing || !slice_starts(key, slice_str(r->nothing));
}

static enum write_next answer(void *owner, slice key,
                              const struct kube_answer *a)
{
    struct rig *r = owner;

    (void)key;
    (void)a;
    r->answers++;
    return r->next;
}

static void rig_init(struct rig *r, uint32_t per_second, uint32_t burst,
                     uint32_t in_flight)
{
    struct writes_options opt = {
        .name = "test",
        .per_second = per_second,
        .burst = burst,
        .in_flight = in_flight,
        .build = build,
        .owner = r,
    };

    *r = (struct rig){0};
    rig_now = r;
    turner_init(&r->t);
    r->kube.loop = &r->t.loop;
    list_init(&r->under_way);
    r->w = writes_new(&r->kube, &opt);
}

static void rig_judges(struct rig *r, enum write_next next)
{
    struct writes_options opt = {.name = "test",
                                 .per_second = 1000,
                                 .burst = 1000,
                                 .in_flight = 10,
                                 .build = build,
                                 .answer = answer,
                                 .owner = r};

    writes_close(r->w);
    r->next = next;
    r->w = writes_new(&r->kube, &opt);
}

static void rig_fini(struct rig *r)
{
    writes_close(r->w);
    assert_true(list_empty(&r->under_way));
    for (size_t i = 0; i < r->sent_len; i++)
        mem_free(r->sent[i]);
    turner_fini(&r->t);
}

static void add(struct rig *r, const char *key)
{
    writes_add(r->w, slice_str(key));
}

static void add_many(struct rig *r, const char *prefix, int n)
{
    for (int i = 0; i < n; i++) {
        char key[32];

        snprintf(key, sizeof key, "%s-%d", prefix, i);
        add(r, key);
    }
}

static void turn_for(struct rig *r, int64_t ns)
{
    int64_t end = clock_mono_ns() + ns;

    while (clock_mono_ns() < end)
        turn(&r->t);
}

/* --- tests --- */

static void the_budget_holds(void **state)
{
    struct rig r;
    int64_t begin;

    (void)state;
    rig_init(&r, 50, 5, 1000);
    writes_pause(r.w, false);
    begin = loop_now(&r.t.loop);
    add_many(&r, "k", KEYS);
    while (r.sent_len < KEYS) {
        double s;

        turn(&r.t);
        s = (double)(loop_now(&r.t.loop) - begin) / NSEC_PER_SEC;
        assert_true((double)r.sent_len <= 5 + 50 * s + 1e-6);
        assert_true(s < 3);
    }
    /* 35 beyond the burst, 50 a second: it is not wasted either. */
    assert_true(loop_now(&r.t.loop) - begin >= 700 * NSEC_PER_MSEC);
    while (under_way(&r))
        reply(&r, OK, 0);
    assert_int_equal(writes_done(r.w), KEYS);
    assert_int_equal(writes_waiting(r.w), 0);
    rig_fini(&r);
}

static void the_budget_is_no_bank(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 20, 3, 1000);
    turn_for(&r, 400 * NSEC_PER_MSEC); /* paused: 8 would fit */
    writes_pause(r.w, false);
    add_many(&r, "k", 10);
    turn_for(&r, 20 * NSEC_PER_MSEC);
    assert_int_equal(r.sent_len, 3);
    rig_fini(&r);
}

static void few_at_once_in_their_order(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1000, 1000, 2);
    writes_pause(r.w, false);
    add(&r, "a");
    add(&r, "b");
    add(&r, "c");
    add(&r, "a"); /* keeps its place, and is one */
    TURN_UNTIL(&r.t, r.sent_len == 2);
    turn_for(&r, 20 * NSEC_PER_MSEC);
    assert_int_equal(r.sent_len, 2);
    assert_int_equal(writes_waiting(r.w), 3);
    reply(&r, OK, 0);
    assert_int_equal(r.sent_len, 3);
    assert_string_equal(r.sent[0], "a");
    assert_string_equal(r.sent[1], "b");
    assert_string_equal(r.sent[2], "c");
    rig_fini(&r);
}

static void what_changes_under_way_is_written_again(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1000, 1000, 2);
    writes_pause(r.w, false);
    add(&r, "a");
    TURN_UNTIL(&r.t, r.sent_len == 1);
    add(&r, "a");
    add(&r, "a");
    turn_for(&r, 20 * NSEC_PER_MSEC);
    assert_int_equal(r.sent_len, 1); /* one write a key at a time */
    reply(&r, OK, 0);
    TURN_UNTIL(&r.t, r.sent_len == 2);
    reply(&r, OK, 0);
    turn_for(&r, 20 * NSEC_PER_MSEC);
    assert_int_equal(r.sent_len, 2);
    assert_int_equal(writes_waiting(r.w), 0);
    rig_fini(&r);
}

static void a_failed_write_comes_again_later(void **state)
{
    struct rig r;
    int64_t begin;

    (void)state;
    rig_init(&r, 1000, 1000, 2);
    writes_pause(r.w, false);
    add(&r, "a");
    TURN_UNTIL(&r.t, r.sent_len == 1);
    begin = loop_now(&r.t.loop);
    reply(&r, ERR_IO, 0);
    add(&r, "a"); /* does not get in front */
    add(&r, "b");
    TURN_UNTIL(&r.t, r.sent_len == 2);
    assert_string_equal(r.sent[1], "b");
    TURN_UNTIL(&r.t, r.sent_len == 3);
    assert_true(loop_now(&r.t.loop) - begin >= 790 * NSEC_PER_MSEC);
    assert_true(loop_now(&r.t.loop) - begin < 1500 * NSEC_PER_MSEC);
    assert_string_equal(r.sent[2], "a");
    assert_int_equal(writes_failed(r.w), 1);
    rig_fini(&r);
}

static void the_server_says_when(void **state)
{
    struct rig r;
    int64_t begin;

    (void)state;
    rig_init(&r, 1000, 1000, 2);
    writes_pause(r.w, false);
    add(&r, "a");
    TURN_UNTIL(&r.t, r.sent_len == 1);
    begin = loop_now(&r.t.loop);
    reply(&r, ERR_RESOURCES, 100 * NSEC_PER_MSEC);
    TURN_UNTIL(&r.t, r.sent_len == 2);
    assert_true(loop_now(&r.t.loop) - begin >= 99 * NSEC_PER_MSEC);
    assert_true(loop_now(&r.t.loop) - begin < 600 * NSEC_PER_MSEC);
    /* Not for ever, though. */
    reply(&r, ERR_RESOURCES, INT64_MAX / 2);
    assert_int_equal(writes_waiting(r.w), 1);
    TURN_UNTIL(&r.t, r.sent_len == 3);
    rig_fini(&r);
}

static void what_is_gone_is_done(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1000, 1000, 2);
    writes_pause(r.w, false);
    add(&r, "a");
    TURN_UNTIL(&r.t, r.sent_len == 1);
    reply(&r, ERR_NOT_FOUND, 0);
    assert_int_equal(writes_waiting(r.w), 0);
    rig_fini(&r);
}

static void the_owner_judges(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1, 1, 1);
    rig_judges(&r, WRITE_DONE);
    writes_pause(r.w, false);
    add(&r, "a");
    TURN_UNTIL(&r.t, r.sent_len == 1);
    reply(&r, ERR_IO, 0);
    assert_int_equal(r.answers, 1);
    assert_int_equal(writes_waiting(r.w), 0);
    r.next = WRITE_RETRY;
    add(&r, "a");
    TURN_UNTIL(&r.t, r.sent_len == 2);
    reply(&r, OK, 0);
    assert_int_equal(writes_waiting(r.w), 1);
    rig_fini(&r);
}

static void what_needs_no_write_costs_nothing(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1, 1, 1);
    r.nothing = "right";
    writes_pause(r.w, false);
    add_many(&r, "right", 1000);
    add(&r, "wrong");
    turn(&r.t);
    while (r.builds == 0)
        turn(&r.t);
    assert_in_range(r.builds, 1, 300); /* a pass has other things to do */
    TURN_UNTIL(&r.t, r.sent_len == 1);
    assert_int_equal(r.builds, 1001);
    assert_int_equal(writes_waiting(r.w), 1);
    rig_fini(&r);
}

static void what_cannot_be_sent_comes_again(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1000, 1000, 2);
    writes_pause(r.w, false);
    r.refuse = true;
    add(&r, "a");
    TURN_UNTIL(&r.t, writes_failed(r.w) == 1);
    r.refuse = false;
    assert_int_equal(writes_waiting(r.w), 1);
    TURN_UNTIL(&r.t, r.sent_len == 1);
    rig_fini(&r);
}

static void pause_keeps_clear_forgets(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1000, 1000, 1);
    add(&r, "a");
    add(&r, "b");
    turn_for(&r, 20 * NSEC_PER_MSEC);
    assert_int_equal(r.sent_len, 0);
    writes_pause(r.w, false);
    TURN_UNTIL(&r.t, r.sent_len == 1);
    writes_pause(r.w, true);
    reply(&r, OK, 0);
    turn_for(&r, 20 * NSEC_PER_MSEC);
    assert_int_equal(r.sent_len, 1);
    assert_int_equal(writes_waiting(r.w), 1);
    writes_clear(r.w);
    writes_pause(r.w, false);
    turn_for(&r, 20 * NSEC_PER_MSEC);
    assert_int_equal(r.sent_len, 1);
    assert_int_equal(writes_waiting(r.w), 0);
    rig_fini(&r);
}

static void clear_while_under_way(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1, 1, 1);
    rig_judges(&r, WRITE_RETRY);
    writes_pause(r.w, false);
    add(&r, "a");
    add(&r, "b");
    TURN_UNTIL(&r.t, r.sent_len == 2);
    writes_clear(r.w);
    add(&r, "b"); /* wanted once more */
    reply(&r, ERR_IO, 0);
    assert_int_equal(r.answers, 0); /* nobody asked any more */
    assert_int_equal(writes_waiting(r.w), 1);
    r.next = WRITE_DONE;
    reply(&r, OK, 0);
    assert_int_equal(r.answers, 1);
    TURN_UNTIL(&r.t, r.sent_len == 3);
    assert_string_equal(r.sent[2], "b");
    rig_fini(&r);
}

/* After the Nth turn of a life with all that can happen in it. */
static void close_at_every_turn(void **state)
{
    (void)state;
    for (int n = 0; n < 20; n++) {
        struct rig r;
        size_t before;

        rig_init(&r, 500, 4, 3);
        r.nothing = "right";
        writes_pause(r.w, false);
        add_many(&r, "k", 5);
        add_many(&r, "right", 3);
        for (int i = 0; i < n; i++) {
            turn(&r.t);
            if (i % 3 == 1 && under_way(&r))
                reply(&r, i % 2 ? ERR_IO : OK, 5 * NSEC_PER_MSEC);
            if (i == 7)
                writes_clear(r.w);
            if (i % 4 == 3)
                add_many(&r, "k", 4);
        }
        before = under_way(&r);
        writes_close(r.w);
        r.w = NULL;
        assert_int_equal(r.canceled, before);
        turn(&r.t);
        rig_fini(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_budget_holds),
        cmocka_unit_test(the_budget_is_no_bank),
        cmocka_unit_test(few_at_once_in_their_order),
        cmocka_unit_test(what_changes_under_way_is_written_again),
        cmocka_unit_test(a_failed_write_comes_again_later),
        cmocka_unit_test(the_server_says_when),
        cmocka_unit_test(what_is_gone_is_done),
        cmocka_unit_test(the_owner_judges),
        cmocka_unit_test(what_needs_no_write_costs_nothing),
        cmocka_unit_test(what_cannot_be_sent_comes_again),
        cmocka_unit_test(pause_keeps_clear_forgets),
        cmocka_unit_test(clear_while_under_way),
        cmocka_unit_test(close_at_every_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
