/* SPDX-License-Identifier: Apache-2.0 */
/* Request and response at once, both versions: a request that goes on after its
 * response, and one whose end is the beginning of a tunnel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/http/joined.h"

static const size_t pieces[] = {1, 2, 3, 5, 7, 9, 10, 13, 17, 100, 1000, 0};
enum { PIECES = sizeof pieces / sizeof *pieces };

/* Runs `fn` for both versions and every size of piece. */
static void each(void (*fn)(enum version v, size_t piece))
{
    for (int v = H1; v < VERSIONS; v++)
        for (size_t i = 0; i < PIECES; i++)
            fn((enum version)v, pieces[i]);
}

static void sent(struct exchange *x, size_t n)
{
    (void)x, (void)n;
}

/* ---- a response that ends first ---- */

/* The response has ended, the request goes on: to its end, or until the server
 * has had enough. */
struct late {
    struct exchange *x;
    uint64_t got;
    bool ended, done, reset;
};

static void late_head(struct exchange *x, const struct head *h, bool end)
{
    struct late *l = x->owner;
    (void)h;
    l->x = x;
    l->ended = end;
    exchange_keep_rest(x);
    exchange_reply(x, 200, SLICE("text/plain"), SLICE("hello"), NULL);
}
static void late_body(struct exchange *x, slice data, bool end)
{
    struct late *l = x->owner;
    l->got += data.len;
    l->ended |= end;
    exchange_consumed(x, data.len);
}
static void late_trailers(struct exchange *x, const struct headers *t)
{
    (void)t;
    late_body(x, SLICE_NONE, true);
}
static void late_reset(struct exchange *x, enum reset_why why)
{
    struct late *l = x->owner;
    (void)why;
    l->reset = true;
    l->x = NULL;
}
static void late_done(struct exchange *x)
{
    struct late *l = x->owner;
    assert_int_equal(l->ended, x->end_in);
    l->done = true;
    l->x = NULL;
}
static const struct exchange_events late_events = {
    .on_head = late_head,
    .on_body = late_body,
    .on_trailers = late_trailers,
    .on_sent = sent,
    .on_reset = late_reset,
    .on_done = late_done,
};
static void late_take(void *arg, struct exchange *x,
                      const struct tls_peer *peer)
{
    (void)peer;
    exchange_own(x, &late_events, arg);
}

enum { LATE_ENDS, LATE_DROPPED, LATE_CUT, LATE_WAYS };

static void request_goes_on(enum version v, size_t piece, int way)
{
    struct joined j;
    struct header fields[1];
    struct head h;
    struct late late = {0};
    struct call c = {.at_once = 1}, again = {.at_once = 1};
    joined_init(&j, v, piece);
    j.handler = late_take;
    j.handler_arg = &late;
    head_init_request(&h, SLICE("POST"), SLICE("test"), SLICE("/"), fields, 1);
    assert_true(call_start_head(&c, j.client, &h, false));
    exchange_send_body(c.x, SLICE("first"), false);
    JOINED_UNTIL(&j, c.ends == 1 && late.got == 5);
    assert_false(c.done || late.done);
    exchange_send_body(c.x, SLICE("second"), false);
    JOINED_UNTIL(&j, late.got == 11);
    if (way == LATE_ENDS)
        exchange_send_body(c.x, SLICE("third"), true);
    else if (way == LATE_DROPPED)
        exchange_drop_rest(late.x);
    else
        http_conn_close(j.server, ERR_CANCELED);
    JOINED_UNTIL(&j, c.done && late.done);
    assert_false(c.reset || late.reset);
    assert_int_equal(late.ended, way == LATE_ENDS);
    assert_int_equal(c.received, 5);
    if (way == LATE_ENDS || (way == LATE_DROPPED && v == H2)) {
        late = (struct late){0};
        assert_true(call_start(&again, j.client, SLICE("/")));
        JOINED_UNTIL(&j, again.done);
    }
    joined_fini(&j);
}

static void each_request_goes_on(enum version v, size_t piece)
{
    for (int way = 0; way < LATE_WAYS; way++)
        request_goes_on(v, piece, way);
}

static void test_request_goes_on(void **state)
{
    (void)state;
    each(each_request_goes_on);
}

/* ---- an upgrade of a request with a body ---- */

enum { UP_BODY = 5000, UP_TUNNEL = 3000 };

struct up {
    struct exchange *x;
    uint64_t body, tunnel, sent;
    int64_t length;
    bool early, ended, over, tunnel_ended, bad;
};

static void up_grant(struct exchange *x)
{
    struct header fields[1];
    struct head out;
    head_init_response(&out, 101, fields, 1);
    out.upgrade = true;
    out.protocol = SLICE("foo/2");
    exchange_send_head(x, &out, false);
}

static void up_head(struct exchange *x, const struct head *h, bool end)
{
    struct up *u = x->owner;
    assert_false(end);
    u->length = h->content_length;
    assert_true(slice_eq(h->protocol, SLICE("foo/2, bar")));
    assert_true(slice_eq(h->method, SLICE("POST")));
    if (u->early)
        up_grant(x);
}

static void up_body(struct exchange *x, slice data, bool end)
{
    struct up *u = x->owner;
    uint64_t *got = u->ended ? &u->tunnel : &u->body;
    u->bad |= !body_check(data, *got);
    *got += data.len;
    exchange_consumed(x, data.len);
    if (u->ended && data.len)
        exchange_send_body(x, data, false);
    if (!end)
        return;
    if (u->ended) {
        exchange_send_body(x, SLICE_NONE, true);
        return;
    }
    u->ended = true;
    if (!u->early)
        up_grant(x);
}

static void up_trailers(struct exchange *x, const struct headers *t)
{
    (void)t;
    up_body(x, SLICE_NONE, true);
}

static void up_done(struct exchange *x)
{
    struct up *u = x->owner;
    u->over = true;
}

static void up_reset(struct exchange *x, enum reset_why why)
{
    struct up *u = x->owner;
    (void)why;
    u->bad = u->over = true;
}

static const struct exchange_events up_events = {
    .on_head = up_head,
    .on_body = up_body,
    .on_trailers = up_trailers,
    .on_sent = sent,
    .on_reset = up_reset,
    .on_done = up_done,
};

static void up_take(void *arg, struct exchange *x, const struct tls_peer *peer)
{
    (void)peer;
    exchange_own(x, &up_events, arg);
}

static void upgrade_with_body(enum version v, size_t piece, bool sized,
                              bool early)
{
    static char body[UP_BODY];
    struct joined j;
    struct header fields[2];
    struct head h;
    struct up up = {.early = early};
    struct call c = {.at_once = 1};
    body_fill(body, 0, sizeof body);
    joined_init(&j, v, piece);
    j.handler = up_take;
    j.handler_arg = &up;
    head_init_request(&h, SLICE("POST"), SLICE("test"), SLICE("/"), fields, 2);
    h.upgrade = true;
    h.protocol = SLICE("foo/2, bar");
    h.content_length = sized ? UP_BODY : -1;
    assert_true(call_start_head(&c, j.client, &h, false));
    exchange_send_body(c.x, slice_of(body, 100), false);
    joined_turns(&j, 50);
    assert_int_equal(c.status, early && piece == 0 ? 101 : c.status);
    exchange_send_body(c.x, slice_of(body + 100, UP_BODY - 100), true);
    JOINED_UNTIL(&j, c.status && up.ended);
    assert_int_equal(c.status, 101);
    assert_true(c.x->tunnel);
    c.credited = c.sent = 0;
    c.to_send = UP_TUNNEL;
    call_push(&c);
    JOINED_UNTIL(&j, c.done || c.reset);
    assert_true(c.done && up.over);
    assert_int_equal(up.body, UP_BODY);
    assert_int_equal(up.length, h.content_length);
    assert_int_equal(up.tunnel, UP_TUNNEL);
    assert_int_equal(c.received, UP_TUNNEL);
    assert_false(up.bad);
    joined_fini(&j);
}

static void each_upgrade_with_body(enum version v, size_t piece)
{
    for (int i = 0; i < 4; i++)
        upgrade_with_body(v, piece, i & 1, i & 2);
}

static void test_upgrade_with_body(void **state)
{
    (void)state;
    each(each_upgrade_with_body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_goes_on),
        cmocka_unit_test(test_upgrade_with_body),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
