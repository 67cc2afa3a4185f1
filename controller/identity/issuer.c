/* SPDX-License-Identifier: Apache-2.0 */
/* Cheap checks first, and those that need a secret before those that cost: a
 * stranger can make us hash a token, not verify signatures. In a cluster a token
 * costs a question to the API server, so there the rate is taken and the signing
 * request checked before it. */
#include "controller/identity/issuer.h"

#include "controller/identity/join_token.h"
#include "controller/identity/token_review.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/kube/kube.h"

/* Below the time that a proxy waits for an answer: it is told why. */
#define REVIEW_TIMEOUT (5 * NSEC_PER_SEC)

/* --- the end --- */

static void clear(struct issue_job *j)
{
    mem_free(j->public_der);
    mem_free(j->asked);
    j->public_der = j->asked = NULL;
}

/* Once: `done` may free what holds the job. */
static void finish(struct issue_job *j, enum status rc, struct issued *is,
                   const struct error *e)
{
    j->issuer->issued += rc == OK;
    j->issuer->refused += rc != OK;
    clear(j);
    j->done(j, rc, rc ? NULL : is, e);
}

void issuer_cancel(struct issue_job *j)
{
    if (!j->review)
        return;
    kube_cancel(j->review);
    j->review = NULL;
    j->issuer->reviews--;
    clear(j);
}

/* --- signature --- */

static enum status sign(const struct issuer *i, slice public_der,
                        struct issued *out, struct error *e)
{
    struct grant *g = &out->grant;
    struct cert_request r = {
        .public_der = public_der,
        .name = g->name,
        .pod = g->pod,
        .not_before = g->not_before,
        .not_after = g->not_after,
    };
    int64_t from, to;
    enum status rc = authority_sign(i->authority, &r, &out->chain, e);

    /* The root may end sooner: then half of what is left. */
    if (!rc && cert_dates(slice_str(out->chain), &from, &to, e) == OK &&
        to < g->not_after) {
        g->renew_at -= (g->not_after - to) / 2;
        g->not_after = to;
    }
    return rc;
}

static enum status check_sure(const struct issuer *i, struct error *e)
{
    if (i->authority && (!i->may_sign || i->may_sign(i->arg)))
        return OK;
    return error_set(e, ERR_AGAIN, "this controller is not sure of the issuer");
}

static enum status take_rate(struct issue_job *j, struct error *e)
{
    if (issue_rate_take(&j->issuer->rate, j->now))
        return OK;
    j->issuer->limited++;
    return error_set(e, ERR_RESOURCES, "too many certificates a second");
}

/* The caller has proven something: what follows from it? */
static void grant(struct issue_job *j, const struct proof *p)
{
    struct issuer *i = j->issuer;
    struct issued is = {0};
    struct error e;
    enum status rc = issue_grant(&i->rules, p, slice_str(j->asked), j->date,
                                 &is.grant, &e);
    char *chain;

    /* The review took a while. */
    if (!rc)
        rc = check_sure(i, &e);
    /* Only now: strangers' nonsense must not keep others from theirs. */
    if (!rc)
        rc = take_rate(j, &e);
    if (!rc && p->kind == PROOF_TOKEN && !i->kube)
        rc = join_token_consume(i->state, j->req.token, &e);
    if (!rc)
        rc = sign(i, slice_of(j->public_der, j->public_len), &is, &e);
    chain = is.chain;
    finish(j, rc, &is, &e);
    mem_free(chain);
}

/* --- a token of the cluster --- */

static enum status review_failed(const struct kube_answer *a, struct error *e)
{
    /* The server refused us, not the caller. */
    *e = *a->e;
    return error_prefix(e, a->rc == ERR_RESOURCES ? ERR_RESOURCES : ERR_IO,
                        "the API server did not review the token");
}

static void on_reviewed(void *owner, const struct kube_answer *a)
{
    struct issue_job *j = owner;
    struct issuer *i = j->issuer;
    struct token_review *r = MEM_NEW(struct token_review);
    struct error e;
    enum status rc;

    j->review = NULL;
    i->reviews--;
    rc = a->rc ? review_failed(a, &e)
               : token_review_read(a->body, i->rules.trust_domain, r, &e);
    if (rc) {
        finish(j, rc, NULL, &e);
    } else {
        struct proof p = {
            .kind = PROOF_TOKEN,
            .name = slice_str(r->name),
            .pod = slice_str(r->pod),
            .not_after = INT64_MAX, /* it has just been found valid */
        };

        grant(j, &p);
    }
    mem_free(r);
}

static enum status review(struct issue_job *j, struct error *e)
{
    struct kube_call call = {
        .method = KUBE_POST,
        .path = SLICE(TOKEN_REVIEW_PATH),
        .timeout = REVIEW_TIMEOUT,
    };
    struct text body;
    enum status rc;

    if (j->issuer->reviews >= ISSUER_REVIEWS_MAX) {
        j->issuer->limited++;
        return error_set(e, ERR_RESOURCES, "too many tokens are being checked");
    }
    if (j->req.token.len > TOKEN_REVIEW_TOKEN_MAX)
        return error_set(e, ERR_INVALID, "the token is too long");
    text_init(&body, 2 * TOKEN_REVIEW_TOKEN_MAX + 1024);
    token_review_request(j->req.token, &body);
    call.body = text_slice(&body);
    rc = body.failed
             ? error_set(e, ERR_INVALID, "the token is too long")
             : kube_send(j->issuer->kube, &call, on_reviewed, j, &j->review);
    if (rc && !body.failed)
        error_set(e, rc, "too many requests to the API server");
    j->issuer->reviews += rc == OK;
    if (body.ptr)
        mem_wipe(body.ptr, body.len);
    text_fini(&body);
    return rc;
}

/* --- the start --- */

static enum status check_request(struct issue_job *j, struct error *e)
{
    return csr_check(j->req.csr, &j->public_der, &j->public_len, &j->asked, e);
}

static void by_certificate(struct issue_job *j, const struct tls_peer *peer)
{
    struct proof p = {.kind = PROOF_CERTIFICATE};
    struct error e;
    enum status rc;

    if (!peer || slice_empty(peer->name)) {
        rc = error_set(&e, ERR_DENIED,
                       "neither a token nor a client certificate");
        finish(j, rc, NULL, &e);
        return;
    }
    rc = check_request(j, &e);
    if (rc) {
        finish(j, rc, NULL, &e);
        return;
    }
    p.name = peer->name;
    p.pod = peer->extension;
    p.not_after = peer->not_after;
    grant(j, &p);
}

static void by_join_token(struct issue_job *j)
{
    struct join_token token;
    struct proof p = {.kind = PROOF_TOKEN};
    struct error e;
    enum status rc = join_token_read(j->issuer->state, j->req.token, &token,
                                     &e);

    if (!rc)
        rc = check_request(j, &e);
    if (rc) {
        finish(j, rc, NULL, &e);
        return;
    }
    p.name = slice_str(token.name);
    p.pod = slice_str(token.pod);
    p.not_after = token.expires;
    grant(j, &p);
}

static void by_review(struct issue_job *j)
{
    struct error e;
    enum status rc = check_request(j, &e);

    if (!rc)
        rc = review(j, &e);
    if (rc)
        finish(j, rc, NULL, &e);
}

void issuer_begin(struct issuer *i, struct issue_job *j,
                  const struct certificate_request *req,
                  const struct tls_peer *peer, int64_t now, int64_t date,
                  issue_done_fn *done)
{
    struct error e;
    enum status rc;

    *j = (struct issue_job){
        .issuer = i,
        .req = *req,
        .now = now,
        .date = date,
        .done = done,
    };
    rc = check_sure(i, &e);
    if (rc) {
        finish(j, rc, NULL, &e);
    } else if (slice_empty(req->token)) {
        by_certificate(j, peer);
    } else if (i->kube) {
        by_review(j);
    } else {
        by_join_token(j);
    }
}
