/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/identity/authority.h"

#include "lib/base/mem.h"

enum { CHAIN_MAX = 64 << 10 };

struct authority {
    struct ca *ca;
    char *chain;  /* PEM that follows a leaf; "" below a root */
    char *bundle; /* PEM */
    char *kept;   /* PEM: the same, and roots from before; NULL: none */
};

void authority_free(struct authority *a)
{
    if (!a)
        return;
    ca_free(a->ca);
    mem_free(a->chain);
    mem_free(a->bundle);
    mem_free(a->kept);
    mem_free(a);
}

struct authority *authority_of(struct ca *ca)
{
    struct authority *a = MEM_NEW(struct authority);

    a->ca = ca;
    a->chain = mem_str(SLICE_NONE);
    a->bundle = mem_str(ca_cert_pem(ca));
    return a;
}

static enum status check_domain(const struct ca *ca, slice trust_domain,
                                struct error *e)
{
    slice own = ca_trust_domain(ca);

    if (slice_empty(own) || slice_eq(own, trust_domain))
        return OK;
    return error_set(e, ERR_INVALID,
                     "the root is of trust domain '%.*s', not '%.*s'", FMT(own),
                     FMT(trust_domain));
}

/* What peers get after a leaf, and whom they trust. */
static enum status arrange(struct authority *a,
                           const struct authority_parts *parts, struct error *e)
{
    bool root = ca_is_root(a->ca);
    slice trusted[] = {root ? ca_cert_pem(a->ca) : SLICE_NONE, parts->roots};
    enum status rc = certs_merge(trusted, 2, &a->bundle, e);

    if (rc)
        return error_prefix(e, rc, "roots");
    if (!a->bundle[0])
        return error_set(e, ERR_INVALID,
                         "the issuer is no root, and no root was given");
    /* Proxies refuse a bundle as a whole. */
    rc = roots_check(slice_str(a->bundle), e);
    if (rc)
        return rc;
    if (root) {
        a->chain = mem_str(SLICE_NONE);
        return OK;
    }
    return certs_merge(&parts->cert, 1, &a->chain, e);
}

/* Would peers believe what we sign? */
static enum status check_leads_to_root(const struct authority *a,
                                       struct error *e)
{
    if (!a->chain[0])
        return OK;
    return chain_check(slice_str(a->chain), slice_str(a->bundle), e);
}

enum status authority_new(struct authority **out,
                          const struct authority_parts *parts,
                          slice trust_domain, struct error *e)
{
    struct authority *a = MEM_NEW(struct authority);
    enum status rc = ca_load(&a->ca, parts->cert, parts->key, e);

    if (!rc)
        rc = check_domain(a->ca, trust_domain, e);
    if (!rc)
        rc = arrange(a, parts, e);
    if (!rc)
        rc = check_leads_to_root(a, e);
    if (rc) {
        authority_free(a);
        return rc;
    }
    *out = a;
    return OK;
}

enum status authority_sign(const struct authority *a,
                           const struct cert_request *r, char **chain,
                           struct error *e)
{
    struct text t;
    char *leaf = NULL;
    enum status rc = ca_sign(a->ca, r, &leaf, e);

    *chain = NULL;
    if (rc)
        return rc;
    text_init(&t, CHAIN_MAX);
    text_add(&t, slice_str(leaf));
    text_add(&t, slice_str(a->chain));
    if (t.failed)
        rc = error_set(e, ERR_TOO_BIG, "the chain is too long");
    else
        *chain = mem_str(text_slice(&t));
    text_fini(&t);
    mem_free(leaf);
    return rc;
}

slice authority_bundle(const struct authority *a)
{
    return slice_str(a->kept ? a->kept : a->bundle);
}

enum status authority_keep(struct authority *a, slice roots, struct error *e)
{
    slice trusted[] = {authority_bundle(a), roots};
    char *all = NULL;
    enum status rc = certs_merge(trusted, 2, &all, e);

    if (rc)
        return rc;
    /* Who borrows the bundle may go on, now and when these are let go. */
    if (slice_eq(slice_str(all), authority_bundle(a))) {
        mem_free(all);
        return OK;
    }
    mem_free(a->kept);
    a->kept = all;
    return OK;
}

bool authority_let_go(struct authority *a)
{
    bool changed = a->kept != NULL;

    mem_free(a->kept);
    a->kept = NULL;
    return changed;
}

int64_t authority_not_after(const struct authority *a)
{
    return ca_not_after(a->ca);
}

bool authority_eq(const struct authority *a, const struct authority *b)
{
    return slice_eq(ca_cert_pem(a->ca), ca_cert_pem(b->ca)) &&
           slice_eq(slice_str(a->chain), slice_str(b->chain)) &&
           slice_eq(slice_str(a->bundle), slice_str(b->bundle));
}
