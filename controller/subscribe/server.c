/* SPDX-License-Identifier: Apache-2.0 */
/* A call is one request: routed by its head, then either a certificate (body
 * collected, one answer, perhaps later) or a session (lines in, lines out until either ends).
 * It ends with its exchange: on_done, on_reset, or our own reset. */
#include "controller/subscribe/server.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/http/message.h"
#include "lib/json/json_write.h"

enum {
    CERTIFICATE_BODY_MAX = 24 << 10, /* a token has 16 KiB at most */
    /* What strangers can make us hold. A proxy needs one stream. */
    COLLECTING_MAX = 1000, /* bodies, of all connections */
    STREAMS_MAX = 8,       /* of one connection */
};

#define COLLECTING_TIME (15 * NSEC_PER_SEC)

static struct log_area area = LOG_AREA("api");
static struct log log_ = {&area, 0};

struct mesh_api {
    struct loop *loop;
    struct http_server *http;
    slice trust_domain;
    struct issuer *issuer;
    struct publisher *publisher;
    struct gather *gather;
    struct list calls;
    struct timer beat; /* of replicas */
    struct reap reap;
    size_t calls_len, collecting;
    bool draining, leading, shedding;
};

enum call_kind {
    CALL_NEW,
    CALL_CERTIFICATE,
    CALL_SESSION,
    CALL_REPLICA,
    CALL_ANSWERED, /* what still comes is of no interest */
};

struct call {
    struct list node;
    struct mesh_api *api;
    struct exchange *x;          /* NULL: over */
    const struct tls_peer *peer; /* lives as long as the exchange */
    enum call_kind kind;
    bool collecting; /* its body; counted, and not for long */
    struct timer deadline;
    struct text body;
    struct arena arena; /* of the decoded body */
    struct issue_job job;
    struct seat seat;
    struct replica replica;
    struct reap reap;
};

/* --- life --- */

static void call_free(struct reap *r)
{
    struct call *c = CONTAINER_OF(r, struct call, reap);

    publisher_leave(&c->seat);
    text_fini(&c->body);
    arena_reset(&c->arena);
    mem_free(c);
}

static void collect(struct call *c, bool on)
{
    if (on != c->collecting)
        c->api->collecting += on ? 1 : (size_t)-1;
    c->collecting = on;
    if (on)
        timer_set(&c->api->loop->timers, &c->deadline,
                  loop_now(c->api->loop) + COLLECTING_TIME);
    else
        timer_stop(&c->api->loop->timers, &c->deadline);
}

/* The exchange is over; the session goes after the pass, because this may run
 * inside of it. */
static void call_over(struct call *c)
{
    if (!c->x)
        return;
    c->x = NULL;
    collect(c, false);
    issuer_cancel(&c->job);
    gather_leave(&c->replica);
    list_remove(&c->node);
    c->api->calls_len--;
    loop_reap(c->api->loop, &c->reap, call_free);
}

static void call_reset(struct call *c, enum reset_why why)
{
    struct exchange *x = c->x;

    if (!x)
        return;
    call_over(c);
    exchange_reset(x, why);
}

static void on_deadline(struct timer *t)
{
    call_reset(CONTAINER_OF(t, struct call, deadline), RESET_TIMEOUT);
}

/* --- answers --- */

static void answer(struct call *c, unsigned status, slice body)
{
    c->kind = CALL_ANSWERED;
    exchange_reply(c->x, status, SLICE("application/json"), body, NULL);
}

static void refuse(struct call *c, unsigned status, const char *why)
{
    struct json_write w;
    struct text body;

    bool stranger = !c->peer || slice_empty(c->peer->name);
    /* Strangers can make these at will; a 403 is somebody's mistake or attack. */
    bool noise = stranger && status < 500 && status != 403;

    log_at(&log_, noise ? LOG_DEBUG : LOG_INFO, "refused",
           "status=%u peer=%.*s why=" LOG_QUOTED, status,
           FMT(c->peer ? c->peer->name : SLICE_NONE), FMT(slice_str(why)));
    text_init(&body, 4096);
    json_write_init(&w, &body);
    json_write_object(&w);
    json_member_string(&w, "error", slice_str(why));
    json_write_object_end(&w);
    text_add_char(&body, '\n');
    answer(c, status, text_slice(&body));
    text_fini(&body);
}

/* --- POST /v1/certificates --- */

static unsigned status_of(enum status rc)
{
    switch (rc) {
    case ERR_INVALID:
    case ERR_TOO_BIG:
        return 400;
    case ERR_DENIED:
        return 403;
    case ERR_RESOURCES:
        return 429;
    case ERR_AGAIN:
    case ERR_IO:
        return 503; /* not the caller's fault: it comes again */
    default:
        return 500;
    }
}

static void answer_certificate(struct call *c, const struct issued *is)
{
    struct certificate_answer a = {
        .chain = slice_str(is->chain),
        .bundle = authority_bundle(c->api->issuer->authority),
        .renew_at = is->grant.renew_at,
    };
    struct text body;
    char until[21];

    clock_format_rfc3339(is->grant.not_after, until);
    log_info(&log_, "certificate issued", "name=%.*s pod=%.*s until=%s",
             FMT(is->grant.name), FMT(is->grant.pod), until);
    text_init(&body, 1 << 20);
    certificate_answer_encode(&a, &body);
    if (body.failed)
        refuse(c, 500, "the answer is too large");
    else
        answer(c, 200, text_slice(&body));
    text_fini(&body);
}

static void on_issued(struct issue_job *job, enum status rc,
                      const struct issued *is, const struct error *e)
{
    struct call *c = CONTAINER_OF(job, struct call, job);

    if (rc)
        refuse(c, status_of(rc), e->text);
    else
        answer_certificate(c, is);
}

static void issue(struct call *c)
{
    struct certificate_request req;
    struct error e;
    enum status rc = certificate_request_decode(text_slice(&c->body), &c->arena,
                                                &req, &e);

    if (rc)
        refuse(c, status_of(rc), e.text);
    else
        issuer_begin(c->api->issuer, &c->job, &req, c->peer,
                     loop_now(c->api->loop), clock_real_ns() / NSEC_PER_SEC,
                     on_issued);
}

static void certificate_body(struct call *c, slice data, bool end)
{
    text_add(&c->body, data);
    if (c->body.failed)
        refuse(c, 413, "the request is too large");
    else if (end)
        issue(c);
    if (c->kind == CALL_ANSWERED || end)
        collect(c, false);
}

static void certificate_begin(struct call *c, bool end)
{
    if (end) {
        certificate_body(c, SLICE_NONE, true);
    } else if (c->api->collecting >= COLLECTING_MAX) {
        refuse(c, 429, "too many requests at once");
    } else {
        collect(c, true);
    }
}

/* --- POST /v1/session --- */

static void on_send(void *owner, slice line)
{
    struct call *c = owner;

    if (c->x && !c->x->end_out)
        exchange_send_body(c->x, line, false);
}

static void on_over(void *owner, const char *why)
{
    struct call *c = owner;

    log_info(&log_, "session ended", "peer=%.*s why=" LOG_QUOTED,
             FMT(c->peer->name), FMT(slice_str(why)));
    call_reset(c, RESET_CANCELED);
}

static const struct session_events session_events = {on_send, on_over};

/* Only workloads of this trust domain; what they may see follows from the name
 * and from the pod in the certificate. */
static bool read_peer(const struct call *c, struct session_peer *out)
{
    struct workload_name name;
    struct error e;
    slice ns;

    *out = (struct session_peer){0};
    if (!c->peer || slice_empty(c->peer->name) ||
        workload_name_parse(c->peer->name, &name, &e) ||
        !slice_eq(name.trust_domain, c->api->trust_domain))
        return false;
    out->name = c->peer->name;
    out->issued = c->peer->not_before + ISSUE_BACKDATE;
    out->not_after = c->peer->not_after;
    out->client.ns = name.ns;
    out->client.service_account = name.service_account;
    if (slice_empty(c->peer->extension))
        return true;
    return pod_proof_parse(c->peer->extension, &ns, &out->client.pod,
                           &out->client.uid) &&
           slice_eq(ns, name.ns);
}

static void session_begin(struct call *c, bool end)
{
    struct header fields[2];
    struct session_peer peer;
    struct head head;
    char limit[16];

    if (!read_peer(c, &peer)) {
        refuse(c, 403, "a session needs the certificate of a workload");
        return;
    }
    if (end) {
        refuse(c, 400, "a session needs a body");
        return;
    }
    if (c->api->draining || c->api->shedding) {
        refuse(c, 503,
               c->api->draining ? "this controller is leaving"
                                : "this controller has lost the API server");
        return;
    }
    c->kind = CALL_SESSION;
    publisher_join(c->api->publisher, &c->seat, &peer, &session_events, c);
    head_init_response(&head, 200, fields, 2);
    int n = snprintf(limit, sizeof limit, "%u",
                     session_max_subscriptions(c->seat.session));
    if (headers_add(&head.headers, SLICE("content-type"),
                    SLICE("application/jsonl")) == OK &&
        headers_add(&head.headers, SLICE(WIRE_SUBSCRIPTIONS_HEADER),
                    slice_of(limit, (size_t)n)) == OK)
        exchange_send_head(c->x, &head, false);
}

static void session_body(struct call *c, slice data, bool end)
{
    session_input(c->seat.session, data, loop_now(c->api->loop));
    if (end && c->x && !c->x->end_out)
        exchange_send_body(c->x, SLICE_NONE, true);
}

/* --- POST /v1/replica --- */

static void on_silent(struct replica *r)
{
    struct call *c = CONTAINER_OF(r, struct call, replica);

    log_warn(&log_, "a replica is silent", "");
    call_reset(c, RESET_TIMEOUT);
}

static void replica_begin(struct call *c, bool end)
{
    struct mesh_api *a = c->api;
    struct header fields[2];
    struct head head;

    if (!c->peer || !controller_name_is(c->peer->name, a->trust_domain)) {
        refuse(c, 403, "only controllers may say that");
        return;
    }
    if (end || !a->gather || !a->leading || a->draining ||
        gather_join(a->gather, &c->replica)) {
        refuse(c, 503, "this controller does not lead");
        return;
    }
    c->replica.on_silent = on_silent;
    head_init_response(&head, 200, fields, 2);
    exchange_send_head(c->x, &head, false);
}

static void replica_body(struct call *c, slice data, bool end)
{
    struct error e;

    if (gather_input(&c->replica, data, &e)) {
        log_warn(&log_, "a replica makes no sense", "why=" LOG_QUOTED,
                 FMT(slice_str(e.text)));
        call_reset(c, RESET_PROTOCOL);
    } else if (end && !c->x->end_out) {
        exchange_send_body(c->x, SLICE_NONE, true);
    }
}

static void on_beat(struct timer *t)
{
    struct mesh_api *a = CONTAINER_OF(t, struct mesh_api, beat);

    LIST_EACH(node, &a->calls) {
        struct call *c = CONTAINER_OF(node, struct call, node);

        if (c->kind == CALL_REPLICA && !c->x->end_out)
            exchange_send_body(c->x, SLICE("{\"type\":\"heartbeat\"}\n"),
                               false);
    }
    timer_set(&a->loop->timers, t, loop_now(a->loop) + REPLICA_BEAT);
}

/* --- exchange --- */

static void route(struct call *c, const struct head *head, bool end)
{
    slice path = head->path, query;

    (void)slice_cut(head->path, '?', &path, &query);
    if (slice_eq(path, SLICE("/v1/certificates")))
        c->kind = CALL_CERTIFICATE;
    else if (slice_eq(path, SLICE("/v1/session")))
        c->kind = CALL_SESSION;
    else if (slice_eq(path, SLICE("/v1/replica")))
        c->kind = CALL_REPLICA;
    if (c->kind == CALL_NEW)
        refuse(c, 404, "there is no such page here");
    else if (head->method_id != HTTP_POST)
        refuse(c, 405, "only POST");
    else if (c->kind == CALL_SESSION)
        session_begin(c, end);
    else if (c->kind == CALL_REPLICA)
        replica_begin(c, end);
    else
        certificate_begin(c, end);
}

static void on_head(struct exchange *x, const struct head *head, bool end)
{
    route(x->owner, head, end);
}

static void on_body(struct exchange *x, slice data, bool end)
{
    struct call *c = x->owner;

    if (c->kind == CALL_SESSION)
        session_body(c, data, end);
    else if (c->kind == CALL_CERTIFICATE)
        certificate_body(c, data, end);
    else if (c->kind == CALL_REPLICA)
        replica_body(c, data, end);
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
    struct call *c = x->owner;

    if (c->seat.session)
        session_sent(c->seat.session, n);
}

static void on_reset(struct exchange *x, enum reset_why why)
{
    struct call *c = x->owner;

    if (c->kind == CALL_SESSION)
        log_info(&log_, "session broken", "peer=%.*s why=%s",
                 FMT(c->peer->name), reset_why_name(why));
    call_over(c);
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
    struct mesh_api *a = arg;
    struct call *c = MEM_NEW(struct call);

    c->api = a;
    c->x = x;
    c->peer = peer;
    timer_init(&c->deadline, on_deadline);
    text_init(&c->body, CERTIFICATE_BODY_MAX);
    arena_init(&c->arena, 2 * CERTIFICATE_BODY_MAX);
    list_init(&c->seat.node);
    list_push_back(&a->calls, &c->node);
    a->calls_len++;
    exchange_own(x, &call_events, c);
}

/* --- the server --- */

enum status mesh_api_start(struct mesh_api **out, struct loop *l,
                           const struct mesh_api_options *opt, struct error *e)
{
    struct http_server_options http = {
        .at = opt->at,
        .tls = opt->tls,
        .limits = http_limits_default,
        .max_connections = opt->max_connections,
    };
    struct mesh_api *a = MEM_NEW(struct mesh_api);
    enum status rc;

    a->loop = l;
    a->trust_domain = opt->trust_domain;
    a->issuer = opt->issuer;
    a->publisher = opt->publisher;
    a->gather = opt->gather;
    timer_init(&a->beat, on_beat);
    list_init(&a->calls);
    /* Sessions watch over silence themselves, and sooner. */
    http.limits.body_timeout = 60 * NSEC_PER_SEC;
    http.limits.max_streams = STREAMS_MAX;
    rc = http_server_start(&a->http, l, &http, on_request, a, e);
    if (rc) {
        mem_free(a);
        return rc;
    }
    if (a->gather)
        timer_set(&l->timers, &a->beat, loop_now(l) + REPLICA_BEAT);
    *out = a;
    return OK;
}

const struct address *mesh_api_address(const struct mesh_api *a)
{
    return http_server_address(a->http);
}

void mesh_api_set_tls(struct mesh_api *a, struct tls_settings *tls)
{
    http_server_set_tls(a->http, tls);
}

/* Tells all of a kind that we are through: they come again, elsewhere. */
static void end_all(struct mesh_api *a, enum call_kind kind)
{
    LIST_EACH(node, &a->calls) {
        struct call *c = CONTAINER_OF(node, struct call, node);

        if (c->kind == kind && !c->x->end_out)
            exchange_send_body(c->x, SLICE_NONE, true);
    }
}

void mesh_api_lead(struct mesh_api *a, bool leading)
{
    a->leading = leading;
    if (!leading)
        end_all(a, CALL_REPLICA);
}

void mesh_api_shed(struct mesh_api *a, bool shed)
{
    a->shedding = shed;
    if (shed)
        end_all(a, CALL_SESSION);
}

void mesh_api_drain(struct mesh_api *a)
{
    a->draining = true;
    end_all(a, CALL_SESSION);
    end_all(a, CALL_REPLICA);
    http_server_drain(a->http);
}

size_t mesh_api_running(const struct mesh_api *a)
{
    return a->calls_len;
}

static void mesh_api_free(struct reap *r)
{
    mem_free(CONTAINER_OF(r, struct mesh_api, reap));
}

void mesh_api_close(struct mesh_api *a)
{
    struct list *node;

    if (!a)
        return;
    while ((node = a->calls.next) != &a->calls)
        call_reset(CONTAINER_OF(node, struct call, node), RESET_CANCELED);
    timer_stop(&a->loop->timers, &a->beat);
    http_server_close(a->http);
    a->http = NULL;
    loop_reap(a->loop, &a->reap, mesh_api_free);
}
