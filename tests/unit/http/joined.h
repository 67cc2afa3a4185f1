/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: a client and a server connection joined by streams in memory, of
 * either version. No sockets; a turn never waits. */
#ifndef TULLE_TESTS_JOINED_H
#define TULLE_TESTS_JOINED_H

#include "lib/base/text.h"
#include "lib/net/memory_stream.h"
#include "tests/unit/http/talk.h"

enum version { H1, H2, VERSIONS };

struct joined {
    struct loop loop;
    struct http_limits limits;
    struct stream *client_end, *server_end;
    struct http_conn *client, *server; /* NULL once closed */
    enum status client_why, server_why;
    unsigned ready, draining;
    struct answers answers;
    http_server_fn *handler;
    void *handler_arg;
};

UNUSED static void joined_turn(struct joined *j)
{
    uv_run(&j->loop.uv, UV_RUN_NOWAIT);
}

UNUSED static void joined_turns(struct joined *j, int n)
{
    while (n-- > 0)
        joined_turn(j);
}

/* Turns until `cond`; what does not come within so many turns never comes. */
#define JOINED_UNTIL(j, cond)                                   \
    do {                                                        \
        for (int turn_ = 0; turn_ < 100000 && !(cond); turn_++) \
            joined_turn(j);                                     \
        assert_true(cond);                                      \
    } while (0)

static void joined_on_exchange(struct http_conn *c, struct exchange *x)
{
    struct joined *j = c->owner;
    j->handler(j->handler_arg, x, NULL);
}

static void joined_on_ready(struct http_conn *c)
{
    struct joined *j = c->owner;
    j->ready++;
}

static void joined_on_draining(struct http_conn *c)
{
    struct joined *j = c->owner;
    j->draining++;
}

static void joined_client_closed(struct http_conn *c, enum status why)
{
    struct joined *j = c->owner;
    assert_ptr_equal(j->client, c);
    j->client = NULL;
    j->client_why = why;
}

static void joined_server_closed(struct http_conn *c, enum status why)
{
    struct joined *j = c->owner;
    assert_ptr_equal(j->server, c);
    j->server = NULL;
    j->server_why = why;
}

static const struct http_conn_events joined_client_events = {
    .on_ready = joined_on_ready,
    .on_draining = joined_on_draining,
    .on_closed = joined_client_closed,
};

static const struct http_conn_events joined_server_events = {
    .on_exchange = joined_on_exchange,
    .on_draining = joined_on_draining,
    .on_closed = joined_server_closed,
};

/* The loop and both ends of a stream; j->limits may be changed before the
 * connections are made. */
UNUSED static void joined_streams(struct joined *j, size_t window, size_t piece)
{
    struct error e;
    *j = (struct joined){.limits = http_limits_default};
    assert_int_equal(loop_init(&j->loop, 16, &e), OK);
    j->handler = answers_take;
    j->handler_arg = &j->answers;
    memory_stream_pair(&j->loop, window, &j->client_end, &j->server_end);
    memory_stream_slice(j->client_end, piece);
    memory_stream_slice(j->server_end, piece);
}

UNUSED static void joined_serve(struct joined *j, enum version v)
{
    j->server = (v == H1 ? h1_server_new : h2_link_server_new)(
        &j->loop, j->server_end, &j->limits, SLICE_NONE, &joined_server_events,
        j);
}

UNUSED static void joined_connect(struct joined *j, enum version v)
{
    j->client = (v == H1 ? h1_client_new : h2_link_client_new)(
        &j->loop, j->client_end, &j->limits, &joined_client_events, j);
}

UNUSED static void joined_init(struct joined *j, enum version v, size_t piece)
{
    joined_streams(j, 65536, piece);
    joined_serve(j, v);
    joined_connect(j, v);
}

UNUSED static void joined_fini(struct joined *j)
{
    if (j->client)
        http_conn_close(j->client, OK);
    if (j->server)
        http_conn_close(j->server, OK);
    joined_turns(j, 3);
    assert_int_equal(j->answers.begun, j->answers.done + j->answers.resets);
    loop_fini(&j->loop);
}

/* ---- a peer that says what it likes ---- */

struct raw {
    struct stream *s;
    struct text got;
    bool ended, failed;
};

UNUSED static void raw_data(struct stream *s, const char *ptr, size_t len)
{
    struct raw *w = s->owner;
    text_add(&w->got, slice_of(ptr, len));
}
UNUSED static void raw_end(struct stream *s)
{
    struct raw *w = s->owner;
    w->ended = true;
}
UNUSED static void raw_fail(struct stream *s, enum status why)
{
    struct raw *w = s->owner;
    (void)why;
    w->failed = true;
}
static const struct stream_events raw_stream_events = {
    .on_data = raw_data, .on_end = raw_end, .on_fail = raw_fail};

UNUSED static void raw_init(struct raw *w, struct stream *s)
{
    *w = (struct raw){.s = s};
    text_init(&w->got, 1 << 24);
    stream_own(s, &raw_stream_events, w);
    stream_read(s, true);
}
UNUSED static void raw_fini(struct raw *w)
{
    if (w->s)
        stream_close(w->s, STREAM_NOW);
    w->s = NULL;
    text_fini(&w->got);
}
UNUSED static void raw_say(struct raw *w, const char *what)
{
    stream_write(w->s, what, strlen(what));
}
UNUSED static bool raw_has(const struct raw *w, const char *what)
{
    return w->got.len &&
           memmem(w->got.ptr, w->got.len, what, strlen(what)) != NULL;
}
/* How often. */
UNUSED static unsigned raw_count(const struct raw *w, const char *what)
{
    unsigned n = 0;
    slice at = slice_of(w->got.ptr, w->got.len);
    const char *hit;
    while (at.len && (hit = memmem(at.ptr, at.len, what, strlen(what)))) {
        n++;
        at = slice_sub(at, (size_t)(hit - at.ptr) + strlen(what), at.len);
    }
    return n;
}

#endif
