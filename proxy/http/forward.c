/* SPDX-License-Identifier: Apache-2.0 */
/* The last filter: picks an endpoint, acquires an exchange with it, and joins the
 * two exchanges.
 *
 *   pick -> acquire -> send head and body -> response head -> bodies -> end
 *     ^        |            |
 *     +--------+------------+   while nothing was delivered and attempts are left
 *
 * Until the response head the request can be sent again: its head is kept, and
 * its body up to replay_bytes; a larger one until its first byte was sent. With
 * the response head endpoint, backend and what was tried are let go, so a long
 * body pins no snapshot.
 *
 * A response may end before its request: both go on until each has ended. If the
 * upstream wants no more of the request (it closed, it reset the stream with
 * NO_ERROR), the answer stands and the downstream is told to stop.
 *
 * Credit: the downstream gets its bytes back as the upstream takes them, counted
 * from the start of the body, so that a second attempt credits nothing twice. */
#include "lib/base/clock.h"
#include "proxy/http/filters.h"
#include "proxy/http/request.h"

static const struct exchange_events up_events;

static void try_next(struct request *r);

/* ---- the request goes up ---- */

static void send_kept_body(struct request *r)
{
    struct iovec iov[16];
    struct exchange *x = r->up;
    bool more = true;
    size_t at = 0;
    /* Sending never changes `body` while it is kept. */
    if (r->keep_body) {
        size_t bytes;
        int n = bufq_peek(&r->body, iov, 16, &bytes);
        for (int i = 0; i < n && !x->over; i++, at += iov[i - 1].iov_len)
            exchange_send_body(x, slice_of(iov[i].iov_base, iov[i].iov_len),
                               false);
        more = false;
    }
    while (more && r->body.len && !x->over) {
        slice front = bufq_front(&r->body);
        r->body_gone = true;
        exchange_send_body(x, front, false);
        if (!x->over) /* else all of it was dropped, with the exchange */
            bufq_drop(&r->body, front.len);
    }
    if (!r->request_ended || x->over)
        return;
    if (r->trailers.len)
        exchange_send_trailers(x, &r->trailers);
    else
        exchange_send_body(x, SLICE_NONE, true);
}

static void begin_row(struct request *r)
{
    struct traffic *row = target_row(r->target, r->ep);
    if (row == r->row)
        return;
    if (r->begun) /* another peer: what was begun there ends as a retry */
        traffic_request_end(r->row, 0, r->fault, 0);
    traffic_unref(r->row);
    r->row = traffic_ref(row);
    traffic_request_begin(row);
    r->begun = true;
}

static void start_up(struct request *r, struct exchange *x)
{
    int64_t now = loop_now(&r->worker->loop);
    r->up = x;
    r->sent_up = 0;
    r->attempt_started = now;
    exchange_own(x, &up_events, r);
    balancer_begin(&r->ep->load);
    bool end = r->request_ended && r->body.len == 0 && r->trailers.len == 0;
    exchange_send_head(x, r->head, end);
    if (!end && !x->over && (r->body.len || r->request_ended))
        send_kept_body(r);
}

static void drop_attempt(struct request *r)
{
    endpoint_unref(r->ep);
    r->ep = NULL;
}

static void let_go(struct request *r)
{
    drop_attempt(r);
    backend_unref(r->backend);
    r->backend = NULL;
    tried_clear(&r->tried);
    r->keep_body = false;
}

/* May the request be sent once more after `f`? */
static bool may_retry(const struct request *r, enum fault f)
{
    bool again = f == FAULT_REFUSED ||
                 (f == FAULT_STALE &&
                  http_method_idempotent((enum http_method)r->head->method_id));
    bool elsewhere = fault_elsewhere(f) && !r->target->fixed;
    return (again || elsewhere) && !r->body_gone &&
           r->attempts < r->worker->config->attempts;
}

static void attempt_failed(struct request *r, enum fault f)
{
    r->fault = f;
    if (!may_retry(r, f)) {
        let_go(r);
        request_fault(r, f);
        return;
    }
    telemetry_count(r->worker->telemetry, COUNTER_RETRIES);
    tried_add(&r->tried, r->ep);
    drop_attempt(r);
    try_next(r);
}

static void on_acquired(struct acquire *a, enum fault f, struct exchange *x)
{
    struct request *r = CONTAINER_OF(a, struct request, acquire);
    if (!f) {
        start_up(r, x);
        return;
    }
    balancer_begin(&r->ep->load);
    balancer_end(&r->ep->load, loop_now(&r->worker->loop),
                 r->worker->config->connect_timeout, true);
    attempt_failed(r, f);
}

static void note_endpoint(struct request *r)
{
    if (access_log_on(r->worker->telemetry) &&
        arena_copy(&r->down->arena, r->ep->text, &r->endpoint))
        r->endpoint = SLICE_NONE;
}

static void try_next(struct request *r)
{
    struct exchange *x;
    enum fault f;
    r->attempts++;
    r->ep = target_pick(r->target, &r->backend, &r->tried, &f);
    if (!r->ep) {
        /* Better the reason why the last one failed than "no endpoints". */
        enum fault why = r->attempts > 1 ? r->fault : f;
        let_go(r);
        request_fault(r, why);
        return;
    }
    r->fault = FAULT_NONE;
    note_endpoint(r);
    begin_row(r);
    enum status rc = endpoint_acquire(r->ep, r->head->http2, &r->acquire,
                                      on_acquired, &x, &f);
    if (rc == OK)
        start_up(r, x);
    else if (rc != ERR_AGAIN)
        attempt_failed(r, f);
}

/* What the upstream speaks, as far as is known: as declared; else as its client,
 * who without us would have to agree with it too. */
static bool wants_http2(const struct request *r)
{
    if (r->head->upgrade) /* is HTTP/1's */
        return false;
    switch (target_protocol(r->target)) {
    case PROTOCOL_HTTP2:
    case PROTOCOL_GRPC:
        return true;
    case PROTOCOL_HTTP1:
        return false;
    default:
        return r->head->http2;
    }
}

static enum verdict on_request(struct request *r)
{
    r->head->http2 = wants_http2(r);
    /* Bytes of a tunnel are no body that could be sent again. */
    r->keep_body = !r->head->upgrade && r->head->method_id != HTTP_CONNECT;
    exchange_keep_rest(r->down);
    try_next(r);
    return WAIT; /* the last: forward answers by itself */
}

/* ---- what the downstream says ---- */

void forward_body(struct request *r, slice data, bool end)
{
    if (r->dropping) {
        exchange_consumed(r->down, data.len);
        return;
    }
    if (r->keep_body &&
        r->body.len + data.len > r->worker->config->replay_bytes)
        r->keep_body = false;
    bool direct = r->up && !r->up->over;
    if (!direct || r->keep_body)
        bufq_add(&r->body, data.ptr, data.len);
    else
        bufq_drop(&r->body, r->body.len); /* was kept, all of it was sent */
    if (direct && data.len && !r->keep_body)
        r->body_gone = true;
    if (direct && (data.len || end))
        exchange_send_body(r->up, data, end);
}

/* A list of our own of the same fields, without those that claim an identity. */
static struct headers without_claims(const struct headers *from,
                                     struct header at[HTTP_HEADERS_MAX])
{
    struct headers list = headers_copy(from, at);
    rewrite_claims(&list);
    return list;
}

void forward_trailers(struct request *r, const struct headers *trailers)
{
    struct header fields[HTTP_HEADERS_MAX];
    struct head h = {.headers = without_claims(trailers, fields)}, *copy;
    bool direct = r->up && !r->up->over;
    if (r->dropping)
        return;
    if ((!direct || r->keep_body) &&
        head_copy(&r->down->arena, &h, 0, &copy) == OK)
        r->trailers = copy->headers;
    if (direct)
        exchange_send_trailers(r->up, &h.headers);
}

void forward_sent(struct request *r, size_t n)
{
    if (r->up)
        exchange_consumed(r->up, n);
}

/* Both directions have ended: the carrier will say so, to nobody. */
static void on_late_sent(struct exchange *x, size_t n)
{
    (void)x, (void)n;
}

static void on_late_reset(struct exchange *x, enum reset_why why)
{
    (void)x, (void)why;
}

static void on_late_done(struct exchange *x)
{
    (void)x;
}

static const struct exchange_events late_events = {
    .on_sent = on_late_sent,
    .on_reset = on_late_reset,
    .on_done = on_late_done,
};

static void leave_up(struct exchange *up)
{
    if (up->end_in && up->end_out)
        exchange_own(up, &late_events, NULL);
    else
        exchange_reset(up, RESET_CANCELED);
}

void forward_end(struct request *r)
{
    struct exchange *up = r->up;
    acquire_cancel(&r->acquire);
    r->up = NULL;
    if (up && r->ep)
        balancer_cancel(&r->ep->load, loop_now(&r->worker->loop),
                        loop_now(&r->worker->loop) - r->attempt_started);
    if (up)
        leave_up(up);
    let_go(r);
    bufq_fini(&r->body);
}

/* ---- what the upstream says ---- */

static void credit(struct request *r, size_t n)
{
    r->sent_up += n;
    if (!r->down || r->sent_up <= r->credited)
        return;
    uint64_t more = r->sent_up - r->credited;
    r->credited = r->sent_up;
    exchange_consumed(r->down, more);
}

static void on_sent(struct exchange *x, size_t n)
{
    credit(x->owner, n);
}

/* Another proxy says that the application never saw the request. */
static enum fault marked_fault(const struct request *r, const struct head *head)
{
    if (r->target->inbound || !r->ep || r->ep->identity.len == 0 || r->ep->self)
        return FAULT_NONE;
    const struct header *h = headers_find_name(&head->headers,
                                               SLICE(FAULT_HEADER));
    return h ? fault_find(h->value) : FAULT_NONE;
}

static void end_attempt(struct request *r, bool failed)
{
    int64_t now = loop_now(&r->worker->loop);
    balancer_end(&r->ep->load, now, now - r->attempt_started, failed);
}

/* The response is complete, and the upstream takes no more of the request. */
static void stop_request(struct request *r)
{
    struct exchange *down = r->down;
    uint64_t owed = down->bytes_in - r->credited;
    r->dropping = true;
    r->credited = down->bytes_in;
    bufq_drop(&r->body, r->body.len);
    exchange_consumed(down, owed);
    exchange_drop_rest(down);
}

static void send_response(struct request *r, const struct head *head, bool end)
{
    struct header fields[HTTP_HEADERS_MAX];
    struct head copy = *head;
    copy.headers = headers_copy(&head->headers, fields);
    r->status = head->status;
    for (unsigned i = r->at + 1; i-- > 0;)
        if (r->stack[i]->on_response)
            r->stack[i]->on_response(r, &copy);
    let_go(r);
    if (r->up && r->up->tunnel && r->up->upgrade) {
        copy.upgrade = true;
        copy.protocol = copy.protocol.len ? copy.protocol : r->head->protocol;
    }
    if (r->head->method_id == HTTP_CONNECT &&
        !exchange_grants_tunnel(r->down, head))
        exchange_drop_rest(r->down); /* there are no bytes of a tunnel */
    exchange_send_head(r->down, &copy, end);
}

static void send_informational(struct request *r, const struct head *head)
{
    struct header fields[HTTP_HEADERS_MAX];
    struct head copy = *head;
    copy.headers = without_claims(&head->headers, fields);
    exchange_send_head(r->down, &copy, false);
}

static void on_head(struct exchange *x, const struct head *head, bool end)
{
    struct request *r = x->owner;
    if (head->status < 200 && head->status != 101) {
        send_informational(r, head);
        return;
    }
    enum fault f = marked_fault(r, head);
    end_attempt(r, f || head->status >= 500);
    if (f && may_retry(r, f)) {
        r->up = NULL;
        exchange_reset(x, RESET_CANCELED);
        attempt_failed(r, f);
        return;
    }
    r->fault = f;
    send_response(r, head, end);
}

static void on_body(struct exchange *x, slice data, bool end)
{
    struct request *r = x->owner;
    exchange_send_body(r->down, data, end);
}

static void on_trailers(struct exchange *x, const struct headers *trailers)
{
    struct request *r = x->owner;
    struct header fields[HTTP_HEADERS_MAX];
    struct headers clean = without_claims(trailers, fields);
    exchange_send_trailers(r->down, &clean);
}

static void on_reset(struct exchange *x, enum reset_why why)
{
    struct request *r = x->owner;
    bool answered = x->head_in;
    r->up = NULL;
    if (r->grpc &&
        why == RESET_CANCELED) { /* the server's word, not our fault */
        r->fault = fault_of_reset(why);
        if (!answered)
            end_attempt(r, true);
        request_reset(r, why);
        return;
    }
    if (answered) {
        r->fault = fault_of_reset(why);
        request_fault(r, r->fault); /* breaks the downstream */
        return;
    }
    end_attempt(r, true);
    attempt_failed(r, fault_of_reset(why));
}

static void on_done(struct exchange *x)
{
    struct request *r = x->owner;
    r->up = NULL;
    if (!x->end_out && r->down)
        stop_request(r);
}

static const struct exchange_events up_events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = on_sent,
    .on_reset = on_reset,
    .on_done = on_done,
};

const struct filter forward_filter = {
    .name = "forward",
    .on_request = on_request,
};
