/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/identity/issue.h"

#include <stdio.h>

#include "lib/base/clock.h"

bool pod_proof_parse(slice text, slice *ns, slice *pod, slice *uid)
{
    slice rest;

    return slice_cut(text, '/', ns, &rest) && slice_cut(rest, '/', pod, uid) &&
           dns_label_valid(*ns) && dns_subdomain_valid(*pod) &&
           uid->len <= 64 && slice_find(*uid, '/') < 0;
}

static enum status check_proof(const struct issue_rules *rules,
                               const struct proof *p, int64_t now,
                               struct error *e)
{
    if (p->not_after <= now)
        return error_set(e, ERR_DENIED, "the %s has expired",
                         p->kind == PROOF_TOKEN ? "token" : "certificate");
    if (p->kind == PROOF_CERTIFICATE && !rules->renew_by_certificate)
        return error_set(e, ERR_DENIED, "renewal needs a token here");
    return OK;
}

/* The name must be a workload's, and ours. The controller's own name is not a
 * workload's, so nobody gets it here. */
static enum status check_name(const struct issue_rules *rules, slice name,
                              slice asked, struct workload_name *out,
                              struct error *e)
{
    if (controller_name_is(name, rules->trust_domain) ||
        workload_name_parse(name, out, e))
        return error_set(e, ERR_DENIED, "'%.*s' is not the name of a workload",
                         FMT(slice_sub(name, 0, 200)));
    if (!slice_eq(out->trust_domain, rules->trust_domain))
        return error_set(
            e, ERR_DENIED, "'%.*s' is of another trust domain than '%.*s'",
            FMT(slice_sub(name, 0, 200)), FMT(rules->trust_domain));
    if (!slice_empty(asked) && !slice_eq(asked, name))
        return error_set(
            e, ERR_DENIED, "the caller proved '%.*s' and may not have '%.*s'",
            FMT(slice_sub(name, 0, 150)), FMT(slice_sub(asked, 0, 150)));
    return OK;
}

static enum status check_pod(const struct issue_rules *rules,
                             const struct workload_name *name,
                             struct grant *out, slice text, struct error *e)
{
    const struct record *pod;
    slice ns = {0}, pod_name = {0}, uid = {0};
    int n;

    if (slice_empty(text))
        return OK;
    if (!pod_proof_parse(text, &ns, &pod_name, &uid) || !slice_eq(ns, name->ns))
        return error_set(e, ERR_DENIED, "'%.*s' is not a pod of '%.*s'",
                         FMT(slice_sub(text, 0, 200)), FMT(name->ns));
    pod = rules->registry
              ? registry_find(rules->registry, RECORD_POD, ns, pod_name)
              : NULL;
    if (pod && !slice_eq(pod->pod.service_account, name->service_account))
        return error_set(e, ERR_DENIED,
                         "pod '%.*s/%.*s' runs as '%.*s', not as '%.*s'",
                         FMT(ns), FMT(slice_sub(pod_name, 0, 100)),
                         FMT(slice_sub(pod->pod.service_account, 0, 100)),
                         FMT(slice_sub(name->service_account, 0, 100)));
    if (pod && !pod->pod.live)
        return error_set(e, ERR_DENIED, "pod '%.*s/%.*s' has ended", FMT(ns),
                         FMT(slice_sub(pod_name, 0, 200)));
    if (pod && !slice_empty(uid) && !slice_empty(pod->pod.uid) &&
        !slice_eq(uid, pod->pod.uid))
        return error_set(e, ERR_DENIED, "pod '%.*s/%.*s' is another one now",
                         FMT(ns), FMT(slice_sub(pod_name, 0, 200)));
    /* A join token names a pod before it exists: its UID is known by now. */
    if (pod && slice_empty(uid) && pod->pod.uid.len <= 64)
        uid = pod->pod.uid;
    n = snprintf(out->pod_text, sizeof out->pod_text, "%.*s/%.*s/%.*s", FMT(ns),
                 FMT(pod_name), FMT(uid));
    out->pod = slice_of(out->pod_text, (size_t)n);
    return OK;
}

enum status issue_grant(const struct issue_rules *rules, const struct proof *p,
                        slice asked, int64_t now, struct grant *out,
                        struct error *e)
{
    struct workload_name name = {0};
    enum status rc = check_proof(rules, p, now, e);

    *out = (struct grant){0};
    if (!rc)
        rc = check_name(rules, p->name, asked, &name, e);
    if (!rc)
        rc = check_pod(rules, &name, out, p->pod, e);
    if (rc)
        return rc;
    if (slice_to_cstr(p->name, out->name_text, sizeof out->name_text))
        return error_set(e, ERR_DENIED, "the name is too long");
    out->name = slice_str(out->name_text);
    out->not_before = now - ISSUE_BACKDATE;
    out->not_after = now + rules->life;
    out->renew_at = now + rules->life / 2;
    return OK;
}

void issue_rate_init(struct issue_rate *r, uint64_t per_second, int64_t now)
{
    *r = (struct issue_rate){per_second, (double)per_second, now};
}

bool issue_rate_take(struct issue_rate *r, int64_t now)
{
    double passed = (double)(now - r->last) / (double)NSEC_PER_SEC;

    r->last = now;
    r->left += passed * (double)r->per_second;
    if (r->left > (double)r->per_second)
        r->left = (double)r->per_second;
    if (r->left < 1)
        return false;
    r->left -= 1;
    return true;
}
