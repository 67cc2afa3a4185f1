/* SPDX-License-Identifier: Apache-2.0 */
/* exchange -> head copied -> filters in order -> forward. Whatever happens,
 * on_end of each filter that was entered runs exactly once. */
#include "proxy/http/request.h"

#include "lib/base/clock.h"
#include "proxy/http/grpc.h"

enum { EXTRA_FIELDS = 8 };

const struct headers *fault_fields(enum fault f)
{
    static __thread struct header field;
    static __thread struct headers list;
    field = (struct header){.name = SLICE(FAULT_HEADER),
                            .value = fault_row(f)->name};
    list = (struct headers){.at = &field, .len = 1, .cap = 1};
    return &list;
}

static void finish(struct request *r)
{
    struct exchange *x = r->down;
    if (!x)
        return;
    list_remove(&r->holder.node);
    r->bytes_in = x->bytes_in;
    r->bytes_out = x->bytes_out;
    r->down = NULL;
    forward_end(r);
    for (unsigned i = r->at + 1; i-- > 0;)
        if (r->stack[i] && r->stack[i]->on_end)
            r->stack[i]->on_end(r);
    traffic_unref(r->row);
    r->row = NULL;
    target_unref(r->target);
    r->target = NULL;
}

void request_reset(struct request *r, enum reset_why why)
{
    struct exchange *x = r->down;
    if (!x)
        return;
    r->dropping = true;
    exchange_reset(x, why);
    finish(r);
}

void request_fault(struct request *r, enum fault f)
{
    struct exchange *x = r->down;
    const struct fault_row *row = fault_row(f);
    if (!x)
        return;
    r->fault = f;
    r->dropping = true;
    exchange_drop_rest(x);
    if (x->end_out || (x->head_out && !r->grpc)) {
        request_reset(r, RESET_CONNECTION);
        return;
    }
    char text[128];
    int n = snprintf(text, sizeof text, "tulle: %.*s\n", FMT(row->name));
    r->status = r->grpc ? 200 : row->status;
    forward_end(r);
    if (r->grpc) {
        grpc_refuse(x, f);
        return;
    }
    exchange_reply(x, row->status, SLICE("text/plain"),
                   slice_of(text, (size_t)n), fault_fields(f));
}

static void run(struct request *r)
{
    for (; r->stack[r->at]; r->at++) {
        const struct filter *f = r->stack[r->at];
        if (!f->on_request)
            continue;
        enum verdict v = f->on_request(r);
        if (v != GO_ON)
            return;
    }
}

void request_continue(struct request *r)
{
    if (!r->down)
        return;
    r->at++;
    run(r);
}

/* ---- memory ---- */

/* A body that is kept to be sent again may have been taken long ago. */
static size_t held(const struct holder *h, int64_t *moved)
{
    const struct request *r = CONTAINER_OF(h, const struct request, holder);
    const struct exchange *x = r->down;
    uint64_t in = r->dropping ? 0 : x->bytes_in - r->credited;
    uint64_t out = x->bytes_out - r->taken;
    *moved = r->moved;
    return (size_t)((in > r->body.len ? in : r->body.len) + out);
}

/* No more than a head may be added to what it does not read. */
static void shed(struct holder *h)
{
    struct request *r = CONTAINER_OF(h, struct request, holder);
    if (!r->down->head_out) {
        request_fault(r, FAULT_SHED);
        return;
    }
    r->fault = FAULT_SHED;
    request_reset(r, RESET_CONNECTION);
}

static void hold(struct request *r)
{
    struct worker *w = r->worker;
    r->moved = loop_now(&w->loop);
    r->holder = (struct holder){.began = r->moved,
                                .held = held,
                                .shed = shed,
                                .inbound = r->target->inbound};
    list_push_back(&w->holders, &r->holder.node);
}

/* ---- what the downstream exchange says ---- */

static void on_head(struct exchange *x, const struct head *head, bool end)
{
    struct target *t = x->owner;
    struct request *r = arena_alloc(&x->arena, sizeof *r);
    if (!r) {
        exchange_reset(x, RESET_LIMIT);
        target_unref(t);
        return;
    }
    *r = (struct request){.worker = t->worker, .target = t, .down = x};
    bool grpc = grpc_is(head);
    r->grpc = grpc && head->http2;
    r->request_ended = end;
    r->started = clock_mono_ns();
    list_init(&r->acquire.node);
    bufq_init(&r->body, &t->worker->loop.chunks);
    x->owner = r;
    if (head_copy(&x->arena, head, EXTRA_FIELDS, &r->head)) {
        r->head = NULL;
        exchange_reset(x, RESET_LIMIT);
        target_unref(t);
        return;
    }
    r->stack = t->inbound ? inbound_http : outbound_http;
    hold(r);
    if (grpc) /* messages come when there is something to say */
        exchange_be_patient(x);
    run(r);
}

static void on_body(struct exchange *x, slice data, bool end)
{
    struct request *r = x->owner;
    r->request_ended |= end;
    forward_body(r, data, end);
}

static void on_trailers(struct exchange *x, const struct headers *trailers)
{
    struct request *r = x->owner;
    r->request_ended = true;
    forward_trailers(r, trailers);
}

static void on_sent(struct exchange *x, size_t n)
{
    forward_sent(x->owner, n);
}

static void on_reset(struct exchange *x, enum reset_why why)
{
    struct request *r = x->owner;
    if (!r->fault)
        r->fault = why == RESET_TIMEOUT ? FAULT_CLIENT_TIMEOUT
                                        : FAULT_CLIENT_GONE;
    finish(r);
}

static void on_done(struct exchange *x)
{
    finish(x->owner);
}

static const struct exchange_events events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = on_sent,
    .on_reset = on_reset,
    .on_done = on_done,
};

/* Broken before the head came: there is no request yet. */
static void on_reset_early(struct exchange *x, enum reset_why why)
{
    (void)why;
    target_unref(x->owner);
}

static void on_head_first(struct exchange *x, const struct head *h, bool end)
{
    x->events = &events;
    on_head(x, h, end);
}

static const struct exchange_events early_events = {
    .on_head = on_head_first,
    .on_reset = on_reset_early,
};

void request_accept(struct exchange *x, struct target *t)
{
    exchange_own(x, &early_events, target_ref(t));
}
