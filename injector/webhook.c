/* SPDX-License-Identifier: Apache-2.0 */
/* A call is one request: routed by its head, its body collected, then read as a
 * review and handed on, or refused. It lives until its exchange is over and it has
 * been answered: each may come first. */
#include "injector/webhook.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

enum {
    BODIES_MAX = 48 << 20,    /* of all calls together */
    ANSWER_MAX = 16 << 20,    /* base64 of a patch, and what is around it */
    STREAM_WINDOW = 64 << 10, /* most reviews fit in it */
};

static struct log_area area = LOG_AREA("webhook");
static struct log log_ = {&area, 0};

struct webhook {
    struct loop *loop;
    struct http_server *http;
    struct webhook_options opt;
    struct webhook_numbers numbers;
    size_t bodies; /* bytes that are held */
    struct list calls;
    unsigned refs; /* its own, and one a call */
    struct reap reap;
};

enum call_state {
    CALL_READING,
    CALL_ASKING, /* the owner owes an answer */
    CALL_ANSWERED,
};

struct webhook_call {
    struct list node;
    struct webhook *webhook;
    struct exchange *x; /* NULL: over */
    enum call_state state;
    bool ended; /* freed after this pass */
    struct text body;
    struct review review;
    struct reap reap;
};

/* --- life --- */

static void webhook_free(struct reap *r)
{
    mem_free(CONTAINER_OF(r, struct webhook, reap));
}

static void webhook_unref(struct webhook *w)
{
    if (--w->refs == 0)
        loop_reap(w->loop, &w->reap, webhook_free);
}

static void call_free(struct reap *r)
{
    struct webhook_call *c = CONTAINER_OF(r, struct webhook_call, reap);

    review_fini(&c->review);
    text_fini(&c->body);
    mem_free(c);
}

/* After the pass, because this may run inside of the exchange. */
static void call_end(struct webhook_call *c)
{
    struct webhook *w = c->webhook;

    if (c->ended || c->x || c->state == CALL_ASKING)
        return;
    c->ended = true;
    list_remove(&c->node);
    w->bodies -= c->body.len;
    w->numbers.running--;
    loop_reap(w->loop, &c->reap, call_free);
    webhook_unref(w);
}

static void call_over(struct webhook_call *c)
{
    if (!c->x)
        return;
    c->x = NULL;
    call_end(c);
}

/* --- answers --- */

static void refuse(struct webhook_call *c, unsigned status, const char *why)
{
    struct text body;

    c->webhook->numbers.bad++;
    log_info(&log_, "refused", "status=%u why=" LOG_QUOTED, status,
             FMT(slice_str(why)));
    c->state = CALL_ANSWERED;
    text_init(&body, 4096);
    text_printf(&body, "%s\n", why);
    exchange_reply(c->x, status, SLICE("text/plain; charset=utf-8"),
                   text_slice(&body), NULL);
    text_fini(&body);
}

static void answer(struct webhook_call *c, const struct inject_result *result)
{
    struct text body;

    c->state = CALL_ANSWERED;
    if (!c->x)
        return;
    text_init(&body, ANSWER_MAX);
    review_answer(&c->review, result, &body);
    if (body.failed)
        refuse(c, 500, "the answer is too large");
    else
        exchange_reply(c->x, 200, SLICE("application/json"), text_slice(&body),
                       NULL);
    text_fini(&body);
}

void webhook_answer(struct webhook_call *call,
                    const struct inject_result *result)
{
    bool gone = !call->x;

    answer(call, result);
    /* Else its exchange ends it, perhaps before the answer has returned. */
    if (gone)
        call_end(call);
}

/* --- POST /inject --- */

static unsigned status_of(enum status rc)
{
    return rc == ERR_TOO_BIG ? 413 : 400;
}

static void read_review(struct webhook_call *c)
{
    struct webhook *w = c->webhook;
    struct error e;
    enum status rc = review_read(text_slice(&c->body), &c->review, &e);

    if (rc) {
        refuse(c, status_of(rc), e.text);
        return;
    }
    w->numbers.reviews++;
    if (!json_present(c->review.pod)) {
        answer(c, NULL);
        return;
    }
    c->state = CALL_ASKING;
    w->opt.fn(w->opt.owner, c, &c->review);
}

static void body(struct webhook_call *c, slice data, bool end)
{
    struct webhook *w = c->webhook;
    size_t before = c->body.len;

    if (c->state != CALL_READING)
        return;
    if (w->bodies + data.len > BODIES_MAX) {
        refuse(c, 503, "too many reviews at once");
        return;
    }
    text_add(&c->body, data);
    w->bodies += c->body.len - before;
    if (c->body.failed)
        refuse(c, 413, "the review is larger than 3 MiB");
    else if (end)
        read_review(c);
}

/* "application/json", perhaps with parameters. */
static bool says_json(const struct head *head)
{
    const struct header *h = headers_find_name(&head->headers,
                                               SLICE("content-type"));
    slice type, parameters;

    if (!h)
        return false;
    if (!slice_cut(h->value, ';', &type, &parameters))
        type = h->value;
    return slice_eq_nocase(slice_trim(type), SLICE("application/json"));
}

static void route(struct webhook_call *c, const struct head *head, bool end)
{
    slice path = head->path, query;

    (void)slice_cut(head->path, '?', &path, &query);
    if (!slice_eq(path, SLICE("/inject")))
        refuse(c, 404, "there is no such page here");
    else if (head->method_id != HTTP_POST)
        refuse(c, 405, "only POST");
    else if (!says_json(head))
        refuse(c, 415, "expected content-type: application/json");
    else if (head->content_length > REVIEW_BYTES_MAX)
        refuse(c, 413, "the review is larger than 3 MiB");
    else if (end)
        body(c, SLICE_NONE, true);
}

/* --- exchange --- */

static void on_head(struct exchange *x, const struct head *head, bool end)
{
    route(x->owner, head, end);
}

static void on_body(struct exchange *x, slice data, bool end)
{
    struct webhook_call *c = x->owner;

    body(c, data, end);
    if (c->x)
        exchange_consumed(x, data.len);
}

static void on_trailers(struct exchange *x, const struct headers *trailers)
{
    (void)trailers;
    on_body(x, SLICE_NONE, true);
}

static void on_sent(struct exchange *x, size_t n)
{
    (void)x;
    (void)n;
}

static void on_reset(struct exchange *x, enum reset_why why)
{
    log_info(&log_, "review broken off", "why=%s", reset_why_name(why));
    call_over(x->owner);
}

static void on_done(struct exchange *x)
{
    call_over(x->owner);
}

static const struct exchange_events call_events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = on_sent,
    .on_reset = on_reset,
    .on_done = on_done,
};

static void on_request(void *arg, struct exchange *x,
                       const struct tls_peer *peer)
{
    struct webhook *w = arg;
    struct webhook_call *c = MEM_NEW(struct webhook_call);

    (void)peer;
    c->webhook = w;
    c->x = x;
    text_init(&c->body, REVIEW_BYTES_MAX);
    list_push_back(&w->calls, &c->node);
    w->refs++;
    w->numbers.running++;
    exchange_own(x, &call_events, c);
}

/* --- the server --- */

enum status webhook_start(struct webhook **out, struct loop *l,
                          const struct webhook_options *opt, struct error *e)
{
    struct http_server_options http = {
        .at = opt->at,
        .tls = opt->tls,
        .limits = http_limits_default,
        .max_connections = opt->max_connections,
    };
    struct webhook *w = MEM_NEW(struct webhook);
    enum status rc;

    w->loop = l;
    w->opt = *opt;
    w->opt.tls = NULL;
    w->refs = 1;
    list_init(&w->calls);
    http.limits.body_timeout = 10 * NSEC_PER_SEC;
    http.limits.stream_window = STREAM_WINDOW;
    http.limits.stream_window_max = 1 << 20;
    rc = http_server_start(&w->http, l, &http, on_request, w, e);
    if (rc) {
        mem_free(w);
        return rc;
    }
    *out = w;
    return OK;
}

const struct address *webhook_address(const struct webhook *w)
{
    return http_server_address(w->http);
}

void webhook_set_tls(struct webhook *w, struct tls_settings *tls)
{
    http_server_set_tls(w->http, tls);
}

const struct webhook_numbers *webhook_numbers(const struct webhook *w)
{
    return &w->numbers;
}

void webhook_drain(struct webhook *w)
{
    http_server_drain(w->http);
}

unsigned webhook_connections(const struct webhook *w)
{
    return http_server_connections(w->http);
}

void webhook_close(struct webhook *w)
{
    struct list *node, *next;

    if (!w)
        return;
    for (node = w->calls.next; node != &w->calls; node = next) {
        struct webhook_call *c = CONTAINER_OF(node, struct webhook_call, node);
        struct exchange *x = c->x;

        next = node->next;
        call_over(c);
        if (x)
            exchange_reset(x, RESET_CANCELED);
    }
    http_server_close(w->http);
    w->http = NULL;
    webhook_unref(w);
}
