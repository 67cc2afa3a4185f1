/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/net/memory_stream.h"
#include "proxy/accept/conduit.h"

enum { FULL = 4 };

/* An application that takes no connection: whoever dials it waits. */
struct deaf {
    int fd, full[FULL];
    struct address at;
};

struct world {
    struct worker w;
    struct config config;
    struct deaf app;
    struct stream *client;
    struct target *target;
    bool client_ended;
};

static void deaf_init(struct deaf *d)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    assert_int_equal(address_parse(SLICE("127.0.0.1:0"), &d->at), OK);
    d->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(d->fd, &d->at.sa, address_len(&d->at)), 0);
    assert_int_equal(listen(d->fd, 0), 0);
    getsockname(d->fd, (struct sockaddr *)&sa, &len);
    address_from(&d->at, (struct sockaddr *)&sa);
    for (int i = 0; i < FULL; i++) {
        d->full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(d->full[i], &d->at.sa, address_len(&d->at));
    }
}

static void deaf_fini(struct deaf *d)
{
    for (int i = 0; i < FULL; i++)
        close(d->full[i]);
    close(d->fd);
}

static void on_data(struct stream *s, const char *ptr, size_t len)
{
    (void)s, (void)ptr, (void)len;
}

static void on_end(struct stream *s)
{
    ((struct world *)s->owner)->client_ended = true;
}

static void on_fail(struct stream *s, enum status why)
{
    (void)why;
    ((struct world *)s->owner)->client_ended = true;
}

static const struct stream_events client_events = {
    .on_data = on_data,
    .on_end = on_end,
    .on_fail = on_fail,
};

static void world_init(struct world *t)
{
    struct error e;
    struct address client;
    struct worker *w = &t->w;
    memset(t, 0, sizeof *t);
    assert_int_equal(loop_init(&w->loop, 8, &e), OK);
    t->config.attempts = 1;
    t->config.connect_timeout = 60 * NSEC_PER_SEC;
    t->config.tcp_idle_timeout = 60 * NSEC_PER_SEC;
    w->config = &t->config;
    w->http[0] = w->http[1] = http_limits_default;
    w->max_requests = 10;
    list_init(&w->connections);
    list_init(&w->holders);
    w->telemetry = telemetry_new(&w->loop, false);
    upstream_init(&w->up, &w->loop);
    w->up.connect_timeout = t->config.connect_timeout;
    w->up.pending_timeout = t->config.connect_timeout;
    w->up.app_limits = w->up.plain_limits = w->http[1];
    w->up.max_pending = w->up.max_pool = 4;
    deaf_init(&t->app);
    assert_int_equal(address_parse(SLICE("10.0.0.9:1"), &client), OK);
    t->target = target_inbound(w, &t->app.at, 80, SLICE_NONE, false, &client);
}

static void turns(struct world *t, int n)
{
    while (n--)
        uv_run(&t->w.loop.uv, UV_RUN_NOWAIT);
}

static void world_fini(struct world *t)
{
    struct worker *w = &t->w;
    while (!list_empty(&w->connections)) {
        struct connection *c = CONTAINER_OF(w->connections.next,
                                            struct connection, node);
        c->close(c);
    }
    if (t->client)
        stream_close(t->client, STREAM_NOW);
    upstream_close(&w->up);
    turns(t, 4);
    target_unref(t->target);
    assert_int_equal(w->up.endpoints.len, 0);
    upstream_fini(&w->up);
    telemetry_free(w->telemetry);
    loop_fini(&w->loop);
    deaf_fini(&t->app);
}

/* A silent client, until the application is being dialled. */
static void start_silent(struct world *t)
{
    struct stream *ours;
    struct conduit_options opt = {.target = t->target, .silence = 1};
    int64_t end = clock_mono_ns() + 10 * NSEC_PER_SEC;
    memory_stream_pair(&t->w.loop, 65536, &ours, &t->client);
    stream_own(t->client, &client_events, t);
    stream_read(t->client, true);
    conduit_start(ours, &opt);
    while (t->target->fixed->load.inflight == 0 && clock_mono_ns() < end)
        turns(t, 1);
    assert_int_equal(t->target->fixed->load.inflight, 1);
}

/* A dial that nobody needs any more counts no longer. */
static void http_after_silence_gives_up_the_dial(void **state)
{
    struct world t;
    (void)state;
    world_init(&t);
    start_silent(&t);
    slice ask = SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    stream_write(t.client, ask.ptr, ask.len);
    turns(&t, 4);
    assert_int_equal(t.target->fixed->load.inflight, 0);
    assert_int_equal(t.target->fixed->waiting, 1); /* the request */
    world_fini(&t);
}

static void client_that_goes_gives_up_the_dial(void **state)
{
    struct world t;
    (void)state;
    world_init(&t);
    start_silent(&t);
    stream_close(t.client, STREAM_RESET);
    turns(&t, 4);
    assert_int_equal(t.target->fixed->load.inflight, 0);
    assert_true(list_empty(&t.w.connections));
    t.client = NULL;
    world_fini(&t);
}

static void worker_that_closes_gives_up_the_dial(void **state)
{
    struct world t;
    (void)state;
    world_init(&t);
    start_silent(&t);
    struct connection *c = CONTAINER_OF(t.w.connections.next, struct connection,
                                        node);
    c->close(c);
    assert_int_equal(t.target->fixed->load.inflight, 0);
    turns(&t, 4);
    assert_true(t.client_ended);
    world_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_after_silence_gives_up_the_dial),
        cmocka_unit_test(client_that_goes_gives_up_the_dial),
        cmocka_unit_test(worker_that_closes_gives_up_the_dial),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
