/* SPDX-License-Identifier: Apache-2.0 */
/* waiting --timer--> asking: dial, handshake, POST, answer --> in force
 *    ^                  |                                        |
 *    +---- failed ------+------------- until renew_at -----------+
 *
 * A failed try changes nothing but the time of the next. Every try makes a key
 * of its own, which is only kept when a certificate for it comes back. */
#include "proxy/tls/renew.h"

#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/http/client.h"
#include "lib/mesh/identity.h"
#include "lib/mesh/wire.h"
#include "lib/tls/cert.h"

enum {
    TOKEN_MAX = 16 << 10,
    BUNDLE_MAX = 1 << 20,
    ANSWER_MAX = 2 << 20,
    BODY_MAX = 64 << 10,
    WHY_MAX = 300, /* of the controller's own words, in a log line */
    FIELDS = 4,
};
/* The clock may be set meanwhile: look at it this often. */
static const int64_t LOOK_EVERY = 600 * NSEC_PER_SEC;

static struct log_area area = LOG_AREA("identity");

const struct renew_options renew_defaults = {
    .timeout = 10 * NSEC_PER_SEC,
    .backoff_min = 500 * NSEC_PER_MSEC,
    .backoff_max = 60 * NSEC_PER_SEC,
};

struct renew {
    struct loop *loop;
    struct renew_options opt;
    char *name, *token_file, *bundle_file; /* what opt borrows */
    char *controller;                      /* our pin */
    struct identity *identity;
    struct log log;
    struct http_limits limits;
    struct timer timer; /* when to ask; while asking, when to give up */
    char *bundle;       /* roots in force, PEM */
    char *told;         /* roots that the session told of last; NULL: none */
    char *chain, *key;  /* in force, PEM, or NULL */
    struct controllers_pick pick;
    int64_t backoff;
    struct renew_stats stats;
    bool by_file; /* the next try goes by the roots in the file */
    bool closed;
    /* one try */
    char *new_key;
    char to[ADDRESS_TEXT]; /* the controller, or what is known of it */
    struct http_client *dial;
    struct http_conn *conn;
    struct exchange *x;
    unsigned status;
    struct text request, answer;
    struct reap reap;
};

static void key_free(char **key)
{
    if (*key)
        mem_wipe_free(*key, strlen(*key));
    *key = NULL;
}

static bool asking(const struct renew *r)
{
    return r->new_key != NULL;
}

/* ---- the end of a try ---- */

static void tear_down(struct renew *r)
{
    struct http_conn *conn = r->conn;
    struct exchange *x = r->x;
    r->conn = NULL;
    r->x = NULL;
    controllers_cancel(&r->pick);
    if (r->dial)
        http_client_cancel(r->dial);
    r->dial = NULL;
    if (x)
        exchange_reset(x, RESET_CANCELED);
    if (conn)
        http_conn_close(conn, OK);
    if (r->request.ptr) /* it holds the token */
        mem_wipe(r->request.ptr, r->request.cap);
    text_fini(&r->request);
    text_fini(&r->answer);
    key_free(&r->new_key);
    timer_stop(&r->loop->timers, &r->timer);
}

static void failed(struct renew *r, const char *step, const char *why)
{
    if (r->closed)
        return;
    r->stats.failures++;
    log_warn(&r->log, "no certificate yet, will try again",
             "controller=%s step=%s why=" LOG_QUOTED, r->to, step,
             FMT(slice_str(why)));
    tear_down(r);
    int64_t wait = rand_jitter(&r->loop->rand, r->backoff, 0.5);
    r->backoff = r->backoff > r->opt.backoff_max / 2 ? r->opt.backoff_max
                                                     : 2 * r->backoff;
    timer_set(&r->loop->timers, &r->timer, loop_now(r->loop) + wait + 1);
}

/* ---- a certificate in force ---- */

static int64_t date_now(void)
{
    return clock_real_ns() / NSEC_PER_SEC;
}

static void arm(struct renew *r)
{
    int64_t left = r->stats.renew_at - date_now();
    int64_t wait = LOOK_EVERY;
    if (left < LOOK_EVERY / NSEC_PER_SEC)
        wait = left * NSEC_PER_SEC;
    if (wait < NSEC_PER_SEC)
        wait = NSEC_PER_SEC; /* never a storm, whatever the answer says */
    timer_set(&r->loop->timers, &r->timer, loop_now(r->loop) + wait);
}

/* Takes the bundle. */
static void in_force(struct renew *r, const struct certificate_answer *a,
                     char *bundle, struct tls_identity *id)
{
    char until[21];
    int64_t now = date_now(), left = a->renew_at - now;
    if (left <= 0) { /* the next answer would say the same */
        log_warn(&r->log, "renewal is due already; are the clocks right?", "");
        left = (tls_identity_not_after(id) - now) / 2;
    }
    /* All pods of a rollout must not come back at the same second. */
    left -= (int64_t)(rand_unit(&r->loop->rand) * (double)left * 0.1);
    r->stats.renew_at = now + left;
    r->stats.issued++;
    r->backoff = r->opt.backoff_min;
    r->by_file = false;
    key_free(&r->key);
    r->key = r->new_key;
    r->new_key = NULL; /* moved */
    mem_free(r->chain);
    r->chain = mem_str(a->chain);
    mem_free(r->bundle);
    r->bundle = bundle;
    clock_format_rfc3339(tls_identity_not_after(id), until);
    log_info(&r->log, "certificate in force", "name=%.*s until=%s",
             FMT(tls_identity_name(id)), until);
    tear_down(r);
    arm(r);
    identity_set(r->identity, id);
}

/* Who answers may know less than who told us through the session, and we have
 * said there that we trust those roots: an answer adds, the session takes away. */
static enum status merge_bundle(const struct renew *r, slice answered,
                                char **out, struct error *e)
{
    slice pems[] = {slice_str(r->told), answered};
    if (r->told && answered.len)
        return certs_merge(pems, 2, out, e);
    *out = mem_str(answered.len ? answered : slice_str(r->bundle));
    return OK;
}

static enum status use_answer(struct renew *r, struct error *e)
{
    struct certificate_answer a = {0};
    struct tls_identity *id = NULL;
    struct arena arena;
    char *bundle = NULL;
    arena_init(&arena, 2 * ANSWER_MAX);
    enum status rc = certificate_answer_decode(text_slice(&r->answer), &arena,
                                               &a, e);
    if (!rc)
        rc = merge_bundle(r, a.bundle, &bundle, e);
    if (!rc)
        rc = tls_identity_new(&id, a.chain, slice_str(r->new_key),
                              slice_str(bundle), e);
    if (!rc && tls_identity_not_after(id) <= date_now())
        rc = error_set(e, ERR_INVALID,
                       "it has expired already; are the clocks right?");
    if (!rc) {
        in_force(r, &a, bundle, id);
        bundle = NULL; /* moved */
    }
    mem_free(bundle);
    tls_identity_unref(id);
    arena_reset(&arena);
    return rc;
}

/* ---- the exchange ---- */

static void answered(struct renew *r)
{
    struct error e = {0};
    if (r->status != 200) {
        slice words = slice_sub(slice_trim(text_slice(&r->answer)), 0, WHY_MAX);
        (void)error_set(&e, ERR_DENIED, "status %u: %.*s", r->status,
                        FMT(words));
        failed(r, "refused", e.text);
    } else if (use_answer(r, &e)) {
        failed(r, "answer", e.text);
    }
}

static void on_head(struct exchange *x, const struct head *h, bool end)
{
    struct renew *r = x->owner;
    if (h->status < 200)
        return;
    r->status = h->status;
    if (end)
        answered(r);
}

static void on_body(struct exchange *x, slice data, bool end)
{
    struct renew *r = x->owner;
    text_add(&r->answer, data);
    if (r->answer.failed) {
        failed(r, "answer", "it is too long");
        return;
    }
    exchange_consumed(x, data.len);
    if (end)
        answered(r);
}

static void on_trailers(struct exchange *x, const struct headers *t)
{
    (void)t;
    answered(x->owner);
}

static void on_sent(struct exchange *x, size_t n)
{
    (void)x, (void)n;
}

static void on_reset(struct exchange *x, enum reset_why why)
{
    struct renew *r = x->owner;
    r->x = NULL;
    failed(r, "request", reset_why_name(why));
}

/* The answer came before; it was dealt with at its end. */
static void on_done(struct exchange *x)
{
    struct renew *r = x->owner;
    r->x = NULL;
    failed(r, "request", "ended");
}

static const struct exchange_events exchange_events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_sent = on_sent,
    .on_reset = on_reset,
    .on_done = on_done,
};

static void on_conn_closed(struct http_conn *conn, enum status why)
{
    struct renew *r = conn->owner;
    if (r->conn != conn)
        return;
    r->conn = NULL;
    failed(r, "connection", status_name(why));
}

static const struct http_conn_events conn_events = {
    .on_closed = on_conn_closed};

static void send_request(struct renew *r)
{
    struct header fields[FIELDS];
    struct head h;
    r->x = http_conn_open(r->conn);
    if (!r->x) {
        failed(r, "request", "it takes no request");
        return;
    }
    exchange_own(r->x, &exchange_events, r);
    head_init_request(&h, SLICE("POST"), SLICE("controller"),
                      SLICE("/v1/certificates"), fields, FIELDS);
    h.content_length = (int64_t)r->request.len;
    exchange_send_head(r->x, &h, false);
    if (r->x) /* else it broke at once */
        exchange_send_body(r->x, text_slice(&r->request), true);
}

static void on_connected(void *arg, enum status rc, struct http_conn *conn,
                         const struct tls_peer *peer, const char *reason)
{
    struct renew *r = arg;
    (void)peer; /* only the pinned name comes here */
    r->dial = NULL;
    if (rc) {
        r->by_file = rc == ERR_TLS && !r->by_file;
        failed(r, "connect", reason);
        return;
    }
    r->conn = conn;
    conn->events = &conn_events;
    conn->owner = r;
    send_request(r);
}

/* ---- a try ---- */

/* A join token proves us once; from then on the certificate in force does, as
 * long as it is. */
static bool by_certificate(const struct renew *r)
{
    struct tls_identity *now = identity_now(r->identity);
    return r->opt.join_token && now && tls_identity_not_after(now) > date_now();
}

static enum status make_request(struct renew *r, struct error *e)
{
    struct certificate_request req = {0};
    slice token = SLICE_NONE;
    char *csr = NULL;
    enum status rc = OK;
    if (!by_certificate(r))
        rc = file_read(slice_str(r->token_file), TOKEN_MAX, &token, e);
    if (!rc && !by_certificate(r) && slice_empty(slice_trim(token)))
        rc = error_set(e, ERR_INVALID, "%s is empty", r->token_file);
    if (!rc)
        rc = csr_new(slice_str(r->new_key), slice_str(r->name), &csr, e);
    if (rc)
        goto out;
    req.csr = slice_str(csr);
    req.token = token;
    while (token.len && (req.token.ptr[req.token.len - 1] == '\n' ||
                         req.token.ptr[req.token.len - 1] == '\r'))
        req.token.len--; /* files end with a newline */
    certificate_request_encode(&req, &r->request);
    if (r->request.failed)
        rc = error_set(e, ERR_TOO_BIG, "the request is too long");
out:
    mem_free(csr);
    if (token.ptr)
        mem_wipe_free((void *)(uintptr_t)token.ptr, token.len);
    return rc;
}

static enum status make_tls(const struct renew *r, struct tls_settings **out,
                            struct error *e)
{
    const struct tls_options opt = {.role = TLS_CLIENT, .alpn = {TLS_ALPN_H2}};
    struct tls_identity *id = by_certificate(r) ? identity_now(r->identity)
                                                : NULL;
    slice file = SLICE_NONE;
    enum status rc = ERR_NOT_FOUND;
    if (r->by_file && !id)
        rc = file_read(slice_str(r->bundle_file), BUNDLE_MAX, &file, e);
    if (!rc)
        rc = tls_settings_new(out, &opt, NULL, file, e);
    if (rc)
        rc = tls_settings_new(out, &opt, id, slice_str(r->bundle), e);
    mem_free((void *)(uintptr_t)file.ptr);
    return rc;
}

static void dial(struct renew *r, const struct address *to)
{
    struct tls_settings *tls = NULL;
    struct error e = {0};
    address_format(to, r->to);
    enum status rc = make_tls(r, &tls, &e);
    if (!rc)
        rc = http_client_start(&r->dial, r->loop, to, tls,
                               slice_str(r->controller), r->opt.timeout,
                               &r->limits, on_connected, r);
    tls_settings_unref(tls);
    if (rc)
        failed(r, "start", e.text[0] ? e.text : status_name(rc));
}

static void on_picked(struct controllers_pick *p, const struct address *to)
{
    struct renew *r = CONTAINER_OF(p, struct renew, pick);
    if (to)
        dial(r, to);
    else
        failed(r, "resolve", "its name does not resolve");
}

static void ask(struct renew *r)
{
    struct address to;
    struct error e = {0};
    r->status = 0;
    snprintf(r->to, sizeof r->to, "unresolved");
    text_init(&r->request, BODY_MAX);
    text_init(&r->answer, ANSWER_MAX);
    timer_set(&r->loop->timers, &r->timer, loop_now(r->loop) + r->opt.timeout);
    enum status rc = key_new(&r->new_key, &e);
    if (!rc)
        rc = make_request(r, &e);
    if (rc)
        failed(r, "start", e.text[0] ? e.text : status_name(rc));
    else if (controllers_next(r->opt.controllers, &r->pick, &to, on_picked) ==
             OK)
        dial(r, &to);
}

static void on_timer(struct timer *t)
{
    struct renew *r = CONTAINER_OF(t, struct renew, timer);
    if (asking(r))
        failed(r, "request", "no answer in time");
    else if (r->stats.renew_at > date_now())
        arm(r);
    else
        ask(r);
}

/* ---- life ---- */

static enum status pin_controller(struct renew *r, struct error *e)
{
    struct text name;
    char *domain = NULL;
    enum status rc = OK;
    text_init(&name, WORKLOAD_NAME_MAX);
    if (slice_empty(r->opt.trust_domain))
        rc = cert_root_domain(r->opt.bundle_pem, &domain, e);
    if (!rc && domain && !*domain)
        rc = error_set(e, ERR_INVALID, "the bundle names no trust domain");
    if (!rc)
        rc = controller_name_build(
            domain ? slice_str(domain) : r->opt.trust_domain, &name, e);
    if (!rc)
        r->controller = mem_str(text_slice(&name));
    mem_free(domain);
    text_fini(&name);
    return rc;
}

static void free_renew(struct reap *reap)
{
    struct renew *r = CONTAINER_OF(reap, struct renew, reap);
    mem_free(r->name);
    mem_free(r->token_file);
    mem_free(r->bundle_file);
    mem_free(r->controller);
    mem_free(r->bundle);
    mem_free(r->told);
    mem_free(r->chain);
    key_free(&r->key);
    mem_free(r);
}

enum status renew_start(struct renew **out, struct loop *l,
                        const struct renew_options *opt, struct identity *id,
                        struct error *e)
{
    struct renew *r = MEM_NEW(struct renew);
    enum status rc = OK;
    r->loop = l;
    r->opt = *opt;
    r->name = mem_str(opt->name);
    r->token_file = mem_str(opt->token_file);
    r->bundle_file = mem_str(opt->bundle_file);
    r->bundle = mem_str(opt->bundle_pem);
    r->identity = id;
    r->log.area = &area;
    r->limits = http_limits_default;
    r->backoff = opt->backoff_min;
    timer_init(&r->timer, on_timer);
    if (!opt->controllers)
        rc = error_set(e, ERR_INVALID, "no address of a controller is given");
    if (!rc)
        rc = roots_check(opt->bundle_pem, e);
    if (rc)
        rc = error_prefix(e, rc, "identity");
    if (!rc)
        rc = pin_controller(r, e);
    if (rc) {
        free_renew(&r->reap);
        return rc;
    }
    timer_set(&l->timers, &r->timer, loop_now(l) + 1);
    *out = r;
    return OK;
}

void renew_set_bundle(struct renew *r, slice pem)
{
    struct tls_identity *id;
    struct error e = {0};
    if (slice_eq(pem, slice_str(r->told)) &&
        slice_eq(pem, slice_str(r->bundle)))
        return;
    if (roots_check(pem, &e)) {
        log_error(&r->log, "trust bundle refused, the old one stays",
                  "why=" LOG_QUOTED, FMT(slice_str(e.text)));
        return;
    }
    mem_free(r->told);
    r->told = mem_str(pem);
    if (slice_eq(pem, slice_str(r->bundle)))
        return;
    mem_free(r->bundle);
    r->bundle = mem_str(pem);
    log_info(&r->log, "new trust bundle in force", "");
    if (!r->key)
        return;
    if (tls_identity_new(&id, slice_str(r->chain), slice_str(r->key), pem,
                         &e)) {
        log_error(&r->log, "identity cannot be renewed with it",
                  "why=" LOG_QUOTED, FMT(slice_str(e.text)));
        return;
    }
    identity_set(r->identity, id);
    tls_identity_unref(id);
}

slice renew_bundle(const struct renew *r)
{
    return slice_str(r->bundle);
}

slice renew_controller(const struct renew *r)
{
    return slice_str(r->controller);
}

void renew_close(struct renew *r)
{
    if (r->closed)
        return;
    r->closed = true;
    tear_down(r);
    loop_reap(r->loop, &r->reap, free_renew);
}

struct renew_stats renew_stats(const struct renew *r)
{
    return r->stats;
}
