/* SPDX-License-Identifier: Apache-2.0 */
/* Read what is there, then check that it can be: halves that fit, roots of ours,
 * both in ca.crt. Nobody but a person makes a state that cannot be. */
#include "controller/identity/root_state.h"

#include <inttypes.h>

#include "controller/identity/ca_secret.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/tls/cert.h"

enum {
    PART_MAX = 256 << 10,
    CLOCKS_DIFFER = 3600, /* at most, seconds */
    FEW = 5,              /* proxies, or one in twenty */
    DAY = 86400,
    WEEK = 7 * DAY,
};

/* --- marks --- */

/* One after the other. */
static bool next_cert(slice *bundle, slice *cert, char hex[65])
{
    slice from = *bundle, line;

    while (slice_next(bundle, '\n', &line)) {
        if (!slice_starts(line, SLICE("-----END")))
            continue;
        *cert = slice_of(from.ptr, (size_t)(line.ptr + line.len - from.ptr));
        sha256_hex(*cert, hex);
        return true;
    }
    return false;
}

void root_marks(slice bundle, struct text *out)
{
    slice cert;
    char hex[65];

    while (next_cert(&bundle, &cert, hex))
        text_printf(out, "%s%.*s", out->len ? "," : "", ROOT_MARK, hex);
}

bool root_marked(slice marks, slice mark)
{
    slice one;

    while (!slice_empty(mark) && slice_next(&marks, ',', &one))
        if (slice_eq(one, mark))
            return true;
    return false;
}

void root_bundle_without(slice bundle, slice mark, struct text *out)
{
    slice cert;
    char hex[65];

    while (next_cert(&bundle, &cert, hex))
        if (!slice_eq(slice_of(hex, ROOT_MARK), mark))
            text_printf(out, "%.*s\n", FMT(cert));
}

static enum status marks_of(slice pem, struct text *out, struct error *e)
{
    char *all = NULL;
    enum status rc = certs_merge(&pem, 1, &all, e);

    if (!rc)
        root_marks(slice_str(all), out);
    mem_free(all);
    return rc;
}

enum status root_mark_of(slice pem, char out[ROOT_MARK + 1], struct error *e)
{
    struct text marks;
    enum status rc;

    text_init(&marks, ROOT_MARKS_MAX);
    rc = marks_of(pem, &marks, e);
    if (!rc && marks.len < ROOT_MARK)
        rc = error_set(e, ERR_INVALID, "holds no certificate");
    if (!rc)
        memcpy(out, marks.ptr, ROOT_MARK);
    out[rc ? 0 : ROOT_MARK] = 0;
    text_fini(&marks);
    return rc;
}

/* --- a root in the Secret --- */

struct root {
    bool ours;
    int64_t not_before, not_after;
    char mark[ROOT_MARK + 1];
};

/* `made`: marks of those that we made. What somebody put in their place has
 * another one, whatever it calls itself. */
static enum status check_root(slice cert, slice key, slice trust_domain,
                              slice made, struct root *out, struct error *e)
{
    struct ca *ca = NULL;
    enum status rc = ca_load(&ca, cert, key, e);

    if (!rc)
        rc = cert_dates(cert, &out->not_before, &out->not_after, e);
    if (!rc)
        rc = root_mark_of(cert, out->mark, e);
    if (!rc)
        out->ours = ca_is_root(ca) &&
                    slice_eq(ca_trust_domain(ca), trust_domain) &&
                    root_marked(made, slice_str(out->mark));
    ca_free(ca);
    return rc;
}

static enum status read_root(struct json secret, const char *cert_name,
                             const char *key_name, slice trust_domain,
                             slice made, struct root *out, struct error *e)
{
    struct text cert, key;
    enum status rc;

    text_init(&cert, PART_MAX);
    text_init_secret(&key, PART_MAX);
    rc = ca_secret_part(secret, cert_name, true, &cert, e);
    if (!rc)
        rc = ca_secret_part(secret, key_name, true, &key, e);
    if (!rc) {
        rc = check_root(text_slice(&cert), text_slice(&key), trust_domain, made,
                        out, e);
        if (rc)
            rc = error_prefix(e, rc, "data.%s", cert_name);
    }
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

/* A text of the annotations; the first failure counts. */
static slice note(struct json annotations, const char *name, enum status *rc,
                  struct error *e)
{
    slice out = SLICE_NONE;

    if (!*rc)
        *rc = json_opt_string(annotations, name, &out, e);
    return out;
}

static enum status read_date(slice text, const char *name, int64_t *out,
                             struct error *e)
{
    if (clock_parse_rfc3339(text, out) == OK)
        return OK;
    return error_set(e, ERR_INVALID, "%s: is no date like 2026-11-22T13:08:00Z",
                     name);
}

static enum status read_old(slice mark, slice until, struct root_state *out,
                            struct error *e)
{
    if (mark.len != ROOT_MARK || slice_to_cstr(mark, out->old, sizeof out->old))
        return error_set(e, ERR_INVALID, "%s: is no mark of a root", ROOT_OLD);
    return read_date(until, ROOT_OLD_UNTIL, &out->retire, e);
}

static enum status read_phase(struct json annotations, struct root_state *out,
                              struct error *e)
{
    enum status rc = OK;
    slice phase = note(annotations, ROOT_PHASE, &rc, e);
    slice since = note(annotations, ROOT_PHASE_SINCE, &rc, e);
    slice want = note(annotations, ROOT_WANTED, &rc, e);
    slice done = note(annotations, ROOT_DONE, &rc, e);
    slice old = note(annotations, ROOT_OLD, &rc, e);
    slice until = note(annotations, ROOT_OLD_UNTIL, &rc, e);

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
    rc = read_date(since, ROOT_PHASE_SINCE, &out->since, e);
    if (!rc && out->phase == ROOT_RETIRING)
        rc = read_old(old, until, out, e);
    return rc;
}

static enum status read_next(struct json secret, slice trust_domain, slice made,
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
    rc = read_root(secret, "next.crt", "next.key", trust_domain, made, &next,
                   e);
    if (!rc && !next.ours)
        rc = error_set(e, ERR_INVALID,
                       "data.next.crt: is no root that we made");
    if (!rc)
        memcpy(out->next, next.mark, sizeof out->next);
    out->next_from = next.not_before;
    return rc;
}

enum status root_state_read(struct json secret, slice trust_domain,
                            struct root_state *out, struct error *e)
{
    struct json annotations = json_get(json_get(secret, "metadata"),
                                       "annotations");
    struct root signs = {0};
    enum status rc = OK;
    slice made = note(annotations, ROOT_MADE, &rc, e);

    *out = (struct root_state){0};
    if (!rc)
        rc = read_root(secret, "tls.crt", "tls.key", trust_domain, made, &signs,
                       e);
    if (rc)
        return rc;
    out->ours = signs.ours;
    out->not_before = signs.not_before;
    out->not_after = signs.not_after;
    memcpy(out->signs, signs.mark, sizeof out->signs);
    rc = read_phase(annotations, out, e);
    if (!rc)
        rc = read_next(secret, trust_domain, made, out, e);
    if (!rc && out->phase != ROOT_AT_REST)
        rc = check_roots(secret, out, e);
    if (!rc && !out->ours && (out->wanted || out->phase != ROOT_AT_REST))
        rc = error_set(e, ERR_INVALID,
                       "data.tls.crt: is no root that we made: it is not ours "
                       "to change");
    return rc;
}

enum status root_state_check(const struct root_state *s, int64_t now,
                             struct error *e)
{
    char at[21];

    if (s->since <= now + CLOCKS_DIFFER)
        return OK;
    clock_format_rfc3339(s->since, at);
    return error_set(e, ERR_INVALID,
                     "%s: %s is in the future: is a clock wrong?",
                     ROOT_PHASE_SINCE, at);
}

enum status root_clock_check(int64_t now, int64_t theirs, struct error *e)
{
    char here[21], there[21];

    if (!theirs ||
        (theirs - now <= CLOCKS_DIFFER && now - theirs <= CLOCKS_DIFFER))
        return OK;
    clock_format_rfc3339(now, here);
    clock_format_rfc3339(theirs, there);
    return error_set(e, ERR_INVALID,
                     "it is %s here, and %s for the API server: is a clock "
                     "wrong?",
                     here, there);
}

/* --- what comes next --- */

/* Rounded up: a second too late is no harm. */
static int64_t seconds(int64_t ns)
{
    return (ns + NSEC_PER_SEC - 1) / NSEC_PER_SEC;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* A replica that has not heard of the next root signs with the old one, and tells
 * of it alone, until its watch counts as stale. What it began then has ended a
 * sixth of that later (30 s of three minutes). Clocks differ by less than a quarter
 * of a certificate's life. */
enum status root_rules_make(const struct root_times *t, struct root_rules *out,
                            struct error *e)
{
    int64_t margin = most(t->stale_after / 6, NSEC_PER_SEC);

    *out = (struct root_rules){
        .life = seconds(t->life),
        .deadline = seconds(t->deadline),
        .settle = seconds(most(t->settle, t->stale_after + margin)),
        .retire =
            seconds(t->cert_life + most(t->cert_life / 4, t->stale_after)),
    };
    if (out->deadline < out->settle)
        return error_set(e, ERR_INVALID,
                         "--root-deadline: must be at least --root-settle, and "
                         "a sixth more than --stale-after: %" PRId64 "s",
                         out->settle);
    if (out->life / 5 < out->deadline + out->retire)
        return error_set(e, ERR_INVALID,
                         "--root-life: a fifth of it must be enough to change "
                         "the root, which takes --root-deadline and, until "
                         "certificates have ended, %" PRId64
                         "s: must be at least %" PRId64 "s",
                         out->retire, 5 * (out->deadline + out->retire));
    return OK;
}

/* Of its life, or of the one that is set now. A root says of itself that it is an
 * hour older than it is. */
static int64_t life_of(const struct root_state *s, const struct root_rules *r)
{
    int64_t life = s->not_after - s->not_before;

    return life < r->life ? life : r->life;
}

/* The last tenth, at most a week: who is not reached by then is cut off rather
 * than everybody. */
static bool ends_soon(const struct root_state *s, const struct root_rules *r,
                      int64_t now)
{
    int64_t tenth = life_of(s, r) / 10;

    return s->not_after - now < (tenth < WEEK ? tenth : WEEK);
}

/* When nobody has it, it is not the proxies. */
static bool few(const struct root_sight *see)
{
    return (see->behind <= FEW && see->behind < see->proxies) ||
           see->behind <= see->proxies / 20;
}

/* Something that puts the Secret back to what it was makes us begin again and
 * again: less and less often. */
static int64_t pause_before_make(const struct root_rules *r,
                                 const struct root_sight *see)
{
    int64_t pause = r->settle;

    if (see->unfinished)
        pause *= 10;
    for (unsigned i = 1; i < see->unfinished && pause < DAY; i++)
        pause *= 2;
    return pause < DAY ? pause : DAY;
}

static enum root_step from_rest(const struct root_state *s,
                                const struct root_rules *r,
                                const struct root_sight *see)
{
    bool ending = s->not_after - see->now < life_of(s, r) / 5;

    if (!s->wanted && !ending)
        return ROOT_WAIT;
    if (see->stepped >= 0 && see->stepped < pause_before_make(r, see))
        return ROOT_WAIT;
    return ROOT_MAKE;
}

/* The objects, which new pods and the API server go by, have no deadline. */
static enum root_step from_distributing(const struct root_state *s,
                                        const struct root_rules *r,
                                        const struct root_sight *see)
{
    if (see->missing || see->written < r->settle || see->led < r->settle ||
        see->now < s->next_from || see->now < s->since)
        return ROOT_WAIT;
    if (ends_soon(s, r, see->now))
        return ROOT_SIGN;
    if (see->replicas)
        return ROOT_WAIT;
    if (see->behind && (see->now - s->since < r->deadline || !few(see)))
        return ROOT_WAIT;
    return ROOT_SIGN;
}

static enum root_step from_retiring(const struct root_state *s,
                                    const struct root_rules *r,
                                    const struct root_sight *see)
{
    if (see->now < s->retire || see->now < s->since || see->led < r->settle ||
        see->old)
        return ROOT_WAIT;
    return ROOT_DROP;
}

enum root_step root_next(const struct root_state *s, const struct root_rules *r,
                         const struct root_sight *see)
{
    if (!s->ours)
        return ROOT_WAIT;
    switch (s->phase) {
    case ROOT_AT_REST:
        return from_rest(s, r, see);
    case ROOT_DISTRIBUTING:
        return from_distributing(s, r, see);
    case ROOT_RETIRING:
        return from_retiring(s, r, see);
    }
    return ROOT_WAIT;
}

/* Who had not heard of it yet went on with the old one for a while. */
bool root_signed_by_old(const struct root_state *s, const struct root_rules *r,
                        int64_t issued)
{
    return issued <= s->since + r->settle;
}

int64_t root_retire_at(const struct root_rules *r, int64_t now)
{
    return now + r->retire;
}

bool root_is_late(const struct root_state *s, const struct root_rules *r,
                  const struct root_sight *see)
{
    if (see->led < 2 * r->settle)
        return false;
    if (s->phase == ROOT_DISTRIBUTING)
        return see->now - s->since >= 2 * r->settle;
    return s->phase == ROOT_RETIRING && see->now - s->retire >= r->settle;
}
