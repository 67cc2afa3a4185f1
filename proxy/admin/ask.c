/* SPDX-License-Identifier: Apache-2.0 */
/* dial -> (TLS ->) request -> status of the response.
 *
 * Good are: for tcp a connection, for http and https a status from 200 to 399 (a
 * redirect is an answer, not an errand), for a hook any status. The time-out ends
 * each step. */
#include "proxy/admin/ask.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/http/conn.h"
#include "lib/net/dial.h"
#include "lib/tls/tls_stream.h"

enum { WHY_MAX = 200, FIELDS = PROBE_HEADERS_MAX + 3 };
static const int64_t USER_TIMEOUT = 30 * NSEC_PER_SEC;

struct ask {
    struct loop *loop;
    const struct probe *probe;
    struct address to;
    struct tls_settings *tls;
    struct http_limits limits;
    struct timer timer;
    struct tcp_dial *dial;
    struct tls_handshake *handshake;
    struct http_conn *conn;
    struct exchange *x;
    ask_fn *done; /* NULL once called or canceled */
    void *arg;
    struct reap reap;
};

static void free_ask(struct reap *r)
{
    struct ask *a = CONTAINER_OF(r, struct ask, reap);
    tls_settings_unref(a->tls);
    mem_free(a);
}

/* Whatever is under way ends, without a further word. */
static void stop(struct ask *a)
{
    struct exchange *x = a->x;
    struct http_conn *conn = a->conn;
    a->done = NULL;
    a->x = NULL;
    a->conn = NULL;
    timer_stop(&a->loop->timers, &a->timer);
    if (a->dial)
        tcp_dial_cancel(a->dial);
    if (a->handshake)
        tls_handshake_cancel(a->handshake);
    if (x)
        exchange_reset(x, RESET_CANCELED);
    if (conn)
        http_conn_close(conn, OK);
    loop_reap(a->loop, &a->reap, free_ask);
}

PRINTF(3, 4)
static void finish(struct ask *a, bool good, const char *fmt, ...)
{
    char why[WHY_MAX];
    ask_fn *done = a->done;
    va_list ap;
    if (!done)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    stop(a);
    done(a->arg, good, why);
}

/* ---- the request ---- */

static void on_head(struct exchange *x, const struct head *h, bool end)
{
    struct ask *a = x->owner;
    (void)end;
    if (h->status < 200)
        return;
    bool good = a->probe->hook || (h->status >= 200 && h->status < 400);
    finish(a, good, "the application answered with status %u", h->status);
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
    struct ask *a = x->owner;
    a->x = NULL;
    finish(a, false, "no answer to the request: %s", reset_why_name(why));
}

static void on_done(struct exchange *x)
{
    struct ask *a = x->owner;
    a->x = NULL;
    finish(a, false, "no answer to the request");
}

static const struct exchange_events exchange_events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = on_sent,
    .on_reset = on_reset,
    .on_done = on_done,
};

static void on_closed(struct http_conn *c, enum status why)
{
    struct ask *a = c->owner;
    if (a->conn != c)
        return;
    a->conn = NULL;
    finish(a, false, "the connection ended: %s", status_name(why));
}

static const struct http_conn_events conn_events = {.on_closed = on_closed};

static void add(struct head *h, slice name, slice value)
{
    enum status rc = headers_add(&h->headers, name, value);
    assert(rc == OK); /* there is room for all */
    (void)rc;
}

static void send_request(struct ask *a, struct stream *s)
{
    struct header fields[FIELDS];
    struct head h;
    char at[ADDRESS_TEXT];
    const struct probe *p = a->probe;
    slice host = p->host.len ? p->host : address_format(&a->to, at);
    a->conn = h1_client_new(a->loop, s, &a->limits, &conn_events, a);
    a->x = http_conn_open(a->conn);
    if (!a->x) {
        finish(a, false, "the connection takes no request");
        return;
    }
    exchange_own(a->x, &exchange_events, a);
    head_init_request(&h, SLICE("GET"), host, p->target, fields, FIELDS);
    for (uint32_t i = 0; i < p->headers_len; i++)
        add(&h, p->headers[i].name, p->headers[i].value);
    if (!headers_find(&h.headers, HDR_USER_AGENT))
        add(&h, SLICE("user-agent"), SLICE("kube-probe/tulle"));
    if (!headers_find_name(&h.headers, SLICE("accept")))
        add(&h, SLICE("accept"), SLICE("*/*"));
    add(&h, SLICE("connection"), SLICE("close"));
    h.headers.at[h.headers.len - 1].hop = false; /* this hop is meant */
    exchange_send_head(a->x, &h, true);
}

/* ---- the connection ---- */

static void on_handshake(void *arg, enum status rc, struct stream *s,
                         const struct tls_peer *peer, const char *reason)
{
    struct ask *a = arg;
    (void)peer;
    a->handshake = NULL;
    if (rc)
        finish(a, false, "TLS: %s", reason ? reason : status_name(rc));
    else
        send_request(a, s);
}

static void on_dialled(void *arg, enum status rc, struct stream *s)
{
    struct ask *a = arg;
    char at[ADDRESS_TEXT];
    a->dial = NULL;
    slice to = address_format(&a->to, at);
    if (rc) {
        finish(a, false, "no connection to %.*s: %s", FMT(to), status_name(rc));
    } else if (a->probe->kind == PROBE_TCP) {
        stream_close(s, STREAM_NOW);
        finish(a, true, "%.*s takes connections", FMT(to));
    } else if (a->probe->kind == PROBE_HTTP) {
        send_request(a, s);
    } else {
        rc = tls_handshake_start(&a->handshake, s, a->tls, SLICE_NONE,
                                 SLICE_NONE, a->probe->timeout, on_handshake,
                                 a);
        if (rc)
            finish(a, false, "TLS: %s", status_name(rc));
    }
}

static void dial(struct ask *a)
{
    enum status rc = tcp_dial_start(&a->dial, a->loop, &a->to,
                                    a->probe->timeout, USER_TIMEOUT, on_dialled,
                                    a);
    if (rc)
        finish(a, false, "cannot dial: %s", status_name(rc));
}

static void on_timeout(struct timer *t)
{
    finish(CONTAINER_OF(t, struct ask, timer), false, "no answer in time");
}

void ask_start(struct ask **out, struct loop *l, const struct probe *probe,
               const struct address *pod, struct tls_settings *tls,
               ask_fn *done, void *arg)
{
    struct ask *a = MEM_NEW(struct ask);
    a->loop = l;
    a->probe = probe;
    a->tls = tls_settings_ref(tls);
    a->limits = http_limits_default;
    a->done = done;
    a->arg = arg;
    timer_init(&a->timer, on_timeout);
    timer_set(&l->timers, &a->timer, loop_now(l) + probe->timeout);
    *out = a;
    a->to = *pod;
    address_set_port(&a->to, probe->port);
    dial(a);
}

void ask_cancel(struct ask *a)
{
    if (a->done)
        stop(a);
}
