/* SPDX-License-Identifier: Apache-2.0 */
/* Cheap checks first, and those that need a secret before those that cost: a
 * stranger can make us hash a token, not verify signatures. */
#include "controller/identity/issuer.h"

#include "controller/identity/join_token.h"
#include "lib/base/mem.h"

static enum status prove(const struct issuer *i,
                         const struct certificate_request *req,
                         const struct tls_peer *peer, struct join_token *token,
                         struct proof *out, struct error *e)
{
    enum status rc;

    if (slice_empty(req->token)) {
        if (!peer || slice_empty(peer->name))
            return error_set(e, ERR_DENIED,
                             "neither a token nor a client certificate");
        *out = (struct proof){PROOF_CERTIFICATE, peer->name, peer->extension,
                              peer->not_after};
        return OK;
    }
    rc = join_token_read(i->state, req->token, token, e);
    if (rc)
        return rc;
    *out = (struct proof){PROOF_TOKEN, slice_str(token->name),
                          slice_str(token->pod), token->expires};
    return OK;
}

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
    enum status rc = ca_sign(i->ca, &r, &out->leaf, e);

    /* The root may end sooner: then half of what is left. */
    if (!rc && cert_dates(slice_str(out->leaf), &from, &to, e) == OK &&
        to < g->not_after) {
        g->renew_at -= (g->not_after - to) / 2;
        g->not_after = to;
    }
    return rc;
}

static enum status issue(struct issuer *i,
                         const struct certificate_request *req,
                         const struct tls_peer *peer, int64_t now, int64_t date,
                         struct issued *out, struct error *e)
{
    struct join_token token;
    struct proof proof = {0};
    char *der = NULL, *asked = NULL;
    size_t der_len = 0;
    enum status rc = prove(i, req, peer, &token, &proof, e);

    if (!rc && !issue_rate_take(&i->rate, now)) {
        i->limited++;
        rc = error_set(e, ERR_RESOURCES, "too many certificates a second");
    }
    if (!rc)
        rc = csr_check(req->csr, &der, &der_len, &asked, e);
    if (!rc)
        rc = issue_grant(&i->rules, &proof, slice_str(asked), date, &out->grant,
                         e);
    if (!rc && proof.kind == PROOF_TOKEN)
        rc = join_token_consume(i->state, req->token, e);
    if (!rc)
        rc = sign(i, slice_of(der, der_len), out, e);
    mem_free(der);
    mem_free(asked);
    return rc;
}

enum status issuer_issue(struct issuer *i,
                         const struct certificate_request *req,
                         const struct tls_peer *peer, int64_t now, int64_t date,
                         struct issued *out, struct error *e)
{
    enum status rc;

    *out = (struct issued){0};
    rc = issue(i, req, peer, now, date, out, e);
    i->issued += rc == OK;
    i->refused += rc != OK;
    return rc;
}
