/* SPDX-License-Identifier: Apache-2.0 */
/* Read what is there, then check that it can be: halves that fit, roots of ours,
 * both in ca.crt. Nobody but a person makes a state that cannot be. */
#include "controller/identity/root_state.h"

#include "controller/identity/ca_secret.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/tls/cert.h"

enum { PART_MAX = 256 << 10 };

/* --- marks --- */

void root_marks(slice bundle, struct text *out)
{
    slice from = bundle, line;
    char hex[65];

    while (slice_next(&bundle, '\n', &line)) {
        if (!slice_starts(line, SLICE("-----END")))
            continue;
        sha256_hex(slice_of(from.ptr, (size_t)(line.ptr + line.len - from.ptr)),
                   hex);
        text_printf(out, "%s%.*s", out->len ? "," : "", ROOT_MARK, hex);
        from = bundle;
    }
}

bool root_marked(slice marks, slice mark)
{
    slice one;

    while (slice_next(&marks, ',', &one))
        if (slice_eq(one, mark))
            return true;
    return false;
}

/* Of PEM as people may have written it. */
static enum status marks_of(slice pem, struct text *out, struct error *e)
{
    char *all = NULL;
    enum status rc = certs_merge(&pem, 1, &all, e);

    if (!rc)
        root_marks(slice_str(all), out);
    mem_free(all);
    return rc;
}

/* --- a root in the Secret --- */

struct root {
    bool ours;
    int64_t not_before, not_after;
    char mark[ROOT_MARK + 1];
};

static enum status check_root(slice cert, slice key, slice trust_domain,
                              struct root *out, struct error *e)
{
    struct ca *ca = NULL;
    struct text marks;
    enum status rc = ca_load(&ca, cert, key, e);

    text_init(&marks, ROOT_MARKS_MAX);
    if (!rc)
        rc = cert_dates(cert, &out->not_before, &out->not_after, e);
    if (!rc)
        rc = marks_of(cert, &marks, e);
    /* Of a chain: the first. */
    if (!rc && slice_to_cstr(slice_sub(text_slice(&marks), 0, ROOT_MARK),
                             out->mark, sizeof out->mark))
        rc = error_set(e, ERR_INVALID, "holds no certificate");
    if (!rc)
        out->ours = ca_is_root(ca) &&
                    slice_eq(ca_trust_domain(ca), trust_domain);
    text_fini(&marks);
    ca_free(ca);
    return rc;
}

static enum status read_root(struct json secret, const char *cert_name,
                             const char *key_name, slice trust_domain,
                             struct root *out, struct error *e)
{
    struct text cert, key;
    enum status rc;

    text_init(&cert, PART_MAX);
    text_init(&key, PART_MAX);
    rc = ca_secret_part(secret, cert_name, true, &cert, e);
    if (!rc)
        rc = ca_secret_part(secret, key_name, true, &key, e);
    if (!rc) {
        rc = check_root(text_slice(&cert), text_slice(&key), trust_domain, out,
                        e);
        if (rc)
            rc = error_prefix(e, rc, "data.%s", cert_name);
    }
    if (key.ptr)
        mem_wipe(key.ptr, key.cap);
    text_fini(&cert);
    text_fini(&key);
    return rc;
}

/* ca.crt must hold both. */
static enum status check_roots(struct json secret, const struct root_state *s,
                               struct error *e)
{
    struct text pem, marks;
    enum status rc;

    text_init(&pem, PART_MAX);
    text_init(&marks, ROOT_MARKS_MAX);
    rc = ca_secret_part(secret, "ca.crt", true, &pem, e);
    if (!rc)
        rc = marks_of(text_slice(&pem), &marks, e);
    if (!rc &&
        (!root_marked(text_slice(&marks), slice_str(s->signs)) ||
         (s->next[0] && !root_marked(text_slice(&marks), slice_str(s->next)))))
        rc = error_set(e, ERR_INVALID,
                       "data.ca.crt: does not hold the roots of tls.crt and "
                       "next.crt");
    text_fini(&pem);
    text_fini(&marks);
    return rc;
}

/* --- the whole --- */

static enum status read_phase(struct json annotations, struct root_state *out,
                              struct error *e)
{
    slice phase = SLICE_NONE, since = SLICE_NONE, want = SLICE_NONE,
          done = SLICE_NONE;
    enum status rc = json_opt_string(annotations, ROOT_PHASE, &phase, e);

    if (!rc)
        rc = json_opt_string(annotations, ROOT_PHASE_SINCE, &since, e);
    if (!rc)
        rc = json_opt_string(annotations, ROOT_WANTED, &want, e);
    if (!rc)
        rc = json_opt_string(annotations, ROOT_DONE, &done, e);
    if (rc)
        return rc;
    out->wanted = !slice_empty(want) && !slice_eq(want, done);
    if (slice_empty(phase))
        return OK;
    if (slice_eq(phase, SLICE("distributing")))
        out->phase = ROOT_DISTRIBUTING;
    else if (slice_eq(phase, SLICE("retiring")))
        out->phase = ROOT_RETIRING;
    else
        return error_set(e, ERR_INVALID,
                         "%s: is neither distributing nor retiring",
                         ROOT_PHASE);
    if (clock_parse_rfc3339(since, &out->since))
        return error_set(e, ERR_INVALID,
                         "%s: is no date like 2026-11-22T13:08:00Z",
                         ROOT_PHASE_SINCE);
    return OK;
}

static enum status read_next(struct json secret, slice trust_domain,
                             struct root_state *out, struct error *e)
{
    struct json data = json_get(secret, "data");
    struct root next = {0};
    enum status rc;

    if (out->phase != ROOT_DISTRIBUTING) {
        if (json_present(json_get(data, "next.crt")) ||
            json_present(json_get(data, "next.key")))
            return error_set(e, ERR_INVALID,
                             "data.next.crt, data.next.key: are there, but "
                             "%s is not distributing",
                             ROOT_PHASE);
        return OK;
    }
    rc = read_root(secret, "next.crt", "next.key", trust_domain, &next, e);
    if (!rc && !next.ours)
        rc = error_set(e, ERR_INVALID,
                       "data.next.crt: is no root of this trust domain");
    if (!rc)
        memcpy(out->next, next.mark, sizeof out->next);
    return rc;
}

enum status root_state_read(struct json secret, slice trust_domain,
                            struct root_state *out, struct error *e)
{
    struct json annotations = json_get(json_get(secret, "metadata"),
                                       "annotations");
    struct root signs = {0};
    enum status rc;

    *out = (struct root_state){0};
    rc = read_root(secret, "tls.crt", "tls.key", trust_domain, &signs, e);
    if (rc)
        return rc;
    out->ours = signs.ours;
    out->not_before = signs.not_before;
    out->not_after = signs.not_after;
    memcpy(out->signs, signs.mark, sizeof out->signs);
    rc = read_phase(annotations, out, e);
    if (!rc)
        rc = read_next(secret, trust_domain, out, e);
    if (!rc && out->phase != ROOT_AT_REST)
        rc = check_roots(secret, out, e);
    if (!rc && !out->ours && (out->wanted || out->phase != ROOT_AT_REST))
        rc = error_set(e, ERR_INVALID,
                       "data.tls.crt: is no root that we made: it is not ours "
                       "to change");
    return rc;
}

/* --- what comes next --- */

/* A root says of itself that it is an hour older than it is. */
static bool ending(const struct root_state *s, const struct root_rules *r,
                   int64_t now)
{
    int64_t life = s->not_after - s->not_before;

    return s->not_after - now < (life < r->life ? life : r->life) / 5;
}

enum root_step root_next(const struct root_state *s, const struct root_rules *r,
                         int64_t now, int64_t led, bool everywhere)
{
    int64_t passed = now - s->since;

    if (!s->ours)
        return ROOT_WAIT;
    switch (s->phase) {
    case ROOT_AT_REST:
        return s->wanted || ending(s, r, now) ? ROOT_MAKE : ROOT_WAIT;
    case ROOT_DISTRIBUTING:
        if (passed < r->settle || led < r->settle)
            return ROOT_WAIT;
        return everywhere || passed >= r->deadline ? ROOT_SIGN : ROOT_WAIT;
    case ROOT_RETIRING:
        return passed >= r->retire ? ROOT_DROP : ROOT_WAIT;
    }
    return ROOT_WAIT;
}
