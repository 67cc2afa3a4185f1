/* SPDX-License-Identifier: Apache-2.0 */
/* head -> /live, /ready: answered at once
 *      -> a probe: the application is asked, and the answer waits for it; should
 *         the kubelet go, so does the question
 *      -> anything else: 404, 405
 *
 * For a lifecycle hook every status is a success to the kubelet: what we refuse of
 * hooks ends with a reset, and a line in the log. */
#include "proxy/admin/health.h"

#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/http/conn.h"
#include "lib/net/listener.h"
#include "proxy/admin/ask.h"

static struct log_area area = LOG_AREA("health");
static const struct log log_ = {.area = &area};

enum {
    STRANGERS_MAX = 64, /* connections of anybody; more are closed at once */
    CALLERS_MAX =
        256,        /* with those of the node: nobody keeps the kubelet out */
    ASKS_MAX = 128, /* questions under way: they cost descriptors */
    ASKS_EACH = 4,  /* of one probe; the kubelet has one */
    REASON_MAX = 512,
};
static const int64_t SLOW = 5 * NSEC_PER_SEC;
/* Anybody can make us refuse: one line says it for that long. */
static const int64_t QUIET = 10 * NSEC_PER_SEC;
static const int64_t USER_TIMEOUT = 30 * NSEC_PER_SEC;

struct health {
    struct health_options opt;
    struct loop *loop;
    struct http_limits limits;
    struct listener *listeners[HEALTH_LISTENERS];
    unsigned listeners_len;
    struct list callers;
    unsigned callers_len, strangers;
    struct tls_settings *tls; /* for https probes */
    uint8_t asks_each[PROBES_MAX];
    unsigned asks;
    int64_t quiet_until; /* loop time */
    struct reap reap;
};

/* Who has a connection to us. */
struct caller {
    struct list node;
    struct health *health;
    struct http_conn *conn;
    bool from_node;
    struct reap reap;
};

/* A probe's request, in its exchange's arena. */
struct asking {
    struct health *health;
    struct exchange *x;
    const struct probe *probe;
    struct ask *ask;
};

static void reply(struct exchange *x, unsigned status, const char *line)
{
    struct text t;
    text_init(&t, REASON_MAX + 2);
    text_add(&t, slice_sub(slice_str(line), 0, REASON_MAX));
    text_add_char(&t, '\n');
    exchange_reply(x, status, SLICE("text/plain; charset=utf-8"),
                   text_slice(&t), NULL);
    text_fini(&t);
}

static bool is_hook(slice path)
{
    return slice_starts(path, SLICE("/hook/"));
}

static void refuse(struct health *h, struct exchange *x, slice path,
                   unsigned status, const char *why)
{
    int64_t now = loop_now(h->loop);

    if (!is_hook(path)) {
        reply(x, status, why);
        return;
    }
    if (now >= h->quiet_until)
        log_warn(&log_, "lifecycle hook refused", "path=%.*s why=\"%s\"",
                 FMT(slice_sub(path, 0, PROBE_PATH_MAX)), why);
    h->quiet_until = now >= h->quiet_until ? now + QUIET : h->quiet_until;
    exchange_reset(x, RESET_CONNECTION);
}

/* ---- the request, after its head ---- */

static void on_late_head(struct exchange *x, const struct head *h, bool end)
{
    (void)x, (void)h, (void)end;
}

static void on_body(struct exchange *x, slice data, bool end)
{
    (void)end;
    exchange_consumed(x, data.len);
}

static void on_trailers(struct exchange *x, const struct headers *t)
{
    (void)x, (void)t;
}

static void on_sent(struct exchange *x, size_t n)
{
    (void)x, (void)n;
}

static void on_reset(struct exchange *x, enum reset_why why)
{
    (void)x, (void)why;
}

static void on_done(struct exchange *x)
{
    (void)x;
}

/* Answered: what still comes is dropped. */
static const struct exchange_events answered_events = {
    .on_head = on_late_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = on_sent,
    .on_reset = on_reset,
    .on_done = on_done,
};

/* ---- probes ---- */

static uint8_t *count_of(const struct asking *a)
{
    return &a->health->asks_each[a->probe - a->health->opt.probes->at];
}

static void let_go(struct asking *a)
{
    a->ask = NULL;
    a->health->asks--;
    --*count_of(a);
    exchange_own(a->x, &answered_events, NULL);
}

static void on_answer(void *arg, bool good, const char *why)
{
    struct asking *a = arg;
    struct exchange *x = a->x;
    bool hook = a->probe->hook;
    let_go(a);
    if (!good && hook)
        exchange_reset(x, RESET_CONNECTION);
    else
        reply(x, good ? 200 : 503, why);
}

static void on_asker_reset(struct exchange *x, enum reset_why why)
{
    struct asking *a = x->owner;
    (void)why;
    ask_cancel(a->ask);
    let_go(a);
}

static void on_asker_done(struct exchange *x)
{
    on_asker_reset(x, RESET_CANCELED);
}

static const struct exchange_events asking_events = {
    .on_head = on_late_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = on_sent,
    .on_reset = on_asker_reset,
    .on_done = on_asker_done,
};

static void serve_probe(struct health *h, struct exchange *x,
                        const struct probe *p)
{
    struct asking *a = arena_alloc(&x->arena, sizeof *a);
    if (!a) {
        refuse(h, x, p->path, 503, "out of memory");
        return;
    }
    *a = (struct asking){.health = h, .x = x, .probe = p};
    if (h->asks >= ASKS_MAX || *count_of(a) >= ASKS_EACH) {
        refuse(h, x, p->path, 503, "too many ask at once");
        return;
    }
    h->asks++;
    ++*count_of(a);
    exchange_own(x, &asking_events, a);
    ask_start(&a->ask, h->loop, p, &h->opt.pod, h->tls, on_answer, a);
}

/* ---- pages ---- */

static void serve_ready(struct health *h, struct exchange *x)
{
    struct text why;
    text_init(&why, REASON_MAX);
    if (h->opt.ready(h->opt.arg, &why))
        reply(x, 200, "ready");
    else
        reply(x, 503, text_cstr(&why));
    text_fini(&why);
}

static void on_head(struct exchange *x, const struct head *head, bool end)
{
    const struct caller *c = x->owner;
    struct health *h = c->health;
    slice path = head->path, query;
    bool get = head->method_id == HTTP_GET || head->method_id == HTTP_HEAD;
    (void)end;
    (void)slice_cut(path, '?', &path, &query);
    exchange_own(x, &answered_events, NULL);
    const struct probe *p = probes_find(h->opt.probes, path);
    bool live = slice_eq(path, SLICE("/live"));
    bool ready = slice_eq(path, SLICE("/ready"));
    if (!p && !live && !ready)
        refuse(h, x, path, 404, "no such page");
    else if (!get)
        refuse(h, x, path, 405, "this page only knows GET");
    else if (p && p->hook && !c->from_node)
        refuse(h, x, path, 403, "hooks are for the node alone");
    else if (live)
        reply(x, 200, "live");
    else if (ready)
        serve_ready(h, x);
    else
        serve_probe(h, x, p);
}

static const struct exchange_events head_events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = on_sent,
    .on_reset = on_reset,
    .on_done = on_done,
};

/* ---- connections ---- */

static void on_exchange(struct http_conn *conn, struct exchange *x)
{
    exchange_own(x, &head_events, conn->owner);
}

static void free_caller(struct reap *r)
{
    mem_free(CONTAINER_OF(r, struct caller, reap));
}

static void on_closed(struct http_conn *conn, enum status why)
{
    struct caller *c = conn->owner;
    (void)why;
    list_remove(&c->node);
    c->health->callers_len--;
    if (!c->from_node)
        c->health->strangers--;
    loop_reap(c->health->loop, &c->reap, free_caller);
}

static const struct http_conn_events conn_events = {
    .on_exchange = on_exchange,
    .on_closed = on_closed,
};

static void on_accept(void *owner, int fd, const struct address *from)
{
    struct health *h = owner;
    struct stream *s;
    bool node = h->opt.is_node(h->opt.arg, from);
    if (h->callers_len >= CALLERS_MAX ||
        (!node && h->strangers >= STRANGERS_MAX)) {
        close(fd);
        return;
    }
    if (tcp_stream_open(&s, h->loop, fd, USER_TIMEOUT))
        return;
    struct caller *c = MEM_NEW(struct caller);
    c->health = h;
    c->from_node = node;
    list_push_back(&h->callers, &c->node);
    h->callers_len++;
    h->strangers += !node;
    c->conn = h1_server_new(h->loop, s, &h->limits, SLICE_NONE, &conn_events,
                            c);
}

static const struct listener_events listener_events = {.on_accept = on_accept};

/* ---- life ---- */

static void free_health(struct reap *r)
{
    struct health *h = CONTAINER_OF(r, struct health, reap);
    tls_settings_unref(h->tls);
    mem_free(h);
}

void health_close(struct health *h)
{
    if (!h)
        return;
    for (unsigned i = 0; i < h->listeners_len; i++)
        listener_close(h->listeners[i]);
    while (!list_empty(&h->callers))
        http_conn_close(
            CONTAINER_OF(h->callers.next, struct caller, node)->conn,
            ERR_CANCELED); /* on_closed takes it off the list */
    loop_reap(h->loop, &h->reap, free_health);
}

static enum status listen_all(struct health *h, struct error *e)
{
    const struct listener_options lo = {0};
    enum status rc = OK;
    for (unsigned i = 0; i < h->opt.at_len && !rc; i++) {
        rc = listener_open(&h->listeners[i], h->loop, &h->opt.at[i], &lo,
                           &listener_events, h, e);
        if (!rc)
            h->listeners_len++;
    }
    return rc;
}

enum status health_start(struct health **out, struct loop *l,
                         const struct health_options *opt, struct error *e)
{
    const struct tls_options anybody = {.role = TLS_CLIENT, .any_peer = true};
    struct health *h = MEM_NEW(struct health);
    h->opt = *opt;
    h->loop = l;
    list_init(&h->callers);
    h->limits = http_limits_default;
    h->limits.head_timeout = SLOW;
    h->limits.idle_timeout = SLOW;
    enum status rc = tls_settings_new(&h->tls, &anybody, NULL, SLICE_NONE, e);
    if (!rc)
        rc = listen_all(h, e);
    h->opt.at = NULL; /* was borrowed */
    if (rc) {
        health_close(h);
        return error_prefix(e, rc, "health");
    }
    *out = h;
    return OK;
}

const struct address *health_address(const struct health *h, unsigned i)
{
    return listener_address(h->listeners[i]);
}
